"""Bad input: one line with the file's name and the remedy, exit 2, and nothing written."""

import errno
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_ink import open_fragment
from napari_ink.cli import main
from napari_ink.errors import FragmentError
from napari_ink.volumes.layouts import zarrs

RAW = np.random.default_rng(5).integers(1, 255, (4, 50, 70), np.uint8)


def layers(root, volume=RAW, inner="layers", **options):
    (root / inner).mkdir(parents=True)
    for number, layer in enumerate(volume):
        tifffile.imwrite(root / inner / f"{number:02}.tif", layer, metadata=None, **options)
    return root


def gap(root):
    layers(root)
    (root / "layers" / "02.tif").unlink()
    return root


def long_gap(root):
    layers(root)
    (root / "layers" / "01.tif").unlink()
    (root / "layers" / "02.tif").unlink()
    return root


def twice(root):
    layers(root)
    shutil.copy(root / "layers" / "02.tif", root / "layers" / "2.tif")
    return root


def other_size(root):
    layers(root)
    tifffile.imwrite(root / "layers" / "02.tif", RAW[0, :-1])
    return root


def other_dtype(root):
    layers(root)
    tifffile.imwrite(root / "layers" / "02.tif", RAW[0].astype(np.uint16))
    return root


def jpeg_among_sixteen_bits(root):
    layers(root, RAW.astype(np.uint16))
    (root / "layers" / "02.tif").unlink()
    Image.fromarray(RAW[2]).save(root / "layers" / "02.jpg")
    return root


def cut(path, share=0.8):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def truncated(root):
    cut(layers(root) / "layers" / "03.tif")
    return root


def truncated_strips(root):
    cut(layers(root, compression="zlib", rowsperstrip=8) / "layers" / "03.tif")
    return root


def truncated_header(root):
    cut(layers(root) / "layers" / "03.tif", 0.005)
    return root


def zero_bytes(root):
    (layers(root) / "layers" / "03.tif").write_bytes(b"")
    return root


def truncated_jpeg(root):
    (root / "layers").mkdir(parents=True)
    for number, layer in enumerate(RAW):
        Image.fromarray(layer).save(root / "layers" / f"{number}.jpg")
    cut(root / "layers" / "3.jpg")
    return root


def truncated_stack(root):
    root.mkdir()
    tifffile.imwrite(root / "scan.tif", RAW, photometric="minisblack")
    cut(root / "scan.tif", 0.9)
    return root / "scan.tif"


def truncated_pages(root):
    """The pixels of the last page are cut, or its whole header: tifffile would just drop it."""
    root.mkdir()
    with tifffile.TiffWriter(root / "scan.tif") as writer:
        for layer in RAW:
            writer.write(layer, contiguous=False, metadata=None)
    with tifffile.TiffFile(root / "scan.tif") as file:
        start = file.pages[3].offset
    data = (root / "scan.tif").read_bytes()
    (root / "scan.tif").write_bytes(data[: start + 1])
    return root / "scan.tif"


def pages_of_different_size(root):
    root.mkdir()
    with tifffile.TiffWriter(root / "scan.tif") as writer:
        writer.write(RAW[0], metadata=None)
        writer.write(RAW[1, :40], metadata=None)
    return root / "scan.tif"


def colour_layer(root):
    layers(root)
    tifffile.imwrite(root / "layers" / "02.tif", np.stack([RAW[2]] * 3, -1), photometric="rgb")
    return root


def stack_as_layer(root):
    layers(root)
    tifffile.imwrite(root / "layers" / "02.tif", RAW, photometric="minisblack")
    return root


def channels_and_layers(root):
    root.mkdir()
    tifffile.imwrite(root / "scan.tif", RAW.reshape(2, 2, 50, 70), metadata={"axes": "CZYX"})
    return root / "scan.tif"


def no_tiff(root):
    (layers(root) / "layers" / "01.tif").write_text("this is no TIFF, but long enough for one")
    return root


def empty(root):
    root.mkdir()
    return root


def empty_layers(root):
    (root / "surface_volume").mkdir(parents=True)
    return root


def only_text(root):
    root.mkdir()
    (root / "notes.txt").write_text("nothing here")
    return root


def missing(root):
    return root


def text_file(root):
    root.mkdir()
    (root / "notes.txt").write_text("nothing here")
    return root / "notes.txt"


def mask_of_other_size(root):
    Image.fromarray(RAW[0, :-1]).save(layers(root) / "mask.png")
    return root


def mask_of_other_size_by_a_zarr(root):
    root.mkdir()
    zarr.save_array(root / "scan.zarr", RAW)
    Image.fromarray(RAW[0, :-1]).save(root / "mask.png")
    return root / "scan.zarr"


def truncated_mask(root):
    Image.fromarray(RAW[0]).save(layers(root) / "mask.png")
    cut(root / "mask.png")
    return root


def label_of_other_size(root):
    Image.fromarray(RAW[0, :, :-1]).save(layers(root) / "inklabels.png")
    return root


def label_with_nan(root):
    label = np.zeros(RAW.shape[1:], np.float32)
    label[30, 40] = np.nan
    tifffile.imwrite(layers(root) / "x_inklabels.tif", label)
    return root


def zarr_label_with_nan(root):
    label = np.zeros(RAW.shape[1:], np.float32)
    label[30, 40] = np.nan
    zarr.save_array(layers(root) / "x_inklabels.zarr", label)
    return root


def label_beyond_one(root):
    tifffile.imwrite(layers(root) / "x_inklabels.tif", RAW[0].astype(np.float32))
    return root


def label_below_zero(root):
    tifffile.imwrite(layers(root) / "x_inklabels.tif", RAW[0].astype(np.int16) - 300)
    return root


def muon_set_without_numbers(root):
    root.mkdir()
    with h5py.File(root / "train.h5", "w") as file:
        file["x0"] = np.array([b"lead", b"soil"])
    return root / "train.h5"


def muon_group_in_place_of_data(root):
    root.mkdir()
    with h5py.File(root / "train.h5", "w") as file:
        file.create_group("x0")
    return root / "train.h5"


def muon_set_without_samples(root):
    root.mkdir()
    with h5py.File(root / "train.h5", "w") as file:
        file["x0"] = np.zeros((0, 4, 4, 4), np.float32)
    return root / "train.h5"


def label_of_other_depth(root):
    zarr.save_array(layers(root) / "x_inklabels.zarr", RAW[:3])
    return root


def two_labels(root):
    for name in "ab":
        Image.fromarray(RAW[0]).save(
            (root if root.exists() else layers(root)) / f"{name}_inklabels.png"
        )
    return root


def bad_meta(root):
    (layers(root) / "meta.json").write_text('{"voxelsize": "wide"}')
    return root


def plane_zarr(root):
    zarr.save_array(root / "scan.zarr", RAW[0])
    return root / "scan.zarr"


def zarr_with_channels(root):
    zarr.save_array(root / "scan.zarr", RAW.reshape(1, 2, 2, 50, 70))
    return root / "scan.zarr"


def ome_with_axes_in_another_order(root):
    group = zarr.create_group(root / "scan.zarr")
    group.create_array("0", data=RAW)
    axes = [{"name": name} for name in "xyz"]
    image = {"axes": axes, "datasets": [{"path": "0"}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return root / "scan.zarr"


def ome_without_its_level(root):
    group = zarr.create_group(root / "scan.zarr")
    group.attrs["ome"] = {"multiscales": [{"axes": ["z", "y", "x"], "datasets": [{"path": "0"}]}]}
    return root / "scan.zarr"


def zarr_of_complex_numbers(root):
    zarr.save_array(root / "scan.zarr", RAW.astype(np.complex64))
    return root / "scan.zarr"


def zarr_without_metadata(root):
    (root / "scan.zarr").mkdir(parents=True)
    return root / "scan.zarr"


def zarr_with_damaged_metadata(root):
    zarr.save_array(root / "scan.zarr", RAW)
    cut(root / "scan.zarr" / "zarr.json")
    return root / "scan.zarr"


def damaged_chunk(root, version):
    array = zarr.create_array(
        root / "scan.zarr", shape=RAW.shape, chunks=(4, 50, 35), dtype=np.uint8, zarr_format=version
    )
    array[...] = RAW
    chunk = root / "scan.zarr" / ("0.0.1" if version == 2 else "c/0/0/1")
    chunk.write_bytes(chunk.read_bytes()[:100])
    return root / "scan.zarr"


def damaged_chunk_2(root):
    return damaged_chunk(root, 2)


def damaged_chunk_3(root):
    return damaged_chunk(root, 3)


def damaged_strip(root):
    layers(root, compression="zlib", rowsperstrip=10)
    path = root / "layers" / "01.tif"
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[2]
    data = bytearray(path.read_bytes())
    data[start : start + 60] = b"\xee" * 60
    path.write_bytes(data)
    return root


def prediction(root):
    zarr.create_group(root / "scan.ink.zarr")
    return root / "scan.ink.zarr"


def no_muon_set(root):
    root.mkdir()
    with h5py.File(root / "train.h5", "w") as file:
        file["y"] = RAW
    return root / "train.h5"


def no_such_sample(root):
    root.mkdir()
    with h5py.File(root / "train.h5", "w") as file:
        file["x0"] = RAW[None].astype(np.float32)
    return f"{root / 'train.h5'}#7"


def damaged_muon_set(root):
    root.mkdir()
    (root / "train.h5").write_bytes(b"\x89HDF\r\n\x1a\n damaged")
    return root / "train.h5"


def closed_port(root):
    return "http://127.0.0.1:9/scan.zarr"


def zarr_with_chunks_of_no_size(root):
    zarr.create_array(root / "scan.zarr", data=RAW, zarr_format=2)
    path = root / "scan.zarr" / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chunks": [4, 0, 4]}))
    return root / "scan.zarr"


def mask_of_no_colour_type(root):
    layers(root)
    Image.fromarray(RAW[0]).save(root / "mask.png")
    data = bytearray((root / "mask.png").read_bytes())
    data[25] = 9
    (root / "mask.png").write_bytes(data)
    return root


def unknown_host(root):
    return "https://nowhere.invalid/scan.zarr"


def unknown_scheme(root):
    return "ftp://example.org/scan.zarr"


CASES = {
    gap: "lacks layer 2 (between 01.tif and 03.tif)",
    long_gap: "lacks layer 1 … 2",
    twice: "layer 2 twice, 02.tif and 2.tif",
    other_size: "02.tif has 49 × 70 pixels, 00.tif has 50 × 70",
    other_dtype: "02.tif is uint16, 00.tif is uint8",
    jpeg_among_sixteen_bits: "02.jpg is uint8, 00.tif is uint16",
    truncated: "03.tif is truncated",
    truncated_strips: "03.tif is truncated",
    truncated_header: "03.tif",
    zero_bytes: "03.tif",
    truncated_jpeg: "3.jpg is truncated",
    truncated_stack: "scan.tif is truncated",
    truncated_pages: "scan.tif is truncated",
    pages_of_different_size: "page 1 is 40 × 70",
    colour_layer: "02.tif is a colour image",
    stack_as_layer: "02.tif holds 4 pages",
    channels_and_layers: "axes CZYX",
    no_tiff: "01.tif is not a readable TIFF",
    empty: "src is empty",
    empty_layers: "surface_volume holds no layers",
    only_text: "no layers named like 00.tif",
    missing: "src does not exist",
    text_file: "notes.txt is no volume",
    mask_of_other_size: "mask.png has 49 × 70 pixels, the layers have 50 × 70",
    mask_of_other_size_by_a_zarr: "mask.png has 49 × 70 pixels",
    truncated_mask: "mask.png is truncated",
    label_of_other_size: "inklabels.png has 50 × 69 pixels",
    label_with_nan: "x_inklabels.tif holds NaN",
    zarr_label_with_nan: "x_inklabels.zarr holds NaN",
    label_beyond_one: "x_inklabels.tif holds values from",
    label_below_zero: "x_inklabels.tif holds -",
    muon_set_without_numbers: "train.h5: x0 is no data set of numbers",
    muon_group_in_place_of_data: "train.h5: x0 is no data set of numbers",
    muon_set_without_samples: "train.h5: x0 has the shape (0, 4, 4, 4)",
    label_of_other_depth: "x_inklabels.zarr has 3 slices, the volume has 4",
    two_labels: "a_inklabels.png and b_inklabels.png",
    bad_meta: "meta.json is not usable",
    plane_zarr: "scan.zarr has the shape 50 × 70, which is not three-dimensional",
    zarr_with_channels: "1 × 2 × 2 × 50 × 70, which is not three-dimensional",
    ome_with_axes_in_another_order: "not three-dimensional",
    ome_without_its_level: "lacks 0",
    zarr_of_complex_numbers: "complex64",
    zarr_without_metadata: "scan.zarr holds no zarr",
    zarr_with_damaged_metadata: "scan.zarr is not a readable zarr",
    zarr_with_chunks_of_no_size: "scan.zarr has chunks of no size",
    mask_of_no_colour_type: "mask.png is not a readable PNG",
    damaged_chunk_2: "scan.zarr/0.0.1 is corrupt",
    damaged_chunk_3: "scan.zarr/c/0/0/1 is corrupt",
    damaged_strip: "01.tif: strip or tile 2 cannot be decoded",
    prediction: "is a prediction, not a fragment",
    no_muon_set: "train.h5 has no data set x0",
    no_such_sample: "has the samples 0 … 0, not 7",
    damaged_muon_set: "train.h5 is not a readable HDF5 file",
    closed_port: "http://127.0.0.1:9/scan.zarr cannot be reached",
    unknown_host: "nowhere.invalid/scan.zarr cannot be reached",
    unknown_scheme: "unknown scheme",
}


def assert_refused(arguments, message, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith("napari-ink: ")
    assert message in printed.err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("command", ["info", "convert"])
def test_bad_input_is_one_line_exit_two_and_nothing_written(tmp_path, capsys, make, command):
    source = str(make(tmp_path / "src"))
    (tmp_path / "out").mkdir()
    destination = [str(tmp_path / "out" / "dst.zarr")] if command == "convert" else []
    before = sorted(tmp_path.rglob("*"))
    assert_refused([command, source, *destination], CASES[make], capsys)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "attributes",
    [
        {"ome": None},
        {"ome": {"multiscales": 3}},
        {"ome": {"multiscales": [{"datasets": []}]}},
        {
            "ome": {
                "multiscales": [
                    {"datasets": [{"path": "0", "coordinateTransformations": {"a": 1}}]}
                ]
            }
        },
        {"napari-ink": "x"},
        {"napari-ink": {"side_cars": ["mask"]}},
        {"napari-ink": {"first_layer": "x"}},
    ],
    ids=str,
)
def test_attributes_of_another_shape_are_one_error_that_names_the_zarr(tmp_path, attributes):
    group = zarr.create_group(tmp_path / "scan.zarr")
    group.create_array("0", data=RAW)
    group.attrs.update(attributes)
    with pytest.raises(FragmentError, match=r"scan\.zarr has metadata that cannot be used"):
        open_fragment(tmp_path / "scan.zarr")


@pytest.mark.parametrize(
    "make", [damaged_chunk_2, damaged_chunk_3, damaged_strip], ids=lambda make: make.__name__
)
def test_damage_is_no_obstacle_to_what_is_whole(tmp_path, make):
    fragment = open_fragment(make(tmp_path / "src"))
    np.testing.assert_array_equal(fragment.read(None, slice(0, 20), slice(0, 35)), RAW[:, :20, :35])
    with pytest.raises(FragmentError, match=r"corrupt|decoded"):
        fragment.read(None, slice(20, 30), slice(30, 40))


def test_flipped_bit_in_a_converted_fragment_is_found(tmp_path):
    assert main(["convert", str(layers(tmp_path / "src")), str(tmp_path / "dst.zarr")]) == 0
    shard = tmp_path / "dst.zarr" / "0" / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(FragmentError, match="c/0/0/0 is corrupt"):
        open_fragment(tmp_path / "dst.zarr").read()


@pytest.fixture
def unprivileged():
    """A folder that others may enter, and after ``drop`` this process is one of the others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    if os.getuid() == 0:
        os.seteuid(0)
    for path in folder.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(folder)


def drop():
    if os.getuid() == 0:
        os.seteuid(65534)


@pytest.mark.parametrize(
    "locked", ["layers/01.tif", "layers", "mask.png", "scan.zarr/zarr.json", "scan.zarr/c/0/0/0"]
)
def test_no_permission_names_the_file(unprivileged, locked):
    source = layers(unprivileged / "src")
    Image.fromarray(RAW[0]).save(source / "mask.png")
    zarr.save_array(source / "scan.zarr", RAW)
    (source / locked).chmod(0)
    drop()
    with pytest.raises(FragmentError, match=rf"no permission to read .*{locked}"):
        open_fragment(source / "scan.zarr" if "zarr" in locked else source).read()


def test_converting_into_a_folder_that_may_not_be_written(unprivileged, capsys):
    source = layers(unprivileged / "src")
    (unprivileged / "out").mkdir(mode=0o555)
    drop()
    assert_refused(
        ["convert", str(source), str(unprivileged / "out" / "dst.zarr")],
        "out cannot be written",
        capsys,
    )


@pytest.mark.parametrize("reply", [None, 500, 404])
def test_server_that_does_not_answer_is_one_quick_error(monkeypatch, reply):
    monkeypatch.setattr(zarrs, "_CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        if reply:

            def answer():
                for _ in range(9):
                    try:
                        client, _ = server.accept()
                    except OSError:
                        return
                    client.recv(4096)
                    client.sendall(
                        b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % reply
                    )
                    client.close()

            threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/scan.zarr"
        start = time.monotonic()
        with pytest.raises(FragmentError, match=r"scan\.zarr (cannot be reached|holds no zarr)"):
            open_fragment(url)
        assert time.monotonic() - start < 20  # not the minutes of a hanging socket


@pytest.mark.parametrize("url", ["s3://bucket/scan.zarr", "http://127.0.0.1:9/scan.zarr"])
def test_unreachable_url_is_one_line_to_the_end_of_the_process(url):
    done = subprocess.run(
        [sys.executable, "-m", "napari_ink", "info", url],
        capture_output=True,
        text=True,
        env={**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "cannot be reached" in done.stderr


class Failing(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        if "/c/" in self.path:
            self.send_error(503)
        else:
            super().do_GET()


def test_server_that_fails_later_is_an_error_too(tmp_path, monkeypatch):
    zarr.save_array(tmp_path / "scan.zarr", RAW)
    monkeypatch.chdir(tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        fragment = open_fragment(f"http://127.0.0.1:{server.server_port}/scan.zarr")
        with pytest.raises(FragmentError, match="cannot be reached"):
            fragment.read()
        server.shutdown()


def test_file_cut_short_after_opening_is_an_error_and_no_crash(tmp_path):
    for options in ({}, {"compression": "zlib"}):
        root = tmp_path / str(len(options))
        fragment = open_fragment(layers(root, **options))
        cut(root / "layers" / "02.tif")
        with pytest.raises(FragmentError, match=r"02\.tif became shorter"):
            fragment.read()


def test_someone_elses_mask_beside_several_stacks_is_left_alone(tmp_path):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", RAW, photometric="minisblack")
    Image.fromarray(RAW[0, :-1]).save(tmp_path / "mask.png")
    assert open_fragment(tmp_path / "a.tif").mask is None
    Image.fromarray(RAW[0, :-1]).save(tmp_path / "a_mask.png")
    with pytest.raises(FragmentError, match=r"a_mask\.png"):
        open_fragment(tmp_path / "a.tif")


def test_disk_too_full_is_told_before_anything_is_written(tmp_path, capsys, monkeypatch):
    source = layers(tmp_path / "src")
    (tmp_path / "out").mkdir()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert_refused(["convert", str(source), str(tmp_path / "out" / "dst.zarr")], "are free", capsys)
    assert not any((tmp_path / "out").iterdir())


def test_disk_that_fills_up_meanwhile_can_be_gone_on_from(tmp_path, capsys, monkeypatch):
    source = layers(tmp_path / "src")
    destination = tmp_path / "dst.zarr"

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("napari_ink.volumes.convert._Job._read", full)
        assert_refused(["convert", str(source), str(destination)], "run again", capsys)
    assert not destination.exists()
    assert main(["convert", str(source), str(destination)]) == 0
    np.testing.assert_array_equal(open_fragment(destination).read(), RAW)
