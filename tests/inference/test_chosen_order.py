"""Few chosen samples stand for many random ones, and how well is measured honestly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_fakes import noise_fragment
from test_monte_carlo import SHAPE, asked, assert_same, last_maps, network, single_maps

from napari_ink.inference.chosen_order import (
    SampleOrder,
    candidates_for,
    chosen_order,
    features,
    herded,
)
from napari_ink.inference.monte_carlo import MonteCarlo, monte_carlo_of
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.trial import probe_boxes
from napari_ink.inference.work import reader_of


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 2**31), st.data())
def test_each_row_brings_the_mean_nearest_to_that_of_all(rows, values, seed, data):
    table = np.random.default_rng(seed).normal(size=(rows, values))
    table -= table.mean(axis=0)
    begun = data.draw(st.lists(st.integers(0, rows - 1), unique=True, max_size=rows - 1))
    count = data.draw(st.integers(len(begun) + 1, rows))
    order = herded(table, count, begun)
    assert order[: len(begun)] == begun
    assert len(set(order)) == count
    for place in range(len(begun), count):
        lengths = {
            row: np.linalg.norm(table[[*order[:place], row]].sum(axis=0))
            for row in set(range(rows)) - set(order[:place])
        }
        assert lengths[order[place]] <= min(lengths.values()) + 1e-9


def maps_of(rank, seed, candidates=128, windows=24, pixels=60, noise=0.02):
    """Maps that differ in a few ways all over, as those of sub-networks do."""
    rng = np.random.default_rng(seed)
    ways = rng.normal(size=(rank, windows * pixels))
    maps = rng.normal(size=(candidates, rank)) @ ways * 0.1 / rank**0.5
    maps = 0.5 + maps + noise * rng.normal(size=maps.shape)
    return maps.reshape(candidates, windows, pixels).astype(np.float32)


def squared_error(maps, order):
    """Against the mean of all, in variances: after 1, 2, … of them."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    means = np.cumsum(flat[list(order)], axis=0) / np.arange(1, len(order) + 1)[:, None]
    return ((means - flat.mean(axis=0)) ** 2).mean(axis=1) / flat.var(axis=0, ddof=1).mean()


@pytest.mark.parametrize("seed", range(5))
def test_where_samples_differ_in_few_ways_few_are_enough(seed):
    drawn = MonteCarlo(30, None, 0.2, 0.5, 0, chosen=True)
    order = chosen_order(maps_of(3, seed), drawn, (0,))
    assert order.indices[0] == 0
    assert len(order) < 15
    assert order.factors[-1] <= 1 / 30


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rank", [2, 10, 60])
def test_the_error_that_is_stated_is_not_smaller_than_that_of_unseen_windows(rank, seed):
    maps = maps_of(rank, seed, windows=72)
    tried, unseen = maps[:, ::3], maps[:, 1::3]
    drawn = MonteCarlo(10_000, None, 0.2, 0.5, 0, chosen=True)
    order = chosen_order(tried, drawn, (0,))
    stated = np.array(order.factors[4:30])
    true = squared_error(unseen, order.indices)[4:30] + 1 / len(maps)
    assert np.median(stated / true) > 0.8


def test_samples_without_anything_in_common_are_no_better_than_random_ones():
    """Nothing learned on one window holds on another: then nothing is claimed either."""
    rng = np.random.default_rng(0)
    maps = rng.normal(0.5, 0.1, size=(64, 8, 2000)).astype(np.float32)
    order = chosen_order(maps, MonteCarlo(64, None, 0.2, 0.5, 0, chosen=True), (0,))
    stated = np.array(order.factors[:40]) - 1 / 64
    counts = np.arange(1, 41)
    random = (1 / counts) * (1 - counts / 64)  # drawn from 64 without putting back
    np.testing.assert_allclose(stated / random, 1, atol=0.25)


def test_features_hold_mean_and_mean_square():
    maps = maps_of(2, 0, candidates=6)
    found = features(maps)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    assert found.shape == (6, 2 * maps[0].size)


def test_random_samples_are_as_sure_as_their_number():
    order = SampleOrder.plain(4)
    assert order.indices == (0, 1, 2, 3)
    assert [order.factor(n) for n in (1, 2, 4, 9)] == [1, 1 / 2, 1 / 4, 1 / 4]
    assert [candidates_for(n) for n in (2, 16, 60, 360)] == [8, 64, 256, 2048]


CHOSEN = {"samples": 6, "sampling": "chosen"}


def test_chosen_samples_are_the_networks_of_their_indices(tmp_path):
    fragment, model, path = noise_fragment(SHAPE), network(), tmp_path / "a.ink.zarr"
    mean, _ = last_maps(predict(fragment, model, asked(**CHOSEN), store=path))
    store = PredictionStore.open(path)
    assert store.order.indices[0] == 0
    assert 5 <= len(store.order) <= 6
    assert max(store.order.indices) < candidates_for(6)
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
    list(predict(fragment, model, asked(**CHOSEN | {"samples": 12}), store=path))
    store = PredictionStore.open(path)
    assert store.order.indices[: len(begun)] == begun
    assert len(store.order) > len(begun)
    assert len(set(store.order.indices)) == len(store.order)


def test_windows_of_the_trial_lie_on_papyrus_whatever_the_region():
    fragment, model = noise_fragment(SHAPE), network()
    plan = plan_prediction(fragment, model, asked(**CHOSEN))
    boxes = probe_boxes(plan, reader_of(fragment, plan, None), 24)
    assert len(set(boxes)) == len(boxes) == 32
    mask = np.asarray(fragment.mask)
    for box in boxes:
        assert mask[box.slices].shape == (24, 24)
        assert mask[box.slices].mean() >= 0.5
        assert box.y0 % plan.multiple_of == box.x0 % plan.multiple_of == 0
    part = plan_prediction(fragment, model, asked(**CHOSEN, region=(0, 60, 100, 160)))
    assert probe_boxes(part, reader_of(fragment, part, None), 24) == boxes


def test_small_maps_take_samples_as_they_come_and_large_ones_choose():
    model = network()
    small = plan_prediction(noise_fragment(SHAPE), model, asked())
    large = plan_prediction(noise_fragment((8, 1200, 1200)), model, asked())
    assert (small.monte_carlo.chosen, large.monte_carlo.chosen) == (False, True)
