import json

import numpy as np
import pytest

from napari_ink import cli
from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes.layouts import open_fragment
from napari_ink.volumes.synthetic import LAYOUTS, synthesise, write
from napari_ink.volumes.synthetic.write import write_fragment


@pytest.fixture(scope="module")
def small():
    return synthesise(5, depth=7, height=330, width=300)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_opens_as_what_was_written(small, tmp_path, layout):
    out = write_fragment(small, tmp_path / "piece", layout)
    fragment = open_fragment(out)
    np.testing.assert_array_equal(fragment.read(), small.read())
    assert fragment.voxel_size == (16.0, 16.0, 16.0)
    assert fragment.simulated
    for part in ("mask", "label", "infrared"):
        np.testing.assert_array_equal(
            np.asarray(getattr(fragment, part)), np.asarray(getattr(small, part)), err_msg=part
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["piece"]


@pytest.mark.parametrize(
    ("layout", "name"), [("tiff", "a.tif"), ("zarr", "a.zarr"), ("ome-zarr", "a.zarr")]
)
def test_volume_by_its_own_name_has_side_cars_beside_it(small, tmp_path, layout, name):
    fragment = open_fragment(write_fragment(small, tmp_path / name, layout))
    np.testing.assert_array_equal(fragment.read(), small.read())
    np.testing.assert_array_equal(np.asarray(fragment.label), np.asarray(small.label))
    with pytest.raises(FragmentError, match="already there"):
        write_fragment(small, tmp_path / name, layout)


def test_kaggle_layout_is_laid_out_as_kaggle_does(small, tmp_path):
    out = write_fragment(small, tmp_path / "deep" / "piece", about={"seed": 5})
    assert [path.name for path in sorted((out / "surface_volume").iterdir())] == [
        f"{z:02d}.tif" for z in range(7)
    ]
    assert {path.name for path in out.iterdir()} == {
        "surface_volume",
        "mask.png",
        "inklabels.png",
        "ir.png",
        "meta.json",
    }
    meta = json.loads((out / "meta.json").read_text())
    assert meta["voxelsize"] == 16.0
    assert meta["simulated"] is True
    assert meta["seed"] == 5


def test_existing_folder_is_left_alone(small, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(FragmentError, match="already there"):
        write_fragment(small, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_empty_folder_is_filled(small, tmp_path):
    (tmp_path / "empty").mkdir()
    write_fragment(small, tmp_path / "empty")
    assert (tmp_path / "empty" / "mask.png").exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_failure_midway_leaves_nothing(small, tmp_path, monkeypatch, layout):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "_write_side_cars", full)
    with pytest.raises(FragmentError, match="No space left"):
        write_fragment(small, tmp_path / "piece", layout)
    assert list(tmp_path.iterdir()) == []


def test_names_and_layouts_that_do_not_go_together_are_refused(small, tmp_path):
    with pytest.raises(SettingsError, match="unknown"):
        write_fragment(small, tmp_path / "a", "dicom")
    with pytest.raises(SettingsError, match="does not suit"):
        write_fragment(small, tmp_path / "a.zarr", "tiff")


def test_command_line_writes_what_the_function_makes(tmp_path, capsys):
    options = ["--seed", "5", "--depth", "5", "--height", "64", "--width", "80", "--reversed"]
    options += ["--voxel-size", "24", "--ink-strength", ".5", "--layout", "segment"]
    assert cli.main(["synth", str(tmp_path / "out"), *options]) == 0
    expected = synthesise(
        5, depth=5, height=64, width=80, voxel_size=24, ink_strength=0.5, reversed_depth=True
    )
    fragment = open_fragment(tmp_path / "out")
    np.testing.assert_array_equal(fragment.read(), expected.read())
    assert fragment.layout == "segment"
    assert fragment.voxel_size == (24.0, 24.0, 24.0)
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["seed"] == 5
    assert meta["reversed"] is True
    assert "simulated" in capsys.readouterr().out
    assert cli.main(["synth", str(tmp_path / "out"), *options]) == 2
    assert "already there" in capsys.readouterr().err
