"""The dock itself: empty states, controls, keys, tooltips, regions, and that it leaves no trace."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtGui import QOpenGLContext
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QLabel,
    QScrollBar,
)

from napari_ink.inference.settings import Box
from napari_ink.widgets.predict.model import Region


@pytest.fixture
def empty_dock(viewer):
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    return dock


def test_empty_dock_says_what_to_do_next(empty_dock):
    assert empty_dock.empty.isVisible()
    assert empty_dock.empty.button.isVisible()
    assert not empty_dock.source.isVisible()
    assert not empty_dock.run.isVisible()


def test_dock_without_a_checkpoint_asks_for_one(dock):
    dock.source.set_checkpoints([], None)
    assert "Choose a checkpoint" in dock.run.status.text()
    assert not dock.run.predict.isEnabled()


def test_a_broken_checkpoint_is_named_and_cannot_be_used(dock, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 64)
    dock.source.choose_checkpoint(broken)
    assert "broken.safetensors" in dock.run.status.text()
    assert not dock.run.predict.isEnabled()


def test_a_layer_that_is_no_scan_is_refused_in_words(dock, viewer):
    viewer.add_image(np.zeros((8, 320, 480), np.int64), name="counts")
    assert "counts holds int64 values" in dock.run.status.text()
    assert not dock.run.predict.isEnabled()


@pytest.mark.parametrize("floating", [False, True])
def test_a_removed_layer_leaves_the_card_in_the_context_of_its_own_window(
    viewer, empty_dock, qtbot, floating
):
    container = empty_dock.parentWidget()
    while not isinstance(container, QDockWidget):
        container = container.parentWidget()
    container.setFloating(floating)
    layer = viewer.add_image(np.zeros((4, 4)))
    qtbot.wait(100)  # draws
    (canvas,) = container.parentWidget().findChildren(QOpenGLWidget)
    canvas.doneCurrent()
    current = []
    viewer.layers.events.removed.connect(
        lambda event: current.append(QOpenGLContext.currentContext() == canvas.context())
    )
    viewer.layers.remove(layer)
    assert current == [True]


def test_removing_the_fragment_empties_the_dock_again(dock, viewer):
    assert dock.run.predict.isEnabled()
    viewer.layers.clear()
    assert dock.empty.isVisible()
    assert dock.model.fragment is None


def test_a_fragment_that_the_checkpoint_learned_from_is_named_before_predicting(
    dock, qtbot, checkpoint, altered
):
    own = {"name": "frag", "fingerprint": dock.model.fragment.fingerprint()}
    dock.source.choose_checkpoint(altered(dataset=(own,)))
    qtbot.waitUntil(lambda: "trained on this fragment" in dock.run.notes.text(), timeout=10_000)
    assert dock.run.predict.isEnabled()
    dock.source.choose_checkpoint(checkpoint)
    assert "trained on this fragment" not in dock.run.notes.text()


def test_looking_at_a_slow_fragment_does_not_stop_the_window(dock, viewer, qtbot, altered):
    class Slow:
        shape, dtype = (8, 320, 480), np.dtype(np.uint8)
        open = threading.Event()

        def read(self, z, y, x):
            assert threading.current_thread() is not threading.main_thread()
            self.open.wait(30)
            return np.zeros([part.stop - part.start for part in (z, y, x)], np.uint8)

    fragment = replace(dock.model.fragment, volume=Slow())
    other = {"name": "other", "fingerprint": "0" * 32}
    dock.source.choose_checkpoint(altered(dataset=(other,)))
    dock.model.choose_fragment(fragment)
    qtbot.wait(600)  # the look has begun, and waits
    assert dock.run.predict.isEnabled()
    viewer.window.remove_dock_widget(dock)
    Slow.open.set()
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=10_000)
    qtbot.wait(50)  # what was found finds nobody to tell
    assert dock.model.trained_on == ""


def test_layer_window_moves_as_one(dock):
    dock.model.layers = (0, 8)
    dock.settings.layers.setValue((2, 7))
    assert dock.model.layers == (0, 8)  # eight of eight layers: there is nowhere to go
    assert tuple(dock.settings.layers.value()) == (0, 7)


def test_the_handles_stand_at_the_first_and_the_last_layer_that_are_read(dock):
    assert dock.settings.order.text() == "from layer 0 up to 7"
    assert tuple(dock.settings.layers.value()) == (0, 7)
    assert dock.settings.layers.maximum() == 7


def test_direction_is_told_from_training_and_in_layers(dock, checkpoint, altered):
    settings = dock.settings
    assert settings.as_trained.isChecked()
    assert settings.order.text() == "from layer 0 up to 7"
    dock.source.choose_checkpoint(altered(reverse_depth=True))
    assert settings.as_trained.isChecked()
    assert settings.order.text() == "from layer 7 down to 0"
    settings.reversed.click()
    assert settings.order.text() == "from layer 0 up to 7"
    dock.source.set_checkpoints([], None)
    assert not settings.order.isVisibleTo(settings)


def test_every_control_has_a_tooltip(dock):
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox, QAbstractSlider)
    controls = [child for kind in kinds for child in dock.findChildren(kind)]
    ours = [c for c in controls if not isinstance(c, QScrollBar)]
    without = [c for c in ours if not (c.toolTip() or any(p.toolTip() for p in _parents(c, dock)))]
    assert len(ours) > 15
    assert not without, without


def _parents(widget, top):
    while widget is not None and widget is not top:
        widget = widget.parent()
        if widget is not None:
            yield widget


def test_mnemonics_are_unique_and_leave_napari_its_menus(dock):
    texts = [b.text() for b in dock.findChildren(QAbstractButton)]
    texts += [label.text() for label in dock.findChildren(QLabel) if label.buddy()]
    letters = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
    assert len(letters) == len(set(letters)), sorted(letters)
    assert not set(letters) & set("fvlpwh")


def test_dock_is_narrow_and_nothing_in_it_is_wider(dock, viewer, qtbot):
    dock.settings.advanced.expand()
    qtbot.wait(50)
    assert dock.minimumSizeHint().width() <= 320
    inside = dock.source.parent()
    assert inside.width() <= dock.width()
    for view in (dock.source, dock.settings, dock.run):
        assert view.minimumSizeHint().width() <= 320


def test_tab_goes_from_top_to_bottom(dock, qtbot):
    dock.settings.advanced.expand()
    qtbot.wait(50)
    places, widget = [], dock.source.layers
    for _ in range(200):
        takes_tab = widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        if takes_tab and widget.isVisible() and widget.isEnabled() and dock.isAncestorOf(widget):
            places.append((widget.mapTo(dock, widget.rect().center()).y(), widget))
        widget = widget.nextInFocusChain()
        if widget is dock.source.layers:
            break
    heights = [y for y, _ in places]
    assert len(heights) >= 12
    assert all(b >= a - 4 for a, b in pairwise(heights)), places


def test_return_on_another_button_presses_that_button(dock, viewer, qtbot):
    dock.activateWindow()
    pressed = []
    dock.settings.draw.setEnabled(True)
    dock.settings.change_folder.clicked.disconnect()
    dock.settings.change_folder.clicked.connect(lambda: pressed.append(True))
    dock.settings.advanced.expand()
    dock.settings.change_folder.setFocus()
    qtbot.waitUntil(dock.settings.change_folder.hasFocus, timeout=2000)
    QTest.keyClick(dock.settings.change_folder, Qt.Key.Key_Return)
    assert pressed == [True]
    assert not dock.model.running


def test_return_predicts_and_escape_cancels(dock, viewer, qtbot):
    dock.activateWindow()
    dock.run.predict.setFocus()
    qtbot.waitUntil(dock.run.predict.hasFocus, timeout=2000)
    QTest.keyClick(dock.run.predict, Qt.Key.Key_Return)
    assert dock.model.running
    QTest.keyClick(dock.run.cancel, Qt.Key.Key_Escape)
    assert dock.runner._job._stop.is_set()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=60_000)


def test_visible_area_is_what_the_camera_sees_also_beside_the_ink(dock, viewer, qtbot):
    stack = dock.source.layers.currentData()
    viewer.scene.camera.zoom = 0.2  # 3.2 px of canvas a voxel
    viewer.scene.camera.center = (0, 16 * 160, 16 * 240)
    qtbot.wait(20)
    height, _ = np.array(viewer.canvas.viewbox_size(viewer.layers)) / 0.2 / 16
    box = dock.region.box(Region.VISIBLE, stack, None)
    assert abs((box.y1 - box.y0) - min(height, 320)) <= 2
    assert abs((box.x0 + box.x1) / 2 - 240) <= 1
    y, x = dock.region.focus(stack)
    assert (round(y), round(x)) == (160, 240)


def test_rectangle_of_a_shapes_layer_becomes_a_region(dock, viewer):
    stack = dock.source.layers.currentData()
    stack.translate = (0, 160, 0)
    dock.settings.regions[Region.SHAPE].click()
    assert dock.settings.shape_row.isVisible()
    dock.settings.draw.click()
    shapes = dock.settings.shapes.currentData()
    assert shapes.mode == "add_rectangle"
    with pytest.raises(Exception, match="holds no rectangle"):
        dock.region.box(Region.SHAPE, stack, shapes)
    shapes.add_rectangles([[9.5, 19.5], [29.5, 59.5]])
    assert dock.region.box(Region.SHAPE, stack, shapes) == Box(10, 30, 20, 60)


def test_opening_the_dock_imports_no_torch(make_napari_viewer_proxy, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from qtpy.QtWidgets import QApplication; app = QApplication([]);"
        "from napari.components import ViewerModel;"
        "from napari_ink.widgets.predict.dock import PredictDock;"
        "dock = PredictDock(ViewerModel()); dock.show(); app.processEvents();"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_script_that_ends_while_the_dock_still_loads_ends_well(tmp_path):
    import subprocess
    import sys

    code = (
        "from qtpy.QtWidgets import QApplication; app = QApplication([]);"
        "from napari_ink.widgets import warm_up;"
        "import time; warm_up.import_torch = lambda: time.sleep(0.5);"
        "warm_up.warm_up(print)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_closing_the_dock_gives_the_grid_back_and_forgets_the_viewer(dock, viewer, qtbot):
    dock.run.predict.click()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=60_000)
    assert viewer.canvas.grid.enabled
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not viewer.canvas.grid.enabled, timeout=5000)
    viewer.add_image(np.zeros((4, 8, 8), np.uint8))  # no slot of a dead dock is called
