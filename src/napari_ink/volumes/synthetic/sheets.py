"""Papyrus as geometry: crossing plies with a wandering surface, gaps, cracks, holes, an outline.

A sheet of papyrus is two plies of pith strips, horizontal on the side that is written on (recto)
and vertical behind (verso). Carbonised and unrolled by software it is porous and loose, so the
plies touch in places and gape in others, and plies of the neighbouring wraps come into the
volume. All lengths are µm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, label

from napari_ink.volumes.synthetic.fields import smooth_noise, stream, strips

FACE = 22.0  # µm over which a face is blurred
_PERIOD = 146.0  # µm from ply to ply: the negative lobe of the real z correlation at 64 µm
_THICKNESS = 78.5  # µm
_SURFACE = 0.42  # where the written surface lies on average, as a fraction of the depth
_WRITTEN = 0  # index of the ply that carries the writing


@dataclass(frozen=True, eq=False)
class Ply:
    """One layer of parallel fibres.

    Attributes
    ----------
    top, bottom : ndarray
        float32 (y, x), depth of its two faces in µm.
    presence : ndarray
        float32 (y, x) in [0, 1]: 0 where the ply has fallen away.
    horizontal : bool
        Fibres along x (recto) or along y (verso).
    """

    top: np.ndarray
    bottom: np.ndarray
    presence: np.ndarray
    horizontal: bool

    def coverage(self, z: float, blur: float) -> np.ndarray:
        """Share of papyrus in the voxels at depth `z` (µm), faces blurred over `blur` µm."""
        share = np.minimum(z - self.top, self.bottom - z)
        share *= np.float32(1 / blur)
        share += np.float32(0.5)
        np.clip(share, 0, 1, out=share)
        share *= self.presence
        return share


@dataclass(frozen=True, eq=False)
class Papyrus:
    """The geometry of a fragment.

    Attributes
    ----------
    plies : tuple of Ply
        The one that is written on first.
    mask : ndarray
        bool (y, x): papyrus, as a conservator would outline it.
    opening : ndarray
        float32 (y, x) in [0, 1]: 0 in cracks, holes and beyond the outline.
    """

    plies: tuple[Ply, ...]
    mask: np.ndarray
    opening: np.ndarray

    @property
    def surface(self) -> np.ndarray:
        """Depth of the written surface in µm, float32 (y, x)."""
        return self.plies[_WRITTEN].top

    @property
    def writable(self) -> np.ndarray:
        """Where ink could still be: papyrus whose written ply is there, bool (y, x)."""
        return self.mask & (self.plies[_WRITTEN].presence * self.opening > 0.5)


def lay_papyrus(seed: int, depth: int, shape: tuple[int, int], voxel_size: float) -> Papyrus:
    """Lay the plies of one fragment.

    Parameters
    ----------
    seed : int
        Seed of the fragment.
    depth : int
        Layers of the volume.
    shape : (int, int)
        Rows and columns.
    voxel_size : float
        µm.
    """

    def field(name: str, sigma_y: float, sigma_x: float) -> np.ndarray:
        sigma = (sigma_y / voxel_size, sigma_x / voxel_size)
        return smooth_noise(stream(seed, "sheets", name), shape, sigma)

    def steps(name: str, width: float, *, horizontal: bool, edge: float = 22) -> np.ndarray:
        rng, size = stream(seed, "sheets", name), shape if horizontal else shape[::-1]
        lengths = (width / voxel_size, 900 / voxel_size, edge / voxel_size)
        return strips(rng, size, *lengths) if horizontal else strips(rng, size, *lengths).T

    # The whole pile wanders; strips of pith step up and down along and across.
    common = (
        16 * field("wander", 1500, 1500)
        + 18 * field("buckle", 380, 600)
        + 18 * steps("strips y", 400, horizontal=True)
        + 14 * steps("strips x", 620, horizontal=False)
    )
    middle = _SURFACE * depth * voxel_size
    whole = depth * voxel_size
    places = [0, 1, -1, *range(2, int(whole / _PERIOD) + 2), *range(-2, -int(whole / _PERIOD), -1)]
    plies = []
    for place in places:
        horizontal = place % 2 == 0
        name = f"ply {place}"
        along, across = (1300, 130) if horizontal else (130, 1300)
        own = 8 * field(name + " buckle", 220, 300)
        own += 11 * steps(name + " strip", 260, horizontal=horizontal)
        if place:
            # Other plies come loose from the written one: they gape over millimetres.
            own += 22 * field(name + " gape", 800, 800)
        thickness = _THICKNESS * np.exp(
            0.22 * steps(name + " thick", 300, horizontal=horizontal)
            + 0.2 * field(name + " lump", 110, 170)
        )
        top = middle + place * _PERIOD + common + own
        missing = field(name + " lost", across * 1.6, along * 1.2) + 0.5 * field(
            name + " frayed", 90, 90
        )
        presence = np.clip((missing + (2.5 if place == 0 else 1.6)) * 3, 0, 1)
        plies.append(Ply(top, top + thickness, presence, horizontal))
    mask = _outline(seed, shape, voxel_size)
    return Papyrus(tuple(plies), mask, _opening(seed, shape, voxel_size, mask))


def _outline(seed: int, shape: tuple[int, int], voxel_size: float) -> np.ndarray:
    """The ragged outline of the fragment, bool (y, x), one connected piece."""
    y, x = (np.minimum(np.arange(n), np.arange(n)[::-1]) * voxel_size for n in shape)
    margin = np.minimum(y[:, None], x[None, :])
    ragged = np.zeros(shape, np.float32)
    for name, sigma, size in (("bays", 1500, 170), ("bites", 350, 70), ("fray", 60, 30)):
        noise = smooth_noise(stream(seed, "outline", name), shape, (sigma / voxel_size,) * 2)
        ragged += np.float32(size) * noise
    inside = margin > np.maximum(300 + ragged, 40)
    pieces, count = label(inside)
    if count > 1:
        inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return binary_fill_holes(inside)


def _opening(seed: int, shape: tuple[int, int], voxel_size: float, mask: np.ndarray) -> np.ndarray:
    """What cracks and worm holes leave, float32 (y, x)."""
    rng = stream(seed, "openings")
    opening = mask.astype(np.float32)
    rows, columns = (n * voxel_size for n in shape)
    area = rows * columns / 1e6  # mm²
    for _ in range(rng.poisson(0.045 * area)):
        _cut_hole(rng, opening, voxel_size, rng.uniform(0, rows), rng.uniform(0, columns))
    for _ in range(rng.poisson(0.035 * area)):
        _cut_crack(rng, opening, voxel_size, rng.uniform(0, rows), rng.uniform(0, columns))
    return opening


def _cut_hole(rng, opening, voxel_size, y0, x0) -> None:
    """An elongated hole with a ragged rim, along or across the fibres."""
    long, short = rng.gamma(4, 80), rng.gamma(6, 18)
    ry, rx = (short, long) if rng.uniform() < 0.5 else (long, short)
    reach = 1.6 * max(ry, rx)
    box = tuple(
        slice(max(0, int((c - reach) / voxel_size)), max(0, int((c + reach) / voxel_size) + 1))
        for c in (y0, x0)
    )
    part = opening[box]
    y, x = np.ogrid[: part.shape[0], : part.shape[1]]
    dy = ((y + box[0].start) * voxel_size - y0) / ry
    dx = ((x + box[1].start) * voxel_size - x0) / rx
    angle = np.arctan2(dy, dx)
    rim = 1 + 0.2 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.1 * np.sin(7 * angle)
    edge = (np.hypot(dy, dx) - rim) * min(ry, rx) / voxel_size
    part *= np.clip(edge + 0.5, 0, 1).astype(np.float32)


def _cut_crack(rng, opening, voxel_size, y0, x0) -> None:
    """A thin crack that runs along or across the fibres with a few kinks."""
    length, width = rng.gamma(4, 600), rng.uniform(15, 50)
    n = max(2, int(length / voxel_size))
    heading = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.1)
    turn = np.repeat(rng.normal(0, 0.35, n // 12 + 1), 12)[:n]
    y = y0 + np.cumsum(np.sin(heading + turn)) * voxel_size
    x = x0 + np.cumsum(np.cos(heading + turn)) * voxel_size
    reach = int(width / voxel_size) + 2
    for yy, xx in zip(y, x, strict=True):
        r, c = int(yy / voxel_size), int(xx / voxel_size)
        rows, columns = slice(max(0, r - reach), r + reach), slice(max(0, c - reach), c + reach)
        part = opening[rows, columns]
        if r < -reach or c < -reach or not part.size:
            continue
        gy, gx = np.ogrid[: part.shape[0], : part.shape[1]]
        away = np.hypot((gy + rows.start) * voxel_size - yy, (gx + columns.start) * voxel_size - xx)
        np.minimum(
            part,
            np.clip((away - width / 2) / voxel_size + 0.5, 0, 1),
            out=part,
            casting="same_kind",
        )
