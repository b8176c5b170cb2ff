"""What a probe will do, does and found: see :mod:`~napari_ink.analysis.probe`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_ink.analysis.detection import TARGET, limit, spread
from napari_ink.inference.settings import Box, PredictionSettings


@dataclass(frozen=True, eq=False)
class Planted:
    """One prediction of a place with ink planted in it.

    Attributes
    ----------
    index, total : int
        Predictions done, this one included, and predictions in all.
    seed : int
        Of the text and of its grains.
    region : Box
    strength : float
        0: as the fragment is.
    auc : float
        Planted letters against their surroundings.
    probability : numpy.ndarray
        ``(y, x)`` float32 of the place.
    label : numpy.ndarray
        ``(y, x)`` bool: the letters.
    clearness : float
        How clear the face is that the ink lies on, see
        :func:`~napari_ink.volumes.synthetic.planting.find_surface`.
    """

    index: int
    total: int
    seed: int
    region: Box
    strength: float
    auc: float
    probability: np.ndarray
    label: np.ndarray
    clearness: float


@dataclass(frozen=True, eq=False)
class ProbePlan:
    """What a probe will do, before it does it.

    Attributes
    ----------
    settings : PredictionSettings
        Every choice made.
    regions : tuple of Box
        Places to try, the best first.
    strengths : tuple of float
        Descending, without 0.
    seeds : tuple of int
    """

    settings: PredictionSettings
    regions: tuple[Box, ...]
    strengths: tuple[float, ...]
    seeds: tuple[int, ...]

    @property
    def total(self) -> int:
        """Predictions that are reported."""
        return len(self.seeds) * (1 + len(self.strengths))


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What was found.

    Attributes
    ----------
    strengths : tuple of float
        Descending; the last is 0.
    regions : tuple of Box
        One a seed.
    auc : numpy.ndarray
        ``(seeds, strengths)``.
    clearness : tuple of float
        One a seed.
    """

    strengths: tuple[float, ...]
    regions: tuple[Box, ...]
    auc: np.ndarray
    clearness: tuple[float, ...]

    @classmethod
    def of(cls, done: Sequence[Planted]) -> ProbeResult:
        """From the records of a finished probe."""
        strengths = tuple(sorted({one.strength for one in done}, reverse=True))
        bare = [one for one in done if one.strength == 0]
        values = {(one.seed, one.strength): one.auc for one in done}
        auc = [[values[one.seed, strength] for strength in strengths] for one in bare]
        regions = tuple(one.region for one in bare)
        return cls(strengths, regions, np.array(auc), tuple(one.clearness for one in bare))

    @property
    def limits(self) -> list[float | None]:
        """The limit of each seed; ``None`` where not even the strongest ink was found."""
        return [limit(self.strengths, row) for row in self.auc]

    def summary(self) -> dict:
        """All figures, JSON-able."""
        reached = [value for value in self.limits if value is not None]
        return {
            "ink": "simulated",
            "target": TARGET,
            "strengths": list(self.strengths),
            "regions": [list(region) for region in self.regions],
            "auc": np.round(self.auc, 4).tolist(),
            "mean_auc": np.round(self.auc.mean(axis=0), 4).tolist(),
            "limits": self.limits,
            "reached": len(reached),
            "limit": spread(reached) if len(reached) == len(self.auc) else None,
            "surface_clearness": [round(value, 3) for value in self.clearness],
        }

    def verdict(self) -> str:
        """What the figures say, in one line."""
        found, strongest = self.summary()["limit"], self.strengths[0]
        if found is None:
            missed = len(self.auc) - self.summary()["reached"]
            return (
                f"simulated ink of strength {strongest:g} is not found in {missed} of "
                f"{len(self.auc)} tries: a blank map says nothing here"
            )
        tries = "one try"
        if len(self.auc) > 1:
            tries = f"{found['min']:.3f} to {found['max']:.3f} in {len(self.auc)} tries"
        return (
            f"simulated ink is found here from strength {found['mean']:.3f} on ({tries}): a blank "
            "map means no ink above that, as far as real ink is like the simulated"
        )
