"""From the lines above and below to a map of radiation lengths: points of closest approach.

A muon that was deflected by θ is taken to have been deflected once, where its two lines come
nearest to one another. That is wrong for most, and so the map is too low and smeared along z:
to see through that is what networks are for.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from training.muon.cosmic import MOMENTUM
from training.muon.detector import Track
from training.muon.transport import BOTTOM, Muons
from training.muon.walls import SIDE

_DIFFERENCE = 1e-3  # of a standard deviation, for derivatives


def closest_approach(above: Muons, height: float, below: Muons, depth: float) -> np.ndarray:
    """Midpoint of the common perpendicular of two lines, and the angle between them.

    Parameters
    ----------
    above, below : Muons
    height, depth : float
        At which they are given, m.

    Returns
    -------
    numpy.ndarray
        ``(4, muons)``: x, y, z in m, angle in radians. Not finite where the lines are parallel.
    """
    one = np.stack([above.slope_x, above.slope_y, np.ones_like(above.x)])
    two = np.stack([below.slope_x, below.slope_y, np.ones_like(below.x)])
    here = np.stack([above.x, above.y, np.full_like(above.x, height)])
    there = np.stack([below.x, below.y, np.full_like(below.x, depth)])
    apart = here - there
    across = np.cross(one, two, axis=0)
    square = (across**2).sum(axis=0)
    first, second, both = (one**2).sum(axis=0), (two**2).sum(axis=0), (one * two).sum(axis=0)
    along_one, along_two = (one * apart).sum(axis=0), (two * apart).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        on_one = here + (both * along_two - second * along_one) / square * one
        on_two = there + (first * along_two - both * along_one) / square * two
        angle = np.arctan2(np.sqrt(square), both)
    return np.concatenate([(on_one + on_two) / 2, angle[None]])


def with_errors(above: Track, below: Track) -> tuple[np.ndarray, np.ndarray]:
    """Points of closest approach and angles, and their standard deviations from those of the fits.

    To first order in the errors of the eight numbers of the two lines.

    Returns
    -------
    values, errors : numpy.ndarray
        ``(4, muons)`` each: x, y, z, angle.
    """
    tracks = (above, below)

    def found(lines: list[Muons]) -> np.ndarray:
        return closest_approach(lines[0], above.height, lines[1], below.height)

    lines = [track.line for track in tracks]
    variance = np.zeros((4, len(above.line.x)))
    for side, track in enumerate(tracks):
        for name in Muons._fields:
            error = track.slope_error if name.startswith("slope") else track.place_error
            ends = []
            for sign in (-1, 1):
                moved = getattr(track.line, name) + sign * _DIFFERENCE * error
                shifted = list(lines)
                shifted[side] = track.line._replace(**{name: moved})
                ends.append(found(shifted))
            variance += ((ends[1] - ends[0]) / (2 * _DIFFERENCE)) ** 2
    return found(lines), np.sqrt(variance)


def radiation_lengths(
    values: np.ndarray, errors: np.ndarray, cosine: np.ndarray, momentum: float = MOMENTUM
) -> np.ndarray:
    """The map: every voxel the weighted mean of what each muon alone would say.

    A muon deflected by θ says ``X = 2 (.0136 / p)² · 1 m / (θ² cos)``; it weighs ``P / u²``, P the
    probability that its point lies in the voxel, and ``u = 2 X σ(θ) / θ``.

    Parameters
    ----------
    values, errors : numpy.ndarray
        ``(4, muons)``, as :func:`with_errors` gives them.
    cosine : numpy.ndarray
        ``(muons,)``: mean of the cosines of the zenith angles above and below.
    momentum : float
        GeV.

    Returns
    -------
    numpy.ndarray
        ``(z, x, y)`` float32, m; NaN where no muon points to.
    """
    used = np.isfinite(values).all(axis=0) & np.isfinite(errors).all(axis=0) & (values[3] > 0)
    values, errors, cosine = values[:, used], errors[:, used], cosine[used]
    angle = values[3]
    length = 2 * (0.0136 / momentum) ** 2 / (angle**2 * cosine)
    weight = (angle / (2 * length * errors[3])) ** 2
    edges = np.arange(SIDE + 1)[:, None]
    shares = []
    for axis, low in enumerate((0.0, 0.0, BOTTOM)):
        below_edge = ndtr((edges + low - values[axis]) / errors[axis])
        shares.append(np.diff(below_edge, axis=0))  # (10, muons)
    in_x, in_y, in_z = shares
    in_plane = (in_x[:, None] * in_y).reshape(SIDE * SIDE, -1)
    total = (in_z * weight) @ in_plane.T
    sums = (in_z * (weight * length)) @ in_plane.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return (sums / total).reshape(SIDE, SIDE, SIDE).astype(np.float32)
