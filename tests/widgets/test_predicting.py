"""Predict in a real window, and everything that can happen while it runs."""

from __future__ import annotations

import gc
import time
import weakref

import numpy as np
import pytest
from napari.utils import progress
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QThreadPool

from napari_ink._layers import carried, is_ink, is_stack
from napari_ink.inference.settings import PredictionSettings

PATIENCE = 60_000  # ms


def inks(viewer):
    return [layer for layer in viewer.layers if is_ink(layer)]


def run(dock, qtbot):
    dock.run.predict.click()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=PATIENCE)


def cancel_after(dock, blocks):
    """Cancel as soon as so many blocks are there."""

    def _on_progress(done, total, line):
        if done >= blocks:
            dock.run.cancel.click()

    dock.runner.progress.connect(_on_progress)
    dock._test_cancel = _on_progress  # the signal holds it weakly


@pytest.fixture
def slow(monkeypatch):
    """The real prediction, with a pause after every block."""
    from napari_ink.inference import predict

    run_plan = predict.run_plan

    def slowly(*args, **kwargs):
        for tile in run_plan(*args, **kwargs):
            yield tile
            time.sleep(0.15)

    monkeypatch.setattr(predict, "run_plan", slowly)


@pytest.fixture(scope="session")
def headless(fragment_folder, checkpoint):
    """The whole ink as a script gets it, ``(y, x)`` float32."""
    from napari_ink import load_checkpoint, open_fragment, predict

    fragment = open_fragment(fragment_folder)
    ink = np.full(fragment.shape[1:], np.nan, np.float32)
    settings = PredictionSettings(layers=(0, fragment.shape[0]), tile=64)
    for tile in predict(fragment, load_checkpoint(checkpoint), settings):
        ink[tile.box.slices] = tile.probability
    return ink


def test_predict_shows_what_a_headless_prediction_gives(dock, viewer, qtbot, headless):
    run(dock, qtbot)
    (ink,) = inks(viewer)
    np.testing.assert_array_equal(ink.data, headless)
    assert np.isnan(ink.data[-1, -1])
    assert dock.run.status.text().startswith("Done")


@pytest.mark.parametrize("network", ["checkpoint", "volume_checkpoint"])
def test_a_plane_too_large_for_memory_is_shown_thinned_out_and_read_from_the_store(
    dock, viewer, qtbot, monkeypatch, request, network
):
    dock.source.choose_checkpoint(request.getfixturevalue(network))
    run(dock, qtbot)
    whole = np.asarray(inks(viewer)[-1].data)
    monkeypatch.setattr("napari_ink.widgets.predict.growing_ink._MOST_BYTES", whole.nbytes // 9)
    dock.settings.tile.setValue(80)  # another tile: a store of its own
    seen = []
    dock.runner.progress.connect(lambda *_: seen.append(np.asarray(inks(viewer)[-1].data[0])))
    run(dock, qtbot)
    full, thin = inks(viewer)[-1].data
    assert np.isnan(seen[0]).all()
    np.testing.assert_allclose(full, whole, atol=2e-3)
    np.testing.assert_allclose(thin, whole[..., ::4, ::4], atol=1e-3)


def test_ink_lies_where_its_stack_lies_also_when_the_user_moved_it(dock, viewer, qtbot):
    stack = dock.source.layers.currentData()
    stack.translate = (0, 320, -160)
    run(dock, qtbot)
    (ink,) = inks(viewer)
    np.testing.assert_allclose(ink.scale, stack.scale[-2:])
    np.testing.assert_allclose(ink.translate, (320, -160))
    assert ink.units == stack.units[-2:]
    assert ink.axis_labels == ("y", "x")


def test_stack_is_left_ink_is_right_and_a_new_mask_does_not_move_them(dock, viewer, qtbot):
    run(dock, qtbot)
    grid = viewer.canvas.grid

    def cell(layer):
        return grid.position(viewer.layers.index(layer), viewer.layers)

    (ink,), stack = inks(viewer), dock.source.layers.currentData()
    assert grid.enabled
    assert cell(stack) == (0, 0)
    assert cell(ink) == (0, 1)
    mask = viewer.add_labels(np.ones((320, 480), int), scale=(16, 16))
    assert cell(mask) == cell(stack) == (0, 0)
    assert cell(ink) == (0, 1)


def test_the_users_own_grid_comes_back(dock, viewer, qtbot):
    grid = viewer.canvas.grid
    grid.shape, grid.stride, grid.spacing = (2, 3), 2, 0.1
    run(dock, qtbot)
    assert (grid.shape, grid.enabled) == ((1, 2), True)
    dock.run.side_by_side.click()
    assert (grid.shape, grid.stride, grid.spacing) == ((2, 3), 2, 0.1)
    assert not grid.enabled
    assert not inks(viewer)[0].name_overlay.visible


def test_cancelled_prediction_keeps_its_blocks_and_predict_goes_on_from_them(
    slow, dock, viewer, qtbot, headless, preferences
):
    cancel_after(dock, 2)
    run(dock, qtbot)
    (ink,) = inks(viewer)
    first = np.isfinite(ink.data)
    assert 0 < first.sum() < first.size
    assert "are kept" in dock.run.status.text()
    dock._test_cancel = None
    dock.runner.progress.disconnect()
    run(dock, qtbot)
    (ink,) = inks(viewer)  # it took the place of the first view
    assert len(list(preferences.iterdir())) == 1
    np.testing.assert_allclose(ink.data, headless, atol=1e-3)  # kept blocks are float16
    np.testing.assert_array_equal(ink.data[~first], headless[~first])


@pytest.mark.parametrize("which", ["ink", "stack"])
def test_deleting_a_layer_midway_stops_quietly_and_keeps_the_blocks(
    slow, dock, viewer, qtbot, preferences, which
):
    from napari_ink.inference.store import PredictionStore

    def _on_progress(done, total, line):
        if done == 1:
            doomed = inks(viewer)[0] if which == "ink" else dock.source.layers.currentData()
            viewer.layers.remove(doomed)

    shown = len(notification_manager.records)
    dock.runner.progress.connect(_on_progress)
    run(dock, qtbot)
    (store,) = preferences.iterdir()
    assert 0 < PredictionStore.open(store).finished < 1
    assert not progress._all_instances
    assert len(notification_manager.records) == shown


def test_memory_is_released_after_the_ink_layer_is_gone(dock, viewer, qtbot):
    run(dock, qtbot)
    (ink,) = inks(viewer)
    array = weakref.ref(ink.data)
    viewer.layers.remove(ink)
    del ink
    qtbot.wait(50)
    gc.collect()
    assert array() is None
    assert dock.runner._job is None


def test_closing_the_window_midway_keeps_the_store_usable(
    slow, dock, viewer, qtbot, fragment_folder, checkpoint, preferences
):
    from napari_ink import load_checkpoint, open_fragment, predict
    from napari_ink.inference.store import PredictionStore

    settings = dock.model.settings()
    with qtbot.waitSignal(dock.run.bar.valueChanged, timeout=PATIENCE):
        dock.run.predict.click()
    qtbot.waitUntil(lambda: any(preferences.glob("*.ink.zarr")), timeout=PATIENCE)
    viewer.close()
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=PATIENCE)
    (store,) = preferences.iterdir()
    assert 0 < PredictionStore.open(store).finished < 1
    fragment, model = open_fragment(fragment_folder), load_checkpoint(checkpoint)
    first = next(predict(fragment, model, settings, store=store))  # nobody holds the lock
    assert np.isfinite(first.probability).any()


def test_an_error_in_the_worker_ends_the_bar_and_shows_once(dock, viewer, qtbot, monkeypatch):
    def out_of_memory(*args, **kwargs):
        raise RuntimeError("CUDA out of memory")
        yield

    monkeypatch.setattr("napari_ink.inference.predict.run_plan", out_of_memory)
    shown = []
    notification_manager.notification_ready.connect(shown.append)
    try:
        run(dock, qtbot)
    finally:
        notification_manager.notification_ready.disconnect(shown.append)
    assert len(shown) == 1
    assert "CUDA out of memory" in shown[0].message
    assert not progress._all_instances
    assert dock.run.predict.isEnabled()


def test_a_run_that_never_began_leaves_no_layer(dock, viewer, qtbot, checkpoint):
    dock.model.tile = 63  # not a multiple of what the network needs
    with notification_manager:
        run(dock, qtbot)
    assert not inks(viewer)
    assert "63" in dock.run.status.text()


def test_a_run_that_fails_before_its_first_block_leaves_the_earlier_ink_in_sight(
    dock, viewer, qtbot, monkeypatch
):
    run(dock, qtbot)
    (before,) = inks(viewer)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_ink.inference.store_files.create", full)
    monkeypatch.setattr("napari_ink.inference.store_writing.create", full)
    dock.settings.reversed.click()
    with notification_manager:
        run(dock, qtbot)
    assert inks(viewer) == [before]
    assert before.visible
    assert "full" in dock.run.status.text()
    assert "are kept" not in dock.run.status.text()


def test_going_on_keeps_the_name(slow, dock, viewer, qtbot):
    cancel_after(dock, 2)
    run(dock, qtbot)
    (first,) = inks(viewer)
    name = first.name
    dock.runner.progress.disconnect()
    dock.runner.progress.connect(dock.run.show_progress)
    run(dock, qtbot)
    assert [layer.name for layer in inks(viewer)] == [name]


@pytest.mark.parametrize("kind", [is_ink, is_stack])
def test_the_view_is_left_when_there_is_nothing_to_see_side_by_side(dock, viewer, qtbot, kind):
    run(dock, qtbot)
    for layer in filter(kind, list(viewer.layers)):
        viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: not viewer.canvas.grid.enabled)
    assert not dock.run.side_by_side.isChecked()
    assert not any(layer.name_overlay.visible for layer in viewer.layers)
    qtbot.wait(100)  # draws
    viewer.screenshot()


def test_ink_that_comes_at_once_after_the_last_went_is_still_side_by_side(dock, viewer, qtbot):
    run(dock, qtbot)
    (ink,) = inks(viewer)
    viewer.layers.remove(ink)
    run(dock, qtbot)
    qtbot.wait(300)
    assert len(inks(viewer)) == 1
    assert viewer.canvas.grid.enabled
    assert dock.run.side_by_side.isChecked()


def test_ink_without_its_stack_keeps_its_provenance(dock, viewer, qtbot):
    run(dock, qtbot)
    for layer in [layer for layer in viewer.layers if not is_ink(layer)]:
        viewer.layers.remove(layer)
    assert dock.empty.isVisibleTo(dock)
    assert dock.run.provenance.isVisibleTo(dock)
    assert dock.run.provenance.isEnabled()
    assert not dock.run.predict.isEnabled()


def test_second_predict_while_running_is_impossible(slow, dock, viewer, qtbot):
    dock.run.predict.click()
    job = dock.runner._job
    assert not dock.run.predict.isEnabled()
    dock._on_predict()
    dock.runner.start(dock.source.layers.currentData(), dock.model.settings(), None)
    assert dock.runner._job is job
    dock.run.cancel.click()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=PATIENCE)


def test_switching_layers_midway_does_not_redirect_the_ink(slow, dock, viewer, qtbot):
    other = viewer.add_image(np.zeros((8, 320, 480), np.uint8), name="other")
    dock.source.choose_layer(next(layer for layer in viewer.layers if carried(layer)))
    dock.source.choose_layer(
        next(layer for layer in viewer.layers if carried(layer).get("role") == "stack")
    )
    stack = dock.source.layers.currentData()
    dock.run.predict.click()
    viewer.layers.selection.active = other
    other.name = stack.name
    qtbot.waitUntil(lambda: not dock.model.running, timeout=PATIENCE)
    (ink,) = inks(viewer)
    assert np.isfinite(ink.data).any()
    assert not np.asarray(other.data).any()


def test_a_network_that_labels_volumes_gives_a_layer_with_depth(
    dock, viewer, qtbot, volume_checkpoint
):
    dock.source.choose_checkpoint(volume_checkpoint)
    run(dock, qtbot)
    (ink,) = inks(viewer)
    stack = dock.source.layers.currentData()
    assert ink.data.shape == (8, 320, 480)
    assert np.isfinite(ink.data[:, 5, 5]).all()
    np.testing.assert_allclose(ink.scale, stack.scale)


def test_forward_and_reversed_stay_apart_and_can_be_compared(dock, viewer, qtbot):
    run(dock, qtbot)
    dock.settings.reversed.click()
    run(dock, qtbot)
    forward, backward = sorted(inks(viewer), key=lambda layer: layer.name)
    assert (forward.name, backward.name) == ("frag ink", "frag ink reversed")
    assert (forward.visible, backward.visible) == (False, True)
    assert not np.array_equal(forward.data, backward.data, equal_nan=True)
    forward.visible = True
    cells = [
        viewer.canvas.grid.position(viewer.layers.index(layer), viewer.layers)
        for layer in (dock.source.layers.currentData(), *inks(viewer))
    ]
    assert cells == [(0, 0), (0, 1), (0, 2)]


def test_an_ink_of_a_flipped_checkpoint_is_called_reversed_only_against_its_training(
    dock, viewer, qtbot, altered, headless, preferences
):
    dock.source.choose_checkpoint(altered(reverse_depth=True))
    run(dock, qtbot)
    assert inks(viewer)[0].name == "frag ink"
    dock.settings.reversed.click()
    run(dock, qtbot)
    (stored,) = [layer for layer in inks(viewer) if layer.name == "frag ink reversed"]
    np.testing.assert_array_equal(stored.data, headless)  # which reads the layers as stored
    record = carried(stored)
    assert record["provenance"]["direction"] == "reversed, from layer 0 up to 7"
    viewer.layers.clear()
    viewer.open(record["store"], plugin="napari-ink")
    assert [layer.name for layer in inks(viewer)] == ["frag ink reversed"]


def test_provenance_is_on_the_layer_and_can_be_read(dock, viewer, qtbot):
    from napari_ink.widgets.predict.provenance import ProvenanceDialog

    run(dock, qtbot)
    record = carried(inks(viewer)[0])["provenance"]
    assert record["fragment"]["name"] == "frag"
    assert record["settings"]["tile"] == 64
    assert record["state"] == "finished"
    dock.run.provenance.click()
    (dialog,) = dock.findChildren(ProvenanceDialog)
    assert "tile: 64" in dialog.text.toPlainText()
    dialog.close()


def test_visible_region_predicts_only_what_the_canvas_shows(dock, viewer, qtbot):
    from napari_ink.widgets.predict.model import Region

    viewer.scene.camera.zoom *= 4
    viewer.scene.camera.center = (0, 16 * 60, 16 * 60)
    qtbot.wait(50)
    dock.settings.regions[Region.VISIBLE].click()
    run(dock, qtbot)
    (ink,) = inks(viewer)
    known = np.isfinite(ink.data)
    assert known[40, 40]
    assert not known[300, 300]
