"""``napari-ink probe``: figures that say the ink is simulated, and one line for what cannot be."""

import json

import pytest

from napari_ink.cli import main


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    out = tmp_path_factory.mktemp("probe") / "bare"
    size = ["--depth", "8", "--height", "320", "--width", "384", "--ink-strength", "0"]
    assert main(["synth", str(out), "--seed", "5", *size]) == 0
    return out


@pytest.fixture
def words(data, bare):
    given = ["--strengths", "1,.5", "--seeds", "2", "--device", "cpu"]
    return ["probe", str(bare), "--checkpoint", str(data / "c.safetensors"), *given]


def test_json_holds_every_figure_and_names_the_ink_simulated(words, capsys, tmp_path, bare):
    before = sorted(path.name for path in bare.rglob("*"))
    picture = tmp_path / "probe.png"
    assert main([*words, "--json", "--png", str(picture)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["ink"] == "simulated"
    assert record["strengths"] == [1.0, 0.5, 0.0]
    assert len(record["auc"]) == len(record["regions"]) == 2
    assert record["auc"][0][-1] == pytest.approx(0.5, abs=0.1)
    assert record["verdict"].startswith("simulated ink")
    assert picture.stat().st_size > 10_000
    assert sorted(path.name for path in bare.rglob("*")) == before


def test_a_blind_checkpoint_is_called_blind(words, capsys):
    assert main(words) == 0  # random weights, lit all over
    out, err = capsys.readouterr()
    assert "that is the papyrus" in err
    lines = out.splitlines()
    assert len(lines) == 1 + 3 + 1
    assert "a blank map says nothing here" in lines[-1]


def test_refusals_are_one_line(words, capsys, tmp_path):
    for given, said in (
        ([*words, "--strengths", "a,b"], "--strengths 'a,b'"),
        ([*words, "--strengths", "-1"], "ink strengths -1"),
        ([*words, "--seeds", "0"], "0 tries"),
        ([*words, "--layers", "0:5"], "0:5 are 5"),
        ([*words, "--png", str(tmp_path)], "--png"),
    ):
        assert main(given) == 2
        out, err = capsys.readouterr()
        assert not out
        (line,) = err.splitlines()
        assert said in line
