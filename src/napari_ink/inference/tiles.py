"""Where the tiles lie: pure functions of shapes.

Nothing here knows of a mask, a region or a device, so a region's tiles are the whole's tiles and
its map equals the same part of the whole, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from napari_ink.inference.settings import Box


class Tile(NamedTuple):
    """Row and column of a tile in the grid; the order of tuples is the order of summing."""

    row: int
    column: int


class Part(NamedTuple):
    """What one tile gives to one block: the pixels ``box`` out of ``frame``, both of the plane.

    The frame is what the network is shown: the whole tile, or less of it (:func:`trimmed`).
    """

    tile: Tile
    box: Box
    frame: Box


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple that is at least ``value``."""
    return -(-value // multiple) * multiple


def round_down(value: int, multiple: int) -> int:
    """The largest multiple that is at most ``value``."""
    return value // multiple * multiple


@dataclass(frozen=True)
class Axis:
    """Tiles along one axis.

    Attributes
    ----------
    size : int
        Pixels of the plane.
    tile : int
        Pixels of a tile.
    starts : tuple of int
        First pixel of each tile. The last tile may reach over the border, by less than
        ``multiple_of``, or by more if the plane is smaller than a tile.
    cores : tuple of int or None
        ``cores[i]:cores[i + 1]`` are the pixels that tile ``i`` alone is asked for; ``None`` if
        tiles are blended.
    stride : int
        Distance between tiles, the flush last one apart.
    """

    size: int
    tile: int
    starts: tuple[int, ...]
    cores: tuple[int, ...] | None
    stride: int

    @classmethod
    def cropped(
        cls, size: int, tile: int, halo: int, multiple_of: int, shrink: bool = True
    ) -> Axis:
        """Tiles whose cores partition the axis, each with ``halo`` pixels of context or more.

        Starts are multiples of ``multiple_of``: pooling then falls on the same grid in every
        tile, and with enough halo a tile computes what the whole plane would. Core ``i`` is
        ``i · stride : (i + 1) · stride``, its tile lies around it, pushed inwards at the borders,
        where there is no context to be had.
        """
        if tile >= size:
            whole = round_up(size, multiple_of)
            return cls(size, whole if shrink else tile, (0,), (0, size), whole)
        before = round_up(halo, multiple_of)
        stride = round_down(tile - before - halo, multiple_of)
        if stride < multiple_of:
            raise ValueError(f"a tile of {tile} px leaves nothing beyond a halo of {halo} px")
        last = round_up(size - tile, multiple_of)
        count = -(-size // stride)
        starts = tuple(min(max(i * stride - before, 0), last) for i in range(count))
        cores = tuple(min(i * stride, size) for i in range(count + 1))
        return cls(size, tile, starts, cores, stride)

    @classmethod
    def blended(
        cls, size: int, tile: int, overlap: float, multiple_of: int, shrink: bool = True
    ) -> Axis:
        """Tiles that overlap by a fraction of their side: MONAI's windows, at every size."""
        if tile >= size:
            return replace(cls.cropped(size, tile, 0, multiple_of, shrink), cores=None)
        stride = max(1, int(tile * (1 - overlap)))
        count = -(-(size - tile) // stride) + 1
        starts = tuple(min(i * stride, size - tile) for i in range(count))
        return cls(size, tile, starts, None, stride)

    def pixels_of(self, index: int) -> tuple[int, int]:
        """The pixels that tile ``index`` contributes to, ``(start, end)``."""
        if self.cores is not None:
            return self.cores[index], self.cores[index + 1]
        start = self.starts[index]
        return start, min(start + self.tile, self.size)

    def tiles_of(self, start: int, end: int) -> range:
        """The tiles that contribute to the pixels ``start:end``."""
        firsts, ends = self._bounds
        return range(
            int(np.searchsorted(ends, start, "right")), int(np.searchsorted(firsts, end, "left"))
        )

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.array([self.pixels_of(i) for i in range(len(self.starts))])
        return pixels[:, 0], pixels[:, 1]


@dataclass(frozen=True)
class TileGrid:
    """All tiles of a plane and the blocks that they fill.

    Attributes
    ----------
    y, x : Axis
        Tiles along each axis.
    group : tuple of int
        Tiles ``(down, across)`` that always run as one batch.
    block : tuple of int
        ``(height, width)`` of an output block: the unit of work, of writing and of resuming.
    """

    y: Axis
    x: Axis
    group: tuple[int, int]
    block: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)`` of the plane."""
        return self.y.size, self.x.size

    @property
    def tile(self) -> tuple[int, int]:
        """``(height, width)`` of a tile."""
        return self.y.tile, self.x.tile

    @property
    def is_blended(self) -> bool:
        """Whether tiles overlap with weights; otherwise each pixel comes from one tile."""
        return self.y.cores is None

    @property
    def blocks_shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return -(-self.y.size // self.block[0]), -(-self.x.size // self.block[1])

    def block_box(self, row: int, column: int) -> Box:
        """The pixels of a block, cut at the border."""
        height, width = self.block
        return Box(
            row * height,
            min((row + 1) * height, self.y.size),
            column * width,
            min((column + 1) * width, self.x.size),
        )

    def tile_box(self, tile: Tile) -> Box:
        """The pixels that the network is shown; may reach over the border."""
        y, x = self.y.starts[tile.row], self.x.starts[tile.column]
        return Box(y, y + self.y.tile, x, x + self.x.tile)

    def part_box(self, tile: Tile) -> Box:
        """The pixels that a tile contributes to."""
        return Box(*self.y.pixels_of(tile.row), *self.x.pixels_of(tile.column))

    def parts(self, box: Box) -> Iterator[Part]:
        """What fills a box, in the order in which it is summed."""
        for row in self.y.tiles_of(box.y0, box.y1):
            for column in self.x.tiles_of(box.x0, box.x1):
                tile = Tile(row, column)
                yield Part(tile, intersection(self.part_box(tile), box), self.tile_box(tile))

    def group_of(self, tile: Tile) -> tuple[int, int]:
        """The batch that a tile always runs in."""
        return tile.row // self.group[0], tile.column // self.group[1]

    def tiles_in(self, group: tuple[int, int]) -> list[Tile | None]:
        """The tiles of a batch, in order; ``None`` where the grid has ended."""
        rows, columns = len(self.y.starts), len(self.x.starts)
        return [
            Tile(row, column) if row < rows and column < columns else None
            for row in range(group[0] * self.group[0], (group[0] + 1) * self.group[0])
            for column in range(group[1] * self.group[1], (group[1] + 1) * self.group[1])
        ]


def make_grid(
    shape: tuple[int, int],
    tile: int,
    *,
    halo: int,
    multiple_of: int,
    overlap: float | None = None,
    batch: int = 1,
    block: tuple[int, int] | None = None,
    shrink: bool = True,
) -> TileGrid:
    """Lay tiles and blocks over a plane.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` of the plane.
    tile : int
        Side of the network's input, a multiple of ``multiple_of``; an axis shorter than that
        takes one tile of its own length, rounded up.
    halo : int
        Context in pixels that every pixel gets at least, if tiles are cropped.
    multiple_of : int
        What the network's inputs must be divisible by.
    overlap : float, optional
        Fraction of the side by which blended tiles overlap; ``None`` crops the halo instead.
    batch : int
        Tiles that run together.
    block : tuple of int, optional
        Block size; chosen if ``None``: whole batches of cores, 256 px or more where there is
        room, so that no two blocks share a cropped tile and no file is tiny.
    shrink : bool
        Whether an axis shorter than a tile shortens the tile; otherwise it is padded.

    Returns
    -------
    TileGrid

    Raises
    ------
    ValueError
        When the tile leaves nothing beyond the halo.
    """
    axes = [
        Axis.cropped(size, tile, halo, multiple_of, shrink)
        if overlap is None
        else Axis.blended(size, tile, overlap, multiple_of, shrink)
        for size in shape
    ]
    group = _group_shape(batch, len(axes[0].starts), len(axes[1].starts))
    if block is None:
        least = _SMALLEST_BLOCK if overlap is None else 2 * tile
        block = tuple(
            axis.stride * count * max(1, -(-least // (axis.stride * count)))
            for axis, count in zip(axes, group, strict=True)
        )
        block = tuple(
            min(side, round_up(size, multiple_of)) for side, size in zip(block, shape, strict=True)
        )
    return TileGrid(*axes, group, block)


_SMALLEST_BLOCK = 192  # px: smaller chunks are many files of a few kB


def _group_shape(batch: int, rows: int, columns: int) -> tuple[int, int]:
    """A batch as a rectangle of tiles, as square as its factors allow, no larger than the grid."""
    down = max(i for i in range(1, int(batch**0.5) + 1) if batch % i == 0)
    down = min(down, rows)
    return down, min(max(1, batch // down), columns)


def trimmed(part: Part, papyrus: np.ndarray, halo: int, multiple_of: int) -> Part:
    """A cropped tile's part cut down to its papyrus, the frame to that and its halo.

    Parameters
    ----------
    part : Part
    papyrus : numpy.ndarray
        ``(y, x)`` bool of ``part.box``, true somewhere.
    halo, multiple_of : int
        Of the network, px.

    Returns
    -------
    Part
        Whose frame lies within the old one, on the same multiples.
    """
    sides = []
    for axis, (start, first, end) in enumerate(
        ((part.box.y0, part.frame.y0, part.frame.y1), (part.box.x0, part.frame.x0, part.frame.x1))
    ):
        filled = np.flatnonzero(papyrus.any(axis=1 - axis))
        a, b = start + int(filled[0]), start + int(filled[-1]) + 1
        frame = (
            max(first, round_down(a - halo, multiple_of)),
            min(end, round_up(b + halo, multiple_of)),
        )
        sides.append(((a, b), frame))
    (y, frame_y), (x, frame_x) = sides
    return Part(part.tile, Box(*y, *x), Box(*frame_y, *frame_x))


def intersection(a: Box, b: Box) -> Box:
    """The pixels of both boxes; without area if there are none."""
    y0, x0 = max(a.y0, b.y0), max(a.x0, b.x0)
    return Box(y0, max(y0, min(a.y1, b.y1)), x0, max(x0, min(a.x1, b.x1)))


def importance(tile: tuple[int, int], sigma_scale: float = 0.125) -> np.ndarray:
    """Gaussian weights of a blended tile, largest in its middle.

    σ is an eighth of the side, the published value and nnU-Net's; weights are floored at 1e-3,
    as in MONAI, so that a pixel that only tile corners cover is still divided by something.

    Returns
    -------
    numpy.ndarray
        ``(height, width)`` float32, at most 1.
    """
    sides = []
    for side in tile:
        offset = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
        sides.append(np.exp(-(offset**2) / np.float32(2 * (sigma_scale * side) ** 2)))
    return np.maximum(np.outer(*sides), np.float32(1e-3)).astype(np.float32)
