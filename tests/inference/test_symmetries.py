"""Symmetries: the fragment turned before the network, its map turned back, and the mean of both."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_fakes import SmallNetwork, joined, noise_fragment
from test_monte_carlo import asked, network

from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference import engine
from napari_ink.inference.monte_carlo import MonteCarlo, monte_carlo_of, sub_network
from napari_ink.inference.passes import Pass, Passes
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.symmetries import AVERAGED, turned, turned_back, turns_of
from napari_ink.inference.tiles import Tile
from napari_ink.volumes.fragment import Fragment

PLANE = (152, 208)  # multiples of the network's four pixels: pooling falls on the same grid turned
PLAIN = PredictionSettings(tile=60, device="cpu")


def fragment_of(mask, seed=0):
    return noise_fragment((4, *PLANE), seed=seed, mask=mask)


def by_hand(fragment, model, symmetry, plain=PLAIN):
    """The map of the whole fragment turned, turned back."""
    mask = None if fragment.mask is None else turned(np.asarray(fragment.mask), symmetry)
    volume = np.ascontiguousarray(turned(fragment.read(), symmetry))
    other = Fragment.from_array(volume, mask=mask, voxel_size=8.0)
    found = joined(predict(other, model, plain), volume.shape[1:])
    return turned_back(found, symmetry)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 7))
def test_what_is_turned_is_turned_back(height, width, symmetry):
    values = np.arange(2 * height * width).reshape(2, height, width)
    np.testing.assert_array_equal(turned_back(turned(values, symmetry), symmetry), values)


def test_they_are_the_eight_symmetries_of_a_square():
    square = np.arange(9).reshape(3, 3)
    ours = {turned(square, k).tobytes() for k in range(8)}
    theirs = {np.rot90(side, k).tobytes() for side in (square, square.T) for k in range(4)}
    assert ours == theirs
    assert len(ours) == 8
    assert sorted(AVERAGED["all"]) == list(range(8))
    flipped = {turned(square, k).tobytes() for k in AVERAGED["flips"]}
    assert flipped == {square[::y, ::x].tobytes() for y in (1, -1) for x in (1, -1)}


@pytest.mark.parametrize("mask", [True, False], ids=["papyrus", "whole"])
@pytest.mark.parametrize("overlap", [None, 0.5])
@pytest.mark.parametrize("name", ["flips", "all"])
def test_the_map_is_the_mean_of_those_made_by_hand(name, overlap, mask):
    fragment, model = fragment_of(mask), SmallNetwork()
    plain = replace(PLAIN, overlap=overlap) if overlap is None else replace(
        PLAIN, overlap=overlap, tile=208  # one tile: blending would see other windows turned
    )  # fmt: skip
    maps = np.stack([by_hand(fragment, model, k, plain) for k in AVERAGED[name]])
    records = list(predict(fragment, model, replace(plain, symmetries=name)))
    assert records[-1].index == records[-1].total
    np.testing.assert_allclose(joined(records, PLANE), maps.mean(axis=0), atol=1e-5)
    spread = np.full(PLANE, np.nan, np.float32)
    for record in records:
        spread[record.box.slices] = record.spread
    np.testing.assert_allclose(spread, maps.std(axis=0, ddof=1), atol=1e-5)
    assert np.nanmax(spread) > 0.05  # or else nothing was turned


@pytest.mark.parametrize("mask", [True, False], ids=["papyrus", "whole"])
@pytest.mark.parametrize("batch", [1, 4])
def test_in_turn_every_tile_is_turned_another_way_in_a_single_pass(mask, batch, tmp_path):
    fragment, model = fragment_of(mask), SmallNetwork()
    turns = replace(PLAIN, symmetries="turns", batch=batch)
    plan = plan_prediction(fragment, model, turns)
    path = tmp_path / "a.ink.zarr"
    found = joined(predict(fragment, model, turns, store=path), PLANE)
    expected, seen = np.full(PLANE, np.nan, np.float32), set()
    maps = [by_hand(fragment, model, k) for k in range(8)]
    for part in plan.grid.parts(Box(0, PLANE[0], 0, PLANE[1])):
        (symmetry,) = turns_of([part.tile], plan.grid.tile)
        expected[part.box.slices] = maps[symmetry][part.box.slices]
        seen.add(symmetry)
    assert seen == set(range(8))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    store = PredictionStore.open(path)
    assert store.samples is None
    assert store.provenance["settings"]["symmetries"] == "turns"
    assert "passes" not in store.provenance
    region = Box(40, 120, 60, 130)
    part = joined(predict(fragment, model, replace(turns, region=region)), PLANE)
    np.testing.assert_array_equal(part[region.slices], found[region.slices])


def test_neighbouring_tiles_are_turned_differently_and_oblong_ones_never_transposed():
    tiles = [Tile(row, column) for row in range(9) for column in range(9)]
    of = dict(zip(tiles, turns_of(tiles, (64, 64)), strict=True))
    assert all(of[Tile(y, x)] != of[Tile(y + 1, x)] for y in range(8) for x in range(9))
    assert all(of[Tile(y, x)] != of[Tile(y, x + 1)] for y in range(9) for x in range(8))
    assert set(turns_of(tiles, (64, 32))) == {0, 1, 2, 3}
    assert turns_of([None], (64, 64)) == [0]


@pytest.mark.parametrize("name", ["turns", "flips", "all"])
def test_a_network_that_does_not_mind_finds_the_same_ink(name):
    fragment, model = fragment_of(True), SmallNetwork()
    with torch.no_grad():
        for layer in (model.layers.first, model.layers.second, model.layers.last):
            kernels = [torch.rot90(layer.weight, k, (2, 3)) for k in range(4)]
            kernels += [kernel.transpose(2, 3) for kernel in kernels]
            layer.weight.copy_(torch.stack(kernels).mean(dim=0))
    expected = joined(predict(fragment, model, PLAIN), PLANE)
    found = joined(predict(fragment, model, replace(PLAIN, symmetries=name)), PLANE)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_one_network_is_made_ready_once_for_all_its_turns(monkeypatch):
    """In int8 it would be calibrated for each of them, and in OpenVINO compiled."""
    made, make = [], engine.make_runtime
    monkeypatch.setattr(engine, "make_runtime", lambda *args: made.append(make(*args)) or made[-1])
    fragment, model = fragment_of(True), SmallNetwork()
    list(predict(fragment, model, replace(PLAIN, symmetries="all")))
    assert len(made) == 1
    assert made[0]._network is None  # and it is let go
    list(predict(fragment, [model, SmallNetwork(seed=1)], replace(PLAIN, symmetries="flips")))
    assert len(made) == 1 + 2 * 4  # of which only one is held
    running = predict(fragment, model, replace(PLAIN, symmetries="all"))
    next(running)
    running.close()
    assert made[-1]._network is None


@pytest.mark.parametrize("records", [1, 3, 6])
def test_a_mean_that_was_stopped_goes_on_to_the_same_bits(tmp_path, records):
    fragment, model = fragment_of(True), SmallNetwork()
    flips = replace(PLAIN, symmetries="flips")
    path, whole = tmp_path / "a.ink.zarr", tmp_path / "whole.ink.zarr"
    list(predict(fragment, model, flips, store=whole))
    running = predict(fragment, model, flips, store=path)
    for _ in range(min(records, plan_prediction(fragment, model, flips).steps - 1)):
        next(running)
    running.close()
    list(predict(fragment, model, flips, store=path))
    ours, theirs = PredictionStore.open(path), PredictionStore.open(whole)
    for name, levels in ours.images.items():
        for one, other in zip(levels, theirs.images[name], strict=True):
            np.testing.assert_array_equal(one[:], other[:])
    assert ours.sampled()["least"] == ours.sampled()["most"] == 4
    assert ours.provenance["passes"] == 4
    with pytest.raises(StoreError, match="symmetries"):
        list(predict(fragment, model, replace(PLAIN, symmetries="all"), store=path))


def test_samples_take_the_symmetries_in_turn():
    fragment, model = noise_fragment((8, 64, 64), mask=False), network()
    some = asked(samples=4, symmetries="flips", tile=80)
    found = joined(predict(fragment, model, some), (64, 64))
    drawn, maps = monte_carlo_of(some, model), []
    for index, symmetry in enumerate(AVERAGED["flips"]):
        own, folded = network(), sub_network(drawn, model, 0, index)
        own.fold = lambda *_, folded=folded, **__: folded
        maps.append(by_hand(fragment, own, symmetry, replace(PLAIN, tile=80)))
    np.testing.assert_allclose(found, np.mean(maps, axis=0), atol=1e-6)


@settings(max_examples=60)
@given(st.integers(1, 4), st.sampled_from(["none", "turns", "flips", "all"]), st.integers(0, 30))
def test_passes_take_every_member_and_symmetry_equally_often(members, name, samples):
    drawn = MonteCarlo(samples, None, 0.1, 0.0, 0) if samples > 1 else None
    passes = Passes(members, name, drawn)
    ways = {"none": 1, "turns": 1, "flips": 4, "all": 8}[name]
    assert passes.count == members * (samples if drawn else ways)
    found = [passes.of(index) for index in range(passes.count)]
    assert len(set(found)) == passes.count
    assert [one.member for one in found] == [k % members for k in range(passes.count)]
    assert {one.symmetry for one in found} <= ({None} if name == "turns" else set(range(8)))
    assert passes.is_single == (passes.count == 1 and drawn is None)
    assert passes.of(0) == Pass(0, 0 if drawn else None, None if name == "turns" else 0)


def test_unknown_symmetries_are_refused():
    with pytest.raises(SettingsError, match="choose one of none, flips, all, turns"):
        plan_prediction(fragment_of(True), SmallNetwork(), replace(PLAIN, symmetries="mirror"))
