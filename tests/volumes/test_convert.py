"""Conversion: same pixels, another reader's view of them, and what happens when it is stopped."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from napari_ome_zarr import napari_get_reader
from PIL import Image

from napari_ink import open_fragment
from napari_ink.cli import main
from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes import convert as conversion
from napari_ink.volumes import pyramid
from napari_ink.volumes.convert import convert
from napari_ink.volumes.pyramid import Pyramid, halve

SHAPE = (5, 150, 230)
RAW = np.random.default_rng(7).integers(0, 65535, SHAPE, np.uint16)
MASK = (np.add.outer(np.arange(SHAPE[1]), np.arange(SHAPE[2])) > 90).astype(np.uint8) * 255
INK = np.random.default_rng(8).integers(0, 255, SHAPE[1:], np.uint8)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(pyramid, "BLOCK", 64)
    monkeypatch.setattr(pyramid, "_CHUNK", 32)
    monkeypatch.setattr(pyramid, "_SMALLEST", 64)


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path / "1")


def write_source(root, **options):
    (root / "layers").mkdir(parents=True)
    for number, layer in enumerate(RAW, 20):
        tifffile.imwrite(root / "layers" / f"{number}.tif", layer, metadata=None, **options)
    Image.fromarray(MASK).save(root / "mask.png")
    Image.fromarray(INK).save(root / "inklabels.png")
    Image.fromarray(RAW[0]).save(root / "ir.png")
    Image.fromarray(255 - MASK).save(root / "1_supervision_mask.png")
    (root / "meta.json").write_text('{"voxelsize": 8, "simulated": true}')
    return root


def mean_pyramid(volume, levels):
    """The oracle: means of what is there, by the definition."""
    out = [volume]
    for _ in range(levels - 1):
        fine = out[-1].astype(float)
        coarse = np.empty((len(fine), -(-fine.shape[1] // 2), -(-fine.shape[2] // 2)))
        for y in range(coarse.shape[1]):
            for x in range(coarse.shape[2]):
                part = fine[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
                coarse[:, y, x] = part.mean((1, 2))
        out.append(np.rint(coarse).astype(volume.dtype))
    return out


def assert_same_fragment(before, after):
    np.testing.assert_array_equal(after.read(), before.read())
    assert after.fingerprint() == before.fingerprint()
    assert after.voxel_size == before.voxel_size
    assert after.first_layer == before.first_layer
    assert after.simulated == before.simulated
    for kind in ("mask", "label", "infrared", "supervision", "validation"):
        plane, copy = getattr(before, kind), getattr(after, kind)
        assert (plane is None) == (copy is None)
        if plane is not None:
            assert np.asarray(copy).dtype == np.asarray(plane).dtype
            np.testing.assert_array_equal(np.asarray(copy), np.asarray(plane))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["beside", "moved"])
def test_converted_fragment_is_the_same_with_its_side_cars(source, tmp_path, version, elsewhere):
    destination = tmp_path / "out" / "one.zarr"
    destination.parent.mkdir()
    assert main(["convert", str(source), str(destination), "--format", version]) == 0
    assert [path.name for path in destination.parent.iterdir()] == ["one.zarr"]
    if elsewhere:
        destination = destination.rename(tmp_path / "two.zarr")
    converted = open_fragment(destination)
    assert converted.layout == "ome-zarr"
    assert_same_fragment(open_fragment(source), converted)
    expected = mean_pyramid(RAW, 3)
    assert [level.shape for level in converted.levels] == [level.shape for level in expected[1:]]
    for level, mean in zip(converted.levels, expected[1:], strict=True):
        np.testing.assert_array_equal(level.read(*(slice(0, n) for n in level.shape)), mean)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_napari_ome_zarr_sees_the_same_pixels_scale_and_labels(source, tmp_path, version):
    destination = tmp_path / "one.zarr"
    list(convert(open_fragment(source), destination, version=version))
    layers = napari_get_reader(str(destination))()
    levels, options, kind = layers[0]
    assert kind == "image"
    assert options["scale"] == [8, 8, 8]
    assert options["units"] == ("micrometer",) * 3
    for level, mean in zip(levels, mean_pyramid(RAW, 3), strict=True):
        np.testing.assert_array_equal(np.asarray(level), mean)
    labels = {layer[1]["name"].split("/")[-1]: layer for layer in layers[1:]}
    assert set(labels) == {"inklabels", "mask", "supervision_mask"}
    assert all(layer[2] == "labels" for layer in labels.values())
    np.testing.assert_array_equal(np.asarray(labels["inklabels"][0][0]), INK)
    np.testing.assert_array_equal(np.asarray(labels["mask"][0][0]), MASK > 0)
    assert labels["mask"][1]["scale"] == [8, 8]


def test_format_0_5_is_sharded_and_0_4_is_zarr_2(source, tmp_path):
    list(convert(open_fragment(source), tmp_path / "a.zarr"))
    list(convert(open_fragment(source), tmp_path / "b.zarr", version="0.4"))
    new, old = (zarr.open_array(tmp_path / name / "0", mode="r") for name in ("a.zarr", "b.zarr"))
    assert (new.metadata.zarr_format, new.chunks, new.shards) == (3, (5, 128, 128), (5, 1024, 1024))
    assert (old.metadata.zarr_format, old.chunks, old.shards) == (2, (5, 256, 256), None)
    flat = np.zeros((5, 500, 500), np.uint8)
    tifffile.imwrite(tmp_path / "flat.tif", flat + 7)
    list(convert(open_fragment(tmp_path / "flat.tif"), tmp_path / "flat.zarr"))
    stored = sum(
        file.stat().st_size for file in (tmp_path / "flat.zarr" / "0").rglob("*") if file.is_file()
    )
    assert stored < flat.nbytes / 20


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "options", [{"compression": "zlib", "rowsperstrip": 40}, {}], ids=["strips", "jpeg"]
)
def test_layers_that_decode_whole_are_decoded_once(tmp_path, monkeypatch, options):
    root = write_source(tmp_path / "1", **options)
    if not options:
        for path in sorted((root / "layers").iterdir()):
            grey = (tifffile.imread(path) >> 8).astype(np.uint8)
            Image.fromarray(grey).save(path.with_suffix(".jpg"))
            path.unlink()
    monkeypatch.setattr("napari_ink.volumes.spool.BLOCK", 64)
    fragment = open_fragment(root)
    copied = []
    copy = conversion.spool.__globals__["_copy"]
    monkeypatch.setitem(
        conversion.spool.__globals__,
        "_copy",
        lambda layer, path: copied.append(path) or copy(layer, path),
    )
    list(convert(fragment, tmp_path / "one.zarr"))
    assert len(copied) == SHAPE[0]
    assert_same_fragment(fragment, open_fragment(tmp_path / "one.zarr"))
    assert not (tmp_path / "one.zarr" / "spool").exists()


KILLED = """
import sys, time
from napari_ink.volumes import pyramid
pyramid.BLOCK, pyramid._CHUNK, pyramid._SMALLEST = 64, 32, 64
from napari_ink import open_fragment
from napari_ink.volumes.convert import convert
for block in convert(open_fragment(sys.argv[1]), sys.argv[2], version=sys.argv[3]):
    time.sleep(0.05)
"""


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_killed_conversion_goes_on_where_it_was(source, tmp_path, version):
    destination, partial = tmp_path / "one.zarr", tmp_path / ".one.zarr.partial"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(source), str(destination), version]
    )
    journal = partial / "journal.txt"
    while process.poll() is None and not (journal.exists() and journal.read_text().count("\n") > 4):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not destination.exists()
    finished = journal.read_text().count("\n")
    (partial / "0" / "cut.0123.partial").write_text("a write that was cut off")
    with open(journal, "a") as file:
        file.write("0 1")  # and a line that was
    written = {
        path: path.stat().st_mtime_ns for path in (partial / "0").rglob("*") if path.is_file()
    }
    fragment = open_fragment(source)
    blocks = list(convert(fragment, destination, version=version))
    total = blocks[-1].total
    assert [block.index for block in blocks] == list(range(finished + 1, total + 1))
    untouched = [
        path
        for path, date in written.items()
        if (kept := destination / path.relative_to(partial)).exists()
        and kept.stat().st_mtime_ns == date
    ]
    assert len(untouched) >= finished
    assert_same_fragment(fragment, open_fragment(destination))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "one.zarr"]
    assert not list(destination.rglob("*.partial"))


@pytest.mark.usefixtures("small_blocks")
def test_half_of_another_conversion_is_refused_and_kept(source, tmp_path):
    fragment = open_fragment(source)
    blocks = convert(fragment, tmp_path / "one.zarr")
    next(blocks)
    with pytest.raises(SettingsError, match="right now"):
        next(convert(fragment, tmp_path / "one.zarr"))
    blocks.close()
    for other in ({"dtype": "uint8"}, {"version": "0.4"}, {"voxel_size": 3.24}):
        with pytest.raises(SettingsError, match="half of another"):
            convert(fragment, tmp_path / "one.zarr", **other)
    list(convert(fragment, tmp_path / "one.zarr"))
    assert_same_fragment(fragment, open_fragment(tmp_path / "one.zarr"))


@pytest.mark.parametrize("make", ["folder", "file", "link", "foreign half"])
def test_what_is_there_is_never_overwritten(source, tmp_path, capsys, make):
    destination = tmp_path / "one.zarr"
    if make == "folder":
        destination.mkdir()
    elif make == "file":
        destination.write_text("mine")
    elif make == "link":
        destination.symlink_to(tmp_path / "nowhere")
    else:
        (tmp_path / ".one.zarr.partial").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert main(["convert", str(source), str(destination)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["one.tif", "one", "one.ink.zarr", "none/one.zarr"])
def test_unusable_destination_is_refused(source, tmp_path, name):
    with pytest.raises(SettingsError):
        convert(open_fragment(source), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("uint16", "uint8", lambda raw: (raw >> 8).astype(np.uint8)),
        ("uint8", "uint16", lambda raw: raw.astype(np.uint16) * 257),
        ("uint16", "float32", lambda raw: raw.astype(np.float32) / np.float32(65535)),
        ("float32", "uint16", lambda raw: np.rint(raw * np.float32(65535)).astype(np.uint16)),
    ],
)
def test_dtype_scales_full_range_to_full_range(tmp_path, before, after, expected):
    raw = {"uint8": (RAW >> 8).astype(np.uint8), "uint16": RAW, "float32": np.float32(RAW / 65535)}[
        before
    ]
    zarr.save_array(tmp_path / "scan.zarr", raw)
    source, destination = str(tmp_path / "scan.zarr"), str(tmp_path / "one.zarr")
    assert main(["convert", source, destination, "--dtype", after, "--voxel-size", "2.4"]) == 0
    converted = open_fragment(destination)
    np.testing.assert_array_equal(converted.read(), expected(raw))
    assert converted.dtype == after
    assert converted.voxel_size == (2.4,) * 3


@pytest.mark.parametrize("odd", [np.nan, -0.1, 1.1])
def test_values_without_a_place_in_the_new_type_are_refused(tmp_path, odd):
    raw = np.full((3, 40, 40), 0.5, np.float32)
    raw[1, 3, 5] = odd
    zarr.save_array(tmp_path / "scan.zarr", raw)
    conversion = convert(open_fragment(tmp_path / "scan.zarr"), tmp_path / "o.zarr", dtype="uint8")
    with pytest.raises(FragmentError, match="outside 0 … 1"):
        list(conversion)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.zarr"]


def test_fragment_without_voxel_size_stays_so(tmp_path):
    zarr.save_array(tmp_path / "scan.zarr", RAW)
    list(convert(open_fragment(tmp_path / "scan.zarr"), tmp_path / "one.zarr"))
    assert open_fragment(tmp_path / "one.zarr").voxel_size is None


def test_muon_sample_keeps_its_voxelwise_target(tmp_path):
    generator = np.random.default_rng(0)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["x0"] = generator.random((2, 10, 10, 10), np.float32)
        file["targs"] = generator.integers(0, 2, (2, 10, 10, 10))
    before = open_fragment(tmp_path / "train.h5", sample=1)
    list(convert(before, tmp_path / "one.zarr"))
    after = open_fragment(tmp_path / "one.zarr")
    everything = (slice(0, 10),) * 3
    np.testing.assert_array_equal(after.read(), before.read())
    np.testing.assert_array_equal(after.label.read(*everything), before.label.read(*everything))


@given(
    st.integers(1, 130), st.integers(1, 3000), st.integers(1, 3000), st.sampled_from(["0.4", "0.5"])
)
def test_blocks_cover_every_level_once_and_align_with_chunks(depth, height, width, version):
    plan = Pyramid((depth, height, width), version)
    assert max(plan.shapes[-1][1:]) <= 1024
    assert all(size % chunk == 0 for size, chunk in zip(plan.block, plan.chunk, strict=True))
    for level, shape in enumerate(plan.shapes):
        blocks = plan.blocks(level)
        volume = sum(np.prod([part.stop - part.start for part in block]) for block in blocks)
        assert volume == np.prod(shape)
        corners = {tuple(part.start for part in block) for block in blocks}
        assert len(corners) == len(blocks)
        assert all(
            start % size == 0
            for corner in corners
            for start, size in zip(corner, plan.block, strict=True)
        )


@given(arrays.arrays(np.uint16, arrays.array_shapes(min_dims=3, max_dims=3, max_side=7)))
def test_halving_is_the_mean_of_what_is_there(window):
    np.testing.assert_array_equal(halve(window), mean_pyramid(window, 2)[1])


def test_command_line_as_a_process(source, tmp_path):
    command = [
        sys.executable,
        "-m",
        "napari_ink",
        "convert",
        str(source),
        str(tmp_path / "one.zarr"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_fragment(open_fragment(source), open_fragment(tmp_path / "one.zarr"))
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stdout == ""
    assert len(again.stderr.splitlines()) == 1
