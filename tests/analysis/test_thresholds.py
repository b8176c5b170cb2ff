"""Per-layer histograms and the cuts chosen from them, against scikit-learn and brute force."""

import itertools

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_ink.analysis import metrics
from napari_ink.analysis.layer_histograms import NONE, LayerHistograms
from napari_ink.analysis.metrics import Histogram
from napari_ink.analysis.thresholds import (
    METRICS,
    best_for_mean,
    best_threshold,
    best_thresholds,
    mean_score,
)

FEW = np.array([0, 0.1, 0.25, 0.47, 0.5, 0.9, 1], np.float16)


@st.composite
def stacks(draw, layers=None, most=12):
    """Probabilities ``(z, 1, x)`` of few values, and a label of the volume with some ink."""
    shape = (layers or draw(st.integers(1, 3)), 1, draw(st.integers(2, most)))
    values = st.sampled_from(FEW[: draw(st.integers(1, len(FEW)))])
    probability = draw(hnp.arrays(np.float16, shape, elements=values))
    label = draw(hnp.arrays(np.bool_, shape))
    label[0, 0, 0] = True
    return probability, label


cuts_of_layers = st.lists(st.sampled_from([*map(float, FEW), 0.3, NONE]), min_size=3, max_size=3)


@settings(deadline=None)
@given(stacks(), cuts_of_layers)
def test_pooled_scores_equal_scikit_learn_at_cuts_of_each_layer(case, cuts):
    probability, label = case
    cuts = np.array(cuts[: len(probability)])
    found = probability.astype(float) >= cuts[:, None, None]
    ours = LayerHistograms.of(probability, label).scores(cuts)
    truth, found = label.ravel(), found.ravel()
    assert ours["recall"] == pytest.approx(reference.recall_score(truth, found))
    assert ours["f1"] == pytest.approx(reference.f1_score(truth, found))
    assert ours["f05"] == pytest.approx(reference.fbeta_score(truth, found, beta=0.5))
    assert ours["iou"] == pytest.approx(reference.jaccard_score(truth, found))


@settings(deadline=None)
@given(stacks(), cuts_of_layers, st.data())
def test_a_layer_by_itself_is_its_histogram_under_mask_and_supervision(case, cuts, data):
    probability, label = case
    plane = label[0]
    mask, supervision = (data.draw(hnp.arrays(np.bool_, plane.shape)) for _ in range(2))
    holed = np.where(data.draw(hnp.arrays(np.bool_, probability.shape)), np.nan, probability)
    ours = LayerHistograms.of(holed, plane, mask * 255, supervision)
    each = ours.layer_scores(np.array(cuts[: len(holed)]))
    for layer, (values, cut) in enumerate(zip(holed, cuts, strict=False)):
        theirs = Histogram.of(values, plane, mask, supervision)
        assert (ours.layer(layer).counts == theirs.counts).all()
        assert each[layer] == pytest.approx(metrics.scores(theirs, cut), nan_ok=True)


@settings(deadline=None)
@given(stacks(), st.integers(0, 12))
def test_counting_layers_by_blocks_changes_nothing(case, cut):
    probability, label = case
    whole = LayerHistograms.of(probability, label)
    parts = [(probability[..., s], label[..., s]) for s in (slice(cut), slice(cut, None))]
    streamed = LayerHistograms.of(*parts[0])
    streamed.confusion(0.5)  # fills the cached sums, which the next block must drop
    streamed.add(*parts[1])
    added = LayerHistograms.of(*parts[0]) + LayerHistograms.of(*parts[1])
    for other in (streamed, added):
        assert (other.counts == whole.counts).all()
        assert (other.confusion(0.5) == whole.confusion(0.5)).all()


@settings(deadline=None)
@given(stacks(), st.integers(0, 100), st.data())
def test_percentile_is_of_the_layers_own_pixels_labelled_or_not(case, percentile, data):
    probability, label = case
    supervision = data.draw(hnp.arrays(np.bool_, label.shape))
    histograms = LayerHistograms.of(probability, label, supervision=supervision)
    expected = [
        np.percentile(layer.astype(float), percentile, method="inverted_cdf")
        for layer in probability
    ]
    np.testing.assert_array_equal(histograms.cuts_at(percentile), expected)
    without = LayerHistograms.of(probability)
    np.testing.assert_array_equal(without.cuts_at(percentile), expected)
    assert np.isnan(without.scores(0.5)["f05"])
    assert np.isinf(histograms.cuts_at(NONE)).all()
    assert np.isinf(LayerHistograms(2).cuts_at(50)).all()


def all_choices(probability):
    """Every combination of cuts that differ."""
    return itertools.product(*([*np.unique(layer).astype(float), NONE] for layer in probability))


@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None, max_examples=60)
@given(case=stacks())
def test_no_choice_of_cuts_is_better_than_the_one_found(metric, case):
    probability, label = case
    histograms = LayerHistograms.of(probability, label)
    cuts = best_thresholds(histograms, metric)
    reached = histograms.scores(cuts)[metric]
    scores = [histograms.scores(np.array(c))[metric] for c in all_choices(probability)]
    assert reached == max(scores)
    one = histograms.scores(best_threshold(histograms, metric))[metric]
    assert one == max(histograms.scores(float(cut))[metric] for cut in np.unique(probability))
    assert reached >= one


def test_f05_of_one_layer_agrees_with_the_threshold_of_the_checkpoints():
    random = np.random.default_rng(1)
    probability = random.random((1, 90, 90))
    label = random.random((90, 90)) < probability[0] ** 3
    histograms = LayerHistograms.of(probability, label)
    assert best_threshold(histograms, "f05") == metrics.best_threshold(histograms.layer(0))


def test_pixel_counts_beyond_floats_are_compared_exactly():
    """Two cuts whose scores differ in the nineteenth digit."""
    big = 3 * 10**9
    counts = np.zeros((1, 3, metrics.BIN_VALUES.size), np.int64)
    low, high = 1000, 9000
    counts[0, :, high] = big - 1, big, 0  # alone: big / (2 big + 1 − 1 + …)
    counts[0, :, low] = 1, 1, 0
    histograms = LayerHistograms(1, counts)
    # IoU high: big / (2·big), low: (big + 1) / (2·big + 1), the larger by 1/(4·big).
    assert best_threshold(histograms, "iou") == metrics.BIN_VALUES[low]
    counts[0, 0, low] = 2  # low: (big + 1) / (2·big + 2): equal, so less ink
    assert best_threshold(LayerHistograms(1, counts), "iou") == metrics.BIN_VALUES[high]


def test_a_layer_that_only_misleads_is_left_without_ink():
    good = np.array([[0.9, 0.8, 0.1, 0.2]])
    label = np.array([[1, 1, 0, 0]])
    histograms = LayerHistograms.of(np.stack([good, 1 - good]), np.stack([label, 0 * label]))
    np.testing.assert_array_equal(
        best_thresholds(histograms, "iou"), [float(np.float16(0.8)), NONE]
    )
    assert histograms.scores(best_thresholds(histograms, "iou"))["iou"] == 1


def test_thresholds_need_ink():
    histograms = LayerHistograms.of(np.full((2, 3, 3), 0.4), np.zeros((3, 3)))
    for choose in (best_threshold, best_thresholds):
        with pytest.raises(ValueError, match="without ink"):
            choose(histograms, "f05")


def test_what_cannot_be_counted_is_refused():
    for bad in (-0.1, 1.01, np.inf, -np.inf):
        with pytest.raises(ValueError, match="outside"):
            LayerHistograms.of(np.full((1, 1, 1), bad), np.ones((1, 1)))
    assert LayerHistograms.of(np.full((1, 1, 1), -0.0)).counts[0, 2, 0] == 1
    with pytest.raises(ValueError, match="label is"):
        LayerHistograms.of(np.zeros((1, 2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="NaN"):
        LayerHistograms.of(np.zeros((1, 1, 2)), np.array([[0, np.nan]]))
    LayerHistograms.of(np.zeros((1, 1, 2)), np.array([[0, np.nan]]), np.array([[1, 0]]))
    with pytest.raises(ValueError, match="2 layers given, 1"):
        LayerHistograms(1).add(np.zeros((2, 1, 1)))


# --- the mean over samples --------------------------------------------------------------------


@st.composite
def sample_sets(draw):
    layers = draw(st.integers(1, 3))
    made = [draw(stacks(layers=layers, most=6)) for _ in range(draw(st.integers(1, 3)))]
    return [LayerHistograms.of(*sample) for sample in made]


GRID = FEW.astype(float)


def mean_iou(samples, cuts):
    return np.mean([sample.scores(np.array(cuts))["iou"] for sample in samples])


@settings(deadline=None, max_examples=60)
@given(sample_sets())
def test_layer_by_layer_search_is_better_than_one_cut_and_no_layer_can_better_it(samples):
    found = best_for_mean(samples, "iou", GRID)
    assert found.score == pytest.approx(mean_iou(samples, found.thresholds))
    assert found.score == pytest.approx(mean_score(samples, "iou", found.thresholds))
    one = [mean_iou(samples, [cut] * len(samples[0])) for cut in GRID]
    assert found.global_score == pytest.approx(max(one))
    assert found.score >= found.global_score
    for layer, cut in itertools.product(range(len(samples[0])), [*GRID, NONE]):
        other = found.thresholds.copy()
        other[layer] = cut
        assert mean_iou(samples, other) <= found.score + 1e-12


def test_search_over_samples_leaves_a_misleading_layer_without_ink():
    good = np.array([[0.9, 0.75, 0.1, 0.2]])
    label = np.array([[1, 1, 0, 0]])
    volume = np.stack([good, np.roll(good, 2)]), np.stack([label, 0 * label])
    found = best_for_mean((LayerHistograms.of(*volume) for _ in range(3)), "iou")
    assert found.thresholds[1] == NONE
    assert found.score == 1 > found.global_score


def test_a_sample_with_nothing_to_find_and_nothing_found_scores_one():
    empty = LayerHistograms.of(np.full((1, 1, 4), 0.3), np.zeros((1, 4)))
    assert mean_score([empty], "iou", 0.5) == 1
    assert mean_score([empty], "iou", 0.1) == 0
    assert best_for_mean([empty], "iou").score == 1
    with pytest.raises(ValueError, match="no sample"):
        best_for_mean([], "iou")
