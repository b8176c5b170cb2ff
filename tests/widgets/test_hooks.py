"""Reader, writer and sample hooks: what is claimed, what is read, and what comes out."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from napari_ink._layers import carried, fragment_of, is_ink, is_stack
from napari_ink._lazy import DecimatedVolume, LazyArray, viewing_levels
from napari_ink._reader import get_reader, read_fragment, read_prediction
from napari_ink._writer import NotInkError, write_picture, write_store
from napari_ink.inference.settings import PredictionSettings


@pytest.fixture(scope="session")
def prediction(fragment_folder, checkpoint, tmp_path_factory):
    """A finished store."""
    from napari_ink import load_checkpoint, open_fragment, predict

    path = tmp_path_factory.mktemp("prediction") / "frag.ink.zarr"
    fragment = open_fragment(fragment_folder)
    settings = PredictionSettings(tile=64)
    for _ in predict(fragment, load_checkpoint(checkpoint), settings, store=path):
        pass
    return path


def test_fragment_folders_stacks_zarrs_and_muon_sets_are_claimed(fragment_folder, tmp_path):
    stack = np.zeros((4, 32, 32), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    zarr.create_array(tmp_path / "a.zarr", data=stack)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["x0"] = np.zeros((2, 10, 10, 10), np.float32)
    (tmp_path / "p.ink.zarr").mkdir()
    for path in (fragment_folder, fragment_folder / "surface_volume"):
        assert get_reader(str(path))
    for name in ("stack.tif", "a.zarr", "train.h5", "p.ink.zarr"):
        assert get_reader(str(tmp_path / name))
    assert get_reader("https://dl.ash2txt.org/scroll1/volume.zarr")


def test_plain_pictures_and_foreign_folders_are_left_to_others(tmp_path):
    tifffile.imwrite(tmp_path / "grey.tif", np.zeros((32, 32), np.uint8))
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((32, 32, 3), np.uint8), photometric="rgb")
    (tmp_path / "broken.tif").write_bytes(b"II*\x00nothing")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["raw"] = np.zeros(3)
    (tmp_path / "photos").mkdir()
    for name in ("grey.tif", "rgb.tif", "broken.tif", "other.h5", "photos", "missing.tif"):
        assert get_reader(str(tmp_path / name)) is None
    assert get_reader([str(tmp_path / "grey.tif"), str(tmp_path / "rgb.tif")]) is None


def test_asking_for_a_reader_loads_no_torch(fragment_folder):
    import subprocess
    import sys

    code = (
        "import sys; from napari_ink._reader import get_reader;"
        f"assert get_reader({str(fragment_folder)!r});"
        "assert not {'torch', 'qtpy', 'zarr'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stack_is_visible_label_and_infrared_wait_hidden(fragment_folder):
    layers = {arguments["name"]: arguments for _, arguments, _ in read_fragment(fragment_folder)}
    assert list(layers) == ["frag", "frag infrared", "frag ink label"]
    assert layers["frag"].get("visible", True)
    assert not layers["frag ink label"]["visible"]
    assert layers["frag"]["scale"] == (16, 16, 16)
    assert layers["frag"]["units"] == ("µm",) * 3
    assert layers["frag"]["axis_labels"] == ("z", "y", "x")
    low, high = layers["frag"]["contrast_limits"]
    assert 55 < low < high < 205


def test_stored_pyramid_levels_are_what_is_looked_at_from_afar():
    from dataclasses import replace

    from napari_ink._layers import stack_layer_data
    from napari_ink.volumes.fragment import ArrayVolume, Fragment

    fine = np.arange(4 * 64 * 96, dtype=np.uint16).reshape(4, 64, 96)
    fragment = Fragment.from_array(fine)
    fragment = replace(fragment, levels=(ArrayVolume(fine[:, ::2, ::2]),))
    data, arguments, _ = stack_layer_data(fragment)
    assert arguments["multiscale"]
    assert [level.shape for level in data] == [(4, 64, 96), (4, 32, 48)]
    assert "scale" not in arguments  # no voxel size is known: no units are claimed
    assert "units" not in arguments


class Counting:
    """A volume that counts what is read of it."""

    def __init__(self, shape):
        self.array = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)
        self.shape, self.dtype, self.read_pixels = shape, self.array.dtype, 0

    def read(self, *window):
        part = self.array[window]
        self.read_pixels += part.size
        return part


def test_a_lazy_array_slices_like_numpy_and_reads_only_the_last_window():
    volume = Counting((5, 40, 60))
    lazy = LazyArray(volume)
    view = lazy[:, 10:20, -30:][2]
    assert volume.read_pixels == 0
    assert view.shape == (10, 30)
    np.testing.assert_array_equal(np.asarray(view), volume.array[2, 10:20, -30:])
    assert volume.read_pixels == 300
    for key in (..., (1, ...), (slice(1, 3), 4), -1, (slice(None), slice(None, None, 2))):
        np.testing.assert_array_equal(np.asarray(lazy[key]), volume.array[key])
    with pytest.raises(IndexError):
        lazy[5]


def test_a_large_stack_gets_a_coarse_level_whose_layers_are_read_once():
    volume = Counting((3, 10, 5000))
    full, coarse = viewing_levels(volume)
    assert full.shape == (3, 10, 5000)
    assert coarse.shape == (3, 3, 1250)
    np.testing.assert_array_equal(np.asarray(coarse[1]), volume.array[1, ::4, ::4])
    before = volume.read_pixels
    np.asarray(coarse[1])
    assert volume.read_pixels == before


def test_decimated_layers_are_dropped_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr("napari_ink._lazy._CACHE_BYTES", 100)
    level = DecimatedVolume(Counting((4, 8, 8)), 2)
    level.read(slice(0, 4), slice(0, 4), slice(0, 4))
    assert len(level._kept) == 1


def test_plain_3d_images_can_be_predicted_on_in_their_own_units():
    from napari.layers import Image, Labels

    plain = Image(np.zeros((4, 8, 8), np.uint8), scale=(0.008,) * 3, units=("mm",) * 3)
    assert is_stack(plain)
    np.testing.assert_allclose(fragment_of(plain).voxel_size, (8, 8, 8))
    assert fragment_of(Image(np.zeros((4, 8, 8), np.uint8))).voxel_size is None
    assert not is_stack(Image(np.zeros((8, 8), np.uint8)))
    assert not is_stack(Labels(np.zeros((4, 8, 8), int)))


def test_a_prediction_opens_side_by_side_with_its_stack(viewer, qtbot, prediction):
    viewer.open(prediction, plugin="napari-ink")
    qtbot.waitUntil(lambda: viewer.canvas.grid.enabled, timeout=5000)
    (ink,) = [layer for layer in viewer.layers if is_ink(layer)]
    (stack,) = [layer for layer in viewer.layers if carried(layer).get("role") == "stack"]
    grid = viewer.canvas.grid
    assert grid.position(viewer.layers.index(stack), viewer.layers) == (0, 0)
    assert grid.position(viewer.layers.index(ink), viewer.layers) == (0, 1)
    assert carried(ink)["provenance"]["fragment"]["name"] == "frag"
    np.testing.assert_allclose(ink.scale, stack.scale[-2:])


@pytest.mark.parametrize("dock_first", [True, False])
def test_an_opened_prediction_brings_its_checkpoint_back(
    viewer, prediction, checkpoint, volume_checkpoint, dock_first
):
    from napari_ink._preferences import remember

    remember(checkpoint=str(volume_checkpoint))  # used since then
    if not dock_first:
        viewer.open(prediction, plugin="napari-ink")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    if dock_first:
        assert dock.model.checkpoint == volume_checkpoint
        viewer.open(prediction, plugin="napari-ink")
    assert dock.model.checkpoint == checkpoint
    assert dock.source.checkpoints.currentData() == checkpoint


def test_a_prediction_opened_twice_brings_its_stack_once(viewer, qtbot, prediction):
    viewer.open(prediction, plugin="napari-ink")
    (stack,) = [layer for layer in viewer.layers if is_stack(layer)]
    stack.translate = (0, 32, 48)
    (again,) = viewer.open(prediction, plugin="napari-ink")
    assert [layer for layer in viewer.layers if is_stack(layer)] == [stack]
    assert carried(again)["fragment"] is carried(stack)["fragment"]
    np.testing.assert_allclose(again.translate, (32, 48))


def test_predict_would_go_on_with_the_prediction_that_was_opened(
    viewer, fragment_folder, checkpoint, tmp_path
):
    from napari_ink import load_checkpoint, open_fragment, predict

    path, model = tmp_path / "half.ink.zarr", load_checkpoint(checkpoint)
    settings = PredictionSettings(tile=64, reverse_depth=True)
    half = predict(open_fragment(fragment_folder), model, settings, store=path)
    next(half)
    half.close()
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    viewer.open(path, plugin="napari-ink")
    assert dock.model.reverse_depth
    assert dock.settings.reversed.isChecked()
    assert dock.model.fragment is carried(dock.source.layers.currentData())["fragment"]


def test_a_stack_can_be_duplicated_in_the_layer_list():
    from copy import deepcopy

    _, coarse = viewing_levels(Counting((2, 8, 5000)))
    np.testing.assert_array_equal(np.asarray(deepcopy(coarse)), np.asarray(coarse))


def test_a_stack_without_a_voxel_size_takes_the_one_that_its_prediction_was_told(
    fragment_folder, checkpoint, tmp_path
):
    from napari_ink import load_checkpoint, open_fragment, predict

    stack = tmp_path / "unmeasured.zarr"
    zarr.save_array(stack, open_fragment(fragment_folder).read())
    fragment, store = open_fragment(stack, voxel_size=7.91), tmp_path / "told.ink.zarr"
    for _ in predict(
        fragment, load_checkpoint(checkpoint), PredictionSettings(tile=64), store=store
    ):
        pass
    assert open_fragment(stack).voxel_size is None
    (_, under, _), (_, ink, _) = read_prediction(str(store))
    np.testing.assert_allclose(under["scale"], 7.91)
    assert under["metadata"]["napari_ink"]["told"]  # so that it can be told again
    np.testing.assert_allclose(ink["scale"], under["scale"][-2:])
    assert ink["units"] == under["units"][-2:]


def test_a_prediction_whose_fragment_is_gone_opens_alone(
    viewer, prediction, fragment_folder, monkeypatch
):
    from napari_ink.errors import FragmentError

    def gone(path):
        raise FragmentError(f"{path} does not exist", "look elsewhere")

    monkeypatch.setattr("napari_ink.volumes.layouts.open_fragment", gone)
    (ink,) = viewer.open(prediction, plugin="napari-ink")
    assert is_ink(ink)


def test_ink_is_saved_as_store_and_as_pictures(viewer, prediction, tmp_path):
    from PIL import Image

    from napari_ink.inference.store import PredictionStore

    layers = viewer.open(prediction, plugin="napari-ink")
    ink = next(layer for layer in layers if is_ink(layer))
    for name in ("copy.ink.zarr", "copy.ink.png", "copy.ink.tif"):
        assert ink.save(str(tmp_path / name), plugin="napari-ink")
    copy = PredictionStore.open(tmp_path / "copy.ink.zarr")
    original = PredictionStore.open(prediction)
    np.testing.assert_array_equal(copy.ink[:], original.ink[:])
    assert copy.provenance == original.provenance
    grey = np.asarray(Image.open(tmp_path / "copy.ink.png"))
    np.testing.assert_allclose(grey / 255, np.nan_to_num(original.ink[:]), atol=0.003)


def test_what_is_no_ink_is_not_saved_as_ink(tmp_path):
    for write in (write_store, write_picture):
        with pytest.raises(NotInkError, match="select an ink layer"):
            write(str(tmp_path / "x.ink.zarr"), None, {"name": "cells", "metadata": {}})
