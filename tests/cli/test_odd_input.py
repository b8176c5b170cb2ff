"""What people and scripts pass by mistake: one line, exit 2, nothing written; odd names work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from filelock import FileLock
from PIL import Image
from safetensors.numpy import save_file

from napari_ink.cli import main
from napari_ink.inference.store import PredictionStore


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predict(data, out, *extra, fragment=None, checkpoint=None):
    fragment, checkpoint = fragment or data / "fragment", checkpoint or data / "c.safetensors"
    given = ["predict", str(fragment), "--checkpoint", str(checkpoint), "--out", str(out)]
    return [*given, "--device", "cpu", *extra]


def everything(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def refused(arguments, capsys, folder: Path) -> str:
    """The one line; fails if there is more, or if anything was written."""
    before = everything(folder)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert everything(folder) == before
    return line


@pytest.mark.parametrize("out", ["x", "x.zarr", ".ink.zarr", "x" * 300 + ".ink.zarr"])
def test_what_is_no_name_for_a_prediction_is_said_before_anything(data, here, capsys, out):
    assert out in refused(predict(data, out), capsys, here)


@pytest.mark.parametrize("place", ["file/x.ink.zarr", "dangling/x.ink.zarr"])
def test_a_place_that_takes_no_prediction_is_named(data, here, capsys, place):
    (here / "file").write_text("in the way")
    (here / "dangling").symlink_to("nowhere")
    assert f"{place} cannot be written" in refused(predict(data, place), capsys, here)


@pytest.mark.parametrize("kind", ["file", "folder", "array", "fragment"])
def test_a_foreign_thing_of_that_name_is_left_alone(data, here, capsys, kind):
    out = here / "x.ink.zarr"
    if kind == "file":
        out.write_text("mine")
    elif kind == "array":
        zarr.create_array(out, data=np.zeros((4, 4)))
    elif kind == "fragment":
        shutil.copytree(data / "fragment", out)
    else:
        out.mkdir()
    line = refused(predict(data, out), capsys, here)
    assert f"{out} is not a prediction" in line


def test_a_prediction_in_use_elsewhere_is_not_touched(data, here, capsys):
    shutil.copytree(data / "half.ink.zarr", here / "x.ink.zarr")
    extra = ("--tile", "48", "--overlap", ".25")
    with FileLock(here / "x.ink.zarr/ink/0/.lock"):
        line = refused(predict(data, "x.ink.zarr", *extra), capsys, here)
    assert "being written by another process" in line


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--region", "1000:2000,0:5"], "within 150 × 200"),
        (["--region", "0:10,0:20"], "no papyrus"),
        (["--region=-5:10,0:5"], "--region '-5:10,0:5'"),
        (["--layers", "4:12"], "has the layers 0:9"),
        (["--layers", ":8"], "--layers ':8'"),
        (["--layers", "0:9"], "choose 0:8"),
        (["--tile", "50"], "multiple of"),
        (["--tile", "0"], "tile of 0"),
        (["--overlap", "1"], "overlap of 1.0"),
        (["--overlap", "nan"], "overlap of nan"),
        (["--batch", "0"], "batch of 0"),
        (["--focus", "nan,3"], "focus"),
        (["--task", ""], "task ''"),
        (["--voxel-size", "nan"], "voxel size nan"),
    ],
)
def test_numbers_that_fit_nothing_are_named(data, here, capsys, extra, named):
    assert named in refused(predict(data, "x.ink.zarr", *extra), capsys, here)


@pytest.mark.parametrize("runtime", ["openvino", "openvino-int8"])
def test_a_runtime_that_is_not_installed_leaves_nothing_behind(
    data, here, capsys, monkeypatch, runtime
):
    missing = "nncf" if runtime.endswith("int8") else "openvino"
    found = "napari_ink.inference.resolve.find_spec"
    monkeypatch.setattr(found, lambda name: None if name == missing else object())
    line = refused(predict(data, "x.ink.zarr", "--runtime", runtime), capsys, here)
    assert f"needs {missing}" in line
    assert "pip install" in line


@pytest.mark.parametrize("kind", ["folder", "missing", "picture", "foreign", "empty", "dangling"])
def test_what_is_no_checkpoint_is_named(data, here, capsys, kind):
    path = here / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "picture":
        Image.new("L", (9, 9)).save(path, "png")
    elif kind == "foreign":  # a language model's weights, say
        save_file({"wte.weight": np.zeros((8, 4), np.float32)}, path, {"format": "pt"})
    elif kind == "empty":
        path.touch()
    elif kind == "dangling":
        path.symlink_to("nowhere")
    for arguments in (
        predict(data, "x.ink.zarr", checkpoint=path),
        ["info", str(data / "fragment"), "--checkpoint", str(path)],
    ):
        assert str(path) in refused(arguments, capsys, here)


@pytest.mark.parametrize("option", ["--labels", "--mask", "--supervision"])
def test_a_plane_of_another_size_is_not_scored(data, here, capsys, option):
    Image.new("L", (40, 30)).save(here / "small.png")
    label = str(data / "fragment/inklabels.png")
    given = {"--labels": label} | {option: str(here / "small.png")}
    arguments = ["evaluate", str(data / "done.ink.zarr")]
    line = refused([*arguments, *(part for pair in given.items() for part in pair)], capsys, here)
    assert "small.png has 30 × 40 pixels, the prediction has 150 × 200" in line


def test_half_a_prediction_is_scored_and_exported_as_half(data, here, capsys):
    half = str(data / "half.ink.zarr")
    label = str(data / "fragment/inklabels.png")
    assert main(["evaluate", half, "--labels", label, "--json"]) == 0
    some = json.loads(capsys.readouterr().out)
    assert main(["evaluate", str(data / "done.ink.zarr"), "--labels", label, "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert 0 < some["finished"] < 1
    assert 0 < some["pixels"] < whole["pixels"]
    assert main(["evaluate", half, "--labels", label]) == 0
    assert "is predicted so far" in capsys.readouterr().out
    assert main(["export", half, "--png", "half.png"]) == 0
    assert "is predicted so far" in capsys.readouterr().err
    assert Image.open(here / "half.png").size == (200, 150)


@pytest.mark.parametrize("threshold", ["2", "-0.1", "inf"])
def test_a_threshold_that_is_no_probability_is_refused(data, here, capsys, threshold):
    arguments = ["export", str(data / "done.ink.zarr"), "--png", "x.png"]
    assert "--threshold" in refused([*arguments, f"--threshold={threshold}"], capsys, here)


@pytest.mark.parametrize("out", ["", "folder", "none/x.png", "x" * 300 + ".png"])
def test_a_place_that_takes_no_picture_is_named(data, here, capsys, out):
    (here / "folder").mkdir()
    line = refused(["export", str(data / "done.ink.zarr"), "--png", out], capsys, here)
    assert "cannot be written" in line


@pytest.mark.parametrize("kind", ["array", "group", "prediction"])
def test_convert_overwrites_nothing(data, here, capsys, kind):
    out = here / ("x.ink.zarr" if kind == "prediction" else "x.zarr")
    if kind == "array":
        zarr.create_array(out, data=np.zeros((4, 8, 8), np.uint8))
    elif kind == "group":
        zarr.create_group(out)
    else:
        shutil.copytree(data / "done.ink.zarr", out)
    refused(["convert", str(data / "fragment"), str(out)], capsys, here)


def test_odd_names_and_ways_to_write_a_path_lead_to_the_same_prediction(data, here, capsys):
    odd = here / "πάπυρος, μέρος 1" / "κομμάτι #α"
    shutil.copytree(data / "fragment", odd)
    (here / "link").symlink_to(odd)
    out = "νέος φάκελος/μελάνι α.ink.zarr"
    for fragment, where in (
        (odd, out),
        (f"{odd}/", f"{out}/"),
        ("link", f"./{out}"),
        ("link/", here / out),
        (f"{odd}/surface_volume/..", out),
    ):
        assert main(predict(data, where, fragment=fragment)) == 0, fragment
    assert PredictionStore.open(out).is_complete
    label = str(odd / "inklabels.png")
    assert main(["evaluate", f"{out}/", "--labels", label]) == 0
    assert main(["export", out, "--png", "μελάνι.png"]) == 0
    assert (here / "μελάνι.png").exists()
    assert main(["info", "link/"]) == 0


def test_a_size_told_later_goes_into_the_prediction_that_is_there(data, here, capsys):
    fragment = here / "fragment"
    shutil.copytree(data / "fragment", fragment)
    (fragment / "meta.json").unlink()
    assert main(predict(data, "x.ink.zarr", fragment=fragment)) == 0
    assert "voxel size is unknown" in capsys.readouterr().err
    assert PredictionStore.open("x.ink.zarr").voxel_size is None
    assert main(predict(data, "x.ink.zarr", "--voxel-size", "8", fragment=fragment)) == 0
    store = PredictionStore.open("x.ink.zarr")
    assert store.voxel_size == (8, 8, 8)
    assert store.provenance["warnings"] == []
