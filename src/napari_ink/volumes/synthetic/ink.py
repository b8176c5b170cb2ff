"""What carbon ink does to a CT volume: a fine texture at the surface and a slight thickening.

Carbon ink on carbonised papyrus has the density of its ground, so its brightness says nothing.
What it changes is the structure: a dried film crackles into grains that follow the surface and
reach a few layers deep, and lies on the fibres as a film of some micrometres.

:class:`Ink` needs only a surface and a label, so it can be planted in any volume.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_ink.volumes.synthetic.fields import smooth_noise, stream

TEXTURE = 15.0  # grey levels (of 255) of crackle at strength 1
THICKENING = 2.0  # µm of film at strength 1
_GRAIN = (13.0, 24.0)  # µm: inner and outer sigma of the band-pass that makes the grains
_COHERENCE = 34.0  # µm over which the grains stay the same in depth
_REACH = (-6.0, 46.0)  # µm of depth below the surface between which there is crackle
_FADE = 12.0  # µm


@dataclass(frozen=True, eq=False)
class Ink:
    """Ink on a surface.

    Parameters
    ----------
    surface : ndarray
        float32 (y, x), depth of the bare surface in µm.
    label : ndarray
        (y, x), ink where true; a soft label in [0, 1] gives faint ink.
    seed : int
        Seed of the grains.
    voxel_size : float
        µm.
    strength : float
        Multiplies the texture's amplitude and the thickening, both linearly.
    """

    surface: np.ndarray
    label: np.ndarray
    seed: int
    voxel_size: float
    strength: float = 1.0
    load: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pixel = 1 / self.voxel_size
        soft = gaussian_filter(np.asarray(self.label, np.float32), 12 * pixel)
        # The pen runs dry and is dipped again; flakes are lost.
        rng = stream(self.seed, "ink load")
        worn = smooth_noise(rng, soft.shape, (500 * pixel,) * 2)
        object.__setattr__(self, "load", soft * np.clip(1 + 0.15 * worn, 0.5, 1.5))

    @property
    def thickening(self) -> np.ndarray:
        """µm by which the film lifts the surface towards the reader, float32 (y, x)."""
        return np.float32(self.strength * THICKENING) * self.load

    def texture(self, z: float) -> np.ndarray:
        """Crackle in grey levels of 255 in the layer at depth `z` (µm), float32 (y, x)."""
        depth = np.float32(z) - self.surface
        profile = np.clip((depth - _REACH[0]) / _FADE + 0.5, 0, 1)
        profile *= np.clip((_REACH[1] - depth) / _FADE + 0.5, 0, 1)
        profile *= self.load
        if not profile.any():
            return np.zeros(self.load.shape, np.float32)
        return np.float32(self.strength * TEXTURE) * profile * self._grains(z)

    def _grains(self, z: float) -> np.ndarray:
        knot, share = divmod(z / _COHERENCE, 1.0)
        low, high = (self._plane(int(knot) + i) for i in (0, 1))
        return (low * (1 - share) + high * share) / np.float32(np.hypot(1 - share, share))

    def _plane(self, knot: int) -> np.ndarray:
        """Isotropic band-passed noise of unit variance."""
        rng = stream(self.seed, "ink grains", knot + 1000)
        white = rng.standard_normal(self.load.shape, dtype=np.float32)
        inner, outer = (s / self.voxel_size for s in _GRAIN)
        grains = gaussian_filter(white, inner, truncate=3) - gaussian_filter(
            white, outer, truncate=3
        )
        return grains / grains.std()
