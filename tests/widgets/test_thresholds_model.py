"""What the Thresholds dock says and remembers, without a window."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ink.analysis.layer_histograms import NONE, LayerHistograms
from napari_ink.analysis.parts import halves
from napari_ink.analysis.thresholds import best_threshold, best_thresholds
from napari_ink.errors import FragmentError
from napari_ink.widgets.thresholds.counted import Counted, Scope
from napari_ink.widgets.thresholds.follow import cut_limits
from napari_ink.widgets.thresholds.model import ThresholdsModel
from napari_ink.widgets.thresholds.words import fitted_line, number, score_line

SHAPE = (3, 40, 60)
NAMES = ("z 4", "z 5", "z 6")


def scene():
    random = np.random.default_rng(2)
    label = random.random(SHAPE[1:]) < 0.2
    strength = np.array([0, 0.2, 0.4])[:, None, None]
    values = np.clip(0.4 + strength * label + 0.12 * random.standard_normal(SHAPE), 0, 1)
    return values.astype(np.float16), label


def counted(labelled=True, scope=Scope.PAPYRUS, ink_right=True):
    values, label = scene()
    if not ink_right:
        label[:, 30:] = False
    half = [
        LayerHistograms.of(values[..., part], label[:, part] if labelled else None)
        for part in (slice(30), slice(30, None))
    ]
    return Counted(*half, halves(SHAPE[1:]), ("left half", "right half"), scope, labelled)


@pytest.fixture
def model():
    model = ThresholdsModel("iou")
    model.choose(NAMES, (0.5, 0.5, 0.5))
    model.take_counts(counted())
    return model


def test_master_moves_all_layers_and_a_slider_its_own(model):
    model.move(None, 0.6)
    assert model.cuts == (0.6, 0.6, 0.6)
    model.move(1, 0.3)
    assert model.cuts == (0.6, 0.3, 0.6)
    values, label = scene()
    found = values >= np.array(model.cuts)[:, None, None]
    iou = (found & label).sum() / (found | label).sum()
    assert model.scores["iou"] == pytest.approx(iou)


def test_one_drag_is_one_step_to_undo(model):
    for position in (0.5, 0.55, 0.6):
        model.move(1, position)
    for position in (0.2, 0.3):
        model.move(2, position)
    model.settle()
    model.move(2, 0.4)
    seen = [model.cuts]
    while model.can_undo:
        model.undo()
        seen.append(model.cuts)
    assert seen == [(0.5, 0.6, 0.4), (0.5, 0.6, 0.3), (0.5, 0.6, 0.5), (0.5, 0.5, 0.5)]


def test_what_a_step_made_is_handed_back_in_its_turn(model):
    made = ["a layer"]
    model.move(None, 0.7)
    model.made(made)
    model.move(None, 0.8)
    assert model.undo() is None
    assert model.undo() is made
    assert model.cuts == (0.7, 0.7, 0.7)


def test_optimise_fits_the_one_part_and_says_the_score_on_the_other(model):
    model.optimise()
    both = counted()
    assert model.cuts == tuple(best_thresholds(both.fit, "iou"))
    assert model.cuts[0] == NONE
    assert model.fitted.report_scores == both.report.scores(np.array(model.cuts))
    line = fitted_line(model.fitted, both)
    both_scores = model.fitted.fit_scores, model.fitted.report_scores
    first, second = (number(scores["iou"]) for scores in both_scores)
    assert line.index(first) < line.index("left half") < line.index("right half")
    assert line.index(second) > line.index("left half")
    cut = best_threshold(both.fit, "iou")
    told = fitted_line(model.fitted, both, model.one)
    assert f"{number(cut)}, has {number(both.report.scores(cut)['iou'])}" in told
    assert model.kept() is model.fitted
    model.move(0, 0.4)
    assert model.fitted is None
    assert model.kept().metric == ""
    model.undo()
    assert model.cuts[0] == NONE
    model.undo()
    assert model.cuts == (0.5, 0.5, 0.5)


def test_a_half_without_ink_is_not_called_a_test():
    model = ThresholdsModel()
    model.choose(NAMES, (0.5,) * 3)
    model.take_counts(counted(ink_right=False))
    model.optimise()
    assert "no ink in the right half" in fitted_line(model.fitted, model.counted)


def test_optimising_without_ink_says_where_it_is_missing(model):
    both = counted(ink_right=False)
    swapped = Counted(both.report, both.fit, both.parts[::-1], both.said[::-1])
    model.take_counts(swapped)
    with pytest.raises(FragmentError, match="no ink in 0:40,30:60"):
        model.optimise()
    assert model.cuts == (0.5, 0.5, 0.5)
    assert not model.can_undo


def test_without_a_label_only_percentiles_are_set(model):
    model.take_counts(counted(labelled=False))
    assert model.percentiles
    assert model.scores == {}
    assert model.curve() is None
    model.move(None, 90)
    values, _ = scene()
    expected = np.percentile(values.reshape(3, -1).astype(float), 90, axis=1, method="inverted_cdf")
    assert model.cuts == tuple(expected)
    assert model.positions == (90, 90, 90)
    model.optimise()
    assert model.cuts == tuple(expected)


def test_changing_the_kind_of_cut_moves_the_sliders_and_not_the_cuts(model):
    model.choose_kind(True)
    assert model.cuts == (0.5, 0.5, 0.5)
    values, _ = scene()
    below = [100 * (layer < 0.5).mean() for layer in values]
    assert model.positions == pytest.approx(below)
    model.choose_kind(False)
    assert model.positions == (0.5, 0.5, 0.5)


def test_curve_is_the_score_at_every_position_of_the_slider(model):
    for by_percentile in (False, True):
        model.choose_kind(by_percentile)
        for layer in (None, 2):
            model.move(layer, 55 if by_percentile else 0.55)
            curve = model.curve()
            assert curve.at == model.positions[2]
            assert curve.score == model.scores["iou"]
            for k in (20, 110, 190):
                model.move(layer, float(curve.x[k]))
                assert model.scores["iou"] == pytest.approx(curve.y[k])


def test_scores_of_a_drawn_region_are_of_that_region(model):
    both = counted(scope=Scope.SHAPE)
    model.take_counts(both)
    assert model.scores == both.fit.scores(0.5)
    assert model.kept().report is both.parts[0]


def test_the_chosen_metric_comes_first_and_undefined_is_a_dash():
    scores = {"iou": 0.5, "f05": float("nan"), "f1": 1.0, "precision": 0.25, "recall": 0.125}
    assert score_line(scores, "f1") == (
        "F1 1.000 · IoU .500 · F0.5 – · precision .250 · recall .125"
    )


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.47, 0.5, 1.0, NONE])
def test_no_stored_probability_lies_between_the_contrast_limits(cut):
    stored = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(float)
    low, high = cut_limits(cut)
    assert low < high
    shown = np.clip((stored - low) / (high - low), 0, 1)
    np.testing.assert_array_equal(shown, stored >= cut)
