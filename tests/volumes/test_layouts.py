"""Every layout of users' data opens and reads what was written."""

import http.server
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_ink import open_fragment
from napari_ink.volumes import cache, tiff

RAW = np.random.default_rng(1).integers(1, 65535, (7, 60, 90), np.uint16)
BYTES = (RAW >> 8).astype(np.uint8)
MASK = (np.add.outer(np.arange(60), np.arange(90)) > 40).astype(np.uint8) * 255
INK = np.where(np.add.outer(np.arange(60), -np.arange(90)) > 0, 255, 0).astype(np.uint8)
WINDOWS = [
    (slice(None), slice(None), slice(None)),
    (slice(2, 5), slice(13, 50), slice(31, 32)),
    (slice(6, 7), slice(59, 60), slice(89, 90)),
    (slice(1, 3), slice(0, 17), slice(0, 90)),
]


def write_layers(folder, volume=RAW, name="{:02}.tif", first=0, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for number, layer in enumerate(volume, first):
        tifffile.imwrite(folder / name.format(number), layer, metadata=None, **options)


def assert_reads(fragment, volume=RAW):
    assert fragment.shape == volume.shape
    assert fragment.dtype == volume.dtype
    for window in WINDOWS:
        part = fragment.read(*window)
        assert part.dtype.isnative
        np.testing.assert_array_equal(part, volume[window])


# Folders of layers


def test_kaggle_fragment_with_everything_beside_it(tmp_path):
    root = tmp_path / "20231005123335"
    write_layers(root / "surface_volume")
    Image.fromarray(MASK).save(root / "mask.png")
    Image.fromarray(INK).save(root / "inklabels.png")
    Image.fromarray(BYTES[0]).save(root / "ir.png")
    Image.fromarray(MASK // 2).save(root / "a_supervision_mask.png")
    Image.fromarray(255 - MASK).save(root / "a_validation_mask.png")
    (root / "meta.json").write_text('{"voxelsize": 16.0, "simulated": true}')
    fragment = open_fragment(root)
    assert_reads(fragment)
    assert (fragment.layout, fragment.name) == ("kaggle", "20231005123335")
    assert fragment.voxel_size == (16, 16, 16)
    assert fragment.simulated
    np.testing.assert_array_equal(np.asarray(fragment.mask), MASK > 0)
    np.testing.assert_array_equal(np.asarray(fragment.label), INK / np.float32(255))
    np.testing.assert_array_equal(np.asarray(fragment.infrared), BYTES[0])
    np.testing.assert_array_equal(np.asarray(fragment.supervision), MASK > 0)
    np.testing.assert_array_equal(np.asarray(fragment.validation), MASK == 0)


@pytest.mark.parametrize("name", ["{}.tif", "{:02}.tif", "{:03}.tif", "{:02}.TIF", "{:04}.tiff"])
@pytest.mark.parametrize("first", [0, 1, 8, 97])
def test_layer_names_may_be_padded_and_start_anywhere(tmp_path, name, first):
    root = tmp_path / "id"
    write_layers(root / "layers", name=name, first=first)
    fragment = open_fragment(root)
    assert_reads(fragment)
    assert (fragment.layout, fragment.first_layer) == ("segment", first)


def test_segment_names_its_side_cars_by_its_id(tmp_path):
    root = tmp_path / "2024"
    write_layers(root / "layers")
    Image.fromarray(MASK).save(root / "2024_mask.png")
    Image.fromarray(INK).save(root / "2024_inklabels.png")
    fragment = open_fragment(root)
    np.testing.assert_array_equal(np.asarray(fragment.mask), MASK > 0)
    np.testing.assert_array_equal(np.asarray(fragment.label) > 0.5, INK > 0)
    assert fragment.infrared is None
    assert fragment.voxel_size is None


@pytest.mark.parametrize("inner", ["surface_volume", "layers", ""])
def test_the_folder_of_layers_itself_opens_too(tmp_path, inner):
    root = tmp_path / "frag"
    write_layers(root / inner)
    Image.fromarray(MASK).save(root / "mask.png")
    fragment = open_fragment(root / inner)
    assert_reads(fragment)
    assert fragment.name == "frag"
    assert fragment.mask is not None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 7},
        {"compression": "lzw", "rowsperstrip": 7},
        {"compression": "zlib", "predictor": True, "rowsperstrip": 16},
        {"compression": "packbits", "rowsperstrip": 1},
        {"compression": "zstd", "tile": (16, 32)},
        {"tile": (32, 16)},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib", "predictor": True},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_tiff_encodings_read_alike(tmp_path, options):
    write_layers(tmp_path / "layers", **options)
    fragment = open_fragment(tmp_path)
    assert_reads(fragment)
    assert_reads(pickle.loads(pickle.dumps(fragment)))


def test_grey_layers_said_to_be_planes_of_colour_are_grey_all_the_same(tmp_path):
    write_layers(tmp_path / "layers")
    for path in (tmp_path / "layers").iterdir():
        with tifffile.TiffFile(path) as file:
            place = file.pages[0].tags["ResolutionUnit"].offset
        data = bytearray(path.read_bytes())
        struct.pack_into("<HHII", data, place, 284, 3, 1, 2)  # PlanarConfiguration: separate
        path.write_bytes(data)
    assert_reads(open_fragment(tmp_path))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_window_of_strips_and_tiles_is_right(tmp_path, data):
    for name, options in {
        "strips": {"compression": "lzw", "rowsperstrip": 11},
        "tiles": {"compression": "zlib", "tile": (16, 16)},
        "plain": {},
    }.items():
        if not (tmp_path / name).exists():
            write_layers(tmp_path / name, RAW[:2], **options)
        y0, x0 = data.draw(st.integers(0, 59)), data.draw(st.integers(0, 89))
        y = slice(y0, data.draw(st.integers(y0, 60)))
        x = slice(x0, data.draw(st.integers(x0, 90)))
        np.testing.assert_array_equal(
            open_fragment(tmp_path / name).read(None, y, x), RAW[:2, y, x]
        )


def test_compressed_layers_decode_only_the_strips_they_must(tmp_path, monkeypatch):
    write_layers(tmp_path / "layers", RAW[:1], compression="zlib", rowsperstrip=10)
    fragment = open_fragment(tmp_path)
    decoded = []
    load = tiff.TiffImage._load
    monkeypatch.setattr(
        tiff.TiffImage,
        "_load",
        lambda self, f, index, *a: decoded.append(index) or load(self, f, index, *a),
    )
    fragment.read(None, slice(12, 31), slice(5, 6))
    assert decoded == [1, 2, 3]


def test_jpeg_and_png_layers(tmp_path):
    smooth = np.add.outer(np.add.outer(np.arange(3) * 9, np.arange(40)), np.arange(50)).astype(
        np.uint8
    )
    for suffix, tolerance in (("jpg", 3), ("png", 0)):
        (tmp_path / suffix / "layers").mkdir(parents=True)
        for number, layer in enumerate(smooth):
            Image.fromarray(layer).save(
                tmp_path / suffix / "layers" / f"{number:02}.{suffix}", quality=95
            )
        fragment = open_fragment(tmp_path / suffix)
        assert fragment.dtype == np.uint8
        window = fragment.read(slice(1, 3), slice(3, 20), slice(10, 44))
        assert abs(window.astype(int) - smooth[1:, 3:20, 10:44]).max() <= tolerance


def test_layers_that_decode_whole_are_decoded_once_and_stay_within_bounds(tmp_path, monkeypatch):
    (tmp_path / "layers").mkdir()
    for number, layer in enumerate(BYTES):
        Image.fromarray(layer).save(tmp_path / "layers" / f"{number}.png")
    small = cache.DecodedCache(limit=3 * BYTES[0].nbytes)
    monkeypatch.setattr("napari_ink.volumes.images.DECODED", small)
    fragment = open_fragment(tmp_path)
    decoded = []
    decode = type(fragment.volume.layers[0])._decode
    monkeypatch.setattr(
        type(fragment.volume.layers[0]),
        "_decode",
        lambda self: decoded.append(self.path) or decode(self),
    )
    for _ in range(3):
        np.testing.assert_array_equal(fragment.read(slice(0, 3)), BYTES[:3])
    assert len(decoded) == 3
    fragment.read()
    assert small.bytes <= small.limit


def test_many_layers_need_few_descriptors_and_threads_agree(tmp_path):
    volume = np.random.default_rng(0).integers(0, 255, (65, 40, 40), np.uint8)
    for name, options in (("a", {}), ("b", {"compression": "zlib"})):
        write_layers(tmp_path / name / "layers", volume, **options)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    fragments = [open_fragment(tmp_path / name) for name in "ab" for _ in range(8)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        with ThreadPoolExecutor(8) as pool:
            windows = list(
                pool.map(lambda k: fragments[k % 16].read(None, slice(k % 30, None)), range(64))
            )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for k, window in enumerate(windows):
        np.testing.assert_array_equal(window, volume[:, k % 30 :])


# Stacks


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"compression": "zlib"},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"truncate": True},
        {"bigtiff": True, "tile": (16, 16)},
        {"photometric": "minisblack", "contiguous": True, "byteorder": ">"},
    ],
    ids=str,
)
def test_tiff_stacks(tmp_path, options):
    tifffile.imwrite(tmp_path / "scan.tif", RAW, **options)
    fragment = open_fragment(tmp_path / "scan.tif")
    assert_reads(fragment)
    assert (fragment.layout, fragment.name) == ("tiff", "scan")
    assert_reads(pickle.loads(pickle.dumps(fragment)))


def test_stack_finds_its_side_cars_by_stem(tmp_path):
    for name in ("one", "two"):
        tifffile.imwrite(tmp_path / f"{name}.tif", RAW)
    Image.fromarray(MASK).save(tmp_path / "one_mask.png")
    tifffile.imwrite(tmp_path / "one_inklabels.tif", INK)
    one, two = (open_fragment(tmp_path / f"{name}.tif") for name in ("one", "two"))
    np.testing.assert_array_equal(np.asarray(one.mask), MASK > 0)
    np.testing.assert_array_equal(np.asarray(one.label) > 0, INK > 0)
    assert two.mask is None
    assert two.label is None


def test_single_image_is_a_volume_of_one_layer(tmp_path):
    tifffile.imwrite(tmp_path / "layer.tif", RAW[0])
    assert open_fragment(tmp_path / "layer.tif").shape == (1, 60, 90)


MICRONS = {"axes": "ZYX", "unit": "um", "spacing": 8}
PHYSICAL = {"axes": "ZYX", "PhysicalSizeX": 3.24, "PhysicalSizeY": 3.24, "PhysicalSizeZ": 5.0}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (1e4 / 7.91, 1e4 / 7.91), "resolutionunit": "CENTIMETER"}, (7.91,) * 3),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (600, 600), "resolutionunit": "INCH"}, None),
        ({"imagej": True, "resolution": (0.5, 0.25), "metadata": MICRONS}, (8, 4, 2)),
        (
            {"imagej": True, "resolution": (0.5, 0.5), "metadata": MICRONS | {"spacing": -1}},
            (2,) * 3,
        ),
        (
            {"imagej": True, "resolution": (0.5, 0.5), "metadata": MICRONS | {"spacing": "?"}},
            (2,) * 3,
        ),
        ({"ome": True, "metadata": PHYSICAL}, (5, 3.24, 3.24)),
        ({"ome": True, "metadata": PHYSICAL | {"PhysicalSizeZ": -1}}, (3.24,) * 3),
        ({"ome": True, "metadata": PHYSICAL | {"PhysicalSizeX": 0}}, None),
        ({"ome": True, "metadata": PHYSICAL | {"PhysicalSizeX": "unknown"}}, None),
        ({}, None),
    ],
)
def test_voxel_size_of_tiffs(tmp_path, options, expected):
    tifffile.imwrite(tmp_path / "scan.tif", RAW, **options)
    found = open_fragment(tmp_path / "scan.tif").voxel_size
    assert found == (expected and pytest.approx(expected, rel=1e-4))
    assert open_fragment(tmp_path / "scan.tif", voxel_size=2.4).voxel_size == (2.4,) * 3


def test_voxel_size_of_layers(tmp_path):
    write_layers(tmp_path / "layers", resolution=(1e4 / 8, 1e4 / 8), resolutionunit="CENTIMETER")
    assert open_fragment(tmp_path).voxel_size == pytest.approx((8, 8, 8))
    (tmp_path / "meta.json").write_text('{"voxelsize": 3.24}')
    assert open_fragment(tmp_path).voxel_size == (3.24,) * 3


# Zarr


@pytest.mark.parametrize(("version", "sharded"), [(2, False), (3, False), (3, True)])
@pytest.mark.parametrize("lead", [(), (1, 1)])
def test_plain_zarr_arrays(tmp_path, version, lead, sharded):
    array = zarr.create_array(
        tmp_path / "scan.zarr",
        shape=lead + BYTES.shape,
        chunks=(1,) * len(lead) + (7, 16, 16),
        shards=(1,) * len(lead) + (7, 64, 96) if sharded else None,
        dtype=np.uint8,
        zarr_format=version,
    )
    array[...] = BYTES.reshape(array.shape)
    fragment = open_fragment(tmp_path / "scan.zarr")
    assert_reads(fragment, BYTES)
    assert fragment.layout == f"zarr{version}"
    assert fragment.voxel_size is None
    assert_reads(pickle.loads(pickle.dumps(fragment)), BYTES)


def write_ome(path, version, axes="tczyx", unit="micrometer", volume=RAW):
    """Two levels, the second halved in y and x; voxels of 10 × 4 × 4 units."""
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for level in range(2):
        data = volume[:, :: 2**level, :: 2**level]
        lengths = dict(zip("zyx", data.shape, strict=True))
        data = data.reshape([lengths.get(axis, 1) for axis in axes])
        group.create_array(str(level), data=data, chunks=tuple(min(k, 16) for k in data.shape))
        steps = {"z": 5.0, "y": 2.0 * 2**level, "x": 2.0 * 2**level}
        scale = {"type": "scale", "scale": [steps.get(axis, 1.0) for axis in axes]}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    names = [{"name": axis} for axis in axes]
    for axis in names:
        if axis["name"] in "zyx" and unit:
            axis["unit"] = unit
    double = [{"type": "scale", "scale": [2.0 if axis in "zyx" else 1.0 for axis in axes]}]
    image = {"axes": names, "datasets": datasets, "coordinateTransformations": double}
    ome = {"multiscales": [image]}
    group.attrs.update(ome if version == "0.4" else {"ome": {"version": "0.5", **ome}})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["zyx", "czyx", "tczyx", "zcyx"])
def test_ome_zarr(tmp_path, version, axes):
    write_ome(tmp_path / "scan.zarr", version, axes)
    fragment = open_fragment(tmp_path / "scan.zarr")
    assert_reads(fragment)
    assert fragment.layout == "ome-zarr"
    assert fragment.voxel_size == (10, 4, 4)
    assert [level.shape for level in fragment.levels] == [(7, 30, 45)]
    np.testing.assert_array_equal(
        fragment.levels[0].read(slice(0, 7), slice(3, 9), slice(0, 45)), RAW[:, 6:18:2, ::2]
    )


@pytest.mark.parametrize(
    ("unit", "factor"), [("nanometer", 1e-3), ("millimeter", 1e3), (None, None)]
)
def test_units_of_ome_zarr(tmp_path, unit, factor):
    write_ome(tmp_path / "scan.zarr", "0.4", "zyx", unit)
    expected = factor and pytest.approx((10 * factor, 4 * factor, 4 * factor))
    assert open_fragment(tmp_path / "scan.zarr").voxel_size == expected


def test_group_of_levels_without_metadata_opens_at_the_finest(tmp_path):
    group = zarr.create_group(tmp_path / "scan.zarr", zarr_format=2)
    group.create_array("0", data=BYTES)
    group.create_array("1", data=BYTES[:, ::2, ::2])
    assert_reads(open_fragment(tmp_path / "scan.zarr"), BYTES)


def test_folder_with_one_zarr_opens_it(tmp_path):
    root = tmp_path / "2024"
    root.mkdir()
    zarr.save_array(root / "2024.zarr", BYTES)
    zarr.save_array(root / "2024_inklabels.zarr", INK)
    Image.fromarray(MASK).save(root / "2024_mask.png")
    fragment = open_fragment(root)
    assert_reads(fragment, BYTES)
    np.testing.assert_array_equal(np.asarray(fragment.label) > 0, INK > 0)
    assert fragment.mask is not None


@pytest.mark.parametrize("drawn", [0, 3, 6])
@pytest.mark.parametrize("chunks", [(7, 16, 16), (2, 60, 90), (1, 7, 7)])
def test_label_in_one_slice_of_a_deep_zarr_is_found(tmp_path, drawn, chunks, monkeypatch):
    monkeypatch.setattr("napari_ink.volumes.chunked._HELD", 7 * 90 * 20)
    zarr.save_array(tmp_path / "scan.zarr", BYTES)
    label = zarr.create_array(
        tmp_path / "scan_inklabels.zarr", shape=BYTES.shape, chunks=chunks, dtype=np.uint8
    )
    label[drawn] = INK
    plane = open_fragment(tmp_path / "scan.zarr").label
    np.testing.assert_array_equal(np.asarray(plane), INK / np.float32(255))
    np.testing.assert_array_equal(
        plane.read(slice(11, 40), slice(50, 51)), (INK / np.float32(255))[11:40, 50:51]
    )


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (np.tile(np.uint8([0, 1]), (60, 45)), np.tile([0.0, 1.0], (60, 45))),
        (np.full((60, 90), 0.25, np.float32), np.full((60, 90), 0.25)),
        (np.full((60, 90), 51, np.uint8), np.full((60, 90), 0.2)),
        (np.zeros((60, 90), np.uint8), np.zeros((60, 90))),
    ],
    ids=["0 and 1", "soft floats", "soft bytes", "constant"],
)
@pytest.mark.parametrize("suffix", ["zarr", "tif"])
def test_legal_labels(tmp_path, label, expected, suffix):
    write_layers(tmp_path / "layers")
    if suffix == "zarr":
        zarr.save_array(tmp_path / "x_inklabels.zarr", label)
    else:
        tifffile.imwrite(tmp_path / "x_inklabels.tif", label, compression="zlib")
    np.testing.assert_allclose(np.asarray(open_fragment(tmp_path).label), expected, atol=1e-6)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_zarr_over_http(tmp_path, served):
    zarr.save_array(tmp_path / "plain.zarr", BYTES, zarr_format=2)
    write_ome(tmp_path / "image.zarr", "0.5")
    plain, image = (open_fragment(f"{served}/{name}.zarr/") for name in ("plain", "image"))
    assert_reads(plain, BYTES)
    assert_reads(image)
    assert (plain.layout, plain.voxel_size) == ("zarr2", None)
    assert (image.layout, image.voxel_size, image.name) == ("ome-zarr", (10, 4, 4), "image")
    zarr.save_array(tmp_path / "plain3.zarr", BYTES, zarr_format=3)
    assert open_fragment(f"{served}/plain3.zarr").fingerprint() == plain.fingerprint()


class Bucket(Quiet):
    """As much of S3 as reading takes: objects by path, and listings that are always empty."""

    def do_GET(self):
        if "list-type" not in self.path:
            super().do_GET()
            return
        self.answer(200, b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>")

    def send_error(self, code, *arguments):
        self.answer(code, b"<Error><Code>NoSuchKey</Code></Error>")

    def answer(self, code, body):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_in_a_public_bucket(tmp_path, monkeypatch, version):
    zarr.save_array(tmp_path / "bucket" / f"{version}.zarr", BYTES, zarr_format=version)
    handler = partial(Bucket, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        fragment = open_fragment(f"s3://bucket/{version}.zarr")
        assert_reads(fragment, BYTES)
        assert fragment.layout == f"zarr{version}"
        server.shutdown()


@pytest.mark.parametrize("url", ["s3://bucket/image.zarr", "{}/bucket/image.zarr"])
def test_information_about_a_url_as_a_process_is_silent_besides(tmp_path, url):
    write_ome(tmp_path / "bucket" / "image.zarr", "0.5")
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Bucket, directory=tmp_path)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        done = subprocess.run(
            [sys.executable, "-m", "napari_ink", "info", url.format(address), "--json"],
            capture_output=True,
            text=True,
            env={**os.environ, "AWS_ENDPOINT_URL": address},
        )
        server.shutdown()
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["voxel_size_um"] == [10, 4, 4]


# Muon sets


@pytest.fixture
def muon_set(tmp_path):
    generator = np.random.default_rng(2)
    sets = {
        "x0": generator.random((5, 4, 6, 8), np.float32),
        "targs": generator.integers(0, 2, (5, 4, 6, 8)),
    }
    with h5py.File(tmp_path / "train.h5", "w") as file:
        for key, values in sets.items():
            file[key] = values
    return tmp_path / "train.h5", sets


def test_muon_sample_is_a_volume_in_z_y_x(muon_set):
    path, sets = muon_set
    fragment = open_fragment(path, sample=3)
    expected = sets["x0"][3].transpose(0, 2, 1)  # stored (z, x, y)
    assert (fragment.layout, fragment.shape, fragment.name) == ("muon", (4, 8, 6), "train#3")
    np.testing.assert_array_equal(fragment.read(), expected)
    np.testing.assert_array_equal(
        fragment.read(slice(1, 3), slice(2, 7), slice(4, 5)), expected[1:3, 2:7, 4:5]
    )
    target = fragment.label.read(slice(0, 4), slice(0, 8), slice(0, 6))
    np.testing.assert_array_equal(target, sets["targs"][3].transpose(0, 2, 1))
    assert target.dtype == np.float32
    np.testing.assert_array_equal(open_fragment(f"{path}#3").read(), expected)
    np.testing.assert_array_equal(open_fragment(path).read(), sets["x0"][0].transpose(0, 2, 1))


def test_the_same_pixels_have_the_same_fingerprint_in_every_layout(tmp_path):
    write_layers(tmp_path / "one" / "layers", first=20)
    write_layers(tmp_path / "two" / "surface_volume", compression="zlib")
    tifffile.imwrite(tmp_path / "three.tif", RAW)
    zarr.save_array(tmp_path / "four.zarr", RAW)
    prints = {
        open_fragment(tmp_path / name).fingerprint()
        for name in ("one", "two", "three.tif", "four.zarr")
    }
    assert len(prints) == 1


def test_metadata_of_meta_json_reaches_a_zarr_too(tmp_path):
    zarr.save_array(tmp_path / "scan.zarr", BYTES)
    (tmp_path / "scan.zarr" / "meta.json").write_text(json.dumps({"voxelsize": 7.91}))
    assert open_fragment(tmp_path / "scan.zarr").voxel_size == (7.91,) * 3
