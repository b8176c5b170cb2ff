"""Seeded random fields with correlation lengths in pixels: the clay of the simulator.

Every component of a fragment draws from a stream of its own, named, so that changing one part
(or leaving the ink out) never moves another.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
from scipy.ndimage import gaussian_filter1d

# Gaussian-filtered noise is drawn on a grid of about this many points a standard deviation:
# linear interpolation between them is then off by < 1 %.
_POINTS_PER_SIGMA = 3.0


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Give the random stream that belongs to one named component of one fragment.

    Parameters
    ----------
    seed : int
        Seed of the fragment.
    *names : str or int
        What the numbers are for, for instance ``("noise", layer)``.
    """
    words = [crc32(name.encode()) if isinstance(name, str) else int(name) for name in names]
    return np.random.default_rng([int(seed), *words])


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], sigma: tuple[float, float]
) -> np.ndarray:
    """Gaussian noise of unit variance, smooth on scale `sigma`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the numbers come from.
    shape : (int, int)
        Rows and columns wanted.
    sigma : (float, float)
        Standard deviation of the Gaussian kernel along y and x, in pixels; below .3 the axis
        stays white.

    Returns
    -------
    ndarray
        float32 of `shape`.
    """
    steps = [max(1.0, s / _POINTS_PER_SIGMA) for s in sigma]
    padding = [int(np.ceil(4 * s / step)) for s, step in zip(sigma, steps, strict=True)]
    coarse = [
        int(np.ceil((n - 1) / step)) + 2 + 2 * p
        for n, step, p in zip(shape, steps, padding, strict=True)
    ]
    field = rng.standard_normal(coarse, dtype=np.float32)
    for axis in (0, 1):
        scale = sigma[axis] / steps[axis]
        if scale < 0.3:
            continue
        field = gaussian_filter1d(field, scale, axis=axis, mode="nearest", truncate=3.5)
        field *= np.float32(1 / _kernel_norm(scale))
    for axis in (1, 0):
        positions = padding[axis] + np.arange(shape[axis], dtype=np.float64) / steps[axis]
        field = _interpolate(field, positions, axis)
    return field


def strips(
    rng: np.random.Generator, shape: tuple[int, int], width: float, along: float, edge: float
) -> np.ndarray:
    """Parallel strips along x with unit variance: steps from one to the next, slow changes along.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the numbers come from.
    shape : (int, int)
        Rows and columns wanted.
    width : float
        Mean width of a strip in pixels; single ones differ by half.
    along : float
        Sigma of the change along a strip, in pixels.
    edge : float
        Sigma of the blur of the edges, in pixels.

    Returns
    -------
    ndarray
        float32 of `shape`.
    """
    rows, columns = shape
    count = int(rows / width * 2) + 12
    edges = np.cumsum(rng.gamma(4, width / 4, count)) - 3 * width
    strip = np.searchsorted(edges, np.arange(rows))
    heights = smooth_noise(rng, (count + 1, columns), (0, along))
    field = np.take(heights, strip, axis=0)
    # The edges are straight only over some millimetres: shift columns up and down a little.
    field = gaussian_filter1d(field, edge, axis=0, mode="nearest", truncate=3)
    shift = np.rint(0.25 * width * smooth_noise(rng, (1, columns), (0, 1.5 * along))[0])
    index = np.clip(np.arange(rows)[:, None] + shift.astype(int)[None, :], 0, rows - 1)
    return np.take_along_axis(field, index, axis=0)


def _kernel_norm(sigma: float) -> float:
    """Root of the sum of squares of the kernel ``gaussian_filter1d`` uses."""
    radius = int(3.5 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return float(np.sqrt(np.sum((kernel / kernel.sum()) ** 2)))


def _interpolate(field: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Values of `field` at fractional `positions` along `axis`, linearly."""
    if np.array_equal(positions, positions.astype(int)):
        return np.take(field, positions.astype(int), axis=axis)
    lower = np.minimum(positions.astype(int), field.shape[axis] - 2)
    weight = (positions - lower).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight[None, :]
    low = np.take(field, lower, axis=axis)
    return low + weight * (np.take(field, lower + 1, axis=axis) - low)
