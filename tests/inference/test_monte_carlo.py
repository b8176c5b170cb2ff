"""Monte Carlo: a sample is a network, used for all tiles; what is kept is what its maps say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_fakes import joined, noise_fragment

from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference.moments import Moments, entropy
from napari_ink.inference.monte_carlo import MonteCarlo, draw, monte_carlo_of, sub_network
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.store_samples import StoredSamples
from napari_ink.models.info import CheckpointInfo
from napari_ink.models.repmode import RepMode

SHAPE = (8, 230, 330)  # three blocks with papyrus
DRAWN = {"dropout": 0.3, "gate_noise": 0.5}


def network(**arguments):
    """A small gated network whose whole context is its halo."""
    torch.manual_seed(1)
    made = RepMode(4, 1, 8, ("ink",), decoder="2d", **arguments).eval()
    with torch.no_grad():
        made.head.weight *= 200  # far from a grey map
    made.info = CheckpointInfo.of(made, recipe={"kind": "fixed", "mean": 0.5, "std": 0.25})
    return made


@pytest.fixture(scope="module")
def fragment():
    return noise_fragment(SHAPE)


def asked(**options):
    return PredictionSettings(**{"samples": 6, "tile": 80, "device": "cpu", **DRAWN, **options})


def last_maps(records):
    """Mean and spread of the last record of each block."""
    found = {record.box: record for record in records}
    mean, spread = np.full((2, *SHAPE[1:]), np.nan, np.float32)
    for box, record in found.items():
        mean[box.slices], spread[box.slices] = record.probability, record.spread
    return mean, spread


def single_maps(model, fragment, drawn, indices):
    """Maps of single samples, each predicted as a network of its own."""
    maps = []
    for index in indices:
        own = network()
        folded = sub_network(drawn, model, 0, index)
        own.fold = lambda *_, folded=folded, **__: folded
        single = PredictionSettings(tile=80, device="cpu")
        maps.append(joined(predict(fragment, own, single), SHAPE[1:]))
    return np.stack(maps).astype(np.float64)


def test_mean_spread_and_information_are_those_of_the_single_maps(fragment, tmp_path):
    model, path = network(), tmp_path / "a.ink.zarr"
    mean, spread = last_maps(predict(fragment, model, asked(), store=path))
    drawn = monte_carlo_of(asked(), model)
    maps = single_maps(model, fragment, drawn, range(6))
    assert np.nanmax(maps.std(axis=0)) > 0.05  # the samples differ
    np.testing.assert_allclose(mean, maps.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(spread, maps.std(axis=0, ddof=1), atol=1e-6)
    store = PredictionStore.open(path)
    images = {name: np.asarray(levels[0]) for name, levels in store.images.items()}
    np.testing.assert_allclose(images["ink"], mean, atol=1e-3)
    np.testing.assert_allclose(images["spread"], spread, atol=1e-3)
    with np.errstate(invalid="ignore"):
        p = maps.mean(axis=0)
        whole = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
        parts = -(maps * np.log2(maps) + (1 - maps) * np.log2(1 - maps)).mean(axis=0)
    np.testing.assert_allclose(images["information"], whole - parts, atol=2e-3)
    assert (np.nan_to_num(images["information"]) >= 0).all()


def test_samples_do_not_depend_on_the_tiles(fragment):
    model = network()
    small, _ = last_maps(predict(fragment, model, asked(tile=80)))
    large, _ = last_maps(predict(fragment, model, asked(tile=128)))
    np.testing.assert_allclose(small, large, atol=1e-5)


def test_without_dropout_and_noise_it_is_the_deterministic_map_to_the_bit(fragment):
    model = network()
    certain = asked(dropout=0.0, gate_noise=0.0, samples=60)
    records = list(predict(fragment, model, certain))
    mean, spread = last_maps(records)
    plain = PredictionSettings(tile=80, device="cpu")
    np.testing.assert_array_equal(mean, joined(predict(fragment, network(), plain), SHAPE[1:]))
    assert np.nanmax(spread) == 0
    assert records[-1].index == records[-1].total
    assert {record.samples for record in records} == {1}  # a second would be the first again
    assert any("all samples are the same" in line for line in plan_warnings(model, certain))


def plan_warnings(model, chosen):
    return plan_prediction(noise_fragment(SHAPE), model, chosen).warnings


def test_fewer_samples_than_are_there_are_as_sure_as_those_that_are_there(fragment, tmp_path):
    model, path = network(), tmp_path / "a.ink.zarr"
    running = predict(fragment, model, asked(samples=6), store=path)
    blocks = plan_prediction(fragment, model, asked()).total
    for _ in range(5 * blocks):
        next(running)
    running.close()
    list(predict(fragment, model, asked(samples=2), store=path))
    store = PredictionStore.open(path)
    counted = store.samples.counts > 0
    assert (store.samples.counts[counted] == 5).all()
    expected = np.sqrt((store.samples.deviations[counted] ** 2 / 5).mean())
    assert store.sampled()["standard_error"] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["ink", "spread", "information"])
@pytest.mark.parametrize("content", [None, b"garbage"])
def test_lost_or_damaged_chunk_of_an_image_is_written_again(fragment, tmp_path, name, content):
    model, path = network(), tmp_path / "a.ink.zarr"
    list(predict(fragment, model, asked(samples=2), store=path))
    expected = np.asarray(PredictionStore.open(path).images[name][0])
    (chunk, *_) = sorted(file for file in (path / name / "0" / "c").rglob("*") if file.is_file())
    chunk.unlink() if content is None else chunk.write_bytes(content)
    list(predict(fragment, model, asked(samples=2), store=path))
    found = np.asarray(PredictionStore.open(path).images[name][0])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("records", [1, 3, 5, 11])
def test_stopped_and_gone_on_with_it_is_as_if_never_stopped(fragment, tmp_path, records):
    model, whole, path = network(), tmp_path / "whole.ink.zarr", tmp_path / "a.ink.zarr"
    list(predict(fragment, model, asked(samples=4), store=whole))
    running = predict(fragment, model, asked(samples=4), store=path)
    for _ in range(records):
        kept = next(running)
    running.close()
    stopped = PredictionStore.open(path)
    assert not stopped.is_complete
    np.testing.assert_array_equal(  # what was there stays, and can be looked at
        np.asarray(stopped.ink)[kept.box.slices], kept.probability.astype(np.float16)
    )
    list(predict(fragment, model, asked(samples=4), store=path))
    assert_same(path, whole)


def assert_same(path, other):
    ours, theirs = PredictionStore.open(path), PredictionStore.open(other)
    assert ours.is_complete
    assert theirs.is_complete
    for name, levels in theirs.images.items():
        for level, found in zip(levels, ours.images[name], strict=True):
            np.testing.assert_array_equal(np.asarray(found), np.asarray(level))
    np.testing.assert_array_equal(ours.samples.counts, theirs.samples.counts)


def test_more_samples_go_on_where_fewer_stopped(fragment, tmp_path):
    model, whole, path = network(), tmp_path / "whole.ink.zarr", tmp_path / "a.ink.zarr"
    list(predict(fragment, model, asked(samples=7), store=whole))
    list(predict(fragment, model, asked(samples=3), store=path))
    more = list(predict(fragment, model, asked(samples=7), store=path))
    blocks = plan_prediction(fragment, model, asked()).total
    assert len(more) == blocks * (1 + 4)  # what is there, then four samples more
    assert_same(path, whole)
    assert PredictionStore.open(path).attributes["settings"]["samples"] == 7
    fewer = list(predict(fragment, model, asked(samples=2), store=path))
    assert {record.samples for record in fewer} == {7}  # nothing is thrown away


def test_sample_is_taken_in_once_even_if_its_commit_was_cut_short(fragment, tmp_path, monkeypatch):
    """As after ``kill -9`` between a block's moments and the note that it is so far."""
    model, whole, path = network(), tmp_path / "whole.ink.zarr", tmp_path / "a.ink.zarr"
    list(predict(fragment, model, asked(samples=3), store=whole))

    class Killed(BaseException):
        pass

    calls = []
    note = StoredSamples.note

    def dies(self, block, moments):
        calls.append(block)
        if len(calls) == 6:
            raise Killed
        note(self, block, moments)

    monkeypatch.setattr(StoredSamples, "note", dies)
    with pytest.raises(Killed):
        list(predict(fragment, model, asked(samples=3), store=path))
    monkeypatch.undo()
    list(predict(fragment, model, asked(samples=3), store=path))
    assert_same(path, whole)


def test_blocks_within_the_tolerance_are_left_and_the_others_are_not(fragment, tmp_path):
    model, path = network(), tmp_path / "a.ink.zarr"
    list(predict(fragment, model, asked(samples=5), store=path))
    first = PredictionStore.open(path).samples
    counted = first.counts > 0
    errors = np.sort(first.deviations[counted] / np.sqrt(5))
    tolerance = float(errors[:2].mean())
    other = tmp_path / "b.ink.zarr"
    records = list(predict(fragment, model, asked(samples=8, tolerance=tolerance), store=other))
    assert records[-1].index == records[-1].total
    store = PredictionStore.open(other)
    counts, deviations = store.samples.counts[counted], store.samples.deviations[counted]
    assert (counts == 5).sum() == 1
    within = deviations / np.sqrt(counts) <= tolerance
    assert (within | (counts == 8)).all()
    finer = list(predict(fragment, model, asked(samples=8, tolerance=1e-6), store=other))
    assert finer[-1].samples == 8
    assert (PredictionStore.open(other).samples.counts[counted] == 8).all()


def test_another_dropout_or_seed_is_another_prediction(fragment, tmp_path):
    model, path = network(), tmp_path / "a.ink.zarr"
    list(predict(fragment, model, asked(samples=2), store=path))
    for change, words in (
        ({"dropout": 0.1}, "monte_carlo dropout: 0.3 there, 0.1 now"),
        ({"seed": 3}, "monte_carlo seed: 0 there, 3 now"),
        ({"gate_noise": 0.0}, "monte_carlo gate_noise: 0.5 there, 0.0 now"),
    ):
        with pytest.raises(StoreError, match=words):
            list(predict(fragment, model, asked(samples=2, **change), store=path))
    single = PredictionSettings(tile=80, device="cpu")
    with pytest.raises(StoreError, match="monte_carlo"):
        list(predict(fragment, model, single, store=path))
    # Left open, they are those of the store.
    open_ = replace(asked(samples=3), dropout=None, gate_noise=None)
    assert {r.samples for r in predict(fragment, model, open_, store=path)} >= {3}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": 0}, "0 samples"),
        ({"samples": 2.5}, "2.5 samples"),
        ({"samples": 1}, "for a single sample"),
        ({"dropout": 1.0}, "dropout of 1"),
        ({"dropout": float("nan")}, "dropout of nan"),
        ({"gate_noise": -1.0}, "gate noise of -1"),
        ({"tolerance": -0.1}, "tolerance of -0.1"),
        ({"seed": -1}, "seed of -1"),
        ({"runtime": "openvino-int8"}, "int8"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(change, words):
    with pytest.raises(SettingsError, match=words):
        monte_carlo_of(asked(**change), network())


def test_rates_left_open_are_those_of_the_training():
    chosen = replace(asked(), dropout=None, gate_noise=None)
    drawn = monte_carlo_of(chosen, network(dropout=0.15, gate_noise=0.25))
    assert (drawn.dropout, drawn.gate_noise) == (0.15, 0.25)


def test_a_draw_follows_from_seed_and_index_alone():
    model, drawn = network(), MonteCarlo(9, None, 0.3, 0.5, seed=4)
    torch.manual_seed(0)
    gates, factors = draw(drawn, model, 0, 5)
    torch.manual_seed(1)
    draw(drawn, model, 0, 2)
    again = draw(drawn, model, 0, 5)
    for name in gates:
        assert torch.equal(gates[name], again[0][name])
    others, _ = draw(drawn, model, 0, 6)
    seeds, _ = draw(replace(drawn, seed=5), model, 0, 5)
    assert not any(torch.equal(gates[name], others[name]) for name in gates)
    assert not any(torch.equal(gates[name], seeds[name]) for name in gates)
    # The noise stays where the channels change, and the other way round.
    milder, dropped = draw(replace(drawn, dropout=0.1), model, 0, 5)
    assert all(torch.equal(gates[name], milder[name]) for name in gates)
    assert all(((dropped[n] == 0) <= (factors[n] == 0)).all() for n in factors)
    assert "encoder.0.0" not in factors  # its one channel is the fragment


def test_share_of_dropped_channels_and_width_of_the_noise():
    model, drawn = network(), MonteCarlo(9, None, 0.2, 0.5, seed=0)
    own = model.mode_layers()["bottleneck.1"].logits(0).detach().view(5, -1).double()
    dropped, noise = [], []
    for index in range(2000):
        gates, factors = draw(drawn, model, 0, index)
        dropped.append(factors["bottleneck.1"] == 0)
        shaken = gates["bottleneck.1"].log()
        noise.append((shaken - shaken.mean(0)) - (own - own.mean(0)))
    share = torch.stack(dropped).double().mean(dim=0)
    assert share.sub(0.2).abs().max() < 4 * (0.16 / 2000) ** 0.5
    # Centred over five experts, normal noise has a variance of 4/5.
    assert torch.stack(noise).std().item() == pytest.approx(0.5 * 0.8**0.5, rel=0.02)
    pairs = torch.corrcoef(torch.stack(dropped).double().T) - torch.eye(8)
    assert pairs.abs().max() < 0.1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**31))
def test_moments_are_those_of_all_maps_at_once(count, seed):
    maps = np.random.default_rng(seed).random((count, 3, 5)).astype(np.float32)
    maps[:, 0, 0] = np.nan
    moments = Moments.none_of((3, 5))
    for one in maps:
        moments.add(one)
    assert moments.count == count
    np.testing.assert_allclose(moments.mean, maps.mean(axis=0), atol=1e-6)
    expected = maps.std(axis=0, ddof=1) if count > 1 else np.where(np.isnan(maps[0]), np.nan, 0)
    np.testing.assert_allclose(moments.spread, expected, atol=1e-5)
    if count > 1:
        assert moments.deviation == pytest.approx(np.sqrt(np.nanmean(expected**2)), rel=1e-4)


def test_entropy_is_one_bit_for_a_toss_up_and_none_where_it_is_sure():
    np.testing.assert_allclose(entropy(np.array([0, 0.5, 1, 0.11])), [0, 1, 0, 0.49992], atol=1e-5)
    assert np.isnan(entropy(np.array([np.nan]))).all()
