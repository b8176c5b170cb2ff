"""Where the papyrus is: which blocks hold some, and the copy of the mask that a store keeps."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.errors import StoreError

if TYPE_CHECKING:
    from napari_ink.inference.plan import PredictionPlan
    from napari_ink.inference.settings import Box
    from napari_ink.inference.store_writing import StoreWriter
    from napari_ink.inference.tiles import TileGrid
    from napari_ink.volumes.fragment import Plane

_BAND = 1 << 24  # pixels of the mask in memory at once


def papyrus_blocks(
    mask: Plane | None, grid: TileGrid, region: Box
) -> tuple[list[tuple[int, int]], str | None]:
    """Blocks with papyrus inside the region, row by row, and a hash of the mask there.

    The mask is read in bands; what stays is one bool a block.
    """
    height, width = grid.block
    rows = range(region.y0 // height, -(-region.y1 // height))
    columns = range(region.x0 // width, -(-region.x1 // width))
    if mask is None:
        return [(row, column) for row in rows for column in columns], None
    digest = hashlib.sha256()
    blocks = []
    per_band = max(1, _BAND // (height * (region.x1 - region.x0)))
    for top in range(rows.start, rows.stop, per_band):
        y = slice(max(top * height, region.y0), min((top + per_band) * height, region.y1))
        band = np.asarray(mask.read(y, slice(region.x0, region.x1))) != 0
        digest.update(np.packbits(band).tobytes())
        for row in range(top, min(top + per_band, rows.stop)):
            inside = band[max(row * height - y.start, 0) : (row + 1) * height - y.start]
            filled = inside.any(axis=0)
            blocks += [
                (row, column)
                for column in columns
                if filled[
                    max(column * width - region.x0, 0) : (column + 1) * width - region.x0
                ].any()
            ]
    return blocks, digest.hexdigest()[:32]


class StoredMask:
    """The mask that a store keeps, to read windows of.

    zarr reads a chunk that is missing as zeros, which would mean: no papyrus. So the mask is
    compared with the plan's once, and given out only while the store is there.

    Parameters
    ----------
    store : StoreWriter
    plan : PredictionPlan
        With a mask.

    Raises
    ------
    StoreError
        When part of it was lost.
    """

    def __init__(self, store: StoreWriter, plan: PredictionPlan) -> None:
        self._store = store
        self._array = store.mask
        if self._array is None:
            raise self._lost()
        _, found = papyrus_blocks(self, plan.grid, plan.region)
        if found != plan.identity["mask"]:
            raise self._lost()

    def read(self, y: slice, x: slice) -> np.ndarray:
        """The window, bool."""
        try:
            window = np.asarray(self._array[y, x])
        except (OSError, ValueError, RuntimeError) as error:
            raise self._lost() from error
        self._store.check_there()
        return window

    def _lost(self) -> StoreError:
        return StoreError(
            f"{self._store.path} has lost part of its papyrus mask", "delete it and predict again"
        )
