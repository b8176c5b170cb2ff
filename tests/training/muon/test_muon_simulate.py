"""The command that simulates: the published layout, the same for all, gone on with."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from napari_ink.errors import SettingsError
from training.muon.scene import simulate
from training.muon.simulate import begin, main, part_file, parts_of, simulate_file

FEW = {"muons": 50}


def test_file_has_the_published_layout_and_says_that_it_is_simulated(tmp_path):
    out = tmp_path / "few.h5"
    simulate_file(out, 5, 3, processes=2, **FEW)
    with h5py.File(out) as file:
        assert file["x0"].dtype == np.float32
        assert np.issubdtype(file["targs"].dtype, np.integer)
        assert file["x0"].shape == file["targs"].shape == (5, 10, 10, 10)
        assert file.attrs["simulated"]
        x0, walls = simulate(3, 4, 50)
        np.testing.assert_array_equal(file["x0"][4], x0)
        np.testing.assert_array_equal(file["targs"][4], walls)
    assert [left.name for left in tmp_path.iterdir()] == ["few.h5"]


def test_parts_that_are_there_are_not_simulated_again(tmp_path):
    out = tmp_path / "few.h5"
    record = {"samples": 3, "seed": 0, "muons": 50}
    simulate_file(tmp_path / "other.h5", 3, processes=1, **FEW)
    with h5py.File(tmp_path / "other.h5") as file:
        record["version"] = file.attrs["version"]
    begin(parts_of(out), record)
    kept = np.full((3, 10, 10, 10), 7)
    with part_file(parts_of(out), 0).open("wb") as file:
        np.savez(file, x0=kept.astype(np.float32), targs=kept.astype(np.uint8))
    simulate_file(out, 3, processes=1, **FEW)
    with h5py.File(out) as file:
        assert (file["x0"][:] == 7).all()


def test_parts_of_another_simulation_are_refused_and_left_alone(tmp_path):
    out = tmp_path / "few.h5"
    begin(parts_of(out), {"samples": 9})
    with pytest.raises(SettingsError, match="another simulation"):
        simulate_file(out, 3, processes=1, **FEW)
    assert parts_of(out).exists()
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [(["--samples", "0"], "0 samples"), (["--samples", "2", "--seed", "-1"], "a seed of -1")],
)
def test_numbers_that_make_no_sense_are_one_line(words, named, tmp_path, capsys):
    assert main([str(tmp_path / "a.h5"), *words]) == 2
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_not_written_over(tmp_path, capsys):
    (tmp_path / "a.h5").write_text("mine")
    assert main([str(tmp_path / "a.h5"), "--samples", "2"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "a.h5").read_text() == "mine"
