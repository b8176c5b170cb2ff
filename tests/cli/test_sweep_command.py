"""``napari-ink sweep``: a table or JSON alone, a picture, and one line for what cannot be."""

import json

import pytest

from napari_ink.cli import main


@pytest.fixture
def words(data):
    region = ["--region", "20:120,40:180", "--step", "1", "--device", "cpu"]
    return ["sweep", str(data / "fragment"), "--checkpoint", str(data / "c.safetensors"), *region]


def test_json_holds_every_candidate_and_the_best(words, capsys, tmp_path):
    sheet = tmp_path / "sheet.png"
    assert main([*words, "--json", "--sheet", str(sheet)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["region"] == [20, 120, 40, 180]
    assert len(record["candidates"]) == 2 * 2 + 6
    keys = {"direction", "reverse_depth", "turn", "layers", "separation", "auc"}
    assert all(set(one) == keys for one in record["candidates"])
    assert record["shows_strokes"] is False  # noise
    assert record["best"] in record["candidates"]
    assert record["best"]["separation"] == max(one["separation"] for one in record["candidates"])
    assert {one["turn"] for one in record["candidates"]} == {0, 90, 180, 270}
    assert all(0 <= one["auc"] <= 1 for one in record["candidates"])  # the fragment's own label
    assert sheet.stat().st_size > 10_000


def test_table_says_when_no_map_shows_strokes(words, capsys):
    assert main(words) == 0  # noise
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layers", "direction", "turn", "separation", "AUC"]
    assert len(lines) == 1 + 10 + 1
    assert lines[1].endswith("best")
    assert "no map shows strokes" in lines[-1]


def test_refusals_are_one_line_and_come_before_the_work(words, data, capsys, tmp_path):
    other = tmp_path / "other"
    assert main(["synth", str(other), "--seed", "1", "--depth", "4", "--height", "64",
                 "--width", "64"]) == 0  # fmt: skip
    capsys.readouterr()
    few = ["sweep", str(other), *words[2:]]
    small = str(other / "inklabels.png")
    for given, said in (
        (few, "has 4 layers, the checkpoint takes 8"),
        ([*words, "--step", "0"], "a step of 0 layers"),
        ([*words, "--region", "5:2,1:4"], "--region"),
        ([*words, "--label", small], "64 × 64 pixels"),
        ([*words, "--sheet", str(tmp_path / "no/sheet.png")], "cannot be written"),
        ([*words, "--sheet", str(tmp_path / "sheet.txt")], ".png"),
    ):
        assert main(given) == 2
        out, err = capsys.readouterr()
        assert not out
        (line,) = err.splitlines()
        assert said in line
