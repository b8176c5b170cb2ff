"""The simulator is held to DATA.md's numbers of real scans; lengths there are px at 7.91 µm."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from napari_ink.volumes.synthetic import statistics

PX = 7.91  # µm


def mean(five, name):
    return np.mean([getattr(one, name) for one in five], axis=0)


def test_histogram_peaks_at_air_and_papyrus(five):
    for one in five:
        assert one.peaks == (pytest.approx(85, abs=3), pytest.approx(159, abs=5))


def test_flat_air_is_as_noisy_as_the_detector(five):
    assert mean(five, "noise") == pytest.approx(7, abs=0.5)


def test_percentiles_of_grey(five):
    assert mean(five, "percentiles") == pytest.approx([15, 112, 254], abs=6)


def test_correlation_lengths(five):
    # Real: 4 layers is the first lag below 1/e at 7.91 µm; the crossing itself lies at 3.4.
    z, y, x = mean(five, "lengths") / PX
    assert 3 < z < 4.4
    assert y == pytest.approx(24, rel=0.15)
    assert x == pytest.approx(31, rel=0.15)


def test_letters_are_as_high_as_scribes_wrote(five):
    heights = np.concatenate([one.heights for one in five]) / PX
    assert len(heights) >= 40
    assert np.percentile(heights, [10, 50, 90]) == pytest.approx([333, 466, 564], rel=0.1)


def test_strokes_are_as_wide_as_a_reed_pen(five):
    for one in five:
        assert one.stroke / PX == pytest.approx(52, rel=0.06)


def test_about_a_tenth_is_ink(five):
    for one in five:
        assert 0.08 < one.ink < 0.13


def test_no_single_layer_shows_ink_raw_or_smoothed(five):
    layers = mean(five, "layers")
    assert layers.min() > 0.45
    assert layers.max() < 0.55


def test_depth_profile_alone_does_not_show_ink(five):
    for one in five:
        assert one.profile <= 0.70


def test_local_variance_is_hard_but_not_blind(five):
    assert 0.62 < mean(five, "variance").max() < 0.68
    for one in five:
        assert 0.59 < one.variance.max() < 0.71


def test_auc_agrees_with_scikit_learn(default_fragment):
    rng = np.random.default_rng(3)
    truth = rng.uniform(size=20_000) < 0.1
    score = (rng.normal(size=truth.size) + truth).astype(np.float32)
    assert statistics.auc(score, truth) == pytest.approx(roc_auc_score(truth, score), abs=1e-4)
    coarse = np.round(score)  # ties
    assert statistics.auc(coarse, truth) == pytest.approx(roc_auc_score(truth, coarse), abs=1e-6)


def test_profile_auc_agrees_with_scikit_learn(default_fragment):
    volume = default_fragment.read()[:, ::4, ::4]
    ink = np.asarray(default_fragment.label)[::4, ::4] > 0.5
    mask = np.asarray(default_fragment.mask, bool)[::4, ::4]
    profiles = (volume[:, mask].T - 115.0) / 45
    model = LogisticRegression(C=1e4, max_iter=500).fit(profiles, ink[mask])
    oracle = roc_auc_score(ink[mask], model.decision_function(profiles))
    assert statistics.profile_auc(volume, ink, mask) == pytest.approx(oracle, abs=2e-3)


def test_correlation_length_of_a_known_field():
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).standard_normal((60, 120, 120))
    field = gaussian_filter(noise, (2, 4, 6), mode="wrap")
    # Gaussian filter: autocorrelation exp(-d²/4σ²), 1/e at d = 2σ.
    lengths = statistics.correlation_lengths(field, 3.0)
    assert lengths == pytest.approx((12, 24, 36), rel=0.1)


def test_stroke_and_height_of_a_drawn_letter():
    page = np.zeros((400, 300), bool)
    page[50:350, 140:160] = True
    page[190:192, 140:160] = False  # a crack does not cut a letter in two
    assert statistics.stroke_width(page, 10.0) == pytest.approx(200, rel=0.11)
    assert statistics.letter_heights(page, 10.0) == pytest.approx([3000])
