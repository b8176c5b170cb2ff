"""What can be measured on a fragment whose ink is known, real or simulated.

These are the numbers of DATA.md ("what the numbers of real scans look like"); the simulator's
tests hold them and ``real`` scans can be measured the same way. Lengths are µm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import (
    binary_closing,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    label,
    uniform_filter,
)
from scipy.special import expit
from skimage.morphology import skeletonize


def histogram_peaks(values: np.ndarray) -> tuple[int, int]:
    """Grey levels of the air's and the papyrus's peak.

    Parameters
    ----------
    values : ndarray of uint8
        A volume, or its voxels inside the mask.
    """
    counts = np.bincount(values.ravel(), minlength=256).astype(float)
    counts = gaussian_filter(counts, 2)
    return int(50 + counts[50:122].argmax()), int(122 + counts[122:220].argmax())


def flat_air_noise(volume: np.ndarray, voxel_size: float, air: float = 85.0) -> float:
    """SD of grey levels in the flattest windows (320 µm) that are air."""
    window = max(5, round(320 / voxel_size))
    deviations = []
    for layer in volume[:: max(1, len(volume) // 8)]:
        layer = layer.astype(np.float32)
        mean, deviation = _local(layer, window)
        inside = np.abs(mean - air) < 10
        if inside.any():
            deviations.append(np.percentile(deviation[inside], 2))
    return float(np.median(deviations))


def correlation_lengths(volume: np.ndarray, voxel_size: float) -> tuple[float, float, float]:
    """Distances in µm along z, y, x at which the autocorrelation falls below 1/e.

    Raises
    ------
    ValueError
        When it never does: the volume is too small or constant.
    """
    values = volume.astype(np.float32) - np.float32(volume.mean(dtype=np.float64))
    variance = float(np.mean(values**2, dtype=np.float64))
    lengths = []
    for axis in range(3):
        before = 1.0
        for lag in range(1, volume.shape[axis]):
            ahead = values[(slice(None),) * axis + (slice(lag, None),)]
            behind = values[(slice(None),) * axis + (slice(None, -lag),)]
            now = float(np.mean(ahead * behind, dtype=np.float64)) / variance
            if now < 1 / np.e:
                lengths.append((lag - 1 + (before - 1 / np.e) / (before - now)) * voxel_size)
                break
            before = now
        else:
            raise ValueError(f"the correlation along axis {axis} never falls below 1/e")
    return tuple(lengths)


def letter_heights(ink: np.ndarray, voxel_size: float) -> np.ndarray:
    """Heights in µm of the letters of a label, cracks closed, crumbs and cut letters left out."""
    reach = max(1, round(130 / voxel_size))
    closed = binary_closing(np.pad(ink, reach), np.ones((3, 3)), iterations=reach)
    pieces, _ = label(closed[reach:-reach, reach:-reach], np.ones((3, 3)))
    heights = []
    for rows, columns in find_objects(pieces):
        cut = rows.start == 0 or columns.start == 0
        cut |= rows.stop == ink.shape[0] or columns.stop == ink.shape[1]
        height = (rows.stop - rows.start) * voxel_size
        if height > 1500 and not cut:
            heights.append(height)
    return np.array(heights)


def stroke_width(ink: np.ndarray, voxel_size: float) -> float:
    """Median width of the strokes in µm: twice the distance from the middle line to the edge."""
    reach = max(1, round(130 / voxel_size))
    closed = binary_closing(np.pad(ink, reach), np.ones((3, 3)), iterations=reach)
    distance = distance_transform_edt(closed)
    return float(2 * np.median(distance[skeletonize(closed)]) * voxel_size)


def auc(score: np.ndarray, truth: np.ndarray, bins: int = 1 << 14) -> float:
    """Area under the ROC curve of `score` for the bool `truth`; ties count one half.

    Scores are put into `bins` of equal width between their extremes, so it takes two passes.
    """
    score = np.asarray(score, np.float32).ravel()
    truth = np.asarray(truth, bool).ravel()
    low, high = float(score.min()), float(score.max())
    place = ((score - np.float32(low)) * np.float32((bins - 1) / max(high - low, 1e-12))).astype(
        np.int32
    )
    positive = np.bincount(place[truth], minlength=bins).astype(float)
    negative = np.bincount(place, minlength=bins) - positive
    below = np.cumsum(negative) - negative
    return float(positive @ (below + negative / 2) / (positive.sum() * negative.sum()))


def layer_auc(
    volume: np.ndarray, ink: np.ndarray, mask: np.ndarray, sigmas: Sequence[float] = (0, 1, 3, 8)
) -> np.ndarray:
    """AUC of brightness in every single layer, raw (sigma 0) and smoothed.

    Parameters
    ----------
    volume : ndarray
        (z, y, x).
    ink, mask : ndarray of bool
        (y, x).
    sigmas : sequence of float
        Gaussian smoothing in pixels.

    Returns
    -------
    ndarray
        (layer, sigma).
    """

    def smooth(layer: np.ndarray, sigma: float) -> np.ndarray:
        return gaussian_filter(layer, sigma, truncate=3) if sigma else layer

    return _each_layer(volume, ink, mask, smooth, sigmas)


def local_variance_auc(
    volume: np.ndarray,
    ink: np.ndarray,
    mask: np.ndarray,
    windows: Sequence[int] = (3, 5, 9, 15, 21, 31),
) -> np.ndarray:
    """AUC of the deviation in a square window in every single layer, (layer, window).

    Deviation and variance rank pixels alike.
    """
    return _each_layer(volume, ink, mask, lambda layer, window: _local(layer, window)[1], windows)


def profile_auc(volume: np.ndarray, ink: np.ndarray, mask: np.ndarray) -> float:
    """AUC of a logistic regression on each pixel's depth profile, scored where it was fitted."""
    profiles = volume[:, mask].T.astype(np.float32)
    truth = ink[mask]
    features = (profiles - profiles.mean(axis=0)) / (profiles.std(axis=0) + 1e-6)
    features = np.column_stack([np.ones(len(features), np.float32), features])
    weights = np.zeros(features.shape[1])
    for _ in range(6):  # Newton's method: the problem is convex and close to linear
        p = expit(features @ weights.astype(np.float32))
        slope = features.T @ (truth - p)
        curvature = (features * (p * (1 - p))[:, None]).T @ features
        weights += np.linalg.solve(curvature + 1e-3 * np.eye(len(weights)), slope)
    return auc(features @ weights.astype(np.float32), truth)


def _each_layer(volume, ink, mask, score: Callable, settings: Sequence) -> np.ndarray:
    """AUC of ``score(layer, setting)`` in every layer at every setting, (layer, setting)."""
    result = np.empty((len(volume), len(settings)))
    for z, layer in enumerate(volume):
        layer = layer.astype(np.float32)
        result[z] = [auc(score(layer, setting)[mask], ink[mask]) for setting in settings]
    return result


def _local(layer: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD in a square window."""
    centred = layer - layer.mean()
    mean = uniform_filter(centred, window)
    deviation = np.sqrt(np.maximum(uniform_filter(centred**2, window) - mean**2, 0))
    return mean + layer.mean(), deviation
