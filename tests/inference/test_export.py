"""Exports hold what the store holds, in other programs' words."""

import csv

import numpy as np
import pytest
import tifffile
from inference_fakes import SmallNetwork, noise_fragment
from PIL import Image

from napari_ink.cli import main
from napari_ink.errors import StoreError
from napari_ink.inference.export import write_png, write_rle, write_tiff
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    fragment = noise_fragment((4, 300, 410), voxel_size=(8.0, 10.0, 5.0))
    path = tmp_path_factory.mktemp("store") / "a.ink.zarr"
    list(predict(fragment, SmallNetwork(), PredictionSettings(tile=64), store=path))
    return PredictionStore.open(path)


@pytest.fixture
def ink(store):
    return np.asarray(store.ink, np.float32)


def test_png_holds_probability_in_grey_levels_and_the_resolution(store, ink, tmp_path):
    write_png(store, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.rint(np.nan_to_num(ink) * 255))
        np.testing.assert_allclose(image.info["dpi"], (25400 / 5, 25400 / 10), rtol=1e-3)


def test_png_with_a_threshold_is_ink_or_not(store, ink, tmp_path):
    assert main(["export", str(store.path), "--png", str(tmp_path / "a.png"), "--threshold"]) == 0
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.where(ink >= 0.5, 255, 0))


def test_tiff_holds_the_values_with_nan_and_the_resolution(store, ink, tmp_path):
    write_tiff(store, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.asarray(), ink)
        page = file.pages[0]
        assert page.is_tiled
        assert page.get_resolution("MICROMETER") == pytest.approx((1 / 5, 1 / 10))


def test_tiff_of_uint16_has_its_full_scale_at_one(store, ink, tmp_path):
    write_tiff(store, tmp_path / "a.tif", dtype="uint16")
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "a.tif"), np.rint(np.nan_to_num(ink) * 65535)
    )


def test_tiff_of_a_volume_has_a_page_a_layer(tmp_path):
    network = SmallNetwork(output="volume")
    path = tmp_path / "a.ink.zarr"
    list(predict(noise_fragment(), network, PredictionSettings(tile=32), store=path))
    store = PredictionStore.open(path)
    write_tiff(store, tmp_path / "a.tif")
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "a.tif"), np.asarray(store.ink, np.float32)
    )
    with pytest.raises(StoreError, match="--tiff"):
        write_png(store, tmp_path / "a.png")


def decoded(text, shape):
    flat = np.zeros(shape[0] * shape[1], bool)
    numbers = list(map(int, text.split()))
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        assert not flat[start - 1 : start - 1 + length].any()
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(shape)


@pytest.mark.parametrize("threshold", [0.5, 0.0, 2.0])
def test_run_lengths_decode_to_the_thresholded_map(store, ink, tmp_path, threshold):
    write_rle(store, tmp_path / "a.csv", threshold)
    header, row = (tmp_path / "a.csv").read_text().splitlines()
    assert header == "Id,Predicted"
    name, runs = row.split(",")
    assert name == "noise"
    np.testing.assert_array_equal(decoded(runs, ink.shape), ink >= threshold)
    lengths = np.array(list(map(int, runs.split())), int).reshape(-1, 2)
    assert (lengths[1:, 0] > lengths[:-1].sum(1)).all(), "runs that touch are one run"


def test_a_name_with_a_comma_stays_one_field_of_the_table(store, tmp_path, monkeypatch):
    monkeypatch.setitem(store.attributes["fragment"], "name", 'Ἡράκλειτος, "fr. 1"')
    write_rle(store, tmp_path / "a.csv", 1.0)  # no run, a short row
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    assert header == ["Id", "Predicted"]
    assert row[0] == 'Ἡράκλειτος, "fr. 1"'
    assert len(row) == 2


def test_a_failed_export_leaves_no_file(store, tmp_path, monkeypatch):
    out = tmp_path / "new"
    out.mkdir()
    monkeypatch.setattr(PredictionStore, "read", lambda *a: (_ for _ in ()).throw(OSError("torn")))
    for write in (write_png, write_tiff):
        with pytest.raises(StoreError, match="torn"):
            write(store, out / "a")
    assert list(out.iterdir()) == []


def test_an_export_to_nowhere_is_one_line(store, tmp_path, capsys):
    target = tmp_path / "absent" / "a.png"
    assert main(["export", str(store.path), "--png", str(target)]) == 2
    assert str(target) in capsys.readouterr().err
