"""The shape of a converted fragment: levels, chunks and shards."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

BLOCK = 1024  # pixels a side of a shard: what is written, and resumed, in one piece
_CHUNK = 128
_LAYERS = 32  # a chunk holds at most so many layers: windows seldom need all of 65
_SMALLEST = 1024  # no coarser level when both sides are within


@dataclass(frozen=True)
class Pyramid:
    """Geometry of a multiscale image, halved in y and x and never in z.

    Layers keep their number on every level: the ink lies within a few of them, and the layer
    slider stays true.

    Attributes
    ----------
    shape : tuple of int
        ``(z, y, x)`` of the finest level.
    version : str
        OME-Zarr ``0.4`` (zarr v2, plain chunks) or ``0.5`` (zarr v3, sharded).
    """

    shape: tuple[int, int, int]
    version: str = "0.5"

    @cached_property
    def shapes(self) -> list[tuple[int, int, int]]:
        """``(z, y, x)`` of every level, finest first."""
        shapes = [self.shape]
        while max(shapes[-1][1:]) > _SMALLEST:
            depth, height, width = shapes[-1]
            shapes.append((depth, -(-height // 2), -(-width // 2)))
        return shapes

    @property
    def chunk(self) -> tuple[int, int, int]:
        """``(z, y, x)`` of what is compressed in one piece; layers split evenly."""
        layers = -(-self.shape[0] // -(-self.shape[0] // _LAYERS))
        side = _CHUNK if self.version == "0.5" else 2 * _CHUNK
        return layers, side, side

    @property
    def block(self) -> tuple[int, int, int]:
        """``(z, y, x)`` of a shard: about 64 layers, so that one fits in memory."""
        layers = self.chunk[0]
        pieces = min(-(-self.shape[0] // layers), max(1, 64 // layers + 1))
        return layers * pieces, BLOCK, BLOCK

    def blocks(self, level: int) -> list[tuple[slice, slice, slice]]:
        """All blocks of a level, row by row."""
        shape = self.shapes[level]
        return [
            tuple(
                slice(start, min(start + size, length))
                for start, size, length in zip((z, y, x), self.block, shape, strict=True)
            )
            for y in range(0, shape[1], self.block[1])
            for x in range(0, shape[2], self.block[2])
            for z in range(0, shape[0], self.block[0])
        ]


def halve(window: np.ndarray) -> np.ndarray:
    """Mean of 2 × 2 pixels of ``(z, y, x)``, rounded to even; odd edges average what is there."""
    depth, height, width = window.shape
    total = np.uint32 if window.dtype.kind == "u" else np.float64
    out = np.empty((depth, -(-height // 2), -(-width // 2)), window.dtype)
    for layer, half in zip(window, out, strict=True):  # one at a time: the sums are wider
        if height % 2 or width % 2:
            layer = np.pad(layer, ((0, height % 2), (0, width % 2)), mode="edge")
        pairs = np.add(layer[::2], layer[1::2], dtype=total)
        mean = np.add(pairs[:, ::2], pairs[:, 1::2], dtype=total) / 4
        half[...] = np.rint(mean) if window.dtype.kind == "u" else mean
    return out
