"""Monte Carlo in a real window: more samples, fewer, stopped, gone on with, opened again."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_ink._layers import carried, is_doubt, is_ink
from napari_ink._preferences import read_preferences, remember
from napari_ink._writer import NotInkError
from napari_ink.inference.chosen_order import SampleOrder
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.trial_windows import TrialWindows

PATIENCE = 60_000  # ms
ASKED = {"samples": 3, "tile": 64, "layers": (0, 8)}


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """A fragment of two blocks."""
    folder = tmp_path_factory.mktemp("small") / "small"
    (folder / "surface_volume").mkdir(parents=True)
    volume = np.random.default_rng(0).integers(60, 200, (8, 64, 320), dtype=np.uint8)
    for z, layer in enumerate(volume):
        tifffile.imwrite(folder / "surface_volume" / f"{z:02}.tif", layer)
    return folder


@pytest.fixture(scope="session")
def gated(tmp_path_factory):
    """A checkpoint that was trained with dropout and gate noise."""
    from conftest import random_checkpoint

    path = tmp_path_factory.mktemp("gated") / "gated.safetensors"
    return random_checkpoint(path, decoder="2d", dropout=0.3, gate_noise=2.0)


@pytest.fixture(scope="session")
def headless(small_folder, gated, tmp_path_factory):
    """Stores by number of samples, as the command line makes them."""
    from napari_ink import load_checkpoint, open_fragment, predict

    fragment, model = open_fragment(small_folder, voxel_size=16.0), load_checkpoint(gated)
    found = {}
    for samples in (3, 5):
        found[samples] = tmp_path_factory.mktemp("headless") / f"{samples}.ink.zarr"
        settings = PredictionSettings(**ASKED | {"samples": samples})
        for _ in predict(fragment, model, settings, store=found[samples]):
            pass
    return found


@pytest.fixture
def dock(viewer, small_folder, gated):
    """The Predict dock over the small fragment, asked for three samples."""
    remember(checkpoint=str(gated))
    viewer.open(small_folder, plugin="napari-ink")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    dock.settings.tile.setValue(64)
    dock.settings.samples.slider.number.setValue(3)
    return dock


@pytest.fixture
def slow(monkeypatch):
    """The real prediction, with a pause after every block."""
    from napari_ink.inference import predict

    run_plan = predict.run_plan

    def slowly(*args, **kwargs):
        for tile in run_plan(*args, **kwargs):
            yield tile
            time.sleep(0.08)

    monkeypatch.setattr(predict, "run_plan", slowly)


def run(dock, qtbot):
    dock.run.predict.click()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=PATIENCE)


def status(dock):
    return dock.run.status.text()


def layer_of(viewer, role):
    (layer,) = [layer for layer in viewer.layers if carried(layer).get("role") == role]
    return layer


def stop_at(dock, line):
    """Cancel as soon as the progress says so."""

    def _on_progress(done, total, now):
        if now.startswith(line):
            dock.run.cancel.click()

    dock.runner.progress.connect(_on_progress)
    dock._test_stop = _on_progress  # the signal holds it weakly


def test_ink_sharpens_and_uncertainty_comes_hidden_over_it(dock, viewer, qtbot, headless):
    seen = []
    dock.runner.progress.connect(lambda *args: seen.append(args[-1]))
    dock._seen = seen
    run(dock, qtbot)
    expected = PredictionStore.open(headless[3])
    for role, visible in (("ink", True), ("spread", False), ("information", False)):
        layer, image = layer_of(viewer, role), expected.images[role][0]
        np.testing.assert_allclose(layer.data, image[:], atol=1e-3)  # float16
        assert layer.visible is visible
        assert carried(layer)["store"] == carried(layer_of(viewer, "ink"))["store"]
        assert carried(layer)["provenance"]["state"] == "finished"
    assert np.nanmax(layer_of(viewer, "spread").data) > 0
    assert layer_of(viewer, "spread").name == "small ink uncertainty"
    assert viewer.layers.selection.active == layer_of(viewer, "ink")
    assert any(line.startswith("sample 2 of 3") for line in seen)
    assert status(dock).startswith("Done: 3 samples")


def test_uncertainty_lies_on_its_ink_in_the_same_cell(dock, viewer, qtbot):
    run(dock, qtbot)
    ink, spread = layer_of(viewer, "ink"), layer_of(viewer, "spread")
    spread.visible = True
    grid = viewer.canvas.grid
    places = [grid.position(viewer.layers.index(one), viewer.layers) for one in (ink, spread)]
    assert places == [(0, 1), (0, 1)]
    assert viewer.layers.index(ink) < viewer.layers.index(spread)
    np.testing.assert_allclose(spread.scale, ink.scale)
    assert spread.units == ink.units
    assert spread.colorbar.visible


def test_a_stopped_run_says_how_many_samples_are_kept_and_goes_on(
    slow, dock, viewer, qtbot, headless, preferences
):
    dock.settings.samples.slider.number.setValue(5)
    stop_at(dock, "sample 2 of 5")
    run(dock, qtbot)
    said = re.search(r"(\d) of 5 samples are kept: Predict goes on with sample (\d)", status(dock))
    assert 1 <= int(said[1]) == int(said[2]) - 1 < 4
    kept = layer_of(viewer, "spread")
    kept.visible = True
    dock.runner.progress.disconnect()
    run(dock, qtbot)
    assert status(dock).startswith("Done: 5 samples")
    assert layer_of(viewer, "spread") == kept  # filled anew, as it was looked at
    assert kept.visible
    (store,) = preferences.iterdir()
    found, expected = PredictionStore.open(store), PredictionStore.open(headless[5])
    for role in ("ink", "spread", "information"):
        np.testing.assert_array_equal(found.images[role][0][:], expected.images[role][0][:])
        np.testing.assert_allclose(
            layer_of(viewer, role).data, expected.images[role][0][:], atol=1e-3
        )


def test_stopped_in_the_first_sample_it_speaks_of_blocks(slow, dock, viewer, qtbot):
    stop_at(dock, "sample 1 of 3")
    run(dock, qtbot)
    words = status(dock)
    assert "1 of 2 blocks of the first sample are kept" in words
    spread = layer_of(viewer, "spread")  # of one sample nobody knows how sure it is
    assert not spread.visible
    assert np.isnan(spread.data).all()


def test_a_run_that_fails_at_once_leaves_no_empty_layers(dock, viewer, qtbot):
    dock.model.tile = 63  # not a multiple of what the network needs
    before, selected = list(viewer.layers), set(viewer.layers.selection)
    with notification_manager:
        run(dock, qtbot)
    assert list(viewer.layers) == before
    assert set(viewer.layers.selection) == selected != set()
    assert "63" in status(dock)


def test_more_samples_go_on_where_fewer_ended(dock, viewer, qtbot, headless, preferences):
    run(dock, qtbot)
    dock.settings.samples.slider.number.setValue(5)
    run(dock, qtbot)
    assert status(dock).startswith("Done: 5 samples")
    assert len(list(preferences.iterdir())) == 1
    expected = PredictionStore.open(headless[5])
    np.testing.assert_allclose(layer_of(viewer, "ink").data, expected.ink[:], atol=1e-3)
    assert len([layer for layer in viewer.layers if is_doubt(layer)]) == 2


class QuickTrial:
    """Chooses the same five samples at once, for as sure as twelve."""

    seconds = 0.0

    def __init__(self, *_):
        pass

    def advance(self, share):
        pass

    def order(self, begun):
        assert tuple(begun) == (0,)
        return SampleOrder((0, 5, 3, 7, 1), (1.0, 0.5, 0.3, 0.2, 0.08))


def test_chosen_samples_are_counted_by_those_that_are_run(dock, viewer, qtbot, monkeypatch):
    monkeypatch.setattr("napari_ink.inference.trial_windows.is_worth_choosing", lambda *_: True)
    small = TrialWindows(48, 8)
    monkeypatch.setattr("napari_ink.inference.plan.trial_windows", lambda *_: small)
    monkeypatch.setattr("napari_ink.inference.averaging.Trial", QuickTrial)
    dock.settings.samples.slider.number.setValue(12)
    seen = []
    dock.runner.progress.connect(lambda *args: seen.append(args))
    run(dock, qtbot)
    assert any("sample 1 of 12 · choosing the others" in line for *_, line in seen)
    assert seen[-1][:2] == (2 * 5, 2 * 5)
    assert "sample 5 of 5" in seen[-1][2]
    assert "Done: 5 chosen samples, as sure as 12" in status(dock)


def test_a_single_pass_has_no_uncertainty_and_a_store_of_its_own(dock, viewer, qtbot, preferences):
    run(dock, qtbot)
    dock.settings.samples.slider.marks[1].click()
    run(dock, qtbot)
    assert sorted(layer.name for layer in viewer.layers if is_ink(layer)) == [
        "small ink",
        "small ink sampled",
    ]
    assert len([layer for layer in viewer.layers if is_doubt(layer)]) == 2
    assert len(list(preferences.iterdir())) == 2


def test_uncertainty_that_is_removed_midway_does_not_stop_the_run(dock, viewer, qtbot):
    def _on_progress(done, total, line):
        for layer in [layer for layer in viewer.layers if is_doubt(layer)]:
            viewer.layers.remove(layer)

    dock.runner.progress.connect(_on_progress)
    run(dock, qtbot)
    assert status(dock).startswith("Done")
    assert not any(map(is_doubt, viewer.layers))


def test_an_opened_prediction_brings_its_samples_back(viewer, qtbot, headless):
    viewer.open(headless[3], plugin="napari-ink")
    qtbot.waitUntil(lambda: viewer.canvas.grid.enabled, timeout=5000)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    assert dock.model.samples == dock.settings.samples.slider.value == 3
    assert (dock.model.dropout, dock.model.gate_noise) == (None, None)
    assert read_preferences().samples == 1  # looking at one changes nothing of one's own
    ink, spread = layer_of(viewer, "ink"), layer_of(viewer, "spread")
    assert viewer.layers.index(ink) < viewer.layers.index(spread)
    assert viewer.layers.selection.active == ink
    assert (ink.visible, spread.visible) == (True, False)
    assert spread.colormap.name == "doubt viridis"
    assert spread.contrast_limits == [0, 0.25]
    np.testing.assert_allclose(spread.scale, (16, 16))


def test_an_unfinished_prediction_opens_with_what_there_is(viewer, small_folder, gated, tmp_path):
    from napari_ink import load_checkpoint, open_fragment, predict

    fragment, model = open_fragment(small_folder), load_checkpoint(gated)
    steps = predict(fragment, model, PredictionSettings(**ASKED), store=tmp_path / "half.ink.zarr")
    for _ in range(2):
        next(steps)
    viewer.open(tmp_path / "half.ink.zarr", plugin="napari-ink")
    assert not any(map(is_doubt, viewer.layers))  # one sample
    viewer.layers.clear()
    next(steps)
    steps.close()
    viewer.open(tmp_path / "half.ink.zarr", plugin="napari-ink")
    assert np.isfinite(layer_of(viewer, "spread").data[:, :]).all()


def test_layers_of_a_prediction_are_saved(viewer, headless, tmp_path):
    viewer.open(headless[3], plugin="napari-ink")
    for role in ("ink", "spread"):
        path = tmp_path / f"{role}.ink.zarr"
        assert layer_of(viewer, role).save(str(path), plugin="napari-ink")
        assert list(PredictionStore.open(path).images) == ["ink", "spread", "information"]
    assert layer_of(viewer, "ink").save(str(tmp_path / "a.ink.png"), plugin="napari-ink")
    with pytest.raises(NotInkError, match="select its ink"):
        layer_of(viewer, "spread").save(str(tmp_path / "b.ink.png"), plugin="napari-ink")


def test_that_int8_takes_no_samples_is_said_as_soon_as_it_is_chosen(dock):
    dock.settings.runtime.setCurrentText("openvino-int8")
    assert not dock.run.predict.isEnabled()
    assert "int8" in status(dock)
    dock.settings.runtime.setCurrentText("torch")
    assert dock.run.predict.isEnabled()
    assert "int8" not in status(dock)


def test_marks_are_clicked_and_reached_by_keyboard(dock, qtbot):
    slider = dock.settings.samples.slider
    for value, mark in slider.marks.items():
        mark.click()
        assert dock.model.samples == slider.value == value
        assert mark.focusPolicy() & Qt.FocusPolicy.TabFocus
    slider.slider.setFocus()
    qtbot.keyClick(slider.slider, Qt.Key.Key_Home)
    assert dock.model.samples == 1
    qtbot.keyClick(slider.slider, Qt.Key.Key_Right)
    assert dock.model.samples == 2
    slider.number.setFocus()
    slider.number.selectAll()
    qtbot.keyClicks(slider.number, "77")
    assert dock.model.samples == 2  # nobody has said yet that it is no 777
    qtbot.keyClick(slider.number, Qt.Key.Key_Return)
    assert dock.model.samples == 77


def test_marks_stand_below_their_place_and_do_not_meet(dock, qtbot):
    slider = dock.settings.samples.slider
    qtbot.wait(50)
    boxes = [mark.geometry() for mark in slider.marks.values()]
    assert all(left.right() < right.left() for left, right in pairwise(boxes))
    assert boxes[-1].right() <= slider.slider.width()


def test_how_samples_are_drawn_is_remembered(dock, viewer, gated):
    samples = dock.settings.samples
    samples.slider.marks[60].click()
    samples.tolerance.setValue(0.01)
    samples.dropout.setValue(0.25)
    samples.seed.setValue(4)
    viewer.window.remove_dock_widget(dock)
    _, again = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    model = again.model
    assert (model.samples, model.tolerance, model.seed) == (60, 0.01, 4)
    assert (model.dropout, model.gate_noise) == (0.25, None)
    assert again.settings.samples.dropout.text() == "0.25"
    assert again.settings.samples.gate_noise.text() == "as trained, 2"


def test_provenance_tells_how_many_samples_there_are(viewer, headless):
    from napari_ink.widgets.predict.provenance import ProvenanceDialog

    viewer.open(headless[3], plugin="napari-ink")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    dock.run.provenance.click()
    (dialog,) = dock.findChildren(ProvenanceDialog)
    text = dialog.text.toPlainText()
    assert "samples taken:\n  least: 3\n  most: 3" in text
    assert "dropout: 0.3" in text
    dialog.close()


def test_a_network_without_gates_has_no_slider_and_says_why(dock, gated):
    from dataclasses import replace

    samples = dock.settings.samples
    dock.model.info = replace(dock.model.info, architecture="other")
    assert not samples.slider.isEnabled()
    assert not samples.dropout.isEnabled()
    assert samples.slider.value == 1
    assert "no gates" in samples.note.text()
    assert dock.model.samples == 3  # for the next network that has
