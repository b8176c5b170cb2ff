"""What is averaged: which checkpoint, which sub-network of it, and which way the fragment lies.

Passes run one after the other over all blocks, and only their running moments are kept
(:mod:`napari_ink.inference.moments`). Pass ``i`` is fixed by ``i``: checkpoints come in turn, then
symmetries, so that a run that is stopped early has taken in some of everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from napari_ink.inference.monte_carlo import LEAST_SAMPLES, MonteCarlo
from napari_ink.inference.symmetries import AVERAGED, TURNS


class Pass(NamedTuple):
    """One pass over all blocks.

    Attributes
    ----------
    member : int
        Which checkpoint of an ensemble.
    sample : int or None
        Which Monte Carlo sample of it; ``None``: the network itself.
    symmetry : int or None
        How the fragment is turned; ``None``: each tile in turn.
    """

    member: int = 0
    sample: int | None = None
    symmetry: int | None = 0


@dataclass(frozen=True)
class Passes:
    """All passes of a prediction.

    Attributes
    ----------
    members : int
        Checkpoints.
    symmetries : str
        One of :data:`napari_ink.inference.symmetries.NAMES`.
    monte_carlo : MonteCarlo or None
        How samples are drawn; ``None``: each network itself.
    """

    members: int = 1
    symmetries: str = "none"
    monte_carlo: MonteCarlo | None = None

    @property
    def count(self) -> int:
        """How many there are: each checkpoint takes its samples, or else its symmetries.

        With samples the symmetries cost nothing: sample ``k`` has the ``k``-th of them.
        """
        each = len(self._symmetries) if self.monte_carlo is None else self.monte_carlo.samples
        return self.members * each

    @property
    def needed(self) -> int:
        """After how many all others only repeat."""
        certain = self.monte_carlo is not None and self.monte_carlo.is_certain
        return min(self.count, self.members * len(self._symmetries)) if certain else self.count

    @property
    def is_single(self) -> bool:
        """Whether the network runs once, and there is nothing to average."""
        return self.monte_carlo is None and self.count == 1

    @property
    def _symmetries(self) -> tuple[int | None, ...]:
        return (None,) if self.symmetries == TURNS else AVERAGED[self.symmetries]

    def of(self, index: int) -> Pass:
        """The pass of an index, from 0."""
        turn, member = divmod(index, self.members)
        symmetry = self._symmetries[turn % len(self._symmetries)]
        return Pass(member, None if self.monte_carlo is None else turn, symmetry)

    def is_enough(self, count: int, deviation: float, factor: float) -> bool:
        """Whether a block needs no more passes; never while one checkpoint has more than another.

        Parameters
        ----------
        count : int
            Passes that it has.
        deviation : float
            Their standard deviation.
        factor : float
            Squared error of their mean, in squared deviations.
        """
        if count % self.members:
            return False
        if count >= self.needed:
            return True
        if self.monte_carlo is None or count < LEAST_SAMPLES * self.members:
            return False
        if factor <= 1 / self.count:
            return True
        tolerance = self.monte_carlo.tolerance
        return tolerance is not None and deviation * factor**0.5 <= tolerance
