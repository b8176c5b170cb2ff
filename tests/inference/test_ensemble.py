"""Ensembles: the mean of what several checkpoints find, each in its own way."""

import gc
import weakref
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from inference_fakes import SmallNetwork, joined, noise_fragment
from test_monte_carlo import SHAPE, asked, last_maps, network

from napari_ink.errors import CheckpointError, SettingsError, StoreError
from napari_ink.inference.ensemble import Ensemble, plan_ensemble
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.models import checkpoint

PLAIN = PredictionSettings(tile=64, device="cpu")
PLANE = (230, 330)


class Coarse(SmallNetwork):
    """Another halo, and other multiples."""

    multiple_of, halo = 8, 14


@pytest.fixture(scope="module")
def fragment():
    return noise_fragment((9, *PLANE))


def members():
    """Three networks of other depth, layers, recipe, direction, halo and multiples."""
    one = SmallNetwork(depth=4, seed=1, layers=(1, 5))
    two = SmallNetwork(
        depth=6, seed=2, layers=(3, 9), recipe={"kind": "percentile", "low": 1.0, "high": 99.0},
        reverse_depth=True, thresholds={"ink": 0.3},
    )  # fmt: skip
    return [one, two, Coarse(depth=5, seed=3, layers=(0, 5))]


@pytest.mark.parametrize("overlap", [None, 0.5])
def test_the_map_is_the_mean_of_the_members_own(fragment, overlap, tmp_path):
    models, path = members(), tmp_path / "a.ink.zarr"
    plain = replace(PLAIN, overlap=overlap)
    maps = np.stack([joined(predict(fragment, model, plain), PLANE) for model in models])
    records = list(predict(fragment, models, plain, store=path))
    assert {record.samples for record in records} == {1, 2, 3}
    assert np.isfinite(maps).any()
    np.testing.assert_allclose(joined(records, PLANE), maps.mean(axis=0), atol=1e-5)
    store = PredictionStore.open(path)
    spread = np.asarray(store.images["spread"][0])
    np.testing.assert_allclose(spread, maps.std(axis=0, ddof=1), atol=1e-3)
    assert np.nanmax(spread) > 0.05


def test_twice_the_same_checkpoint_finds_what_it_finds_alone(fragment):
    alone = joined(predict(fragment, members()[0], PLAIN), PLANE)
    twice = joined(predict(fragment, [members()[0], members()[0]], PLAIN), PLANE)
    np.testing.assert_allclose(twice, alone, atol=1e-7)
    one = joined(predict(fragment, [members()[0]], PLAIN), PLANE)
    np.testing.assert_array_equal(one, alone)


def test_every_checkpoint_is_accounted_for(fragment, tmp_path):
    models, path = members(), tmp_path / "a.ink.zarr"
    list(predict(fragment, models, PLAIN, store=path))
    store = PredictionStore.open(path)
    told = store.provenance["members"]
    assert [one["layers"] for one in told] == [[1, 5], [3, 9], [0, 5]]
    assert [one["recipe"]["kind"] for one in told] == ["fixed", "percentile", "fixed"]
    assert len({one["checkpoint"]["fingerprint"] for one in told}) == 3
    assert "from layer 8 down to 3" in told[1]["direction"]
    assert store.threshold == pytest.approx((0.5 + 0.3 + 0.5) / 3)
    assert store.sampled()["most"] == 3
    with pytest.raises(StoreError, match="checkpoint"):
        list(predict(fragment, models[::-1], PLAIN, store=path))
    with pytest.raises(StoreError, match="members"):
        list(predict(fragment, [models[0], models[2], models[1]], PLAIN, store=path))


@pytest.mark.parametrize("records", [1, None])
def test_neither_one_alone_nor_several_go_on_in_the_others_store(fragment, tmp_path, records):
    """Of a half finished one the rest would be of one checkpoint, and nothing would say so."""
    one, two = SmallNetwork(depth=4, seed=1), SmallNetwork(depth=4, seed=2)
    for first, second in (([one, two], one), (one, [one, two])):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.ink.zarr"
        running = predict(fragment, first, PLAIN, store=path)
        list(islice(running, records))
        running.close()
        kept = np.asarray(PredictionStore.open(path).ink)
        with pytest.raises(StoreError, match="members"):
            list(predict(fragment, second, PLAIN, store=path))
        np.testing.assert_array_equal(np.asarray(PredictionStore.open(path).ink), kept)


@pytest.mark.parametrize("records", [1, 3, 5])
def test_an_ensemble_that_was_stopped_goes_on_to_the_same_bits(fragment, tmp_path, records):
    path, whole = tmp_path / "a.ink.zarr", tmp_path / "whole.ink.zarr"
    list(predict(fragment, members(), PLAIN, store=whole))
    running = predict(fragment, members(), PLAIN, store=path)
    for _ in range(records):
        next(running)
    running.close()
    assert not PredictionStore.open(path).is_complete
    unset = PredictionSettings(device="cpu")  # what is left open is taken from the store
    list(predict(fragment, members(), unset, store=path))
    ours, theirs = PredictionStore.open(path), PredictionStore.open(whole)
    assert ours.is_complete
    for name, levels in ours.images.items():
        for one, other in zip(levels, theirs.images[name], strict=True):
            np.testing.assert_array_equal(one[:], other[:])


def test_of_checkpoints_on_disk_one_is_held_at_a_time(fragment, tmp_path, monkeypatch):
    alive, most, asked_for = [], [], []

    def load(path):
        made = members()[int(path)]
        asked_for.append(int(path))
        gc.collect()
        alive.append(weakref.ref(made))
        most.append(sum(one() is not None for one in alive))
        return made

    monkeypatch.setattr(checkpoint, "load_checkpoint", load)
    found = joined(predict(fragment, ["0", "1", "2"], PLAIN), PLANE)
    np.testing.assert_allclose(found, joined(predict(fragment, members(), PLAIN), PLANE), atol=1e-7)
    assert set(asked_for) == {0, 1, 2}
    assert max(most) == 1


def test_samples_of_an_ensemble_are_taken_of_each_checkpoint_in_turn():
    fragment, models = noise_fragment(SHAPE), [network(), network()]
    for model, amount in zip(models, (1.0, 0.5), strict=True):
        model.head.weight.data *= amount
    some = asked(samples=2, sampling="random")
    found, _ = last_maps(predict(fragment, models, some))
    each = [last_maps(predict(fragment, model, some))[0] for model in models]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    plan = plan_ensemble(fragment, Ensemble(models), some)
    assert plan.passes.count == 4
    assert plan.steps == 4 * plan.total


def varied(first, second):
    """Two networks that were trained with other dropout, and the map of both."""
    fragment, models = noise_fragment(SHAPE), [network(dropout=first), network(dropout=second)]
    models[1].head.weight.data *= 0.5
    return fragment, models


def test_samples_are_taken_of_all_if_only_the_last_checkpoint_knows_dropout(tmp_path):
    fragment, models = varied(0.0, 0.3)
    some = asked(samples=4, dropout=None, gate_noise=None)
    path = tmp_path / "a.ink.zarr"
    found, _ = last_maps(predict(fragment, models, some, store=path))
    other, _ = last_maps(predict(fragment, models[::-1], some))
    np.testing.assert_allclose(found, other, atol=1e-6)
    store = PredictionStore.open(path)
    assert store.sampled()["least"] == 8
    assert [one["dropout"] for one in store.provenance["members"]] == [0.0, 0.3]


@pytest.mark.parametrize("dropout", [None, 0.2])
def test_checkpoints_that_were_trained_with_other_dropout_are_gone_on_with(tmp_path, dropout):
    fragment, models = varied(0.1, 0.3)
    some = asked(samples=2, dropout=dropout, gate_noise=None)
    path, whole = tmp_path / "a.ink.zarr", tmp_path / "whole.ink.zarr"
    list(predict(fragment, models, some, store=whole))
    running = predict(fragment, models, some, store=path)
    next(running)
    running.close()
    list(predict(fragment, models, replace(some, dropout=None), store=path))
    found, expected = (np.asarray(PredictionStore.open(p).ink) for p in (path, whole))
    np.testing.assert_array_equal(found, expected)


def test_a_block_within_the_tolerance_has_as_many_samples_of_each_checkpoint():
    fragment, models = varied(0.3, 0.3)
    for tolerance in (0.02, 0.03, 0.04, 0.05, 0.06):
        some = asked(samples=12, tolerance=tolerance, dropout=None, gate_noise=None)
        last = {record.box: record.samples for record in predict(fragment, models, some)}
        assert all(count % 2 == 0 for count in last.values())
    assert min(last.values()) < 24


def test_a_checkpoint_that_changes_while_it_is_in_use_is_not_averaged(fragment, monkeypatch):
    loaded = []

    def load(path):
        loaded.append(path)
        made = SmallNetwork(depth=4, seed=int(path))
        made.info = replace(made.info, fingerprint=f"{path} {loaded.count(path) > 1}")
        return made

    monkeypatch.setattr(checkpoint, "load_checkpoint", load)
    with pytest.raises(CheckpointError, match="1 was changed while it was in use"):
        list(predict(fragment, ["1", "2"], PLAIN))


def test_a_depth_sweep_of_an_ensemble_has_the_windows_of_all(fragment):
    models = [SmallNetwork(depth=4, seed=1), SmallNetwork(depth=4, seed=2)]
    sweep = replace(PLAIN, depth_sweep=2)
    found = joined(predict(fragment, models, sweep), (3, *PLANE))
    each = [joined(predict(fragment, model, sweep), (3, *PLANE)) for model in models]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)


def test_what_does_not_go_together_is_refused_in_one_line(fragment):
    one, two, _ = members()
    volume = SmallNetwork(depth=4, output="volume", layers=(0, 4))
    with pytest.raises(SettingsError, match="different layers of ink"):
        list(predict(fragment, [one, volume], PLAIN))
    lower = SmallNetwork(depth=4, output="volume", layers=(2, 6))
    with pytest.raises(SettingsError, match="label the layers 0:4 and 2:6: choose the layers"):
        list(predict(fragment, [volume, lower], PLAIN))
    both = predict(fragment, [volume, lower], replace(PLAIN, layers=(1, 5)))
    assert np.isfinite(joined(both, (4, *PLANE))).any()
    for step in (1, 3):  # 6 and 5 windows, 2 and 2
        with pytest.raises(SettingsError, match="different numbers of layers, whose windows"):
            list(predict(fragment, [one, SmallNetwork(depth=5)], replace(PLAIN, depth_sweep=step)))
    with pytest.raises(SettingsError, match="the checkpoint takes 6"):
        list(predict(fragment, [one, two], replace(PLAIN, layers=(1, 5))))
    with pytest.raises(SettingsError, match="no task 'ink'"):
        list(predict(fragment, [one, SmallNetwork(depth=4, tasks=("letters",))], PLAIN))
    with pytest.raises(SettingsError, match="no checkpoint"):
        list(predict(fragment, [], PLAIN))
    with pytest.raises(SettingsError, match="in int8"):
        list(predict(fragment, [one, two], replace(PLAIN, runtime="openvino-int8")))
    coarser = Coarse(depth=4)
    coarser.multiple_of = 32
    with pytest.raises(SettingsError, match="choose a larger tile"):
        list(predict(fragment, [one, coarser], replace(PLAIN, tile=32)))
