"""What the Experts dock says and points at, without a window; and what docks of a viewer share."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ink.analysis.experts import ExpertsEffect
from napari_ink.analysis.gates import EXPERT_LABELS, GateShares, compare_gates
from napari_ink.inference.settings import Box
from napari_ink.models.mode import EXPERTS
from napari_ink.widgets.experts.model import ExpertsModel, _short, effect_words, names_of


def shares(task="ink", first=40.0):
    """C1.1 with two channels, D1.1 with three."""
    rest = (100 - first) / 4
    block = np.array([[first, first - 10], *[[rest, rest + 2.5]] * 4])
    even = np.full((5, 3), 20.0)
    names = ("encoder.0.0", "decoder.0.0")
    return GateShares(task, names, ("C1.1", "D1.1"), EXPERT_LABELS, (block, even))


@pytest.fixture
def model():
    model = ExpertsModel()
    model.take(shares())
    return model


def test_bars_are_the_blocks_then_the_means_over_them(model):
    assert [row.name for row in model.rows] == [
        "C1.1",
        "D1.1",
        "Mean of all C",
        "Mean of all D",
        "Mean of all",
    ]
    assert model.rows[0].shares == pytest.approx([35, 16.25, 16.25, 16.25, 16.25])


def test_expert_under_the_cursor_is_told_with_mean_and_spread(model):
    model.point(0.2, 30)
    assert model.words.startswith("C1.1: 5³ has 35.0 % ± 5.0\n")
    model.point(0.2, 36)
    assert "3³ has 16.2 %" in model.words
    assert model.segment == pytest.approx((0, 35, 51.25))
    model.point(0.2, 100)
    assert "avg 5³" in model.words
    for nowhere in ((None, 0), (9.0, 50), (0.2, -3), (0.2, 101)):
        model.point(*nowhere)
        assert model.words == ""


def test_arrows_walk_from_bar_to_bar_and_stop_at_the_ends(model):
    model.step(1)
    assert model.at == (0, 0)
    for _ in range(9):
        model.step(1, 1)
    assert model.at == (4, 4)
    model.step(-1, -1)
    assert model.at == (3, 3)


def test_block_opens_to_its_channels_and_closes_again(model):
    model.point(0.0, 1)
    model.enter()
    assert (model.block, len(model.rows)) == ("C1.1", 2)
    model.point(1.0, 29)
    assert model.words.startswith("C1.1, channel 1: 5³ has 30.0 %\n")
    model.enter()
    assert model.block == ""
    model.point(model.rows[-1].place, 1)
    model.enter()  # a mean over blocks has no channels
    assert model.block == ""


def test_open_block_stays_open_while_the_network_has_it(model):
    model.open("D1.1")
    model.take(shares(task="letters"))
    assert model.block == "D1.1"
    other = GateShares("ink", ("encoder.0.0",), ("C1.1",), EXPERT_LABELS, shares().values[:1])
    model.take(other)
    assert model.block == ""
    model.take(None)
    assert model.rows == []


def test_comparison_shows_pairs_and_tells_the_difference(model):
    model.take(shares(), compare_gates(shares(), shares("letters", first=50.0)), ("ink", "letters"))
    assert [row.name for row in model.rows[:2]] == ["C1.1 (ink)", "C1.1 (letters)"]
    model.point(model.rows[1].place, 1)
    assert "C1.1 (letters): 5³ has 45.0 % ± 5.0 (+10.0)" in model.words
    model.point(model.rows[0].place, 1)
    assert "(+" not in model.words


def test_labels_of_charts_are_the_names_that_prediction_takes():
    assert names_of(EXPERT_LABELS) == EXPERTS
    assert names_of(("avg 5³", "added")) == ("avg5", "added")


def effect(scores, off=("avg5",)):
    whole = np.full((4, 4), 0.5, np.float32)
    return ExpertsEffect(Box(0, 4, 0, 4), off, whole, whole - 0.25, scores)


def test_effect_is_told_as_score_and_change():
    told = effect_words(effect(({"f05": 0.84, "auc": 1.0}, {"f05": 0.79, "auc": 0.9876})))
    assert told == (
        "F0.5 .84 → .79 (−.05), AUC 1.000 → .988. "
        "Without it, the probabilities change by 0.250 on average."
    )
    assert "Without them" in effect_words(effect(None, ("avg3", "avg5")))


def test_effect_without_label_or_ink_says_that_there_is_no_score():
    assert "No ink label here" in effect_words(effect(None))
    nothing = {"f05": float("nan"), "auc": float("nan")}
    assert "has no ink here" in effect_words(effect((nothing, nothing)))


def test_a_score_below_1_is_not_told_as_1():
    assert [_short(score, 3) for score in (0.9994, 0.9999, 1.0)] == [".999", ".999", "1.000"]
