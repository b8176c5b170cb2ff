"""Where the text stands on the papyrus, so that chance does not give it away."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.special import ndtr

from napari_ink.volumes.synthetic.letters import Letter, write_text
from napari_ink.volumes.synthetic.sheets import FACE, Papyrus


def place_text(
    seed: int, papyrus: Papyrus, depth: int, voxel_size: float, candidates: int = 80
) -> tuple[np.ndarray, tuple[Letter, ...]]:
    """Write the text where chance ties it least to the papyrus's own brightness.

    Ten letters on a page correlate by chance with any map that varies over millimetres (an AUC
    of .57 is common). Real fragments average that out over hundreds of letters; a small one
    cannot, so of many texts the one is taken that the *bare* papyrus betrays least. The papyrus
    never depends on the text.

    Returns
    -------
    ndarray
        bool (y, x): ink label.
    tuple of Letter
        The letters.
    """
    step = max(1, round(64 / voxel_size))
    writable = papyrus.writable
    mask = papyrus.mask[::step, ::step]
    if not mask.any():  # smaller than its own frayed margin
        return np.zeros(papyrus.mask.shape, bool), ()
    features = _bare_features(papyrus, depth, voxel_size, step)
    features = features[:, mask]
    coarse = (features - features.mean(1, keepdims=True)) / (features.std(1, keepdims=True) + 1e-6)
    best = (np.inf, 0)
    for attempt in range(candidates):
        sketch, letters = write_text(
            seed, mask.shape, voxel_size * step, room=writable[::step, ::step], attempt=attempt
        )
        ink = (sketch & writable[::step, ::step])[mask].astype(np.float32)
        share = ink.mean()
        if not 0 < share < 1:
            continue
        r = coarse @ (ink - share) / len(ink) / np.sqrt(share * (1 - share))
        auc = ndtr(r / np.sqrt(share * (1 - share) * (1 - r**2)) / np.sqrt(2))
        cost = (
            np.abs(auc - 0.5).max()
            + 2 * abs(share * mask.mean() - 0.105)
            + 0.05 * max(0, 8 - len(letters))
        )
        best = min(best, (float(cost), attempt))
    page, letters = write_text(seed, papyrus.mask.shape, voxel_size, room=writable, attempt=best[1])
    return page & writable, letters


def _bare_features(papyrus: Papyrus, depth: int, voxel_size: float, step: int) -> np.ndarray:
    """Local means and variances of the bare papyrus at several scales, (feature, y, x)."""
    features = []
    jump = max(1, round(32 / voxel_size))
    for layer in range(0, depth, jump):
        z = (layer + 0.5) * voxel_size
        matter = np.zeros(papyrus.mask[::step, ::step].shape, np.float32)
        for ply in papyrus.plies:
            share = np.minimum(z - ply.top[::step, ::step], ply.bottom[::step, ::step] - z)
            share = np.clip(share / FACE + 0.5, 0, 1) * ply.presence[::step, ::step]
            matter = np.maximum(matter, share)
        matter *= papyrus.opening[::step, ::step]
        features.append(matter)
        # Ink must not lie at one depth more often than the bare surface does.
        away = (z - papyrus.surface[::step, ::step] - 20) / 30
        features.append(np.exp(-(away**2)))
        features.extend(gaussian_filter(matter, s) for s in (2, 5, 10))
        for window in (3, 9):
            mean = uniform_filter(matter, window)
            features.append(uniform_filter(matter * matter, window) - mean * mean)
    return np.array(features)
