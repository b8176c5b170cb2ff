"""Scores against scikit-learn and torchmetrics, on ties, constants and streams."""

import warnings

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchmetrics.functional.classification import binary_calibration_error, binary_jaccard_index

from napari_ink.analysis import metrics
from napari_ink.analysis.metrics import Histogram

half = st.floats(0, 1, width=16)


@st.composite
def maps(draw):
    """A float16 map with many ties, a label with both classes, a threshold."""
    size = draw(st.integers(2, 60))
    few = draw(st.lists(half, min_size=1, max_size=5))
    probability = draw(hnp.arrays(np.float16, size, elements=st.one_of(st.sampled_from(few), half)))
    label = draw(hnp.arrays(np.bool_, size))
    label[0], label[1] = True, False
    threshold = draw(st.one_of(st.sampled_from(few), st.floats(0, 1)))
    return probability, label, threshold


@settings(deadline=None)  # a loaded machine is no failure
@given(maps())
def test_scores_equal_scikit_learn_at_any_threshold(case):
    probability, label, threshold = case
    predicted = probability.astype(np.float64) >= threshold
    ours = metrics.scores(Histogram.of(probability, label), threshold)
    assert ours["recall"] == pytest.approx(reference.recall_score(label, predicted))
    assert ours["f1"] == pytest.approx(reference.f1_score(label, predicted))
    assert ours["f05"] == pytest.approx(reference.fbeta_score(label, predicted, beta=0.5))
    assert ours["iou"] == pytest.approx(reference.jaccard_score(label, predicted))
    if predicted.any():
        assert ours["precision"] == pytest.approx(reference.precision_score(label, predicted))
    else:
        assert np.isnan(ours["precision"])


@settings(deadline=None)
@given(maps())
def test_ranking_scores_equal_scikit_learn_with_ties(case):
    probability, label, _ = case
    histogram = Histogram.of(probability, label)
    exact = probability.astype(np.float64)
    assert metrics.auc(histogram) == pytest.approx(reference.roc_auc_score(label, exact))
    assert metrics.ap(histogram) == pytest.approx(reference.average_precision_score(label, exact))


def test_calibration_error_and_iou_equal_torchmetrics():
    random = np.random.default_rng(3)
    probability = random.random(5000).astype(np.float16)
    probability[probability == 1] = 0.5  # torchmetrics puts 1.0 in a sixteenth bin of its own
    label = random.random(5000) < probability.astype(float) ** 2
    histogram = Histogram.of(probability, label)
    predictions, target = torch.from_numpy(probability.astype(np.float32)), torch.from_numpy(label)
    theirs = binary_calibration_error(predictions, target.int(), n_bins=15, norm="l1")
    assert metrics.ece(histogram) == pytest.approx(float(theirs), abs=1e-6)
    theirs = binary_jaccard_index((predictions >= 0.37).int(), target.int())
    assert metrics.scores(histogram, 0.37)["iou"] == pytest.approx(float(theirs), abs=1e-6)


def test_certain_and_right_is_calibrated_and_the_last_bin_is_closed():
    label = np.array([0, 0, 1, 1])
    assert metrics.ece(Histogram.of(label.astype(float), label)) == 0
    assert metrics.ece(Histogram.of(1.0 - label, label)) == 1


@settings(deadline=None)
@given(maps(), st.integers(0, 60))
def test_counting_by_blocks_changes_nothing(case, cut):
    probability, label, _ = case
    whole = Histogram.of(probability, label)
    streamed = Histogram.of(probability[:cut], label[:cut])
    streamed.confusion(0.5)  # fills the cached sums, which the next block must drop
    streamed.add(probability[cut:], label[cut:])
    assert (streamed.counts == whole.counts).all()
    assert streamed.confusion(0.5) == whole.confusion(0.5)
    pooled = Histogram.of(probability[:cut], label[:cut]) + Histogram.of(
        probability[cut:], label[cut:]
    )
    assert (pooled.counts == whole.counts).all()


@settings(deadline=None)
@given(maps(), st.data())
def test_only_predicted_supervised_papyrus_counts(case, data):
    probability, label, threshold = case
    mask = data.draw(hnp.arrays(np.bool_, probability.shape))
    supervision = data.draw(hnp.arrays(np.bool_, probability.shape))
    missing = data.draw(hnp.arrays(np.bool_, probability.shape))
    keep = mask & supervision & ~missing
    expected = metrics.summary(Histogram.of(probability[keep], label[keep]), threshold)
    holed = np.where(missing, np.float16(np.nan), probability)
    ours = metrics.summary(Histogram.of(holed, label, mask * 255, supervision), threshold)
    assert ours == pytest.approx(expected, nan_ok=True)
    assert ours["pixels"] == keep.sum()


def test_threshold_itself_is_ink_and_nothing_is_interpolated():
    stored = np.float16(0.47)
    histogram = Histogram.of(np.array([stored, 0.2]), np.array([1, 0]))
    assert histogram.confusion(float(stored)) == (1, 0, 0)
    assert histogram.confusion(np.nextafter(float(stored), 1)) == (0, 0, 1)
    assert histogram.confusion(0.0) == (1, 1, 0)
    assert histogram.confusion(1.5) == (0, 0, 1)


def test_soft_labels_are_cut_at_one_half():
    histogram = Histogram.of(np.full(4, 0.9), np.array([0.0, 0.498, 0.5, 1.0]))
    assert histogram.ink_pixels == 2


@pytest.mark.parametrize("constant", [0, 1])
def test_scores_of_a_constant_label_are_undefined_where_they_must_be(constant):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = metrics.summary(Histogram.of(np.linspace(0, 1, 9), np.full(9, constant)), 0.5)
    assert np.isnan(values["auc"])
    assert np.isnan(values["ap"]) == (constant == 0)
    assert values["precision"] == constant
    assert metrics.json_ready(values)["auc"] is None


def test_empty_map_has_no_scores():
    values = metrics.summary(Histogram(), 0.5)
    assert values.pop("threshold") == 0.5
    assert values.pop("pixels") == values.pop("ink_pixels") == 0
    assert all(np.isnan(value) for value in values.values())


def test_values_outside_the_unit_interval_are_refused():
    for bad in (-0.1, 1.01, np.inf):
        with pytest.raises(ValueError, match="outside"):
            Histogram.of(np.array([bad]), np.array([1]))
    assert Histogram.of(np.array([-0.0]), np.array([1])).counts[1, 0] == 1
    with pytest.raises(ValueError, match="label is"):
        Histogram.of(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="NaN"):
        Histogram.of(np.zeros(2), np.array([0, np.nan]))


@settings(deadline=None)
@given(maps())
def test_best_threshold_beats_every_other(case):
    probability, label, other = case
    histogram = Histogram.of(probability, label)
    best = metrics.scores(histogram, metrics.best_threshold(histogram))["f05"]
    for threshold in [other, *np.unique(probability).astype(float)]:
        assert best >= metrics.scores(histogram, threshold)["f05"]


def test_best_threshold_needs_ink():
    with pytest.raises(ValueError, match="without ink"):
        metrics.best_threshold(Histogram.of(np.array([0.3]), np.array([0])))
