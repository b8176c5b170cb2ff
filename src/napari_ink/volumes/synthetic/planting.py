"""Simulated ink in a volume that is not simulated: where its surface lies, and what ink adds.

The ink is the simulator's own (:mod:`napari_ink.volumes.synthetic.ink`), brought to the grey
levels of the volume: crackle in proportion to the papyrus that is there, a film on the surface,
the fringes of the scanner around both, and its flatter scale for bright voxels. The volume's own
noise stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from napari_ink.volumes.synthetic.ink import Ink
from napari_ink.volumes.synthetic.render import AIR, KNEE, PAPYRUS, add_fringes
from napari_ink.volumes.synthetic.sheets import FACE

# What the histogram of a simulated fragment peaks at, in grey levels of 255; the fringes and the
# noise move its peaks a little from the simulator's own levels.
_PEAKS = (85.0, 157.5)
_MATTER = (0.1, 0.75)  # of the way from air to papyrus: no papyrus yet, nothing but papyrus
_BINS = 256
_CELL = 64.0  # µm: the surface is looked for in cells of this side
_FACE_DEPTH = 50.0  # µm above and below a face that are compared
_EXPECTED = 0.42  # where the written face lies in the depth window, as in the simulator
_EXPECTED_WITHIN = 0.3  # of the window: a face so far off counts as much less
_STIFFNESS = (1600.0, 800.0, 400.0, 250.0)  # µm over which the surface is smooth, in turn
_FREEDOM = 45.0  # µm that it may depart from that


@dataclass(frozen=True)
class GreyLevels:
    """Air and papyrus in a volume's own grey levels: the two peaks of its histogram.

    Attributes
    ----------
    air, papyrus : float
    two_peaks : bool
        Whether the histogram has two; otherwise air was guessed from its lower end.
    """

    air: float
    papyrus: float
    two_peaks: bool = True

    @classmethod
    def of(cls, values: np.ndarray) -> GreyLevels:
        """Find them in a sample of voxels, any shape.

        The histogram's highest peak, and the highest one that a valley of a fifth or more parts
        from it. Papyrus alone has one peak: air is then taken as far below it as in simulated
        fragments relative to the spread of the values.
        """
        values = np.asarray(values, np.float32).ravel()
        low, high = np.percentile(values, (0.1, 99.8))
        if not high > low:
            return cls(float(low) - 1.0, float(low), two_peaks=False)
        counts, edges = np.histogram(values, _BINS, (low, high))
        counts = gaussian_filter1d(counts.astype(float), 4)
        centres = (edges[:-1] + edges[1:]) / 2
        top = int(counts.argmax())
        second, height = None, 0.0
        for peak in np.flatnonzero((counts[1:-1] > counts[:-2]) & (counts[1:-1] >= counts[2:])) + 1:
            between = counts[min(peak, top) : max(peak, top) + 1].min()
            if peak != top and between < 0.9 * counts[peak] and counts[peak] > height:
                second, height = int(peak), float(counts[peak])
        if second is None or height < 0.05 * counts[top]:
            spread = float(np.percentile(values, 84) - np.percentile(values, 16)) / 2
            papyrus = float(centres[top])
            return cls(papyrus - 2 * spread, papyrus, two_peaks=False)
        air, papyrus = sorted((float(centres[top]), float(centres[second])))
        return cls(air, papyrus)

    @property
    def per_grey(self) -> float:
        """The volume's levels a grey level of the simulator."""
        return (self.papyrus - self.air) / (_PEAKS[1] - _PEAKS[0])

    def share(self, values: np.ndarray) -> np.ndarray:
        """Papyrus in each voxel, 0 to 1, float32."""
        share = (values.astype(np.float32) - np.float32(self.air)) / np.float32(
            self.papyrus - self.air
        )
        return np.clip(share, 0, 1, out=share)


def find_surface(
    volume: np.ndarray, levels: GreyLevels, voxel_size: float
) -> tuple[np.ndarray, np.ndarray]:
    """The face of the sheet that is written on, as the data show it.

    Of the faces where air turns to papyrus going down, the one nearest to where the simulator has
    it, as a smooth sheet: first as a plane, then allowed to bend over ever shorter distances.

    Parameters
    ----------
    volume : numpy.ndarray
        ``(z, y, x)``, layers in the order in which the network sees them.
    levels : GreyLevels
    voxel_size : float
        µm.

    Returns
    -------
    numpy.ndarray
        Depth of the face in µm below the top of the first layer, float32 ``(y, x)``.
    numpy.ndarray
        How clear it is there: papyrus below it less papyrus above, about 1 for a clean face and
        0 where there is none; float32 ``(y, x)``.
    """
    depth, height, width = volume.shape
    step = max(1, round(_CELL / voxel_size))
    cells = np.stack([_cell_means(levels.share(layer), step) for layer in volume])
    cells = gaussian_filter1d(cells, 0.7, axis=1, mode="nearest")
    cells = gaussian_filter1d(cells, 0.7, axis=2, mode="nearest")
    reach = max(1, round(_FACE_DEPTH / voxel_size))
    sums = np.concatenate([np.zeros((1, *cells.shape[1:]), np.float32), cells.cumsum(0)])
    faces = np.arange(depth + 1)  # face k lies between the layers k - 1 and k
    clear = np.full((depth + 1, *cells.shape[1:]), -1, np.float32)
    for k in range(1, depth):
        above, below = max(0, k - reach), min(depth, k + reach)
        clear[k] = (sums[below] - sums[k]) / (below - k) - (sums[k] - sums[above]) / (k - above)
    expected = _EXPECTED * depth
    bias = ((faces - expected) / (_EXPECTED_WITHIN * depth)) ** 2
    plane = int(np.argmax(clear.mean(axis=(1, 2)) - 0.1 * bias))
    smooth = np.full(cells.shape[1:], float(plane))
    column = faces[:, None, None]
    for stiffness in _STIFFNESS:
        leash = ((column - smooth) * (voxel_size / _FREEDOM)) ** 2
        chosen = np.argmax(clear - 0.5 * leash - 0.02 * bias[:, None, None], axis=0)
        weight = np.take_along_axis(clear, chosen[None], 0)[0].clip(0.02)
        sigma = stiffness / voxel_size / step
        smooth = gaussian_filter(chosen * weight, sigma, mode="nearest") / gaussian_filter(
            weight, sigma, mode="nearest"
        )
    found = gaussian_filter(chosen * weight, 0.7) / gaussian_filter(weight, 0.7)
    at = np.meshgrid(*((np.arange(n) + 0.5) / step - 0.5 for n in (height, width)), indexing="ij")
    surface = map_coordinates(found.astype(np.float32), at, order=1, mode="nearest")
    clearness = map_coordinates(weight, at, order=1, mode="nearest")
    return surface * np.float32(voxel_size), clearness


def plant(volume: np.ndarray, ink: Ink, levels: GreyLevels) -> np.ndarray:
    """The volume with ink on it, in its own dtype; the input is not changed.

    Parameters
    ----------
    volume : numpy.ndarray
        ``(z, y, x)``, layers in the order in which the network sees them.
    ink : Ink
        Its surface as :func:`find_surface` gives it.
    levels : GreyLevels
    """
    size = ink.voxel_size
    result = np.empty_like(volume)
    lifted = ink.surface - ink.thickening
    for layer, raw in enumerate(volume):
        z = (layer + 0.5) * size
        grey = ink.texture(z) * _matter(raw, levels, size)
        film = _below(z, lifted) - _below(z, ink.surface)
        grey += film * np.float32(PAPYRUS - AIR)
        if not grey.any():
            result[layer] = raw
            continue
        add_fringes(grey, size)
        simulated = (raw.astype(np.float32) - levels.air) / levels.per_grey + _PEAKS[0]
        grey *= np.where(simulated > KNEE[0], np.float32(1 - KNEE[1]), np.float32(1))
        values = raw + grey * np.float32(levels.per_grey)
        if volume.dtype.kind in "ui":
            limits = np.iinfo(volume.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        result[layer] = values
    return result


def _matter(raw: np.ndarray, levels: GreyLevels, voxel_size: float) -> np.ndarray:
    """Papyrus in each voxel of a layer, without its noise; thin and light fibres count whole."""
    low, whole = _MATTER
    mean = gaussian_filter(raw.astype(np.float32), 20 / voxel_size, truncate=3)
    share = (mean - np.float32(levels.air)) / np.float32(levels.papyrus - levels.air)
    return np.clip((share - np.float32(low)) / np.float32(whole - low), 0, 1)


def _below(z: float, face: np.ndarray) -> np.ndarray:
    """Share of the voxels at depth z that lies below a face blurred as the simulator's are."""
    return np.clip((np.float32(z) - face) / np.float32(FACE) + np.float32(0.5), 0, 1)


def _cell_means(layer: np.ndarray, step: int) -> np.ndarray:
    sums = np.add.reduceat(layer, np.arange(0, layer.shape[0], step), axis=0)
    sums = np.add.reduceat(sums, np.arange(0, layer.shape[1], step), axis=1)
    sides = (np.diff([*range(0, n, step), n]) for n in layer.shape)
    rows, columns = sides
    return (sums / (rows[:, None] * columns[None, :])).astype(np.float32)
