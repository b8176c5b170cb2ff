"""What the panels above and below the volume tell of a muon: two straight lines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.muon.transport import Muons
from training.muon.walls import SIDE

ABOVE = (12.0, 11.75, 11.5, 11.25)  # heights of the panels, m
BELOW = (1.0, 0.75, 0.5, 0.25)
SPAN = 40.0  # side of a panel, m; its middle is that of the volume
RESOLUTION = 1e-4  # m, of a hit along x and along y


class Track(NamedTuple):
    """A straight line fitted to hits: where it is at the panels' mean height, and its slopes.

    Attributes
    ----------
    line : Muons
    height : float
        m.
    place_error, slope_error : float
        Standard deviations of each of ``x y`` and of each of ``slope_x slope_y``; at this height
        they are uncorrelated.
    """

    line: Muons
    height: float
    place_error: float
    slope_error: float


def seen(muons: Muons, height: float, panels: tuple[float, ...], random: np.random.Generator):
    """Lines through the hits of muons on panels.

    Parameters
    ----------
    muons : Muons
        At ``height``, m.
    panels : tuple of float
        Heights, m.
    random : numpy.random.Generator

    Returns
    -------
    track : Track
    hit : numpy.ndarray
        ``(muons,)`` bool: whether all panels were.
    """
    heights = np.array(panels)
    offsets = (heights - heights.mean())[:, None]
    fitted, hit = [], np.isfinite(muons.slope_x)
    low, high = SIDE / 2 - SPAN / 2, SIDE / 2 + SPAN / 2
    for place, slope in ((muons.x, muons.slope_x), (muons.y, muons.slope_y)):
        true = place + (heights[:, None] - height) * slope
        hit &= ((true >= low) & (true <= high)).all(axis=0)
        hits = true + RESOLUTION * random.standard_normal(true.shape)
        fitted.append((hits.mean(axis=0), (offsets * hits).sum(axis=0) / (offsets**2).sum()))
    (x, slope_x), (y, slope_y) = fitted
    return (
        Track(
            Muons(x, y, slope_x, slope_y),
            float(heights.mean()),
            RESOLUTION / np.sqrt(len(panels)),
            RESOLUTION / float(np.sqrt((offsets**2).sum())),
        ),
        hit,
    )
