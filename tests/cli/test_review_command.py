"""``napari-ink review``: plan a blind review of two predictions, tally what was picked."""

from __future__ import annotations

import json
import shutil

import pytest

from napari_ink.analysis.blind_review_file import ReviewFile
from napari_ink.cli import main
from napari_ink.inference.store import PredictionStore


@pytest.fixture(scope="module")
def pair(data, tmp_path_factory):
    """One prediction under two names, the second of another checkpoint by its record."""
    root = tmp_path_factory.mktemp("pair")
    paths = [root / "one.ink.zarr", root / "two.ink.zarr"]
    for path in paths:
        shutil.copytree(data / "done.ink.zarr", path)
    other = PredictionStore.open(paths[1])
    checkpoint = other.attributes["checkpoint"] | {"fingerprint": "another"}
    with_it = other.attributes | {"checkpoint": checkpoint}
    import zarr

    zarr.open_group(paths[1], mode="r+").update_attributes({"napari_ink": with_it})
    return [str(path) for path in paths]


@pytest.fixture
def planned(pair, tmp_path, capsys):
    path = tmp_path / "f.review.json"
    assert main(["review", *pair, "--out", str(path), "--side", "40px", "--regions", "6"]) == 0
    capsys.readouterr()
    return path


def judge(path, *choices, finish=False):
    file = ReviewFile.open(path)
    for choice in choices:
        file.keep(file.review.answered(choice))
    if finish:
        file.keep(file.review.closed())
    return file.review


def test_a_planned_review_says_what_it_holds_but_not_who_is_left(pair, tmp_path, capsys):
    path = tmp_path / "f.review.json"
    options = [
        "--side",
        "320",
        "--regions",
        "4",
        "--repeats",
        "2",
        "--seed",
        "5",
        "--reader",
        "Ada",
    ]
    assert main(["review", *pair, "--out", str(path), *options, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == {
        "review": str(path),
        "regions": 4,
        "repeats": 2,
        "side_px": 40,  # of 8 µm
        "side_um": 320.0,
        "seed": 5,
    }
    review = ReviewFile.open(path).review
    assert (review.reader, len(review.regions), review.place) == ("Ada", 6, 0)


def test_fewer_regions_than_asked_for_are_noted(pair, tmp_path, capsys):
    path = str(tmp_path / "f.review.json")
    assert main(["review", *pair, "--out", path, "--side", "60px", "--regions", "99"]) == 0
    assert "99 were asked for" in capsys.readouterr().err


def test_one_prediction_may_be_shown_at_two_cuts(pair, tmp_path, capsys):
    path = tmp_path / "f.review.json"
    command = ["review", pair[0], pair[0], "--out", str(path), "--side", "40px"]
    assert main([*command, "--cut", "own", "0.25"]) == 0
    review = ReviewFile.open(path).review
    assert (review.a.cut, review.b.cut) == (0.5, 0.25)


def test_the_tally_is_printed_and_notes_what_is_missing(planned, capsys):
    review = judge(planned, "left", "same")
    assert main(["review", str(planned)]) == 0
    shown = capsys.readouterr()
    winner = {"a": "A (one.ink.zarr)", "b": "B (two.ink.zarr)"}[review.regions[0].left]
    assert f"{winner} was the more legible in 1 of 1 decided region" in shown.out
    assert "no difference" in shown.out
    assert "not finished: 2 of 6 regions are judged" in shown.err


def test_the_tally_as_json_has_the_interval(planned, capsys):
    review = judge(planned, *["left"] * 6, finish=True)
    assert main(["review", str(planned), "--json"]) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    wins = [region.left for region in review.regions].count("a")
    assert (record["wins_a"], record["wins_b"], record["left_chosen"]) == (wins, 6 - wins, 6)
    assert record["interval_a"][0] < 0.5 < record["interval_a"][1]
    assert record["more_legible"] is None
    assert record["finished"] is True
    assert record["predictions"]["a"]["path"].endswith("one.ink.zarr")
    assert not shown.err


def test_several_readers_are_put_together(planned, tmp_path, capsys):
    other = tmp_path / "other.review.json"
    shutil.copy(planned, other)
    judge(planned, *["left"] * 6, finish=True)
    judge(other, *["right"] * 6, finish=True)
    assert main(["review", str(planned), str(other), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["readers"], record["wins_a"], record["wins_b"]) == (2, 6, 6)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["one"], "two predictions to plan"),
        (["one", "two", "one"], "two predictions to plan"),
        (["one", "two"], "give --out"),
        (["one", "two", "--out", "f.json"], "end in .review.json"),
        (["one", "one", "--out", "f.review.json"], "show the same"),
        (["one", "two", "--out", "f.review.json", "--cut", "x", "own"], "--cut 'x'"),
        (["one", "two", "--out", "f.review.json", "--cut", "2", "own"], "from 0 to 1"),
        (["one", "two", "--out", "f.review.json", "--side", "wide"], "--side 'wide'"),
        (["one", "two", "--out", "f.review.json", "--side", "nan"], "--side 'nan'"),
        (["one", "two", "--out", "no/f.review.json"], "cannot be written"),
        (["no.review.json"], "does not exist"),
        (["no.review.json", "--seed", "0"], "--seed with a review"),
        (["no.review.json", "no.review.json"], "given twice"),
    ],
)
def test_what_does_not_go_is_one_line_and_writes_nothing(
    pair, arguments, told, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    paths = dict(zip(("one", "two"), pair, strict=True))
    assert main(["review", *[paths.get(each, each) for each in arguments]]) == 2
    shown = capsys.readouterr()
    assert told in shown.err.splitlines()[-1]
    assert not shown.out
    assert not list(tmp_path.iterdir())


def test_a_review_that_is_there_is_not_overwritten(pair, planned, capsys):
    before = planned.read_bytes()
    assert main(["review", *pair, "--out", str(planned)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert planned.read_bytes() == before
