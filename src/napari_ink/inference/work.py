"""What is read, in which order, and how tiles become blocks; no network in here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.errors import StoreError
from napari_ink.inference.papyrus import StoredMask
from napari_ink.inference.plan import PredictionPlan
from napari_ink.inference.settings import Box
from napari_ink.inference.tiles import (
    Part,
    Tile,
    TileGrid,
    importance,
    intersection,
    trimmed,
)
from napari_ink.volumes.fragment import Fragment

if TYPE_CHECKING:
    from napari_ink.inference.store_writing import StoreWriter

Group = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Batch:
    """Tiles to run together.

    Attributes
    ----------
    group : tuple of int
        Which batch of the grid it is.
    tiles : list of Tile or None
        ``None``: a slot without papyrus, zeros; it keeps the batch, and with it every bit of the
        others' results, the same.
    volume : numpy.ndarray
        ``(batch, 1, z, y, x)`` float32.
    """

    group: Group
    tiles: list[Tile | None]
    volume: np.ndarray


@dataclass(frozen=True, eq=False)
class Block:
    """A block whose tiles have all been sent.

    Attributes
    ----------
    index : tuple of int
        Row and column.
    box : Box
    parts : list of Part
        What fills it, in summing order.
    papyrus : numpy.ndarray or None
        ``(y, x)`` bool of the box; ``None``: everywhere.
    drop : list of tuple
        Batches whose results nobody needs any more, or that there is no room for.
    """

    index: tuple[int, int]
    box: Box
    parts: list[Part]
    papyrus: np.ndarray | None
    drop: list[Group]


class TileReader:
    """Windows of a fragment as the network wants them. Safe to use from a thread.

    Parameters
    ----------
    fragment : Fragment
    plan : PredictionPlan
    mask : StoredMask, optional
        Where to read the papyrus from, if not from the fragment.
    """

    def __init__(
        self, fragment: Fragment, plan: PredictionPlan, mask: StoredMask | None = None
    ) -> None:
        self._fragment = fragment
        self._plan = plan
        self._mask = plan.mask if mask is None else mask
        self._trims = (
            plan.settings.runtime == "torch"
            and plan.settings.batch == 1
            and plan.normaliser.window is None
            and not plan.grid.is_blended
        )

    def over(self, plan: PredictionPlan) -> TileReader:
        """The same of a plan for other layers."""
        return TileReader(self._fragment, plan, self._mask)

    def volume(self, box: Box, out: np.ndarray) -> None:
        """Read, normalise and flip one tile into ``out``, ``(z, y, x)``."""
        plan = self._plan
        inside = intersection(box, Box(0, plan.grid.y.size, 0, plan.grid.x.size))
        plan.normaliser.fill(out, self._fragment.read(plan.z, *inside.slices), flip=plan.flip)

    def papyrus(self, box: Box) -> np.ndarray | None:
        """Where to predict in a box, bool; ``None``: everywhere."""
        inside = intersection(box, self._plan.region)
        if self._mask is None and inside == box:
            return None
        wanted = np.zeros(box.shape, bool)
        if 0 not in inside.shape:
            papyrus = self._mask_of(inside)
            wanted[_within(inside, box)] = True if papyrus is None else papyrus
        return wanted

    def wants(self, box: Box) -> bool:
        """Whether there is anything to predict in a box."""
        papyrus = self.papyrus(box)
        return papyrus is None or bool(papyrus.any())

    def papyrus_share(self, box: Box) -> float:
        """Share of a box that is papyrus, whatever the region, in [0, 1]."""
        papyrus = self._mask_of(box)
        return 1.0 if papyrus is None else float(papyrus.mean())

    def parts(self, box: Box, papyrus: np.ndarray | None) -> list[Part]:
        """What fills a block, in summing order, without what holds nothing to predict.

        A cropped tile that runs alone shows the network its papyrus and the halo around it, no
        more: at a fragment's edge much of a tile is void. What it shows depends on the mask, never
        on the region, so that a region's map stays the whole's, bit for bit. OpenVINO, which
        compiles for each size, and recipes that normalise whole windows get whole tiles.

        Parameters
        ----------
        box : Box
            The block.
        papyrus : numpy.ndarray or None
            As :meth:`papyrus` gives it for the block.
        """
        plan = self._plan
        parts = list(plan.grid.parts(box))
        if papyrus is not None:
            parts = [part for part in parts if papyrus[_within(part.box, box)].any()]
        mask = self._mask_of(box) if self._trims else None
        if mask is None:
            return parts
        mask |= papyrus  # nothing new, unless the mask is being deleted
        halo = plan.identity["halo"]
        return [
            trimmed(part, mask[_within(part.box, box)], halo, plan.multiple_of) for part in parts
        ]

    def _mask_of(self, box: Box) -> np.ndarray | None:
        """The papyrus in a box, whatever the region, bool; ``None``: everywhere."""
        if self._mask is None:
            return None
        return np.asarray(self._mask.read(*box.slices)) != 0


def reader_of(fragment: Fragment, plan: PredictionPlan, store: StoreWriter | None) -> TileReader:
    """A reader that takes the papyrus from the store, if there is one.

    A PNG mask is decoded from its first row for every window; the store's copy is not.
    """
    copied = store is not None and plan.mask is not None
    return TileReader(fragment, plan, StoredMask(store, plan) if copied else None)


def schedule(
    plan: PredictionPlan,
    reader: TileReader,
    blocks: Iterable[tuple[int, int]],
    buffer: Callable[[tuple[int, ...]], np.ndarray],
    kept_bytes: int,
) -> Iterator[Batch | Block]:
    """The batches to run and the blocks they complete, in order.

    Cropped tiles belong to one block each. Blended tiles serve several; their results are kept,
    as many as ``kept_bytes`` hold, and computed again, to the same bits, where they were dropped.

    Parameters
    ----------
    plan : PredictionPlan
    reader : TileReader
    blocks : iterable of (int, int)
        Rows and columns, in the order of work.
    buffer : callable
        Allocates the array for a batch of a given shape.
    kept_bytes : int
        Results that may wait for other blocks.

    Yields
    ------
    Batch or Block
        A block follows the last of its batches.

    Raises
    ------
    StoreError
        When the papyrus of a block is gone, as the mask of a store that is being deleted.
    """
    grid = plan.grid
    layers = plan.output_shape[0] if len(plan.output_shape) == 3 else 1
    per_batch = 4 * layers * grid.group[0] * grid.group[1] * grid.tile[0] * grid.tile[1]
    room = kept_bytes // per_batch if grid.is_blended else 0
    kept: OrderedDict[Group, None] = OrderedDict()
    for index in blocks:
        box = grid.block_box(*index)
        papyrus = reader.papyrus(box)
        parts = reader.parts(box, papyrus)
        if not parts:
            raise StoreError(
                f"the papyrus mask at rows {box.y0}:{box.y1}, columns {box.x0}:{box.x1} was "
                "removed while the prediction was written",
                "predict again",
            )
        frames = {part.tile: part.frame for part in parts}
        for group in dict.fromkeys(grid.group_of(part.tile) for part in parts):
            if group in kept:
                kept.move_to_end(group)
                continue
            kept[group] = None
            tiles = [
                tile
                if tile in frames or (tile is not None and reader.wants(grid.part_box(tile)))
                else None
                for tile in grid.tiles_in(group)
            ]
            shown = [
                None if tile is None else frames.get(tile, grid.tile_box(tile)) for tile in tiles
            ]
            shape = next(frame.shape for frame in shown if frame is not None)
            volume = buffer((len(tiles), 1, plan.depth, *shape))
            for slot, frame in enumerate(shown):
                if frame is None:
                    volume[slot] = 0
                else:
                    reader.volume(frame, volume[slot, 0])
            yield Batch(group, tiles, volume)
        drop = [kept.popitem(last=False)[0] for _ in range(max(0, len(kept) - room))]
        yield Block(index, box, parts, papyrus, drop)


def assemble(
    grid: TileGrid,
    box: Box,
    parts: Iterable[Part],
    maps: Mapping[Tile, np.ndarray],
    layers: int | None,
) -> np.ndarray:
    """Join tiles to a block.

    Parameters
    ----------
    grid : TileGrid
    box : Box
        The block.
    parts : iterable of Part
        In summing order.
    maps : mapping
        Probability of each part's frame, ``(y, x)`` or ``(z, y, x)`` float32.
    layers : int, optional
        Number of layers of a volume; ``None`` for a plane.

    Returns
    -------
    numpy.ndarray
        float32; NaN where no part lies. Blended tiles give their weighted mean, summed in the
        order of the grid whatever order they were computed in.
    """
    shape = box.shape if layers is None else (layers, *box.shape)
    if not grid.is_blended:
        result = np.full(shape, np.nan, np.float32)
        for tile, part, frame in parts:
            result[(..., *_within(part, box))] = maps[tile][(..., *_within(part, frame))]
        return result
    weights = importance(grid.tile)
    total, weight = np.zeros(shape, np.float32), np.zeros(box.shape, np.float32)
    for tile, part, frame in parts:
        inside, target = _within(part, frame), _within(part, box)
        total[(..., *target)] += weights[inside] * maps[tile][(..., *inside)]
        weight[target] += weights[inside]
    return np.where(weight > 0, total / np.maximum(weight, np.float32(1e-9)), np.float32(np.nan))


def _within(box: Box, frame: Box) -> tuple[slice, slice]:
    """Slices of ``box`` in an array that covers ``frame``."""
    return (
        slice(box.y0 - frame.y0, box.y1 - frame.y0),
        slice(box.x0 - frame.x0, box.x1 - frame.x0),
    )
