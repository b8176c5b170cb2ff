"""What the Uncertainty dock shows, without Qt: samples in words, and places to step through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psygnal import Signal

if TYPE_CHECKING:
    import numpy as np

    from napari_ink.analysis.uncertain import Place

#: What to look for, as it is offered.
MEASURES = {
    "spread": "spread of the samples",
    "information": "disagreement in bits",
    "decision": "undecided at the cut",
}


@dataclass(frozen=True, eq=False)
class SamplesReport:
    """How sure a prediction is, over its blocks.

    Attributes
    ----------
    words : tuple of str
        Sentences.
    counts : numpy.ndarray
        ``(rows, columns)``: samples that each block took.
    block : tuple of int
        Height and width of a block, pixels.
    pixel : float
        Its side in µm, or a common one where it is unknown.
    known : bool
        Whether it is known.
    stroke : float
        Width of a pen's stroke, pixels.
    finished : float
        Share of the blocks that need no more samples.
    """

    words: tuple[str, ...]
    counts: np.ndarray
    block: tuple[int, int]
    pixel: float
    known: bool
    stroke: float
    finished: float

    @property
    def is_even(self) -> bool:
        """Whether all blocks with samples took equally many."""
        sampled = self.counts[self.counts > 0]
        return bool(sampled.size == 0 or sampled.min() == sampled.max())


class UncertaintyModel:
    """The prediction looked at, and the place in it.

    Signals
    -------
    reported
        Another report, or none.
    found
        Other places, or none.
    moved
        Another place is looked at.
    """

    reported = Signal()
    found = Signal()
    moved = Signal()

    def __init__(self) -> None:
        self.report: SamplesReport | None = None
        self.places: tuple[Place, ...] = ()
        self.by = "spread"
        self.at: int | None = None

    def take_report(self, report: SamplesReport | None) -> None:
        """How sure the prediction is."""
        self.report = report
        self.reported.emit()

    def take_places(self, places: tuple[Place, ...], by: str = "spread") -> None:
        """Places to step through, the worst first; the first one is looked at."""
        self.places, self.by = places, by
        self.at = 0 if places else None
        self.found.emit()
        self.moved.emit()

    def step(self, by: int) -> None:
        """The next place, or with −1 the one before; after the last comes the first."""
        if self.at is not None:
            self.at = (self.at + by) % len(self.places)
            self.moved.emit()

    @property
    def place(self) -> Place | None:
        """The place looked at."""
        return None if self.at is None else self.places[self.at]

    @property
    def words(self) -> str:
        """Which place it is, and what is there."""
        place = self.place
        if place is None:
            return ""
        which = f"{self.at + 1} of {len(self.places)}"
        return f"{which} · ink {short(place.ink)} ± {short(place.spread)}"

    @property
    def details(self) -> str:
        """Where the place is, how large, and what it was chosen by."""
        place, report = self.place, self.report
        if place is None:
            return ""
        across = f"{place.across:.0f} px"
        if report is not None and report.known:
            across = f"{place.across * report.pixel / 1000:.2f} mm"
        lines = f"y {place.y}, x {place.x}" + ("" if place.z is None else f", layer {place.z}")
        lines += f" · {across} across"
        if self.by == "information":
            lines += f" · {short(place.value)} bits of disagreement"
        elif self.by == "decision":
            lines += f" · {place.value:.0%} of the samples may decide otherwise"
        return lines


def short(value: float) -> str:
    """A share in two digits: .47."""
    return f"{value:.2f}".removeprefix("0")
