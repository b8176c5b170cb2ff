"""The Experts dock in a real window, alone and beside the Predict dock."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QLabel

from napari_ink._layers import carried, is_ink, is_stack
from napari_ink.widgets.predict.model import Region
from napari_ink.widgets.shared_model import _shared, shared_model

PATIENCE = 60_000  # ms


def open_experts(viewer):
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Ink experts")
    return dock


def open_predict(viewer):
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    return dock


def until_read(dock, qtbot):
    qtbot.waitUntil(lambda: dock.model.shares is not None and not dock.reader.running, timeout=9000)
    qtbot.wait(100)  # drawn


@pytest.fixture
def experts(viewer, fragment_folder, qtbot):
    """The Experts dock over the opened fragment, alone."""
    viewer.open(fragment_folder, plugin="napari-ink")
    dock = open_experts(viewer)
    until_read(dock, qtbot)
    return dock


@pytest.fixture
def two_tasks(tmp_path):
    """A checkpoint with two tasks."""
    import torch

    from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
    from napari_ink.models.repmode import RepMode

    torch.manual_seed(1)
    model = RepMode(width=2, levels=2, depth=8, tasks=("ink", "letters"), decoder="2d")
    info = CheckpointInfo.of(model, recipe={"kind": "fixed"}, voxel_size=16.0, window=32, halo=16)
    path = tmp_path / "two.safetensors"
    save_checkpoint(path, model, info)
    return path


def redo(dock, qtbot):
    dock.switches.redo.click()
    assert dock.redo.running
    qtbot.waitUntil(lambda: not dock.redo.running, timeout=PATIENCE)


def test_dock_opens_without_fragment_and_says_what_it_needs_to_redo_a_region(viewer, qtbot):
    dock = open_experts(viewer)
    until_read(dock, qtbot)
    assert dock.gates.canvas.isVisible()
    assert "Open a fragment" in dock.switches.status.text()
    assert not dock.switches.redo.isEnabled()


def test_dock_without_a_checkpoint_asks_for_one(viewer, monkeypatch):
    monkeypatch.setattr("napari_ink.widgets.experts.dock.known_checkpoints", lambda _: [])
    dock = open_experts(viewer)
    assert "Choose a checkpoint" in dock.gates.note.text()
    assert not dock.switches.isVisible()


def test_broken_checkpoint_and_one_without_gates_say_so(experts, qtbot, tmp_path, monkeypatch):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 64)
    experts.source.checkpoint_chosen.emit(broken)
    assert "broken.safetensors" in experts.gates.note.text()
    assert not experts.gates.canvas.isVisible()

    from napari_ink.models.repmode import RepMode

    monkeypatch.setattr(RepMode, "mode_layers", lambda self: {})
    experts.source.checkpoint_chosen.emit(experts.source.checkpoints.itemData(0))
    qtbot.waitUntil(lambda: "no gates" in experts.gates.note.text(), timeout=9000)
    assert not experts.switches.isVisible()


def test_chart_shows_the_gates_of_the_file(experts, checkpoint):
    from napari_ink.analysis.gates import gate_shares
    from napari_ink.models.checkpoint import load_checkpoint

    expected = gate_shares(load_checkpoint(checkpoint))
    axes = experts.gates.canvas.figure.axes[0]
    drawn = np.array([[bar.get_width() for bar in part] for part in axes.containers]).T
    np.testing.assert_allclose(drawn[: len(expected.blocks)], expected.mean, atol=1e-6)


def mouse(canvas, row, percent):
    """Where a bar is on the canvas, in Qt's pixels."""
    axes = canvas.figure.axes[0]
    x, y = axes.transData.transform((percent, row.place))
    ratio = canvas.device_pixel_ratio
    return QPoint(round(x / ratio), round(canvas.height() - y / ratio))


def test_mouse_reads_a_bar_and_a_click_opens_its_channels_and_back(experts, qtbot):
    canvas, model = experts.gates.canvas, experts.model
    place = mouse(canvas, model.rows[2], 3)
    move = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(place),
        QPointF(canvas.mapToGlobal(place)),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(canvas, move)
    assert experts.gates.words.text().startswith("C2.1: 5³")
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=place)
    assert model.block == "C2.1"
    assert experts.gates.back.isVisible()
    experts.gates.back.click()
    assert model.block == ""
    assert not experts.gates.back.isVisible()


def test_keyboard_points_opens_and_goes_back(experts, qtbot):
    canvas, model = experts.gates.canvas, experts.model
    experts.activateWindow()
    canvas.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(canvas.hasFocus, timeout=2000)
    qtbot.waitUntil(lambda: model.at == (0, 0), timeout=2000)
    QTest.keyClick(canvas, Qt.Key.Key_Down)
    QTest.keyClick(canvas, Qt.Key.Key_Right)
    assert experts.gates.words.text().startswith("C1.2: 3³")
    QTest.keyClick(canvas, Qt.Key.Key_Return)
    assert model.block == "C1.2"
    QTest.keyClick(canvas, Qt.Key.Key_Escape)
    assert model.block == ""


def test_tasks_and_other_checkpoints_are_compared(experts, qtbot, two_tasks):
    experts.source.checkpoint_chosen.emit(two_tasks)
    qtbot.waitUntil(lambda: experts.source.tasks.isVisible(), timeout=9000)
    until_read(experts, qtbot)
    others = experts.source.others
    offered = [others.itemText(k) for k in range(others.count())]
    assert offered[:3] == ["with nothing", "task letters", "repmode-sample"]
    others.setCurrentIndex(1)
    qtbot.waitUntil(lambda: experts.model.comparison is not None, timeout=9000)
    assert experts.gates.pair.text() == "Upper bar: ink · lower bar: letters"
    # of the other task, that task is no longer another one
    experts.source.tasks.setCurrentText("letters")
    qtbot.waitUntil(lambda: experts.model.shares.task == "letters", timeout=9000)
    until_read(experts, qtbot)
    assert experts.model.comparison is None
    others.setCurrentIndex(others.findText("repmode-sample"))
    qtbot.waitUntil(lambda: experts.model.comparison is not None, timeout=9000)
    assert experts.model.names == ("two", "repmode-sample")


@pytest.mark.parametrize("suffix", ["png", "svg", "csv"])
def test_what_is_shown_is_saved(experts, tmp_path, suffix):
    for block in ("", "C1.2"):
        experts.model.open(block)
        path = tmp_path / f"gates{block}.{suffix}"
        experts.gates.save_as(str(path))
        assert path.stat().st_size > 100
        assert "Saved" in experts.gates.note.text()
    if suffix == "csv":
        assert path.read_text().startswith("block,channel,conv5")
    experts.gates.save_as(str(tmp_path / "gates.jpg"))
    assert "no name for a chart" in experts.gates.note.text()


def test_switches_ask_for_an_expert_and_leave_one_on(experts):
    switches = experts.switches
    assert "Tick an expert" in switches.status.text()
    for box in switches.boxes.values():
        box.click()
    assert "at least one" in switches.status.text()
    assert not switches.redo.isEnabled()
    switches.boxes["1³"].click()
    assert switches.redo.isEnabled()
    assert switches.status.text() == ""


def test_region_is_shown_beside_the_original_with_the_change_in_score(
    experts, viewer, qtbot, fragment_folder, checkpoint
):
    from napari_ink import load_checkpoint, open_fragment, predict
    from napari_ink.inference.settings import PredictionSettings

    stack = experts.shared.stack
    stack.translate = (0, 320, -160)
    experts.switches.boxes["5³"].click()
    redo(experts, qtbot)
    whole, without = [layer for layer in viewer.layers if is_ink(layer)]
    assert [whole.name, without.name] == ["ink, all experts", "ink without 5³"]
    np.testing.assert_allclose(without.translate, (320, -160))
    assert viewer.canvas.grid.enabled
    fragment, model = open_fragment(fragment_folder), load_checkpoint(checkpoint)
    for layer, off in ((whole, ()), (without, ("conv5",))):
        asked = carried(layer)["provenance"]["settings"]
        assert tuple(asked["experts_off"]) == off
        settings = PredictionSettings(experts_off=off, tile=asked["tile"])
        for tile in predict(fragment, model, settings):
            shown = np.asarray(layer.data[0] if layer.multiscale else layer.data)
            known = np.isfinite(tile.probability) & np.isfinite(shown[tile.box.slices])
            assert known.any()
            np.testing.assert_allclose(
                shown[tile.box.slices][known], tile.probability[known], atol=2e-3
            )
    assert experts.switches.result.text().startswith("F0.5 ")
    (opened,) = viewer.open(carried(without)["store"], plugin="napari-ink")
    assert opened.name == "frag ink without conv5"
    viewer.layers.remove(opened)
    # a second look takes the first one's place
    experts.switches.boxes["5³"].click()
    experts.switches.boxes["avg 5³"].click()
    redo(experts, qtbot)
    names = [layer.name for layer in viewer.layers if is_ink(layer)]
    assert names == ["ink, all experts", "ink without avg 5³"]


def test_drawn_region_is_what_is_predicted(experts, viewer, qtbot):
    experts.switches.regions[Region.SHAPE].click()
    experts.switches.boxes["3³"].click()
    experts.switches.redo.click()
    assert "no rectangle has been drawn" in experts.switches.result.text()
    experts.switches.draw.click()
    shapes = experts.switches.shapes.currentData()
    shapes.add_rectangles([[15.5, 31.5], [79.5, 127.5]])
    redo(experts, qtbot)
    ink = next(layer for layer in viewer.layers if is_ink(layer))
    assert carried(ink)["provenance"]["settings"]["region"] == [16, 80, 32, 128]


def test_stop_leaves_no_layer_and_the_dock_ready(experts, viewer, qtbot):
    experts.switches.boxes["3³"].click()
    experts.switches.redo.click()
    assert experts.switches.cancel.isVisible()
    experts.switches.cancel.click()
    qtbot.waitUntil(lambda: not experts.redo.running, timeout=PATIENCE)
    assert not [layer for layer in viewer.layers if is_ink(layer)]
    assert experts.switches.redo.isEnabled()


def test_failure_is_told_once_and_the_dock_is_ready_again(experts, qtbot, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("CUDA out of memory")
        yield

    monkeypatch.setattr("napari_ink.analysis.experts.effect_steps", broken)
    experts.switches.boxes["3³"].click()
    redo(experts, qtbot)
    assert "broke off" in experts.switches.result.text()
    assert experts.switches.redo.isEnabled()


@pytest.mark.parametrize("first", [open_predict, open_experts])
def test_docks_are_about_the_same_whichever_opens_first(
    viewer, fragment_folder, qtbot, two_tasks, first
):
    viewer.open(fragment_folder, plugin="napari-ink")
    first(viewer)
    predict, experts = open_predict(viewer), open_experts(viewer)
    assert predict.model is experts.shared.model
    until_read(experts, qtbot)
    predict.source.choose_checkpoint(two_tasks)
    assert experts.source.checkpoints.currentData() == two_tasks
    predict.settings.task.setCurrentText("letters")
    assert experts.source.tasks.currentText() == "letters"
    qtbot.waitUntil(lambda: experts.model.shares.task == "letters", timeout=9000)
    experts.source.tasks.setCurrentText("ink")
    assert predict.settings.task.currentText() == "ink"
    other = predict.source.checkpoints.itemData(0)
    experts.source.checkpoint_chosen.emit(other)
    assert predict.source.checkpoints.currentData() == other


def test_fragment_chosen_in_one_dock_is_the_others(viewer, fragment_folder, qtbot):
    viewer.open(fragment_folder, plugin="napari-ink")
    (frag,) = [layer for layer in viewer.layers if is_stack(layer)]
    viewer.add_image(np.zeros((8, 64, 64), np.uint8), name="plain")
    predict, experts = open_predict(viewer), open_experts(viewer)
    assert experts.shared.stack.name == "plain"
    predict.source.choose_layer(frag)
    assert experts.shared.stack == frag
    viewer.layers.remove("frag")
    assert experts.shared.stack.name == "plain"
    assert predict.source.layers.currentData().name == "plain"


def test_dock_that_opens_later_keeps_what_the_other_was_about(viewer, fragment_folder, two_tasks):
    viewer.open(fragment_folder, plugin="napari-ink")
    experts = open_experts(viewer)
    experts.source.checkpoint_chosen.emit(two_tasks)
    experts.source.tasks.setCurrentText("letters")
    predict = open_predict(viewer)
    assert predict.source.checkpoints.currentData() == two_tasks
    assert predict.settings.task.currentText() == "letters"
    assert predict.run.predict.isEnabled()


def test_closing_one_dock_leaves_the_other_working_and_the_last_forgets(
    viewer, fragment_folder, qtbot, two_tasks
):
    viewer.open(fragment_folder, plugin="napari-ink")
    predict, experts = open_predict(viewer), open_experts(viewer)
    until_read(experts, qtbot)
    viewer.window.remove_dock_widget(predict)
    qtbot.wait(50)
    experts.source.checkpoint_chosen.emit(two_tasks)
    experts.source.tasks.setCurrentText("letters")
    experts.switches.boxes["3³"].click()
    redo(experts, qtbot)
    assert viewer.canvas.grid.enabled
    again = open_predict(viewer)
    assert again.source.checkpoints.currentData() == two_tasks
    viewer.window.remove_dock_widget(experts)
    qtbot.wait(50)
    assert viewer.canvas.grid.enabled  # the other one still shows the ink
    again.source.choose_checkpoint(again.source.checkpoints.itemData(0))  # nobody dead hears it
    viewer.window.remove_dock_widget(again)
    qtbot.wait(50)
    assert not viewer.canvas.grid.enabled
    assert shared_model(viewer).model.fragment is None


def test_predicting_and_looking_inside_wait_for_each_other(viewer, fragment_folder, qtbot):
    viewer.open(fragment_folder, plugin="napari-ink")
    predict, experts = open_predict(viewer), open_experts(viewer)
    until_read(experts, qtbot)
    experts.switches.boxes["3³"].click()
    predict.run.predict.click()
    assert not experts.switches.redo.isEnabled()
    assert "running" in experts.switches.status.text()
    qtbot.waitUntil(lambda: not predict.model.running, timeout=PATIENCE)
    assert experts.switches.redo.isEnabled()


def test_closing_the_predict_dock_while_it_predicts_leaves_the_experts_usable(
    viewer, fragment_folder, qtbot
):
    viewer.open(fragment_folder, plugin="napari-ink")
    predict, experts = open_predict(viewer), open_experts(viewer)
    until_read(experts, qtbot)
    predict.run.predict.click()
    viewer.window.remove_dock_widget(predict)
    qtbot.wait(50)
    assert not experts.shared.model.running
    assert experts.source.isEnabled()


def test_what_docks_share_goes_with_the_last_of_them(viewer, qtbot):
    before = len(_shared)
    dock = open_experts(viewer)
    assert len(_shared) == before + 1
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(50)
    assert len(_shared) == before
    gc.collect()


def test_every_control_has_a_tooltip_and_mnemonics_are_unique(experts):
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox)
    controls = [child for kind in kinds for child in experts.findChildren(kind)]
    assert len(controls) > 12
    assert not [control for control in controls if not control.toolTip()]
    texts = [button.text() for button in experts.findChildren(QAbstractButton)]
    texts += [label.text() for label in experts.findChildren(QLabel) if label.buddy()]
    letters = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
    assert len(letters) == len(set(letters)), sorted(letters)
    assert not set(letters) & set("fvlpwh")


def test_dock_is_narrow_and_nothing_in_it_is_wider(experts):
    assert experts.minimumSizeHint().width() <= 320
    for view in (experts.source, experts.gates, experts.switches):
        assert view.minimumSizeHint().width() <= 320
        assert view.width() <= experts.width()


def test_opening_the_dock_imports_neither_torch_nor_matplotlib():
    import subprocess
    import sys

    code = (
        "import sys; from qtpy.QtWidgets import QApplication; app = QApplication([]);"
        "from napari.components import ViewerModel;"
        "from napari_ink.widgets.experts import dock as experts_dock;"
        "experts_dock.known_checkpoints = lambda _: [];"
        "dock = experts_dock.ExpertsDock(ViewerModel()); dock.show(); app.processEvents();"
        "assert not {'torch', 'matplotlib.figure'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
