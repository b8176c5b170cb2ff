"""The committed sample is what the documented command makes."""

import json

import numpy as np
import pytest

from napari_ink.errors import FragmentError
from napari_ink.volumes.layouts import open_fragment
from napari_ink.volumes.sample import sample_path
from napari_ink.volumes.synthetic import statistics, synthesise


@pytest.fixture(scope="module")
def sample():
    return open_fragment(sample_path("fragment"))


def test_sample_says_that_it_is_simulated(sample):
    assert sample.simulated
    assert sample.shape == (32, 640, 1280)
    assert sample.voxel_size == (16.0, 16.0, 16.0)
    assert "simulated" in (sample_path("fragment").parent / "README.md").read_text().lower()


def test_sample_is_small():
    files = [path for path in sample_path("fragment").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 15e6


def test_sample_has_eight_letters_inside_the_mask(sample):
    ink, mask = np.asarray(sample.label) > 0.5, np.asarray(sample.mask, bool)
    assert not (ink & ~mask).any()
    heights = statistics.letter_heights(ink, 16.0)
    assert (heights > 2300).sum() >= 8


def test_sample_is_rebuilt_by_its_command(sample):
    meta = json.loads((sample_path("fragment") / "meta.json").read_text())
    again = synthesise(meta["seed"], bits=meta["bits"])
    # Elsewhere within one grey level, which rounding to six bits can turn into one step of 4.
    difference = np.abs(sample.read().astype(int) - again.read())
    assert difference.max() <= 4
    assert (difference > 0).mean() < 0.05
    assert (np.asarray(sample.label) != np.asarray(again.label)).mean() < 1e-3


def test_missing_sample_names_the_remedy():
    with pytest.raises(FragmentError, match="reinstall"):
        sample_path("no-such-part")
