"""From geometry to grey levels: what the scanner would have seen.

Layers are rendered one by one from two-dimensional maps, so memory grows with the output only.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_ink.errors import SettingsError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.synthetic.fields import smooth_noise, stream
from napari_ink.volumes.synthetic.infrared import photograph
from napari_ink.volumes.synthetic.ink import Ink
from napari_ink.volumes.synthetic.placement import place_text
from napari_ink.volumes.synthetic.sheets import FACE, Papyrus, lay_papyrus

AIR, PAPYRUS = 87.5, 164.0  # grey levels of 255, the two peaks of DATA.md's histogram
_NOISE = 7.6  # grey levels, SD in flat air
_PSF = 10.0  # µm, the detector's blur, which also colours its noise
_FRINGES = ((0.85, 30.0), (0.8, 80.0))  # strength and µm of the phase-contrast fringes at edges
KNEE = (190.0, 0.25)  # grey level from which contrast is lower, and by how much
_KNOT = 24.0  # µm of depth over which fibre texture changes


def add_fringes(grey: np.ndarray, voxel_size: float) -> None:
    """Add to one layer, in place, the fringes that phase contrast leaves at its edges."""
    bare = grey.copy()
    for amount, reach in _FRINGES:
        grey += np.float32(amount) * (bare - gaussian_filter(bare, reach / voxel_size, truncate=3))


class _Layers:
    """Textures that change slowly with depth: planes of noise, blended between knots."""

    def __init__(self, seed: int, name: str, shape, sigmas, voxel_size: float, knot: float):
        self.seed, self.name, self.shape, self.knot = seed, name, shape, knot
        self.sigmas = [(amount, (y / voxel_size, x / voxel_size)) for amount, y, x in sigmas]
        self._planes: dict[int, np.ndarray] = {}

    def __call__(self, z: float) -> np.ndarray:
        index, share = divmod(z / self.knot, 1.0)
        wanted = (int(index), int(index) + 1)
        self._planes = {i: p for i, p in self._planes.items() if i in wanted}
        for i in wanted:
            if i not in self._planes:
                self._planes[i] = self._plane(i)
        low, high = (self._planes[i] for i in wanted)
        norm = np.float32(1 / np.hypot(1 - share, share))
        return low * (np.float32(1 - share) * norm) + high * (np.float32(share) * norm)

    def _plane(self, index: int) -> np.ndarray:
        plane = np.zeros(self.shape, np.float32)
        for i, (amount, sigma) in enumerate(self.sigmas):
            rng = stream(self.seed, self.name, index + 1000, i)
            plane += np.float32(amount) * smooth_noise(rng, self.shape, sigma)
        return plane


def render(
    seed: int, papyrus: Papyrus, ink: Ink | None, depth: int, voxel_size: float
) -> np.ndarray:
    """Render a volume.

    Parameters
    ----------
    seed : int
        Seed of the fragment.
    papyrus : Papyrus
        The geometry.
    ink : Ink or None
        The ink, or nothing.
    depth : int
        Layers.
    voxel_size : float
        µm.

    Returns
    -------
    ndarray
        uint8 (z, y, x).
    """
    shape = papyrus.mask.shape
    volume = np.empty((depth, *shape), np.uint8)
    fibres = {
        True: _Layers(
            seed,
            "fibres recto",
            shape,
            [(8, 12, 260), (13, 60, 700), (5, 200, 14)],
            voxel_size,
            _KNOT,
        ),
        False: _Layers(
            seed,
            "fibres verso",
            shape,
            [(8, 260, 12), (13, 700, 60), (5, 14, 200)],
            voxel_size,
            _KNOT,
        ),
    }
    cells = _Layers(seed, "cells", shape, [(8, 20, 20), (14, 80, 130)], voxel_size, _KNOT)
    noise = _Layers(seed, "noise", shape, [(_NOISE, _PSF, _PSF)], voxel_size, 17.0)
    specks = _specks(seed, papyrus, depth, voxel_size)
    thickening = None if ink is None else ink.thickening
    for layer in range(depth):
        z = (layer + 0.5) * voxel_size
        matter = np.zeros(shape, np.float32)
        streaks = np.zeros(shape, np.float32)
        for index, ply in enumerate(papyrus.plies):
            if ply.top.min() > z + 40 or ply.bottom.max() < z - 40:
                continue
            share = ply.coverage(z, FACE)
            if index == 0 and thickening is not None:
                lifted = type(ply)(ply.top - thickening, ply.bottom, ply.presence, True)
                share = lifted.coverage(z, FACE)
            share = np.maximum(share - matter, 0) if matter.any() else share
            matter += share
            streaks += share * fibres[ply.horizontal](z)
        matter *= papyrus.opening
        streaks *= papyrus.opening
        grey = matter * (np.float32(PAPYRUS - AIR) + cells(z))
        grey += streaks
        if ink is not None:
            grey += ink.texture(z) * matter
        grey += specks[layer]
        add_fringes(grey, voxel_size)
        # The scanner's grey scale flattens where little else is as dense.
        grey -= np.float32(KNEE[1]) * np.maximum(grey - np.float32(KNEE[0] - AIR), 0)
        grey += np.float32(AIR)
        grey += noise(z)
        np.clip(np.rint(grey, out=grey), 0, 255, out=grey)
        volume[layer] = grey
    return volume


def _specks(seed: int, papyrus: Papyrus, depth: int, voxel_size: float):
    """Mineral grains, small and very bright, in rows along the fibres: one plane a layer."""
    rng = stream(seed, "specks")
    rows, columns = papyrus.mask.shape
    volume = rows * columns * depth * voxel_size**3 / 1e9  # mm³
    count = rng.poisson(9 * volume)
    points = []
    for _ in range(count):
        centre = rng.uniform(0, 1, 3) * [depth, rows, columns] * voxel_size
        spread = [12, 25, 500] if rng.uniform() < 0.7 else [12, 500, 25]
        n = rng.geometric(0.3)
        points.append(centre + rng.normal(size=(n, 3)) * spread)
    points = np.concatenate(points) if points else np.zeros((0, 3))
    bright = rng.gamma(3, 45, len(points)).astype(np.float32)
    size = rng.uniform(7, 16, len(points))
    planes = _SparsePlanes(depth, papyrus.mask.shape)
    reach = max(2, int(np.ceil(36 / voxel_size)))
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1, -reach : reach + 1].reshape(3, -1).T
    for point, peak, radius in zip(points, bright, size, strict=True):
        near = np.floor(point / voxel_size).astype(int) + offsets
        inside = np.all((near >= 0) & (near < (depth, rows, columns)), axis=1)
        near = near[inside]
        distance = np.linalg.norm((near + 0.5) * voxel_size - point, axis=1)
        sigma = np.hypot(radius, voxel_size / 2)
        planes.add(near, peak * np.exp(-0.5 * (distance / sigma) ** 2), papyrus.opening)
    return planes


class _SparsePlanes:
    def __init__(self, depth: int, shape: tuple[int, int]):
        self.shape = shape
        self.parts: list[list[tuple]] = [[] for _ in range(depth)]

    def add(self, near, value, opening) -> None:
        for layer in np.unique(near[:, 0]):
            here = near[:, 0] == layer
            y, x = near[here, 1], near[here, 2]
            self.parts[layer].append((y, x, value[here] * opening[y, x]))

    def __getitem__(self, layer: int) -> np.ndarray:
        plane = np.zeros(self.shape, np.float32)
        for y, x, value in self.parts[layer]:
            plane[y, x] += value.astype(np.float32)
        return plane


def synthesise(
    seed: int,
    *,
    depth: int = 32,
    height: int = 640,
    width: int = 1280,
    voxel_size: float = 16.0,
    ink_strength: float = 1.0,
    reversed_depth: bool = False,
    bits: int = 8,
) -> Fragment:
    """Simulate a fragment whose ink is known.

    Parameters
    ----------
    seed : int
        Everything random follows from it; the same seed gives the same bytes.
    depth, height, width : int
        Voxels along z, y and x.
    voxel_size : float
        µm; sizes inside the fragment are physical and scale with it.
    ink_strength : float
        Multiplies the ink's texture and its thickening; 0 leaves no trace in the volume (the
        label still tells where the text would be).
    reversed_depth : bool
        Store the layers in the other order, written side last.
    bits : int
        Significant bits of the 8-bit grey levels. Six cost nothing that can be seen (steps of 4
        where the noise has an SD of 7) and a third less on disk.

    Returns
    -------
    Fragment
        uint8 in memory, with mask, label and infrared image.

    Raises
    ------
    SettingsError
        When a size is too small or the strength is negative.
    """
    seed, shape = int(seed), (int(height), int(width))
    _check(seed, depth, shape, voxel_size, ink_strength)
    if not 1 <= bits <= 8:
        raise SettingsError(f"{bits} bits of grey are out of range", "give 1 to 8")
    papyrus = lay_papyrus(seed, depth, shape, voxel_size)
    label, _ = place_text(seed, papyrus, depth, voxel_size)
    ink = None
    if ink_strength:
        ink = Ink(papyrus.surface, label, seed, voxel_size, ink_strength)
    volume = render(seed, papyrus, ink, depth, voxel_size)
    if bits < 8:
        step = 1 << (8 - bits)
        levels = np.minimum(np.arange(256) + step // 2, 255) // step * step
        volume = levels.astype(np.uint8)[volume]
    return Fragment.from_array(
        volume[::-1] if reversed_depth else volume,
        name=f"simulated-{seed}",
        voxel_size=voxel_size,
        mask=papyrus.mask,
        label=label,
        infrared=photograph(seed, papyrus, label, voxel_size),
        simulated=True,
    )


def _check(seed, depth, shape, voxel_size, ink_strength) -> None:
    if seed < 0:
        raise SettingsError(f"the seed {seed} is negative", "give a whole number from 0 on")
    if depth < 1 or min(shape) < 16:
        raise SettingsError(
            f"a fragment of {depth} x {shape[0]} x {shape[1]} voxels is too small",
            "give at least 1 layer of 16 x 16 pixels",
        )
    if not 0.5 <= voxel_size <= 100:
        raise SettingsError(f"the voxel size {voxel_size} µm is out of range", "give .5 to 100 µm")
    if not 0 <= ink_strength <= 10:
        raise SettingsError(
            f"the ink strength {ink_strength} is out of range", "give a number from 0 to 10"
        )
