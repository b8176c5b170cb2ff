"""Planted ink: the surface is where it is, the change is what the simulator's ink would make."""

import numpy as np
import pytest

from napari_ink.volumes.synthetic import synthesise
from napari_ink.volumes.synthetic.ink import Ink
from napari_ink.volumes.synthetic.planting import GreyLevels, find_surface, plant
from napari_ink.volumes.synthetic.sheets import lay_papyrus

SEED, SHAPE, SIZE = 6003, (32, 320, 384), 16.0


def made(strength, **options):
    depth, height, width = SHAPE
    return synthesise(
        SEED, depth=depth, height=height, width=width, voxel_size=SIZE,
        ink_strength=strength, **options
    )  # fmt: skip


@pytest.fixture(scope="module")
def bare():
    return made(0)


@pytest.fixture(scope="module")
def levels(bare):
    return GreyLevels.of(bare.read()[:, np.asarray(bare.mask)])


@pytest.fixture(scope="module")
def papyrus():
    return lay_papyrus(SEED, SHAPE[0], SHAPE[1:], SIZE)


def test_air_and_papyrus_are_the_two_peaks(bare, levels):
    assert levels.two_peaks
    assert levels.air == pytest.approx(85, abs=3)
    assert levels.papyrus == pytest.approx(158, abs=6)
    deeper = GreyLevels.of(bare.read()[:, np.asarray(bare.mask)].astype(np.uint16) * 257)
    assert deeper.air == pytest.approx(257 * levels.air, rel=0.02)


def test_one_peak_is_told():
    values = np.random.default_rng(0).normal(160, 15, 100_000)
    found = GreyLevels.of(values)
    assert not found.two_peaks
    assert found.air < found.papyrus == pytest.approx(160, abs=5)
    flat = GreyLevels.of(np.full(100, 7, np.uint8))
    assert not flat.two_peaks
    assert flat.air < flat.papyrus


def test_surface_is_found_within_a_voxel(bare, levels, papyrus):
    surface, clear = find_surface(bare.read(), levels, SIZE)
    there = papyrus.writable
    error = np.abs(surface - papyrus.surface)[there]
    assert np.median(error) < SIZE / 2
    assert np.percentile(error, 90) < 2 * SIZE
    assert clear[there].mean() > 0.4


def test_surface_of_a_window_is_counted_from_its_first_layer(bare, levels, papyrus):
    surface, _ = find_surface(bare.read()[7:23], levels, SIZE)
    error = np.abs(surface + 7 * SIZE - papyrus.surface)[papyrus.writable]
    assert np.median(error) < SIZE / 2


def test_on_the_true_surface_the_planted_voxels_are_those_of_the_simulator(bare, levels, papyrus):
    volume, inked = bare.read(), made(1.0).read()
    label = np.asarray(bare.label) > 0.5
    ink = Ink(papyrus.surface, label, SEED, SIZE)
    change = plant(volume, ink, levels)[:, label].astype(float) - volume[:, label]
    own = inked[:, label].astype(float) - volume[:, label]
    assert np.corrcoef(change.ravel(), own.ravel())[0, 1] > 0.95
    assert np.sqrt((change**2).mean()) == pytest.approx(np.sqrt((own**2).mean()), rel=0.1)


def test_no_ink_and_places_without_letters_change_nothing(bare, levels, papyrus):
    volume = bare.read()
    label = np.zeros(SHAPE[1:], bool)
    label[100:200, 100:200] = True
    kept = volume.copy()
    none = plant(volume, Ink(papyrus.surface, label, 1, SIZE, strength=0.0), levels)
    np.testing.assert_array_equal(none, volume)
    some = plant(volume, Ink(papyrus.surface, label, 1, SIZE), levels)
    assert (some != volume).any()
    far = np.ones(SHAPE[1:], bool)
    far[80:220, 80:220] = False
    np.testing.assert_array_equal(some[:, far], volume[:, far])
    np.testing.assert_array_equal(volume, kept)
    assert some.dtype == volume.dtype


def test_deeper_grey_levels_get_deeper_ink(bare, levels, papyrus):
    volume = bare.read()
    label = np.asarray(bare.label) > 0.5
    ink = Ink(papyrus.surface, label, 1, SIZE)
    change = plant(volume, ink, levels).astype(float) - volume
    twice = GreyLevels(levels.air * 257, levels.papyrus * 257)
    deep = volume.astype(np.uint16) * 257
    other = (plant(deep, ink, twice).astype(float) - deep) / 257
    assert np.abs(other - change).max() < 1.5
