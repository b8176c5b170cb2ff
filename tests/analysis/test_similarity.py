"""Structural similarity and reliability against other libraries."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity
from sklearn.calibration import calibration_curve

from napari_ink.analysis import metrics, similarity
from napari_ink.analysis.calibration import reliability
from napari_ink.analysis.metrics import Histogram
from napari_ink.analysis.similarity import ssim


@pytest.fixture
def pair():
    random = np.random.default_rng(3)
    label = np.zeros((90, 130))
    label[20:60, 30:40] = label[50:60, 30:90] = 1
    return np.clip(0.7 * label + 0.3 * random.random(label.shape), 0, 1), label


def test_ssim_equals_scikit_images_map_where_the_window_is_whole(pair):
    _, whole = structural_similarity(
        *pair, data_range=1, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    assert ssim(*pair) == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-5)
    assert ssim(pair[1], pair[1]) == pytest.approx(1)


@pytest.mark.parametrize("side", [16, 40, 84, 85])
def test_ssim_does_not_depend_on_the_pieces_it_is_computed_in(pair, side, monkeypatch):
    mask = np.ones(pair[0].shape, bool)
    mask[30:33, 50:70] = False
    whole = ssim(*pair, mask)
    monkeypatch.setattr(similarity, "_SIDE", side)
    assert ssim(*pair, mask) == pytest.approx(whole, abs=1e-6)


def test_nothing_outside_the_mask_or_not_predicted_changes_ssim(pair):
    probability, label = pair
    mask = np.zeros(label.shape, bool)
    mask[10:70, 20:80] = True
    inside = ssim(probability, label, mask)
    other = np.where(mask, probability, 1 - probability)
    assert ssim(other, 1 - label * ~mask - (1 - label) * mask, mask) == pytest.approx(inside)
    unpredicted = np.where(mask, probability, np.nan)
    assert ssim(unpredicted, label) == pytest.approx(inside)
    assert inside != pytest.approx(ssim(probability, label), abs=1e-3)


def test_ssim_without_a_whole_window_is_undefined(pair):
    mask = np.zeros(pair[0].shape, bool)
    mask[10:20, 10:20] = True
    assert np.isnan(ssim(*pair, mask))
    assert np.isnan(ssim(pair[0][:9], pair[1][:9]))


def test_reliability_equals_scikit_learns_curve_and_its_mean_distance_is_the_ece():
    random = np.random.default_rng(5)
    probability = np.float16(random.random(5000) * 0.9)
    label = random.random(5000) < probability.astype(float) ** 2
    histogram = Histogram.of(probability, label)
    parts = reliability(histogram, 7)  # no float16 lies on these intervals' edges
    ink, predicted = calibration_curve(label, probability.astype(float), n_bins=7)
    filled = parts.pixels > 0
    assert parts.ink[filled] == pytest.approx(ink)
    assert parts.probability[filled] == pytest.approx(predicted)
    assert parts.pixels.sum() == 5000
    distance = np.abs(parts.ink - parts.probability)[filled] @ parts.pixels[filled] / 5000
    assert metrics.ece(histogram, 7) == pytest.approx(distance)


def test_reliability_of_an_empty_interval_is_undefined_not_zero():
    parts = reliability(Histogram.of(np.array([0.05, 0.95]), np.array([0, 1])), 10)
    assert np.isnan(parts.ink[1:9]).all()
    assert parts.pixels.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
