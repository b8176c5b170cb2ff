"""Muons on their way down through the volume, in steps of a few centimetres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.muon.cosmic import MOMENTUM, draw_zeniths
from training.muon.walls import SIDE

SOIL, WALL = 0.26242, 0.08023  # radiation lengths, m
BOTTOM, TOP = 1.0, 11.0  # heights of the volume, m
STEP = 0.05
MARGIN = 3.2  # m around the volume in which muons arrive, too


class Muons(NamedTuple):
    """Straight lines, ``(muons,)`` float64 each.

    Attributes
    ----------
    x, y : numpy.ndarray
        m, where a line is at the height that all of them are at; the volume is 0 to 10.
    slope_x, slope_y : numpy.ndarray
        dx/dz and dy/dz.
    """

    x: np.ndarray
    y: np.ndarray
    slope_x: np.ndarray
    slope_y: np.ndarray

    def moved(self, height: float) -> Muons:
        """Straight on by so many metres upwards; negative: down."""
        return self._replace(x=self.x + height * self.slope_x, y=self.y + height * self.slope_y)


def draw_muons(random: np.random.Generator, count: int) -> Muons:
    """As they arrive at the top of the volume."""
    x, y = random.uniform(-MARGIN, SIDE + MARGIN, (2, count))
    slope = np.tan(draw_zeniths(random, count))
    azimuth = random.uniform(0, 2 * np.pi, count)
    return Muons(x, y, slope * np.cos(azimuth), slope * np.sin(azimuth))


def scattered(
    muons: Muons,
    walls: np.ndarray,
    random: np.random.Generator,
    *,
    momentum: float = MOMENTUM,
    lengths: tuple[float, float] = (SOIL, WALL),
) -> Muons:
    """Muons at the bottom of the volume, from those at its top.

    In each step of :data:`STEP` downwards inside the volume the direction changes by the angle
    ``√2 z₂ θ₀`` towards a uniform azimuth ψ, and the place by ``√2 dz sin θ₀ (z₁/√12 + z₂/2)``
    towards ψ too, z₁ and z₂ standard normal, θ₀ that of :func:`~training.muon.cosmic.highland`
    over ``dz / (X₀ cos θ)`` radiation lengths. Outside it muons go straight on.

    Parameters
    ----------
    muons : Muons
    walls : numpy.ndarray
        ``(z, x, y)`` bool, layer 0 at the bottom.
    random : numpy.random.Generator
    momentum : float
        GeV.
    lengths : tuple of float
        Radiation lengths of soil and wall, m.

    Returns
    -------
    Muons
        Slopes are not finite of those that were deflected out of their way down.
    """
    x, y = muons.x.astype(np.float32), muons.y.astype(np.float32)
    # (a, b, c): unit vector upwards along the line.
    c = 1 / np.sqrt(1 + muons.slope_x**2 + muons.slope_y**2)
    a, b, c = (part.astype(np.float32) for part in (muons.slope_x * c, muons.slope_y * c, c))
    # Highland's width is w (1 + .038 ln n) for n = t / c: w and ln t of each material, air last.
    thickness = np.array([STEP / length for length in lengths])
    widths = np.float32([*(0.0136 / momentum * np.sqrt(thickness)), 0])
    logarithms = np.float32([*(1 + 0.038 * np.log(thickness)), 0])
    steps = round(1 / STEP)
    shift, root = np.float32(np.sqrt(2) * STEP), np.float32(np.sqrt(2))
    for layer in walls[::-1]:
        material = np.full((SIDE + 2, SIDE + 2), 2, np.intp)
        material[1:-1, 1:-1] = layer
        width_of, logarithm_of = widths[material].ravel(), logarithms[material].ravel()
        for _ in range(steps):
            column = np.clip(np.floor(x) + 1, 0, SIDE + 1)
            cell = (column * (SIDE + 2) + np.clip(np.floor(y) + 1, 0, SIDE + 1)).astype(np.intp)
            width = width_of[cell] / np.sqrt(c)
            width *= logarithm_of[cell] - np.float32(0.038) * np.log(c)
            z1, z2 = random.standard_normal((2, len(x)), np.float32)
            azimuth = random.random(len(x), np.float32)
            azimuth *= np.float32(2 * np.pi)
            cos, sin = np.cos(azimuth), np.sin(azimuth)
            # (u, v, w): unit vector across the line, towards the azimuth.
            along = a * cos + b * sin
            share = along / (1 + c)
            u, v, w = cos - a * share, sin - b * share, -along
            moved = shift * width * (z1 * np.float32(12**-0.5) + z2 * np.float32(0.5))
            back = (np.float32(STEP) + moved * w) / c  # down the line to the next plane
            x += moved * u - back * a
            y += moved * v - back * b
            angle = root * z2 * width
            turned = 1 - angle * angle / 2
            a, b, c = turned * a + angle * u, turned * b + angle * v, turned * c + angle * w
            norm = 1 / np.sqrt(a * a + b * b + c * c)
            a, b, c = a * norm, b * norm, np.maximum(c * norm, np.float32(1e-3))
    level = c <= np.float32(2e-3)
    x, y, a, b, c = (part.astype(np.float64) for part in (x, y, a, b, c))
    return Muons(x, y, np.where(level, np.nan, a / c), np.where(level, np.nan, b / c))
