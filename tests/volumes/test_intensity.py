"""Intensity recipes: the values, and that tiling never changes one."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Recipe

TILE_FREE = [
    Recipe("fixed", high=200 / 255),
    Recipe("fixed", mean=0.4, std=0.2),
    Recipe("percentile", low=1, high=99),
    Recipe("percentile", low=0.5, high=99.5, mean=0.5, std=0.25),
    Recipe("layer_zscore"),
]


def scan(dtype, shape=(5, 90, 70), seed=0):
    """One scan, as 16 bit or as its 8-bit copy (``>> 8``)."""
    generator = np.random.default_rng(seed)
    layers = generator.normal(30000, 6000, shape) + 1500 * np.arange(shape[0])[:, None, None]
    raw = np.clip(layers, 0, 65535).astype(np.uint16)
    return raw if dtype == np.uint16 else (raw >> 8).astype(np.uint8)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe("fixed"), lambda raw: raw / 65535),
        (
            Recipe("fixed", low=0.1, high=0.5),
            lambda raw: (np.clip(raw / 65535, 0.1, 0.5) - 0.1) / 0.4,
        ),
        (
            Recipe("fixed", high=200 / 255, mean=0, std=1),
            lambda raw: np.minimum(raw / 65535, 200 / 255),
        ),
        (
            Recipe("fixed", mean=0.45, std=0.225),
            lambda raw: (raw / 65535 - 0.45) / 0.225,
        ),
        (
            Recipe("layer_zscore"),
            lambda raw: (raw - raw.mean((1, 2), keepdims=True)) / raw.std((1, 2), keepdims=True),
        ),
    ],
)
def test_recipe_gives_the_closed_form(recipe, expected):
    raw = scan(np.uint16, (4, 48, 48))  # one sampled window: the subsample is everything
    values = recipe.bind(Fragment.from_array(raw))(raw)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected(raw.astype(float)), atol=2e-3)


def test_percentiles_span_zero_to_one_inside_the_mask():
    raw = scan(np.uint16, (4, 96, 96))
    raw[:, :, 48:] = 65535  # outside the papyrus
    mask = np.zeros((96, 96), bool)
    mask[:, :48] = True
    normalise = Recipe("percentile", low=2, high=98).bind(Fragment.from_array(raw, mask=mask))
    low, high = np.percentile(raw[:, :, :48] / 65535, (2, 98))
    assert normalise.statistics["low"] == pytest.approx(low, abs=0.01)
    assert normalise.statistics["high"] == pytest.approx(high, abs=0.01)
    assert normalise(raw).min() == 0
    assert normalise(raw).max() == pytest.approx(1)


def test_padding_of_zeros_does_not_pollute_statistics_without_a_mask():
    raw = scan(np.uint16, (4, 400, 400))
    clean = Recipe("layer_zscore").bind(Fragment.from_array(raw)).statistics
    raw[:, :, 200:] = 0
    padded = Recipe("layer_zscore").bind(Fragment.from_array(raw)).statistics
    np.testing.assert_allclose(padded["mean"], clean["mean"], atol=0.005)
    np.testing.assert_allclose(padded["std"], clean["std"], atol=0.005)


@settings(max_examples=60, deadline=None)
@given(
    recipe=st.sampled_from(TILE_FREE),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    y=st.integers(0, 80),
    x=st.integers(0, 60),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_tile_never_changes_a_value(recipe, dtype, y, x, height, width):
    raw = scan(dtype)
    normalise = recipe.bind(Fragment.from_array(raw), slice(1, 4))
    whole = normalise(raw[1:4])
    tile = (slice(y, y + height), slice(x, x + width))
    np.testing.assert_array_equal(normalise(raw[1:4][:, *tile]), whole[:, *tile])


@pytest.mark.parametrize("recipe", [*TILE_FREE, Recipe("zscore", window=64)], ids=lambda r: r.kind)
def test_eight_and_sixteen_bits_of_one_scan_come_out_alike(recipe):
    wide, narrow = scan(np.uint16), scan(np.uint8)
    windows = [
        recipe.bind(Fragment.from_array(raw))(raw[:, :64, :64].copy()) for raw in (wide, narrow)
    ]
    spread = windows[0].std()
    assert np.abs(windows[0] - windows[1]).max() < 0.06 * spread


def test_zscore_counts_no_padding_and_leaves_it_zero():
    raw = scan(np.uint16, (3, 32, 32))
    valid = np.zeros((32, 32), bool)
    valid[:20, :25] = True
    padded = np.where(valid, raw, 0).astype(np.uint16)
    normalise = Recipe("zscore", window=32).bind(Fragment.from_array(raw))
    assert normalise.window == 32
    values = normalise(padded, valid)
    inside = raw[:, :20, :25] / 65535
    np.testing.assert_allclose(
        values[:, :20, :25], (inside - inside.mean()) / inside.std(), atol=1e-3
    )
    assert not values[:, ~valid].any()


def test_zscore_refuses_another_window_and_every_kind_another_depth():
    raw = scan(np.uint16, (3, 64, 64))
    fragment = Fragment.from_array(raw)
    with pytest.raises(SettingsError, match="tile with 32"):
        Recipe("zscore", window=32).bind(fragment)(raw)
    with pytest.raises(SettingsError, match="bind the recipe"):
        Recipe("fixed").bind(fragment)(raw[:2])


@pytest.mark.parametrize("recipe", [*TILE_FREE, Recipe("zscore", window=48)], ids=lambda r: r.kind)
def test_constant_fragment_gives_finite_values(recipe):
    raw = np.full((3, 48, 48), 77, np.uint8)
    assert np.isfinite(recipe.bind(Fragment.from_array(raw))(raw)).all()


@pytest.mark.parametrize("recipe", TILE_FREE)
def test_recipe_and_statistics_survive_json(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    json.dumps(recipe.bind(Fragment.from_array(scan(np.uint8))).statistics)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "log"},
        {"kind": "fixed", "low": 0.5, "high": 0.5},
        {"kind": "fixed", "high": 255},
        {"kind": "fixed", "mean": 0.5},
        {"kind": "fixed", "mean": 0.5, "std": 0.0},
        {"kind": "zscore"},
        {"kind": "fixed", "window": 64},
        {"kind": "fixed", "gamma": 2},
        {"kind": "fixed", "low": "dark"},
        {"kind": "fixed", "mean": "1e-1", "std": 1},
        {"kind": "fixed", "mean": math.nan, "std": 1},
        {"kind": "fixed", "mean": 0.5, "std": math.inf},
        {"kind": "zscore", "window": 16.0},
        {"kind": "layer_zscore", "epsilon": 0},
        {"kind": "layer_zscore", "epsilon": None},
        "fixed",
    ],
)
def test_unusable_recipe_is_refused(values):
    with pytest.raises(SettingsError):
        Recipe.from_dict(values)


def test_empty_mask_is_an_error_that_says_so():
    fragment = Fragment.from_array(scan(np.uint8), mask=np.zeros((90, 70)))
    with pytest.raises(FragmentError, match="empty"):
        Recipe("percentile").bind(fragment)


def test_papyrus_smaller_than_the_sampling_grid_is_found():
    raw = scan(np.uint8, (2, 300, 300))
    mask = np.zeros((300, 300), bool)
    mask[299:, 297:] = True
    statistics = Recipe("percentile").bind(Fragment.from_array(raw, mask=mask)).statistics
    patch = raw[:, 299:, 297:] / 255
    assert (statistics["low"], statistics["high"]) == pytest.approx((patch.min(), patch.max()))


def test_a_recipe_without_a_kind_is_not_guessed():
    with pytest.raises(SettingsError, match="without a kind"):
        Recipe.from_dict({})
