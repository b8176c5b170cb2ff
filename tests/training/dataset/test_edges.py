"""Edges: tiles find what Canny finds on the whole label."""

import numpy as np
import pytest
from dataset_fragments import blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.feature import canny

from training.dataset import edges
from training.dataset.edges import border_points


def whole(label):
    """All at once, with scikit-image's own tracing of what hangs together."""
    return np.flatnonzero(canny(label, low_threshold=100, high_threshold=200))


def softened(label, sigma):
    """A label with grey levels at its borders, some of them weak."""
    weak = blobs(7, label.shape, 0.5) * 0.45
    return np.rint(np.maximum(gaussian_filter(label * 1.0, sigma), weak)).astype(np.uint8)


@pytest.mark.parametrize("sigma", [0, 0.7, 1.5])
def test_tiles_find_the_borders_of_the_whole(sigma):
    label = softened(blobs(3, (450, 700)), sigma) if sigma else blobs(3, (450, 700))
    found = border_points(label)
    assert found.size > 1000
    assert (found == whole(label)).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(8, 130), st.integers(8, 130), st.floats(0, 2))
def test_tiles_of_any_label_find_the_borders_of_the_whole(seed, height, width, sigma):
    label = softened(blobs(seed, (height, width)), sigma)
    kept, edges._TILE = edges._TILE, 16
    try:
        assert np.array_equal(border_points(label), whole(label))
    finally:
        edges._TILE = kept


def test_weak_border_counts_where_it_hangs_on_a_strong_one_tiles_away():
    """A stroke that fades from full to faint over a thousand pixels, and a faint one alone."""
    label = np.zeros((100, 1200), np.uint8)
    label[20:50] = np.linspace(255, 50, 1200).astype(np.uint8)
    label[70:90, 600:] = 55
    found = border_points(label)
    rows, columns = np.divmod(found, 1200)
    assert np.array_equal(found, whole(label))
    assert columns[rows < 60].max() > 1190
    assert not (rows > 60).any()


@pytest.mark.parametrize("value", [0, 255])
def test_label_all_of_one_kind_has_no_border(value):
    """The rim of the fragment is where it was cut off, not where ink begins."""
    assert border_points(np.full((300, 300), value, np.uint8)).size == 0
