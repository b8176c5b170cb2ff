"""What a blind review says, against tables, scipy and counting by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_stores import bare_review
from scipy.stats import beta, binom

from napari_ink.analysis.blind_review_tally import Tally, tally
from napari_ink.errors import SettingsError


def counted(a, b):
    names = {"a": "A (one)", "b": "B (two)"}
    return Tally({"a": a, "b": b}, 0, 0, a + b, 0, 0, 0, 1, names)


def test_14_of_18_is_52_to_94_percent():
    found = counted(14, 4)
    # Clopper and Pearson by the beta distribution; sign test by summing the binomial.
    low, high = beta.ppf(0.025, 14, 5), beta.ppf(0.975, 15, 4)
    assert found.interval == pytest.approx((low, high), abs=1e-9)
    assert found.interval == pytest.approx((0.5236, 0.9359), abs=1e-4)
    assert found.p == pytest.approx(2 * binom.sf(13, 18, 0.5))
    assert found.sentence == (
        "A (one) was the more legible in 14 of 18 decided regions (78 %, 95 % interval 52–94 %)."
    )


def test_the_sentence_is_about_the_one_that_leads():
    assert counted(4, 14).sentence == counted(14, 4).sentence.replace("A (one)", "B (two)")
    assert counted(4, 14).verdict == "b"


@pytest.mark.parametrize("wins", [(3, 2), (5, 0), (9, 9), (0, 1)])
def test_too_few_or_too_even_answers_are_not_decided(wins):
    assert counted(*wins).verdict is None
    assert "not decided" in counted(*wins).sentence


def test_six_regions_are_the_fewest_that_can_decide():
    assert "takes 6 regions at least" in counted(5, 0).sentence
    assert counted(6, 0).verdict == "a"
    assert "not decided" not in counted(6, 0).sentence
    assert "holds 50 %" in counted(5, 1).sentence


def test_without_a_decided_region_there_is_no_interval():
    found = tally([bare_review(choices=("same", "skip"))])
    assert (found.interval, found.p, found.share, found.verdict) == (None, None, None, None)
    assert (found.ties, found.skipped, found.judged) == (1, 1, 2)
    assert "not decided" in found.sentence


@given(st.integers(0, 60), st.integers(0, 60))
def test_interval_and_sign_test_say_the_same(a, b):
    found = counted(a, b)
    if a + b:
        low, high = found.interval
        assert low <= found.share <= high
        assert (found.verdict is not None) == (found.p < 0.05)


def test_sides_are_turned_back_into_predictions():
    found = tally([bare_review("abab", ("left", "left", "right", "right"))])
    assert found.wins == {"a": 2, "b": 2}
    assert found.left == 2
    assert tally([bare_review("abab", ("left", "right", "left", "right"))]).wins == {"a": 4, "b": 0}


def test_a_region_shown_again_counts_once_and_tells_how_far_the_reader_agrees():
    review = bare_review("abba", ("left", "left", "right", "right"), repeats={2: 0, 3: 1})
    found = tally([review])
    assert found.wins == {"a": 1, "b": 1}
    assert (found.regions, found.repeated, found.agreed) == (2, 2, 2)
    sided = bare_review("abba", ("left", "left", "left", "left"), repeats={2: 0, 3: 1})
    assert (tally([sided]).repeated, tally([sided]).agreed) == (2, 0)


def test_a_skipped_repeat_says_nothing_about_agreement():
    review = bare_review("ab", ("left", "skip"), repeats={1: 0})
    assert tally([review]).repeated == 0


def test_several_readers_are_put_together_whichever_way_round():
    one = bare_review("ab", ("left", "right"))
    other = bare_review("aaa", ("left", "left", "right"), digests=("y", "x"))  # its a is our b
    found = tally([one, other])
    assert found.wins == {"a": 3, "b": 2}
    assert (found.readers, found.regions) == (2, 5)


def test_reviews_of_other_predictions_are_not_put_together():
    with pytest.raises(SettingsError, match="review 2 compares other predictions"):
        tally([bare_review(), bare_review(digests=("x", "z"))])


def test_the_record_holds_every_figure():
    record = tally([bare_review("ab", ("left", "same"))]).record()
    assert (record["wins_a"], record["wins_b"], record["ties"]) == (1, 0, 1)
    assert record["interval_a"] == pytest.approx([0.025, 1.0])
    assert record["more_legible"] is None
    assert record["p"] == 1.0
