"""The most uncertain places: where they are, that tiles change nothing, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sampled_stores import PIXEL, plan_of, store

from napari_ink.analysis import uncertain
from napari_ink.analysis.doubt_maps import decision
from napari_ink.analysis.uncertain import finding, separated, smoothed, summits, uncertain_places
from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.store_writing import StoreWriter

SHAPE = (300, 400)


def bumps(*places, shape=SHAPE, width=6):
    """Round hills: ``(y, x, height)`` each."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    found = np.zeros(shape)
    for row, column, height in places:
        found += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
    return found


def half(shape=SHAPE):
    return np.full(shape, 0.5)


# --- where they are ------------------------------------------------------------------------------


def test_places_are_the_hills_from_the_highest_down(tmp_path):
    hills = bumps((60, 80, 0.4), (200, 300, 0.3), (250, 60, 0.2))
    ink = np.where(np.arange(400) < 200, 0.3, 0.7) * np.ones(SHAPE)
    found = uncertain_places(store(tmp_path / "a.ink.zarr", ink, hills), 3)
    assert [(place.y, place.x) for place in found] == [(60, 80), (200, 300), (250, 60)]
    assert [place.z for place in found] == [None] * 3
    np.testing.assert_allclose([place.ink for place in found], [0.3, 0.7, 0.3], atol=1e-3)
    # a Gaussian hill of 6 px, averaged by one of 2 px (a quarter of the stroke)
    lowered = 6**2 / (6**2 + 2**2)
    np.testing.assert_allclose([p.value for p in found], np.array([0.4, 0.3, 0.2]) * lowered, 0.01)
    assert all(place.spread == place.value for place in found)
    # half of the height at a radius of 1.177 standard deviations
    np.testing.assert_allclose([p.across for p in found], 2 * 1.177 * np.sqrt(40), rtol=0.05)


def test_a_place_near_a_worse_one_is_left_out(tmp_path):
    hills = bumps((100, 100, 0.4), (100, 130, 0.35), (100, 240, 0.1), width=4)
    kept = store(tmp_path / "a.ink.zarr", half(), hills)
    near = [place.x for place in uncertain_places(kept, 3, apart=40 * PIXEL)]
    assert near == [100, 240]
    close = [place.x for place in uncertain_places(kept, 3, apart=20 * PIXEL)]
    assert close == [100, 130, 240]


def test_each_measure_has_places_of_its_own(tmp_path):
    spread, information = bumps((60, 80, 0.3)), bumps((200, 300, 0.2))
    spread += 0.02
    ink = 0.9 - bumps((250, 100, 0.4))  # the cut, one half, runs through here
    kept = store(tmp_path / "a.ink.zarr", ink, spread, information)
    first = {by: uncertain_places(kept, 1, by)[0] for by in uncertain.MEASURES}
    assert (first["spread"].y, first["spread"].x) == (60, 80)
    assert (first["information"].y, first["information"].x) == (200, 300)
    assert (first["decision"].y, first["decision"].x) == (250, 100)


def test_decision_is_a_half_at_the_cut_and_nothing_where_samples_agree():
    ink, spread = np.array([0.5, 0.5, 0.7, 0.7]), np.array([0.1, 0.0, 0.2, 0.0])
    ours = decision(ink.astype(np.float32), spread.astype(np.float32), 0.5)
    np.testing.assert_allclose(ours, [0.5, 0, 0.158655, 0], atol=1e-5)  # one deviation away
    assert decision(np.float32([0.5]), np.float32([0.1]), np.inf)[0] == 0


def test_outside_the_papyrus_there_are_no_places(tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[:, 200:] = True
    hills = bumps((60, 80, 0.4), (200, 300, 0.1))
    known = np.where(mask, hills, np.nan)
    kept = store(tmp_path / "a.ink.zarr", np.where(mask, 0.5, np.nan), known, mask=mask)
    found = uncertain_places(kept, 5)
    assert (found[0].y, found[0].x) == (200, 300)
    assert all(place.x >= 200 for place in found)


def test_a_map_that_is_sure_everywhere_has_no_places(tmp_path):
    assert uncertain_places(store(tmp_path / "a.ink.zarr", half(), np.zeros(SHAPE))) == []


def test_a_volume_names_the_layer_of_each_place(tmp_path):
    spread = np.zeros((4, *SHAPE))
    spread[2] = bumps((60, 80, 0.4))
    spread[1] = bumps((200, 300, 0.3))
    ink = np.linspace(0.2, 0.8, 4)[:, None, None] * np.ones((4, *SHAPE))
    found = uncertain_places(store(tmp_path / "a.ink.zarr", ink, spread), 2)
    assert [(place.z, place.y, place.x) for place in found] == [(2, 60, 80), (1, 200, 300)]
    np.testing.assert_allclose([place.ink for place in found], [0.6, 0.4], atol=1e-3)


# --- large maps, unfinished maps -----------------------------------------------------------------


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    """Noise at 12.8 µm a pixel: a stroke is 32 px wide, two levels down it is 8."""
    random = np.random.default_rng(3)
    maps = random.random((2, 700, 900)).astype(np.float16)
    root = tmp_path_factory.mktemp("fine")
    mask = np.ones((700, 900), bool)
    mask[300:450, 200:600] = False
    maps[:, ~mask] = np.nan
    options = {"pixel": 12.8, "mask": mask}
    return [
        store(root / f"{name}.ink.zarr", *maps, finish=finish, **options)
        for name, finish in (("done", True), ("under-way", False))
    ]


def test_tiles_change_nothing(fine, monkeypatch):
    kept = fine[0]
    assert uncertain.level_of(kept) == 2
    assert len(kept.levels) > 1
    whole = uncertain_places(kept, 30)
    monkeypatch.setattr(uncertain, "_TILE", 64 * 64)
    assert uncertain_places(kept, 30) == whole
    assert len(list(finding(kept, 30))) > 6


def test_places_of_a_prediction_under_way_are_found_without_its_levels(fine):
    done, under_way = (uncertain_places(kept, 10) for kept in fine)
    assert len(fine[1].levels) == 1
    assert [(p.y, p.x) for p in under_way] == [(p.y, p.x) for p in done]
    np.testing.assert_allclose(
        [p.value for p in under_way], [p.value for p in done], atol=1e-3
    )  # levels are kept as float16


def test_places_on_a_coarse_level_are_in_pixels_of_the_fragment(tmp_path):
    hills = bumps((413, 650, 0.4), shape=(700, 900), width=24)
    kept = store(tmp_path / "a.ink.zarr", half((700, 900)), hills, pixel=12.8)
    (place,) = uncertain_places(kept, 1)
    assert abs(place.y - 413) <= 3
    assert abs(place.x - 650) <= 3
    assert place.across == pytest.approx(2 * 1.177 * np.hypot(24, 8), rel=0.06)


# --- against brute force -------------------------------------------------------------------------

steps = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)),
               elements=st.sampled_from([-np.inf, 0.0, 1.0, 2.0, 3.0]))  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(values=steps, reach=st.integers(1, 4))
def test_a_summit_comes_first_of_all_pixels_within_reach(values, reach):
    def order(y, x):
        return (-values[y, x], y, x)

    expected = np.zeros(values.shape, bool)
    for y, x in np.ndindex(values.shape):
        near = [
            order(row, column)
            for row, column in np.ndindex(values.shape)
            if abs(row - y) <= reach and abs(column - x) <= reach
        ]
        expected[y, x] = values[y, x] > 0 and min(near) == order(y, x)
    np.testing.assert_array_equal(summits(values, reach), expected)


peaks = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 20), st.integers(0, 20)), max_size=25, unique=True
)


@settings(max_examples=100, deadline=None)
@given(peaks=peaks, count=st.integers(1, 30), distance=st.integers(0, 12))
def test_separated_peaks_are_those_that_no_better_one_is_near(peaks, count, distance):
    rows = np.array([(*peak, 0) for peak in peaks], float).reshape(-1, 4)
    taken = separated(rows, count, distance)
    expected = []
    for peak in sorted(rows.tolist(), key=lambda row: (-row[0], row[1], row[2])):
        gaps = [np.hypot(peak[1] - kept[1], peak[2] - kept[2]) for kept in expected]
        if all(gap >= distance and gap > 0 for gap in gaps):
            expected.append(peak)
    assert taken.tolist() == expected[:count]


def test_means_leave_out_what_is_not_known():
    values = np.full((40, 60), 0.3, np.float32)
    values[:, 30:] = np.nan
    means = smoothed(values, 3.0)
    assert np.isneginf(means[:, 30:]).all()
    np.testing.assert_allclose(means[10:30, 10:30], 0.3, rtol=1e-5)  # also beside the edge
    values[:] = np.nan
    values[20, 30] = 0.3
    assert smoothed(values, 3.0).max() < 0.02  # one pixel alone is no place


# --- what is refused -----------------------------------------------------------------------------


def test_a_single_pass_is_refused_with_the_remedy(tmp_path):
    plan = plan_of(SHAPE, samples=1, dropout=None)
    StoreWriter.create_or_resume(tmp_path / "a.ink.zarr", plan).close()
    with pytest.raises(StoreError, match=r"a\.ink\.zarr is a single pass.*--samples 60"):
        uncertain_places(PredictionStore.open(tmp_path / "a.ink.zarr"))


def test_a_first_sample_says_nothing_yet(tmp_path):
    kept = store(tmp_path / "a.ink.zarr", half(), np.zeros(SHAPE), counts=1, finish=False)
    with pytest.raises(StoreError, match="no two samples"):
        uncertain_places(kept)


def test_samples_without_dropout_and_noise_are_told_from_a_prediction_under_way(tmp_path):
    kept = store(tmp_path / "a.ink.zarr", half(), np.zeros(SHAPE), counts=1)
    with pytest.raises(StoreError, match=r"all the same network.*--dropout"):
        uncertain_places(kept)


@pytest.mark.parametrize(
    "asked", [{"count": 0}, {"count": 2.0}, {"by": "entropy"}, {"apart": 0.0}, {"apart": np.nan}]
)
def test_numbers_that_make_no_sense_are_refused(fine, asked):
    with pytest.raises(SettingsError):
        uncertain_places(fine[0], **asked)


def test_a_damaged_chunk_is_named(tmp_path):
    kept = store(tmp_path / "a.ink.zarr", half(), bumps((60, 80, 0.4)))
    (tmp_path / "a.ink.zarr/spread/0/c/0/0").write_bytes(b"no chunk")
    with pytest.raises(StoreError, match=r"a\.ink\.zarr is damaged at rows 0"):
        uncertain_places(kept)
