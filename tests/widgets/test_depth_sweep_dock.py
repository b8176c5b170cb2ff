"""A depth sweep from the dock, in a real window: its ink stands at its depth while it grows."""

from __future__ import annotations

import numpy as np
import pytest
from test_samples_dock import layer_of, run, small_folder, status  # noqa: F401 (a fixture)

from napari_ink._layers import carried
from napari_ink._preferences import remember
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore

PLACES = [1.5, 3.5, 5.5]  # middles of the windows 0:4, 2:6 and 4:8


@pytest.fixture(scope="session")
def shallow(tmp_path_factory):
    """A checkpoint for windows of four layers."""
    import torch

    from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
    from napari_ink.models.repmode import RepMode
    from napari_ink.volumes.intensity import Recipe

    torch.manual_seed(0)
    model = RepMode(width=2, levels=1, depth=4, collapse="mean", decoder="2d", tasks=("ink",))
    info = CheckpointInfo.of(
        model, recipe=Recipe("fixed").to_dict(), voxel_size=16.0, window=32, halo=16
    )
    path = tmp_path_factory.mktemp("shallow") / "shallow.safetensors"
    save_checkpoint(path, model, info)
    return path


@pytest.fixture(scope="session")
def sweep(small_folder, shallow, tmp_path_factory):  # noqa: F811
    """Makes the store of a sweep, as the command line does."""
    from napari_ink import load_checkpoint, open_fragment, predict

    def _sweep(**settings):
        fragment, model = open_fragment(small_folder, voxel_size=16.0), load_checkpoint(shallow)
        path = tmp_path_factory.mktemp("swept") / "swept.ink.zarr"
        list(predict(fragment, model, PredictionSettings(tile=64, **settings), store=path))
        return PredictionStore.open(path)

    return _sweep


@pytest.fixture(scope="session")
def swept(sweep):
    """In steps of two over all layers."""
    return sweep(depth_sweep=2)


@pytest.fixture
def dock(viewer, small_folder, shallow):  # noqa: F811
    """The Predict dock over the small fragment of eight layers."""
    remember(checkpoint=str(shallow))
    viewer.open(small_folder, plugin="napari-ink")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    dock.settings.tile.setValue(64)
    return dock


def heights(ink):
    return [float(ink.data_to_world((k, 0, 0))[0] / ink.scale[0] * 2) for k in range(3)]


def test_what_a_sweep_does_is_said_where_layers_are_chosen(dock):
    view = dock.settings
    window = dock.model.layers
    view.maps.sweep.setValue(2)
    assert "all 8 layers, window of 4, 3 windows" in view.order.text()
    settings = dock.model.settings()
    assert (settings.layers, settings.depth_sweep) == (None, 2)
    view.maps.sweep.setValue(0)
    assert dock.model.settings().layers == window
    assert dock.model.settings().depth_sweep is None


def test_ink_grows_at_every_depth_as_headless_and_follows_the_slider(dock, viewer, qtbot, swept):
    dock.settings.maps.sweep.setValue(2)
    live = []
    dock.runner.progress.connect(lambda *_: live.append(heights(layer_of(viewer, "ink"))))
    dock._live = live
    run(dock, qtbot)
    ink = layer_of(viewer, "ink")
    assert live[0] == PLACES
    assert heights(ink) == PLACES
    assert ink.name == "small ink depth sweep"
    np.testing.assert_allclose(ink.data, swept.images["ink"][0][:], atol=1e-3)  # float16
    for height, k in ((2, 0), (5, 2)):
        viewer.dims.set_point(0, height * 1.0 * viewer.layers["small"].scale[0])
        np.testing.assert_array_equal(ink._slice.image.raw, np.asarray(ink.data)[k])
    assert status(dock).startswith("Done: 2 blocks")


def test_its_windows_have_named_sliders_in_ink_thresholds(dock, viewer, qtbot):
    dock.settings.maps.sweep.setValue(2)
    run(dock, qtbot)
    _, cuts = viewer.window.add_plugin_dock_widget("napari-ink", "Ink thresholds")
    qtbot.waitUntil(lambda: len(cuts.model.names) == 3, timeout=10_000)
    assert tuple(cuts.model.names) == ("z 0–3", "z 2–5", "z 4–7")


def test_an_opened_sweep_brings_its_step_back(dock, viewer, swept):
    viewer.open(swept.path, plugin="napari-ink")
    assert dock.settings.maps.sweep.value() == 2
    ink = layer_of(viewer, "ink")
    assert ink.name == "small ink depth sweep"
    assert heights(ink) == PLACES
    assert len(carried(ink)["provenance"]["windows"]) == 3


def test_the_slider_chooses_the_layers_that_are_swept(dock, viewer, qtbot, sweep):
    view = dock.settings
    view.maps.sweep.setValue(2)
    assert tuple(view.layers.value()) == (0, 7)
    view.layers.setValue((0, 1))  # too few for the window
    assert tuple(view.layers.value()) == (0, 3)
    view.layers.setValue((0, 7))
    view.layers.setValue((2, 7))
    assert "layers 2–7, window of 4, 2 windows" in view.order.text()
    assert dock.model.settings().layers == (2, 8)
    run(dock, qtbot)
    ink, expected = layer_of(viewer, "ink"), sweep(depth_sweep=2, layers=(2, 8))
    assert ink.name == "small ink 2:8 depth sweep"
    assert heights(ink)[:2] == PLACES[1:]
    np.testing.assert_allclose(ink.data, expected.images["ink"][0][:], atol=1e-3)  # float16


def test_an_opened_sweep_of_some_layers_is_not_one_of_all(dock, viewer, sweep):
    part = sweep(depth_sweep=2, layers=(2, 8))
    viewer.open(part.path, plugin="napari-ink")
    assert "layers 2–7, window of 4, 2 windows" in dock.settings.order.text()
    assert tuple(dock.settings.layers.value()) == (2, 7)
    assert dock.model.settings().layers == (2, 8)
    assert heights(layer_of(viewer, "ink"))[:2] == PLACES[1:]
    dock.settings.layers.setValue((0, 7))
    assert dock.model.settings().layers is None


def test_beside_its_places_a_sweep_says_where_they_are(dock, viewer, sweep):
    viewer.layers.clear()  # the prediction brings the stack, at the voxel size that it was told
    viewer.open(sweep(depth_sweep=2, layers=(2, 8)).path, plugin="napari-ink")
    words, ink = viewer.canvas.overlays.text, layer_of(viewer, "ink")
    for z, there in ((0, False), (2, False), (3, True), (6, True), (7, False)):
        viewer.dims.set_current_step(0, z)
        assert (ink._slice.image.raw.size > 1) == there  # as napari has it
        assert words.visible is not there
    assert words.text == "no ink at this depth: it is at z 3 to 6"
    ink.visible = False
    viewer.dims.set_current_step(0, 0)
    assert not words.visible
    ink.visible = True
    words.text, words.visible = "mine", True
    viewer.dims.set_current_step(0, 1)
    assert words.text == "mine"
    words.visible = False
    viewer.dims.set_current_step(0, 0)
    assert words.visible
    viewer.window.remove_dock_widget(dock)
    assert (words.text, words.visible) == ("mine", False)


def test_a_short_look_takes_the_chosen_layers_alone(dock):
    dock.settings.maps.sweep.setValue(2)
    look = dock.model.settings(plain=True)
    assert (look.layers, look.depth_sweep) == (dock.model.layers, None)


def test_a_network_that_labels_volumes_says_why_it_cannot_sweep(dock, volume_checkpoint):
    dock.source.choose_checkpoint(volume_checkpoint)
    dock.settings.maps.sweep.setValue(2)
    assert not dock.run.predict.isEnabled()
    assert "set Depth sweep under Advanced to off" in status(dock)
