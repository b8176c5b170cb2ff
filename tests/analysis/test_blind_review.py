"""Blind reviews: regions, sides, pictures, and the file that holds it all."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from review_stores import SHAPE, Scaled, bare_review, noise, planned, store, strokes

from napari_ink.analysis import blind_review_file
from napari_ink.analysis.blind_review import CHOICES, KEYS
from napari_ink.analysis.blind_review_file import ReviewFile
from napari_ink.analysis.blind_review_pictures import OWN, Pair, Side
from napari_ink.analysis.blind_review_plan import plan_review, usual_side
from napari_ink.errors import InkError, SettingsError, StoreError
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store_writing import keep_thresholds


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Two predictions: one with strokes everywhere, one with strokes on the left only."""
    root = tmp_path_factory.mktemp("review")
    some = strokes(period=32)
    some[:, SHAPE[1] // 2 :] = 0.0
    return store(root / "a.ink.zarr", strokes()), store(root / "b.ink.zarr", some, weight=1.5)


@pytest.fixture
def sides(paths):
    return tuple(map(Side, paths))


# --- planning -----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), side=st.sampled_from([40, 64, 84]))
def test_regions_are_disjoint_on_papyrus_and_balanced_for_every_seed(paths, seed, count, side):
    a, b = map(Side, paths)
    review = planned(a, b, regions=count, side=side, seed=seed)
    seen = np.zeros(SHAPE, int)
    for region in review.regions:
        assert region.box.shape == (side, side)
        assert region.box.y1 <= SHAPE[0]
        assert region.box.x1 <= SHAPE[1]
        seen[region.box.slices] += 1
        assert np.isfinite(a.probability(region.box)).mean() >= 0.9
    assert seen.max() == 1
    assert 1 <= len(review.regions) <= count
    lefts = [region.left for region in review.regions]
    assert abs(lefts.count("a") - lefts.count("b")) <= 1


def test_the_same_seed_plans_the_same_and_another_seed_another(sides):
    def of(seed):
        return planned(*sides, regions=8, side=48, repeats=3, seed=seed).regions

    assert of(3) == of(3)
    assert of(3) != of(4)


@pytest.mark.parametrize("count", [1, 4])
def test_sides_are_drawn_anew_for_every_seed(sides, count):
    plans = [planned(*sides, regions=count, side=64, seed=seed) for seed in range(40)]
    firsts = [plan.regions[0].left for plan in plans]
    assert 10 <= firsts.count("a") <= 30


def test_regions_hold_ink_of_at_least_one(tmp_path):
    values = np.zeros(SHAPE, np.float32)
    values[100:260, 300:420] = 1.0
    fragment = {"mask": False}
    a = Side(store(tmp_path / "a.ink.zarr", np.zeros(SHAPE, np.float32), **fragment))
    b = Side(store(tmp_path / "b.ink.zarr", values, weight=1.5, **fragment))
    for seed in range(5):
        for region in planned(a, b, side=40, seed=seed).regions:
            assert (b.probability(region.box) > 0.5).any()


def test_maps_without_ink_are_reviewed_where_there_is_papyrus(tmp_path):
    faint = np.full(SHAPE, 0.2, np.float32)
    a = Side(store(tmp_path / "a.ink.zarr", faint))
    b = Side(store(tmp_path / "b.ink.zarr", faint, weight=1.5))
    assert len(planned(a, b, regions=6, side=48).regions) == 6


def test_repeats_are_swapped_later_and_never_follow_at_once(sides):
    for seed, count in enumerate([10] * 5 + [2] * 8):
        repeats = count // 2
        regions = planned(*sides, regions=count, side=48, repeats=repeats, seed=seed).regions
        assert len(regions) == count + repeats
        places = [k for k, region in enumerate(regions) if region.repeats is not None]
        assert len({regions[k].repeats for k in places}) == repeats
        for k in places:
            first = regions[regions[k].repeats]
            assert first.repeats is None
            assert (first.box, first.pixels) == (regions[k].box, regions[k].pixels)
            assert first.left != regions[k].left
            assert regions[k].repeats < k - 1


def test_the_usual_side_is_5_mm_or_two_fifths_of_a_small_fragment():
    assert usual_side((8000, 6000), 8.0) == 625
    assert usual_side((8000, 6000), None) == 625
    assert usual_side((640, 1280), 16.0) == 256


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"regions": 0}, "at least one"),
        ({"regions": 4, "repeats": 3}, "at most half"),
        ({"seed": -1}, "from 0 on"),
        ({"side": 5}, "choose a side"),
        ({"side": 4000}, "choose a side"),
        ({"side": 356}, "smaller side"),  # no such square is all papyrus
    ],
)
def test_what_cannot_be_planned_is_one_clear_line(sides, options, told):
    with pytest.raises(SettingsError, match=told):
        list(plan_review(*sides, **options))


# --- which two, and what of them ------------------------------------------------------------------


def test_predictions_of_another_fragment_are_refused(sides, tmp_path):
    other = Side(store(tmp_path / "o.ink.zarr", strokes(), seed=1))
    with pytest.raises(SettingsError, match="another fragment: choose two predictions of one"):
        planned(sides[0], other)


def test_one_prediction_twice_needs_two_cuts(paths):
    with pytest.raises(SettingsError, match="show the same"):
        planned(Side(paths[0]), Side(paths[0]))
    review = planned(Side(paths[0], 0.05), Side(paths[0], OWN), regions=2, side=48)
    assert (review.a.cut, review.b.cut) == (0.05, 0.5)
    left, right = Pair(review).read(0)
    shown = {"a": left, "b": right} if review.regions[0].left == "a" else {"a": right, "b": left}
    assert np.nanmin(shown["a"]) == 1.0
    assert set(np.unique(shown["b"][np.isfinite(shown["b"])])) == {0.0, 1.0}


def test_the_own_cut_is_the_one_kept_in_the_store(tmp_path):
    path = store(tmp_path / "a.ink.zarr", strokes())
    keep_thresholds(path, {"thresholds": [0.25]})
    assert Side(path, OWN).cut == 0.25


def test_pictures_are_left_and_right_as_the_region_has_it(sides):
    review = planned(*sides, regions=6, side=48, seed=1)
    pair = Pair(review)
    for place, region in enumerate(review.regions):
        left, right = pair.read(place)
        first, second = (left, right) if region.left == "a" else (right, left)
        expected = [side.probability(region.box) for side in sides]
        unknown = np.isnan(expected[0]) | np.isnan(expected[1])
        for found, values in zip((first, second), expected, strict=True):
            np.testing.assert_array_equal(found, np.where(unknown, np.nan, values))


def test_all_checkpoints_of_a_mean_are_told(tmp_path):
    models = [Scaled(weight).eval() for weight in (1.0, 0.5, 0.25)]
    asked = PredictionSettings(device="cpu")
    told = []
    for number, others in enumerate((models[1:2], models[2:])):
        path = tmp_path / f"{number}.ink.zarr"
        list(predict(noise((4, *SHAPE)), [models[0], *others], asked, store=path))
        told.append(Side(path).shown.provenance["members"])
    assert [len(members) for members in told] == [2, 2]
    assert told[0][0] == told[1][0]
    assert told[0][1] != told[1][1]


def test_what_one_does_not_know_neither_shows(tmp_path):
    from napari_ink.inference.settings import Box

    a = Side(store(tmp_path / "a.ink.zarr", strokes(), mask=False))
    holes = strokes(period=32)
    holes[::16, ::16] = np.nan
    b = Side(store(tmp_path / "b.ink.zarr", holes, weight=1.5, mask=False))
    review = planned(a, b, regions=4, side=64)
    for place in range(len(review.regions)):
        left, right = Pair(review).read(place)
        assert np.isnan(left).any()
        np.testing.assert_array_equal(np.isnan(left), np.isnan(right))
    assert np.isfinite(a.probability(Box(0, 64, 0, 64))).all()


def test_of_many_layers_one_is_chosen(tmp_path):
    fragment = {"mask": False}
    values = np.stack([strokes() * (k + 1) / 4 for k in range(4)])
    path = store(tmp_path / "v.ink.zarr", values, **fragment)
    with pytest.raises(SettingsError, match=r"4 layers.*#0 to #3"):
        Side(path)
    with pytest.raises(SettingsError, match="#0 to #3"):
        Side(f"{path}#4")
    review = planned(Side(f"{path}#1"), Side(f"{path}#3"), regions=2, side=48)
    left, right = Pair(review).read(0)
    assert sorted((np.nanmax(left), np.nanmax(right))) == pytest.approx([0.45, 0.9], abs=1e-3)


def test_a_cut_that_is_no_probability_is_refused(paths):
    with pytest.raises(SettingsError, match="from 0 to 1"):
        Side(paths[0], 1.5)


# --- going on -------------------------------------------------------------------------------------


def test_a_prediction_that_changed_since_is_refused(paths, tmp_path):
    a = store(tmp_path / "a.ink.zarr", strokes())
    review = planned(Side(a), Side(paths[1]), regions=3, side=48)
    zarr.open_group(a, mode="r+")["ink/0"][review.regions[1].box.slices] = 0.3
    pair = Pair(review)
    pair.read(0)
    with pytest.raises(StoreError, match="has changed since the review was planned"):
        pair.read(1)


def test_another_prediction_at_the_same_place_is_refused(paths, tmp_path):
    review = planned(*map(Side, paths), regions=3, side=48)
    path = store(tmp_path / "other.ink.zarr", strokes(), weight=5.5)
    changed = replace(review, a=replace(review.a, path=str(path)))
    with pytest.raises(StoreError, match=r"other\.ink\.zarr has changed"):
        Pair(changed)


def test_predictions_are_found_beside_the_review_and_missed_by_name(paths, tmp_path):
    review = planned(*map(Side, paths), regions=3, side=48)
    moved = replace(review, a=replace(review.a, path="/gone/a.ink.zarr"))
    Pair(moved, beside=paths[0].parent).read(0)
    with pytest.raises(StoreError, match=r"a\.ink\.zarr does not exist"):
        Pair(moved, beside=tmp_path)


def test_every_answer_is_on_disk_at_once(tmp_path):
    file = ReviewFile.create(tmp_path / "f.review.json", bare_review())
    for done, choice in enumerate(CHOICES, 1):
        file.keep(file.review.answered(choice))
        again = ReviewFile.open(file.path).review
        assert [answer.choice for answer in again.answers] == list(CHOICES[:done])
        assert again == file.review
    assert os.listdir(tmp_path) == ["f.review.json"]


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = ReviewFile.create(tmp_path / "f.review.json", bare_review())
    before = file.path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blind_review_file.os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot be written \(No space left"):
        file.keep(file.review.answered("left"))
    assert file.path.read_bytes() == before
    assert os.listdir(tmp_path) == ["f.review.json"]
    monkeypatch.undo()
    file.keep(file.review.answered("left"))
    assert ReviewFile.open(file.path).review.place == 1


def test_two_readers_do_not_overwrite_one_another(tmp_path):
    first = ReviewFile.create(tmp_path / "f.review.json", bare_review())
    second = ReviewFile.open(first.path)
    first.keep(first.review.answered("left"))
    with pytest.raises(StoreError, match="changed or removed by somebody else"):
        second.keep(second.review.answered("right"))
    assert ReviewFile.open(first.path).review == first.review


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    ReviewFile.create(tmp_path / "f.review.json", bare_review())
    with pytest.raises(StoreError, match="is there already"):
        ReviewFile.create(tmp_path / "f.review.json", bare_review())


def test_undo_takes_the_last_answer_and_a_closed_review_stays():
    review = bare_review("ab", ("left", "right"))
    assert review.undone().answers == review.answers[:1]
    assert bare_review("ab").undone().place == 0
    closed = review.closed()
    assert closed.undone() == closed
    assert closed.closed() == closed
    with pytest.raises(ValueError, match="region 2 of 2"):
        review.answered("left")


def spoilt(tmp_path, change):
    path = tmp_path / "f.review.json"
    ReviewFile.create(path, bare_review("aab", ("left",), repeats={2: 0}))
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["answers"].append({"choice": "maybe", "at": r["created"]}),
        lambda r: r["answers"].extend(r["answers"] * 3),
        lambda r: r["answers"][0].update(at="yesterday"),
        lambda r: r["regions"][0].update(left="c"),
        lambda r: r["regions"][0].update(box=[4, 2, 0, 1]),
        lambda r: r["regions"][1].update(repeats=2),
        lambda r: r["regions"].clear(),
        lambda r: r["a"].pop("digest"),
        lambda r: r.update(b=None),
        lambda r: r.update(fragment=[]),
        lambda r: r.update(finished=3),
        lambda r: r.pop("seed"),
    ],
)
def test_a_damaged_file_is_one_clear_error(tmp_path, change):
    path = spoilt(tmp_path, change)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"f\.review\.json is damaged"):
        ReviewFile.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "other", "version": 1}', "\x00"])
def test_a_foreign_file_is_one_clear_error(tmp_path, text):
    path = tmp_path / "f.review.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="is no blind review"):
        ReviewFile.open(path)


def test_files_of_later_versions_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(StoreError, match="format version 9"):
        ReviewFile.open(spoilt(tmp_path, lambda r: r.update(version=9)))
    with pytest.raises(StoreError, match="does not exist"):
        ReviewFile.open(tmp_path / "no.review.json")
    with pytest.raises(InkError, match="cannot be read"):
        ReviewFile.open(tmp_path)


def test_the_file_holds_all_there_is_to_know(paths, tmp_path):
    review = planned(*map(Side, paths), regions=3, side=48, seed=7, reader=" Ada ")
    record = json.loads(ReviewFile.create(tmp_path / "f.review.json", review).path.read_text())
    assert (record["seed"], record["reader"]) == (7, "Ada")
    assert record["fragment"]["fingerprint"]
    for key in KEYS:
        assert record[key]["path"].endswith(f"{key}.ink.zarr")
        assert record[key]["provenance"]["checkpoint"]["fingerprint"]
        assert record[key]["provenance"]["settings"]["device"] == "cpu"
    assert record["a"]["digest"] != record["b"]["digest"]
