"""What the windows *Sweep* and *Could it show ink here?* are about, without Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.inference.settings import Box, PredictionSettings

if TYPE_CHECKING:
    from napari_ink.analysis.probe_records import Planted
    from napari_ink.analysis.sweep import Candidate


@dataclass(frozen=True, eq=False)
class ShownMap:
    """One map of a contact sheet.

    Attributes
    ----------
    text : str
        Under it, three short lines.
    probability : numpy.ndarray
        ``(y, x)`` in [0, 1]; NaN is drawn grey.
    best : bool
        Whether to frame it.
    """

    text: str
    probability: np.ndarray
    best: bool = False


@dataclass
class SweepModel:
    """The candidates so far."""

    candidates: list[Candidate] = field(default_factory=list)

    def add(self, candidate: Candidate) -> None:
        """One more is there."""
        self.candidates.append(candidate)

    @property
    def best(self) -> Candidate | None:
        """The one that separates most so far."""
        from napari_ink.analysis.sweep import best_of

        return best_of(self.candidates) if self.candidates else None

    @property
    def clearest(self) -> Candidate | None:
        """The best, if it shows strokes at all."""
        from napari_ink.analysis.separation import FAINT

        best = self.best
        return best if best is not None and best.separation >= FAINT else None

    def maps(self) -> list[ShownMap]:
        """Those so far, in the order of their coming, so that none moves away under the mouse."""
        best = self.clearest
        return [
            ShownMap(_candidate_text(one), one.probability, one is best) for one in self.candidates
        ]

    def verdict(self, complete: bool = True) -> str:
        """What to do, once all are there, or once somebody stopped it."""
        best = self.clearest
        if not complete:
            return "Stopped." if best is None else f"Stopped. Best so far: {best.way.name}."
        if self.best is None:
            return ""
        if best is None:
            return (
                "No map shows strokes: no ink here, none that this checkpoint finds, or the wrong "
                "scale. “Could it show ink here?” tells which."
            )
        line = f"Best: {best.way.name}."
        if best.way.turns:
            line += " It shows best when turned: this checkpoint saw the fibres run the other way."
        return line


@dataclass
class ProbeModel:
    """The planted places so far."""

    planted: list[Planted] = field(default_factory=list)

    def add(self, planted: Planted) -> None:
        """One more is there."""
        self.planted.append(planted)

    def maps(self) -> list[ShownMap]:
        """The letters of each try, then what the checkpoint makes of them."""
        shown = []
        for one in self.planted:
            if one.strength == 0:
                letters = one.label.astype(np.float32)
                shown.append(ShownMap("planted letters\nsimulated ink\n", letters))
                shown.append(ShownMap(f"without ink\nAUC {one.auc:.3f}\n", one.probability))
            else:
                text = f"strength {one.strength:g}\nAUC {one.auc:.3f}\n"
                shown.append(ShownMap(text, one.probability))
        return shown

    def verdict(self, complete: bool = True) -> str:
        """What the figures say, once all are there; of some they say nothing."""
        from napari_ink.analysis.probe_records import ProbeResult

        if not complete:
            return "Stopped."
        if not self.planted:
            return ""
        line = ProbeResult.of(self.planted).verdict()
        return f"{line[0].upper()}{line[1:]}."


def looked_at(box: Box | None, side: int) -> Box | None:
    """The middle of what is visible, no larger than a short look; ``None`` stays that."""
    if box is None:
        return None
    middle = (box.y0 + box.y1) // 2, (box.x0 + box.x1) // 2
    y0, x0 = (max(low, at - side // 2) for low, at in zip((box.y0, box.x0), middle, strict=True))
    return Box(y0, min(box.y1, y0 + side), x0, min(box.x1, x0 + side))


def for_a_look(settings: PredictionSettings) -> PredictionSettings:
    """The dock's settings, without what only matters on a long run."""
    return replace(settings.single_pass, focus=None, overlap=None, runtime="torch")


def _candidate_text(one: Candidate) -> str:
    layers, rest = one.way.name.split(", ", 1)
    return f"{layers}\n{rest}\nseparation {one.separation:.3f}"


def thumbnails(maps: Sequence[ShownMap], longest: int) -> list[np.ndarray]:
    """The maps thinned out to so many pixels on the longer side."""
    found = []
    for one in maps:
        step = max(1, -(-max(one.probability.shape) // longest))
        found.append(one.probability[step // 2 :: step, step // 2 :: step])
    return found
