"""How far a prediction of many samples, or of other passes, is, in words, without Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_ink.inference.settings import Box, TileDone
from napari_ink.widgets.predict.progress import RunProgress
from napari_ink.widgets.predict.samples_words import pass_word

if TYPE_CHECKING:
    from napari_ink.inference.plan import PredictionPlan


@dataclass
class SamplesProgress(RunProgress):
    """Counts blocks once a sample.

    Attributes
    ----------
    samples : int
        So many were asked for.
    needed : int
        So many are enough; fewer once they are chosen.
    chosen : bool
        Whether they are, beside the first sample.
    tolerance : bool
        Whether a block may be left before.
    word : str
        What they are called: ``sample`` or ``pass``.
    """

    samples: int = 2
    needed: int = 2
    chosen: bool = False
    tolerance: bool = False
    word: str = "sample"
    _turn: int = 0
    _choosing: bool = False
    _latest: tuple[Box, int] | None = None

    def add(self, tile: TileDone, *, from_store: bool = False) -> None:
        """One more sample of a block; a block that comes again tells that samples are tried."""
        latest = (tile.box, tile.samples)
        self._choosing = latest == self._latest
        if self._choosing:
            return
        self._latest, self._turn = latest, tile.samples
        super().add(tile, from_store=from_store)

    @property
    def left(self) -> float:
        """Blocks to compute still, each once a sample; at most, where blocks may be left before.

        What is missing to all samples that were asked for, in the proportion of those that are
        needed.
        """
        before = max(0, self._turn - 1)
        asked, needed = self.samples - before, max(0, self.needed - before)
        return (self.total - self.done) * (needed / asked if asked > 0 else 1.0)

    @property
    def bar(self) -> tuple[int, int]:
        """How far the bar is, and its length."""
        whole = round(self.total * self.needed / self.samples)
        return max(0, round(whole - self.left)), whole

    def line(self) -> str:
        """``sample 7 of 60 · 3 min left · cpu``."""
        up_to = "up to " if self.tolerance else ""
        line = [f"{self.word} {max(1, self._turn)} of {up_to}{max(self.needed, self._turn)}"]
        if self._choosing or (self.chosen and self._turn < 2):
            line.append("choosing the others")  # their time says nothing of the rest
        else:
            line += self._speed(up_to)[1:]
        return " · ".join([*line, self.device])


def progress_of(plan: PredictionPlan) -> RunProgress:
    """A count that begins, for blocks or for their passes."""
    drawn, device = plan.monte_carlo, plan.settings.device
    if plan.passes.is_single:
        return RunProgress(plan.total, device)
    return SamplesProgress(
        plan.steps,
        device,
        samples=plan.passes.count,
        needed=plan.passes.needed,
        chosen=drawn is not None and drawn.chosen,
        tolerance=drawn is not None and drawn.tolerance is not None,
        word=pass_word(plan),
    )
