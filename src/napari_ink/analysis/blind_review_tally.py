"""What blind reviews say: how often each prediction was the more legible, and how sure that is.

The interval is that of Clopper and Pearson (Biometrika 26, 1934, 404–413), the p-value that of the
two-sided sign test. The two agree: the interval leaves out one half exactly if p is below .05.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from napari_ink.analysis.blind_review import KEYS, Key, Review
from napari_ink.errors import SettingsError

CONFIDENCE = 0.95
FEWEST = 6  # regions: 5 of 5 happen by chance once in sixteen times


@dataclass(frozen=True)
class Tally:
    """Answers counted; repeated regions only in ``agreed`` and ``repeated``.

    Attributes
    ----------
    wins : dict
        How often ``a`` and ``b`` were the more legible.
    ties, skipped : int
        No difference; cannot say.
    regions : int
        How many there are to judge, repeats left out.
    left : int
        How often the left picture was chosen: about half of ``decided``, or the reader has a side.
    agreed, repeated : int
        Of the regions that came back with sides swapped, how many got the same answer.
    readers : int
        Reviews put together.
    names : dict
        What ``a`` and ``b`` are called.
    """

    wins: dict[Key, int]
    ties: int
    skipped: int
    regions: int
    left: int
    agreed: int
    repeated: int
    readers: int
    names: dict[Key, str]

    @property
    def decided(self) -> int:
        """Regions in which one was the more legible."""
        return sum(self.wins.values())

    @property
    def judged(self) -> int:
        """Regions that have an answer."""
        return self.decided + self.ties + self.skipped

    @property
    def leader(self) -> Key:
        """The one with more regions; ``a`` where they are even."""
        return max(KEYS, key=lambda key: self.wins[key])

    @property
    def share(self) -> float | None:
        """Share of ``a`` among the decided regions; ``None``: there are none."""
        return self.wins["a"] / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bounds of that share at 95 % confidence."""
        return self._interval("a") if self.decided else None

    @property
    def p(self) -> float | None:
        """Chance of counts as uneven as these, or more so, if neither were the more legible."""
        return float(self._test("a").pvalue) if self.decided else None

    @property
    def verdict(self) -> Key | None:
        """The more legible one; ``None``: not decided, since the interval holds one half."""
        if self.interval is None or self.interval[0] <= 0.5 <= self.interval[1]:
            return None
        return self.leader

    @property
    def sentence(self) -> str:
        """The outcome in plain words."""
        if not self.decided:
            return "Neither was called the more legible in any region: not decided."
        key, low, high = self.leader, *self._interval(self.leader)
        count = f"{self.wins[key]} of {self.decided} decided region{'s' * (self.decided != 1)}"
        share = self.wins[key] / self.decided
        text = (
            f"{self.names[key]} was the more legible in {count} "
            f"({_percent(share)} %, 95 % interval {_percent(low)}–{_percent(high)} %)"
        )
        if self.decided < FEWEST:
            text += f": not decided, which takes {FEWEST} regions at least"
        elif self.verdict is None:
            text += ": not decided, the interval holds 50 %"
        return f"{text}."

    def record(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "a": self.names["a"],
            "b": self.names["b"],
            "readers": self.readers,
            "regions": self.regions,
            "judged": self.judged,
            "wins_a": self.wins["a"],
            "wins_b": self.wins["b"],
            "ties": self.ties,
            "skipped": self.skipped,
            "decided": self.decided,
            "share_a": self.share,
            "interval_a": None if self.interval is None else list(self.interval),
            "p": self.p,
            "more_legible": self.verdict,
            "left_chosen": self.left,
            "repeated": self.repeated,
            "repeated_same_answer": self.agreed,
            "sentence": self.sentence,
        }

    def _test(self, key: Key):
        from scipy.stats import binomtest

        return binomtest(self.wins[key], self.decided)

    def _interval(self, key: Key) -> tuple[float, float]:
        found = self._test(key).proportion_ci(CONFIDENCE, method="exact")
        return float(found.low), float(found.high)


def tally(reviews: Sequence[Review]) -> Tally:
    """Count the answers of one review, or of several readers' of the same two predictions.

    Raises
    ------
    SettingsError
        When they compare different things.
    """
    first = reviews[0]
    wins: dict[Key, int] = dict.fromkeys(KEYS, 0)
    counts = dict.fromkeys(("ties", "skipped", "regions", "left", "agreed", "repeated"), 0)
    for number, review in enumerate(reviews, 1):
        other_way = _other_way(first, review, number)
        counts["regions"] += sum(region.repeats is None for region in review.regions)
        for region, answer in zip(review.regions, review.answers, strict=False):
            picked = region.picked(answer.choice)
            if region.repeats is not None:
                before = review.regions[region.repeats].picked(
                    review.answers[region.repeats].choice
                )
                if "skip" not in (answer.choice, review.answers[region.repeats].choice):
                    counts["repeated"] += 1
                    counts["agreed"] += picked == before
            elif picked is None:
                counts["ties" if answer.choice == "same" else "skipped"] += 1
            else:
                wins[KEYS[1 - KEYS.index(picked)] if other_way else picked] += 1
                counts["left"] += answer.choice == "left"
    return Tally(wins=wins, readers=len(reviews), names=names_of(first), **counts)


def names_of(review: Review) -> dict[Key, str]:
    """A and B by their files' names, and by what is shown of them where these are the same."""
    names: dict[Key, str] = {}
    for key in KEYS:
        shown = review.shown(key)
        name = f"{key.upper()} ({PurePath(shown.path).name}"
        if shown.layer is not None:
            name += f", layer {shown.layer}"
        names[key] = name + ("" if shown.cut is None else f", cut at {shown.cut:.3g}") + ")"
    return names


def _other_way(first: Review, review: Review, number: int) -> bool:
    """Whether a review has A and B the other way round."""
    mine, theirs = ((one.a.same_as, one.b.same_as) for one in (first, review))
    if first.fragment["fingerprint"] == review.fragment["fingerprint"]:
        if theirs == mine:
            return False
        if theirs == mine[::-1]:
            return True
    raise SettingsError(
        f"review {number} compares other predictions than the first",
        "put only reviews of the same two together",
    )


def _percent(share: float) -> int:
    return round(100 * share)
