"""One simulated sample: walls, and the map of radiation lengths that muons make of them."""

from __future__ import annotations

import numpy as np

from training.muon.detector import ABOVE, BELOW, Track, seen
from training.muon.poca import radiation_lengths, with_errors
from training.muon.transport import BOTTOM, TOP, Muons, draw_muons, scattered
from training.muon.walls import draw_walls

MUONS = 10_000


def simulate(seed: int, index: int, muons: int = MUONS) -> tuple[np.ndarray, np.ndarray]:
    """A sample, which follows from its seed and index alone.

    Parameters
    ----------
    seed, index : int
    muons : int
        That arrive.

    Returns
    -------
    x0 : numpy.ndarray
        ``(z, x, y)`` float32, m, layer 0 at the bottom: radiation lengths as a detector infers
        them; where no muon points to, the middle of all others.
    walls : numpy.ndarray
        ``(z, x, y)`` bool.
    """
    random = np.random.default_rng([seed, index])
    walls = draw_walls(random)
    arriving = draw_muons(random, muons)
    leaving = scattered(arriving, walls, random)
    above, seen_above = seen(arriving, TOP, ABOVE, random)
    below, seen_below = seen(leaving, BOTTOM, BELOW, random)
    both = seen_above & seen_below
    above, below = _only(above, both), _only(below, both)
    values, errors = with_errors(above, below)
    x0 = radiation_lengths(values, errors, (_cosine(above.line) + _cosine(below.line)) / 2)
    unknown = ~np.isfinite(x0)
    x0[unknown] = 0 if unknown.all() else np.median(x0[~unknown])
    return x0, walls


def _only(track: Track, kept: np.ndarray) -> Track:
    return track._replace(line=Muons(*(part[kept] for part in track.line)))


def _cosine(line: Muons) -> np.ndarray:
    return 1 / np.sqrt(1 + line.slope_x**2 + line.slope_y**2)
