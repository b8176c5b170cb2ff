"""Depth sweep: every layer of the stack is the plain prediction of its window."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from inference_fakes import SmallNetwork, joined, noise_fragment
from test_monte_carlo import asked, last_maps, network

from napari_ink.analysis.layer_counting import StoredLayers
from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference import engine
from napari_ink.inference.depth_sweep import swept_layers
from napari_ink.inference.export import write_tiff
from napari_ink.inference.layer_places import layer_names
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.volumes.fragment import Fragment

SWEEP = PredictionSettings(depth_sweep=2, tile=60, device="cpu")
PLANE = (230, 330)  # several blocks
WINDOWS = [(3, 7), (5, 9), (7, 11)]
RECIPES = (
    {"kind": "fixed"},
    {"kind": "percentile", "low": 1.0, "high": 99.0},
    {"kind": "layer_zscore"},
)


@pytest.fixture(scope="module")
def fragment():
    """Layers of different brightness, stored from 3 on; one more than the windows take."""
    made = noise_fragment((9, *PLANE), first_layer=3)
    volume = made.read().astype(float) * np.linspace(0.3, 1, 9)[:, None, None]
    return Fragment.from_array(
        volume.astype(np.uint8), mask=np.asarray(made.mask), voxel_size=8.0, first_layer=3
    )


def swept(fragment, model, settings=SWEEP, **options):
    return joined(predict(fragment, model, settings, **options), (3, *PLANE))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["kind"])
@pytest.mark.parametrize("options", [{}, {"overlap": 0.5}, {"reverse_depth": True}])
def test_each_layer_is_the_plain_prediction_of_its_window(fragment, recipe, options):
    model = SmallNetwork(depth=4, recipe=recipe)
    found = swept(fragment, model, replace(SWEEP, **options))
    for layer, window in zip(found, WINDOWS, strict=True):
        plain = replace(SWEEP, depth_sweep=None, layers=window, **options)
        expected = joined(predict(fragment, model, plain), PLANE)
        np.testing.assert_array_equal(layer, expected)
    assert np.nanmax(np.abs(found[0] - found[2])) > 0.05  # they differ


def test_layers_narrow_the_sweep(fragment):
    model = SmallNetwork(depth=4)
    narrow = replace(SWEEP, layers=(5, 11))
    found = joined(predict(fragment, model, narrow), (2, *PLANE))
    np.testing.assert_array_equal(found, swept(fragment, model)[1:])


def test_the_store_says_which_windows_there_are_and_where_they_lie(fragment, tmp_path):
    path = tmp_path / "a.ink.zarr"
    found = swept(fragment, SmallNetwork(depth=4), store=path)
    store = PredictionStore.open(path)
    np.testing.assert_array_equal(np.asarray(store.ink), found.astype(np.float16))
    assert store.provenance["windows"] == [list(window) for window in WINDOWS]
    assert store.provenance["settings"]["depth_sweep"] == 2
    assert layer_names(store.provenance, 3) == ["z 3–6", "z 5–8", "z 7–10"]
    assert StoredLayers([store]).names == ["z 3–6", "z 5–8", "z 7–10"]
    (image,) = store._group["ink"].attrs["ome"]["multiscales"]
    scale, shift = image["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [16.0, 8.0, 8.0]
    assert shift["translation"][0] == 1.5 * 8  # the middle of stored layers 3 to 6
    assert any("11:12 lie in no window" in line for line in store.provenance["warnings"])
    write_tiff(store, tmp_path / "a.tif")
    assert tifffile.imread(tmp_path / "a.tif").shape == (3, *PLANE)


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_sweep_that_was_stopped_goes_on_to_the_same_bits(fragment, tmp_path, blocks):
    model, path = SmallNetwork(depth=4), tmp_path / "a.ink.zarr"
    running = predict(fragment, model, SWEEP, store=path)
    for _ in range(blocks):
        next(running)
    running.close()
    unset = PredictionSettings(device="cpu")  # what is left open is taken from the store
    list(predict(fragment, model, unset, store=path))
    whole = tmp_path / "whole.ink.zarr"
    list(predict(fragment, model, SWEEP, store=whole))
    for one, other in zip(*(PredictionStore.open(p).levels for p in (path, whole)), strict=True):
        np.testing.assert_array_equal(one[:], other[:])


def test_another_step_does_not_go_on_in_the_store(fragment, tmp_path):
    model, path = SmallNetwork(depth=4), tmp_path / "a.ink.zarr"
    list(predict(fragment, model, SWEEP, store=path))
    with pytest.raises(StoreError, match="depth_sweep"):
        list(predict(fragment, model, replace(SWEEP, depth_sweep=1), store=path))


def test_samples_of_a_sweep_are_those_of_its_windows():
    fragment, model = noise_fragment((11, 230, 330)), network()
    sweep = asked(samples=3, depth_sweep=3)
    found = {record.box: record for record in predict(fragment, model, sweep)}
    for at, window in enumerate([(0, 8), (3, 11)]):
        mean, spread = last_maps(predict(fragment, model, asked(samples=3, layers=window)))
        for box, record in found.items():
            np.testing.assert_allclose(record.probability[at], mean[box.slices], atol=1e-6)
            np.testing.assert_allclose(record.spread[at], spread[box.slices], atol=1e-5)


def test_a_tile_too_large_for_memory_is_made_smaller_in_every_window(fragment, monkeypatch):
    model, told = SmallNetwork(depth=4), []
    expected = swept(fragment, model)
    whole = engine.Engine._run_within_memory

    def limited(self, volume):
        if volume.shape[-1] > 40:
            raise engine._TileTooLarge
        return whole(self, volume)

    monkeypatch.setattr(engine.Engine, "_run_within_memory", limited)
    found = swept(fragment, model, notice=told.append)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert any("out of memory" in line for line in told)


@given(st.integers(0, 9), st.integers(4, 40), st.integers(1, 12))
def test_windows_are_evenly_spaced_inside_the_layers_and_leave_less_than_a_step(first, count, step):
    fragment = noise_fragment((count, 8, 8), first_layer=first)
    layers, windows, _ = swept_layers(fragment, SmallNetwork(depth=4), None, step)
    assert layers == (first, first + count)
    assert windows[0] == (first, first + 4)
    assert all(end - start == 4 for start, end in windows)
    starts = [start for start, _ in windows]
    assert all(b - a == step for a, b in pairwise(starts))
    assert 0 <= first + count - windows[-1][1] < step


def test_what_cannot_be_swept_is_refused_in_one_line(fragment):
    model = SmallNetwork(depth=4)
    for step in (0, -1, 2.0):
        with pytest.raises(SettingsError, match="depth sweep in steps"):
            plan_prediction(fragment, model, replace(SWEEP, depth_sweep=step))
    with pytest.raises(SettingsError, match="labels every layer"):
        plan_prediction(fragment, SmallNetwork(depth=4, output="volume"), SWEEP)
    with pytest.raises(SettingsError, match="3:6 are 3, the checkpoint takes 4"):
        plan_prediction(fragment, model, replace(SWEEP, layers=(3, 6)))


def test_a_sweep_of_one_window_says_so(fragment):
    plan = plan_prediction(fragment, SmallNetwork(depth=4), replace(SWEEP, depth_sweep=9))
    assert any("one window, 3:7" in line for line in plan.warnings)
