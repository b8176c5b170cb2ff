"""Few chosen samples stand for many random ones, and how well is measured honestly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_fakes import noise_fragment
from test_monte_carlo import SHAPE, asked, assert_same, last_maps, network, single_maps

from napari_ink.errors import SettingsError
from napari_ink.inference.chosen_order import (
    SampleOrder,
    chosen,
    chosen_order,
    exchanged,
    herded,
    power_law,
    similarities,
    squared_errors,
)
from napari_ink.inference.monte_carlo import FEWEST_CHOSEN, MonteCarlo, monte_carlo_of
from napari_ink.inference.passes import Passes
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.trial import _thinned
from napari_ink.inference.trial_windows import (
    MOST_CHOSEN,
    PLACES,
    TrialWindows,
    candidates_for,
    trial_boxes,
    trial_windows,
    whether_to_choose,
)
from napari_ink.inference.work import reader_of


def length(table, rows):
    return np.linalg.norm(table[list(rows)].sum(axis=0))


@st.composite
def tables(draw):
    """Rows about their mean, a few that come first, and how many to take."""
    rows, values = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    table = np.random.default_rng(draw(st.integers(0, 2**31))).normal(size=(rows, values))
    begun = draw(st.lists(st.integers(0, rows - 1), unique=True, max_size=rows - 1))
    return table - table.mean(axis=0), begun, draw(st.integers(len(begun) + 1, rows))


@settings(max_examples=50, deadline=None)
@given(tables())
def test_each_row_brings_the_mean_nearest_to_that_of_all(drawn):
    table, begun, count = drawn
    order = herded(table @ table.T, count, begun)
    assert order[: len(begun)] == begun
    assert len(set(order)) == count
    for place in range(len(begun), count):
        lengths = {
            row: length(table, [*order[:place], row])
            for row in set(range(len(table))) - {*order[:place]}
        }
        assert lengths[order[place]] <= min(lengths.values()) + 1e-9


@settings(max_examples=50, deadline=None)
@given(tables())
def test_no_exchange_of_one_row_for_another_brings_the_mean_nearer(drawn):
    table, begun, count = drawn
    products = table @ table.T
    start = herded(products, count, begun)
    found = exchanged(products, start, len(begun))
    assert found[: len(begun)] == begun
    assert len(set(found)) == count
    assert length(table, found) <= length(table, start) + 1e-9
    for place in range(len(begun), count):
        for other in set(range(len(table))) - set(found):
            swapped = [*found[:place], other, *found[place + 1 :]]
            assert length(table, found) <= length(table, swapped) + 1e-6
    assert set(chosen(products, count, begun)) == set(found)
    assert chosen(products, count, begun)[: len(begun)] == begun


def maps_of(rank, seed, candidates=128, pixels=1500, noise=0.02):
    """Maps that differ in a few ways all over, as those of sub-networks do; one window."""
    rng = np.random.default_rng(seed)
    ways = rng.normal(size=(rank, pixels))
    maps = rng.normal(size=(candidates, rank)) @ ways * 0.1 / rank**0.5
    maps = 0.5 + maps + noise * rng.normal(size=maps.shape)
    return maps.astype(np.float32)


def in_windows(maps):
    """As if every pixel were of one of four windows."""
    return np.stack([maps[:, start::4][:, : maps.shape[1] // 4] for start in range(4)], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_where_samples_differ_in_few_ways_few_are_enough(seed):
    drawn = MonteCarlo(30, None, 0.2, 0.5, 0, choosing=True)
    order = chosen_order(in_windows(maps_of(3, seed)), drawn, (0,))
    assert order.indices[0] == 0
    assert len(order) < 20
    assert order.factors[-1] <= 1 / 30


@pytest.mark.parametrize("seed", range(5))
def test_luck_on_few_windows_does_not_end_the_samples_early(seed):
    drawn, maps = MonteCarlo(30, None, 0.2, 0.5, 0, choosing=True), maps_of(60, seed, pixels=60)
    order = chosen_order(in_windows(maps), drawn, (0,))
    passes = Passes(monte_carlo=drawn)
    enough = [passes.is_enough(n, 0.1, order.factor(n)) for n in range(1, len(order) + 1)]
    assert enough == [False] * (len(order) - 1) + [True]


@pytest.mark.parametrize("rank", [2, 10, 60])
def test_the_error_that_is_stated_is_that_of_unseen_pixels(rank):
    drawn = MonteCarlo(60, None, 0.2, 0.5, 0, choosing=True)
    stated, true = [], []
    for seed in range(8):
        maps = maps_of(rank, seed)
        order = chosen_order(in_windows(maps[:, ::2]), drawn, (0,))
        stated.append(order.factors[-1])
        true.append(squared_errors(maps[:, 1::2], order.indices)[-1] + 1 / len(maps))
    assert 0.7 < np.mean(stated) / np.mean(true) < 1.5


def test_a_choice_that_cannot_be_judged_is_none():
    drawn = MonteCarlo(30, None, 0.2, 0.5, 0, choosing=True)
    assert chosen_order(maps_of(3, 0)[:, None], drawn, (0,)) == SampleOrder.plain(30)


def test_samples_without_anything_in_common_are_no_better_than_random_ones():
    """Nothing learned on one window holds on another: then nothing is claimed either."""
    maps = np.random.default_rng(0).normal(0.5, 0.1, size=(64, 16000)).astype(np.float32)
    drawn = MonteCarlo(64, None, 0.2, 0.5, 0, choosing=True)
    order = chosen_order(in_windows(maps), drawn, (0,))
    assert len(order) > 50
    counts = np.arange(1, 41)
    random = (1 / counts) * (1 - counts / 64) + 1 / 64  # drawn from 64 without putting back
    np.testing.assert_allclose(np.array(order.factors[:40]) / random, 1, atol=0.25)


def test_squared_errors_are_those_of_running_means():
    maps, order = maps_of(4, 0, candidates=9), [4, 0, 7]
    truth, variance = maps.mean(axis=0), maps.var(axis=0, ddof=1).mean()
    expected = [((maps[order[:n]].mean(axis=0) - truth) ** 2).mean() / variance for n in (1, 2, 3)]
    np.testing.assert_allclose(squared_errors(maps, order), expected, rtol=1e-4)


def test_similarities_are_a_centred_gaussian_kernel():
    maps = maps_of(2, 0, candidates=6)
    flat = maps.astype(np.float64)
    distances = ((flat[:, None] - flat) ** 2).sum(axis=-1)
    kernel = np.exp(-distances / (6 * flat.var(axis=0).sum()))
    centre = np.eye(6) - 1 / 6
    np.testing.assert_allclose(similarities(maps), centre @ kernel @ centre, atol=1e-5)
    assert np.isfinite(similarities(np.full((4, 9), 0.5, np.float32))).all()


def test_errors_are_told_by_a_falling_power():
    counts = np.arange(1, 50)
    np.testing.assert_allclose(
        power_law(np.array([5, 9, 30]), 2 * np.array([5, 9, 30.0]) ** -1.3, counts),
        2 * counts**-1.3,
    )
    rising = power_law(np.array([5, 10]), np.array([0.1, 0.2]), counts)
    assert (np.diff(rising) == 0).all()
    assert power_law(np.array([5]), np.array([0.1]), counts[:3]).tolist() == [0.1] * 3


@given(st.integers(2, 400), st.integers(1, 10**9), st.integers(0, 60), st.integers(0, 3000))
def test_candidates_are_the_more_the_larger_the_map_and_never_too_few(samples, area, halo, begun):
    windows = trial_windows(8, halo, None)
    found = candidates_for(samples, area, windows, (0, begun))
    assert found & (found - 1) == 0
    assert found > max(2 * samples - 1, begun)
    assert found <= max(9 * samples, 2 * begun + 1)
    assert candidates_for(samples, 2 * area, windows, (0, begun)) >= found


def test_windows_have_the_context_of_the_network_or_the_size_of_the_recipe():
    assert trial_windows(8, 28, None) == TrialWindows(48, 8)
    assert trial_windows(16, 40, None) == TrialWindows(64, 16)
    assert trial_windows(8, 28, 64) == TrialWindows(64, 0)
    assert trial_windows(8, 28, None).area == 24 * 48**2
    found = [candidates_for(60, n, TrialWindows(48, 8)) for n in (10**6, 9 * 10**6, 10**9)]
    assert found == [128, 512, 512]


def test_random_samples_are_as_sure_as_their_number():
    order = SampleOrder.plain(4)
    assert order.indices == (0, 1, 2, 3)
    assert [order.factor(n) for n in (1, 2, 4, 9)] == [1, 1 / 2, 1 / 4, 1 / 4]


CHOSEN = {"samples": 12, "sampling": "chosen"}


def test_chosen_samples_are_the_networks_of_their_indices(tmp_path):
    fragment, model, path = noise_fragment(SHAPE), network(), tmp_path / "a.ink.zarr"
    mean, _ = last_maps(predict(fragment, model, asked(**CHOSEN), store=path))
    store = PredictionStore.open(path)
    assert store.order.indices[0] == 0
    assert 5 <= len(store.order) <= 12
    assert max(store.order.indices) < 32
    count = int(store.samples.counts.max())
    drawn = monte_carlo_of(asked(**CHOSEN), model)
    maps = single_maps(model, fragment, drawn, store.order.indices[:count])
    np.testing.assert_allclose(mean, maps.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("records", [1, 2, 4, 8])
def test_chosen_stopped_and_gone_on_with_it_is_as_if_never_stopped(tmp_path, records):
    fragment, model = noise_fragment(SHAPE), network()
    whole, path = tmp_path / "whole.ink.zarr", tmp_path / "a.ink.zarr"
    list(predict(fragment, model, asked(**CHOSEN), store=whole))
    running = predict(fragment, model, asked(**CHOSEN), store=path)
    for _ in range(records):
        next(running)
    running.close()
    list(predict(fragment, model, asked(**CHOSEN), store=path))
    assert_same(path, whole)
    assert PredictionStore.open(path).order == PredictionStore.open(whole).order


def test_more_chosen_samples_keep_those_that_were_run(tmp_path):
    fragment, model, path = noise_fragment(SHAPE), network(), tmp_path / "a.ink.zarr"
    list(predict(fragment, model, asked(**CHOSEN), store=path))
    first = PredictionStore.open(path)
    begun = first.order.indices[: int(first.samples.counts.max())]
    list(predict(fragment, model, asked(**CHOSEN | {"samples": 24}), store=path))
    store = PredictionStore.open(path)
    assert store.order.indices[: len(begun)] == begun
    assert len(store.order) > len(begun)
    assert len(set(store.order.indices)) == len(store.order)


def test_windows_of_the_trial_lie_on_papyrus_whatever_the_region():
    fragment, model = noise_fragment(SHAPE), network()
    plan = plan_prediction(fragment, model, asked(**CHOSEN))
    windows = TrialWindows(48, 8)
    found = trial_boxes(plan, reader_of(fragment, plan, None), windows)
    assert len(set(found)) == PLACES
    mask = np.asarray(fragment.mask)
    for box in found:
        assert mask[box.slices].shape == (48, 48)
        assert mask[box.slices].mean() >= 0.5
        assert box.y0 % plan.multiple_of == box.x0 % plan.multiple_of == 0
    part = plan_prediction(fragment, model, asked(**CHOSEN, region=(0, 60, 100, 160)))
    assert trial_boxes(part, reader_of(fragment, part, None), windows) == found


def test_where_no_window_is_papyrus_for_the_most_part_the_best_one_is_taken():
    mask = np.zeros(SHAPE[1:], bool)
    mask[100:103] = True
    fragment, model = noise_fragment(SHAPE, mask=mask), network()
    plan = plan_prediction(fragment, model, asked(**CHOSEN))
    (found,) = trial_boxes(plan, reader_of(fragment, plan, None), TrialWindows(48, 8))
    assert mask[found.slices].any()


def test_small_maps_take_samples_as_they_come_and_large_ones_choose():
    model = network()
    small = plan_prediction(noise_fragment(SHAPE), model, asked(samples=12))
    large = plan_prediction(noise_fragment((8, 1200, 1200)), model, asked(samples=12))
    assert (small.monte_carlo.chosen, large.monte_carlo.chosen) == (False, True)


def test_few_samples_come_as_they_are_until_more_are_asked_for(tmp_path):
    fragment, model, path = noise_fragment(SHAPE), network(), tmp_path / "a.ink.zarr"
    few, told = CHOSEN | {"samples": FEWEST_CHOSEN - 1}, []
    list(predict(fragment, model, asked(**few), store=path, notice=told.append))
    store = PredictionStore.open(path)
    assert any("9 samples are run as they come" in line for line in told)
    assert "sample_order" not in store.attributes
    assert store.sampled()["least"] == 9
    open_ = CHOSEN | {"samples": 40, "sampling": "auto"}  # the store knows how
    list(predict(fragment, model, asked(**open_), store=path))
    store = PredictionStore.open(path)
    assert store.order.indices[:9] == tuple(range(9))
    assert store.order.indices != tuple(range(len(store.order)))


@pytest.mark.parametrize(
    ("sampling", "samples", "side", "area", "found"),
    [
        ("auto", 60, 500, 10**7, True),
        ("auto", 60, 500, 10**5, False),
        ("auto", 60, 50, 10**7, False),
        ("auto", MOST_CHOSEN + 1, 500, 10**7, False),
        ("random", 60, 500, 10**7, False),
        ("chosen", 60, 500, 10**5, True),
        ("chosen", 60, 50, 10**7, "smaller than the windows of 64 px"),
        ("chosen", 9, 500, 10**7, "9 samples are run as they come"),
    ],
)
def test_samples_are_chosen_where_that_is_possible_or_it_is_said_why_not(
    sampling, samples, side, area, found
):
    windows = TrialWindows(64, 16)
    chosen, told = whether_to_choose(sampling, samples, (side, 900), area, windows)
    if isinstance(found, str):
        assert found in told
    else:
        assert (chosen, told) == (found, None)


def test_too_many_to_choose_are_refused():
    with pytest.raises(SettingsError, match="at most 1024"):
        whether_to_choose("chosen", 1025, (900, 900), 10**7, TrialWindows(64, 16))


def test_of_large_maps_so_many_values_are_kept_as_can_be_held():
    maps = np.arange(2 * 256 * 256, dtype=np.float32).reshape(2, 256, 256) % 256 / 256
    kept = _thinned(maps)
    assert kept.shape[0] == 2
    assert 1 << 11 < kept.shape[1] <= 1 << 12
    assert set(kept[1] * 256) == set(range(256))  # of every column
    np.testing.assert_array_equal(_thinned(maps[:, :16]), maps[:, :16].reshape(2, -1))
