"""The infrared photograph: carbon ink stays black where papyrus turns bright."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_ink.volumes.synthetic.fields import smooth_noise, stream
from napari_ink.volumes.synthetic.sheets import Papyrus

_BACKING, _PAPYRUS, _INK = 28.0, 138.0, 62.0  # grey levels of 255


def photograph(seed: int, papyrus: Papyrus, ink: np.ndarray, voxel_size: float) -> np.ndarray:
    """Photograph the written side.

    Parameters
    ----------
    seed : int
        Seed of the fragment.
    papyrus : Papyrus
        The geometry.
    ink : ndarray
        bool (y, x), the label.
    voxel_size : float
        µm a pixel.

    Returns
    -------
    ndarray
        uint8 (y, x).
    """
    shape, pixel = ink.shape, 1 / voxel_size

    def field(name: str, sigma_y: float, sigma_x: float) -> np.ndarray:
        rng = stream(seed, "infrared", name)
        return smooth_noise(rng, shape, (sigma_y * pixel, sigma_x * pixel))

    # Light falls at an angle: slopes of the surface shade it.
    slope = np.gradient(gaussian_filter(papyrus.surface, 40 * pixel), voxel_size, axis=0)
    photo = _PAPYRUS + 9 * field("fibres", 14, 700) + 7 * field("strips", 110, 1500)
    photo += 10 * field("patina", 1200, 1200) - 60 * np.clip(slope, -0.4, 0.4)
    worn = np.clip(0.85 + 0.18 * field("worn", 350, 350), 0.35, 1)
    photo -= (_PAPYRUS - _INK) * worn * gaussian_filter(ink.astype(np.float32), 22 * pixel)
    photo *= 0.55 + 0.45 * papyrus.plies[0].presence
    here = gaussian_filter(papyrus.opening, 15 * pixel)
    photo = _BACKING + (photo - _BACKING) * here + 2.5 * field("grain", 12, 12)
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)
