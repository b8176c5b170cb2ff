"""A blind review: two predictions of one fragment, judged region by region, not knowing which is.

The record alone, to keep and to go on with; no window and no pixels. Each region is shown once,
its two pictures left and right as the seed has it; some may come back later with sides swapped,
which tells how far readers agree with themselves and counts for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from napari_ink.inference.settings import Box

Key = Literal["a", "b"]
Choice = Literal["left", "right", "same", "skip"]
#: What a reader may answer: one of the two, no difference, cannot say.
CHOICES: tuple[Choice, ...] = ("left", "right", "same", "skip")
#: Which of the two predictions.
KEYS: tuple[Key, ...] = ("a", "b")


@dataclass(frozen=True)
class Shown:
    """One of the two predictions, and what is shown of it.

    Attributes
    ----------
    path : str
        ``NAME.ink.zarr``.
    layer : int, optional
        Which of a prediction of many layers, from 0.
    cut : float, optional
        Show what is ink from this probability on; ``None``: show the probability.
    provenance : dict
        What tells this prediction from another: checkpoint, settings, samples, versions.
    digest : str
        SHA-256 of ``provenance``.
    """

    path: str
    layer: int | None
    cut: float | None
    provenance: dict[str, Any]
    digest: str

    @property
    def same_as(self) -> tuple:
        """Equal of two that show the same, wherever they lie."""
        return self.digest, self.layer, self.cut


@dataclass(frozen=True)
class Region:
    """One region to judge.

    Attributes
    ----------
    box : Box
        Pixels of the fragment's plane.
    left : str
        ``a`` or ``b``: whose picture is on the left.
    repeats : int, optional
        Place in :attr:`Review.regions` of the region that this shows once more, sides swapped.
    pixels : str
        SHA-256 of the two pictures, that of ``a`` first: later on they have to be the same.
    """

    box: Box
    left: Key
    repeats: int | None
    pixels: str

    def picked(self, choice: Choice) -> Key | None:
        """Which prediction a choice is for; ``None`` for neither."""
        if choice not in ("left", "right"):
            return None
        return self.left if choice == "left" else KEYS[1 - KEYS.index(self.left)]


@dataclass(frozen=True)
class Answer:
    """What the reader said of a region, and when (ISO 8601, UTC)."""

    choice: Choice
    at: str


@dataclass(frozen=True)
class Review:
    """Everything about one reader's review.

    Attributes
    ----------
    fragment : dict
        Name, fingerprint, shape of the plane, voxel size, and whether it is simulated.
    a, b : Shown
    regions : tuple of Region
        In the order in which they are shown, repeats among them.
    answers : tuple of Answer
        Of the first regions, in that order.
    seed : int
        Of places, sides and repeats.
    created : str
        ISO 8601, UTC.
    finished : str, optional
        When the reader closed it; only then may it be told which was which.
    reader : str
        Who judges; may be empty.
    """

    fragment: dict[str, Any]
    a: Shown
    b: Shown
    regions: tuple[Region, ...]
    seed: int
    created: str
    answers: tuple[Answer, ...] = ()
    finished: str | None = None
    reader: str = ""

    @property
    def place(self) -> int:
        """Which region is to be judged next; as many as there are regions when all are."""
        return len(self.answers)

    @property
    def all_judged(self) -> bool:
        """Whether every region has its answer."""
        return self.place == len(self.regions)

    def shown(self, key: Key) -> Shown:
        """One of the two predictions."""
        return self.a if key == "a" else self.b

    def answered(self, choice: Choice) -> Review:
        """The review with an answer more."""
        if self.all_judged or choice not in CHOICES:
            raise ValueError(f"{choice!r} for region {self.place} of {len(self.regions)}")
        return replace(self, answers=(*self.answers, Answer(choice, now())))

    def undone(self) -> Review:
        """The review without its last answer; a closed one, or one without answers, as it is."""
        return self if self.finished else replace(self, answers=self.answers[:-1])

    def closed(self) -> Review:
        """The review after its end: nothing of it changes any more."""
        return self if self.finished else replace(self, finished=now())


def now() -> str:
    """This moment, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
