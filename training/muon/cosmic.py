"""Muons from the sky at sea level, and how rock deflects them."""

from __future__ import annotations

import numpy as np

MOMENTUM = 1.0  # GeV, of every muon
STEEPEST, FLATTEST = 0.0, 70.0  # zenith angle, degrees
_EARTH = 174.0  # Earth's radius in heights at which muons are made
_BINS = 1000


def zenith_density(zenith: np.ndarray) -> np.ndarray:
    """Relative number of muons a zenith angle at sea level, per unit of angle.

    ``(√(R² c² + 2R + 1) − R c)⁻²`` with c the angle's cosine and R = 174: the inverse square of the
    way through a spherical atmosphere, in its thickness.
    """
    cosine = np.cos(zenith)
    return (np.sqrt(_EARTH**2 * cosine**2 + 2 * _EARTH + 1) - _EARTH * cosine) ** -2.0


def draw_zeniths(random: np.random.Generator, count: int) -> np.ndarray:
    """Zenith angles in radians, ``(count,)``."""
    edges = np.radians(np.linspace(STEEPEST, FLATTEST, _BINS + 1))
    weights = zenith_density((edges[:-1] + edges[1:]) / 2)
    bins = np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(count), side="right")
    bins = np.minimum(bins, _BINS - 1)
    return edges[bins] + random.random(count) * (edges[1] - edges[0])


def highland(thickness: np.ndarray, momentum: float = MOMENTUM) -> np.ndarray:
    """Width of the scattering angle in a plane, radians: Rossi and Greisen with Highland's term.

    ``(.0136 / p) √n (1 + .038 ln n)`` (Particle Data Group, *Passage of particles through matter*).

    Parameters
    ----------
    thickness : numpy.ndarray
        n, in radiation lengths along the way.
    momentum : float
        GeV.
    """
    return 0.0136 / momentum * np.sqrt(thickness) * (1 + 0.038 * np.log(thickness))
