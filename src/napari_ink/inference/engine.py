"""The network at work: runtime, results on their way to blocks, and what to do without memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ink.errors import DeviceMemoryError, PredictionError
from napari_ink.inference.device import free_memory, is_out_of_memory, release
from napari_ink.inference.monte_carlo import sub_network
from napari_ink.inference.plan import PredictionPlan
from napari_ink.inference.runtimes import OpenVINORuntime, Probability, Runtime, TorchRuntime
from napari_ink.inference.settings import Box
from napari_ink.inference.symmetries import turned, turned_back, turns_of
from napari_ink.inference.tiles import Tile, make_grid, round_down
from napari_ink.inference.work import Batch, Block, Group, TileReader, assemble
from napari_ink.models.experts import gates_without

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork

_CALIBRATION_TILES = 8
_CHECK_TILES = 2
_CALIBRATION_SIDE = 96  # px: ranges of feature maps need no larger windows


class Engine:
    """Runs batches, keeps their maps, joins them to blocks; a context manager.

    Parameters
    ----------
    plan : PredictionPlan
    network : Probability
        Folded.
    reader : TileReader
    before : mapping
        Records of an earlier engine, which tell of a batch that had to be halved; or none.
    notice : callable
        Told what the user should know.
    symmetry : int or None
        How the fragment is turned before the network and back after it; ``None``: each tile
        another way, in turn.

    Attributes
    ----------
    runtime : Runtime
    records : dict
        What the store should say of this session.
    """

    def __init__(
        self,
        plan: PredictionPlan,
        network: Probability,
        reader: TileReader,
        before: Mapping[str, Any],
        notice: Callable[[str], None],
        symmetry: int | None = 0,
    ) -> None:
        self._plan = plan
        self._symmetry = symmetry
        self._reader = reader
        self._notice = notice
        self.records: dict = {
            "batch": before.get("batch", plan.settings.batch),
            "smaller_tiles": before.get("smaller_tiles", []),
        }
        self._maps: dict[Tile, np.ndarray] = {}
        self._tiles_of: dict[Group, list[Tile | None]] = {}
        self._failed: set[Group] = set()
        self.runtime = make_runtime(plan, network, reader)
        if self.runtime.report:
            self.records["runtime"] = self.runtime.report
            notice(
                f"int8 changes the map by {self.runtime.report['mean_change']:.4f} on average, "
                f"{self.runtime.report['change_p99']:.3f} at the 99th percentile, on "
                f"{self.runtime.report['checked_tiles']} tiles of this fragment"
            )

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the network."""
        self._maps.clear()
        self.runtime.close()

    def turned(self, symmetry: int | None) -> Engine:
        """The same network and records, shown the fragment another way."""
        other = self.over(self._plan, self._reader)
        other._symmetry = symmetry
        return other

    def over(self, plan: PredictionPlan, reader: TileReader) -> Engine:
        """The same network and records, over other layers of the same grid."""
        other = copy(self)
        other._plan, other._reader = plan, reader
        other._maps, other._tiles_of, other._failed = {}, {}, set()
        return other

    def run(self, batch: Batch) -> None:
        """Compute the maps of a batch; if a single tile is too much, its blocks will know."""
        self._tiles_of[batch.group] = batch.tiles
        try:
            maps = self._run_turned(batch.tiles, batch.volume)
        except _TileTooLarge:
            self._failed.add(batch.group)
            return
        self._maps |= {
            tile: values for tile, values in zip(batch.tiles, maps, strict=True) if tile is not None
        }

    def finish(self, block: Block) -> np.ndarray:
        """The block's probability, float32, NaN where there is no papyrus.

        Raises
        ------
        DeviceMemoryError
            When not even the smallest tile fits the memory.
        PredictionError
            When the network computes NaN.
        """
        plan = self._plan
        layers = plan.output_shape[0] if len(plan.output_shape) == 3 else None
        needed = {plan.grid.group_of(part.tile) for part in block.parts}
        if needed & self._failed:
            result = self._with_smaller_tiles(block, layers)
        else:
            result = assemble(plan.grid, block.box, block.parts, self._maps, layers)
        for group in block.drop:
            self._failed.discard(group)
            for tile in self._tiles_of.pop(group):
                self._maps.pop(tile, None)
        if layers is not None and plan.flip:
            result = result[::-1]
        papyrus = np.ones(block.box.shape, bool) if block.papyrus is None else block.papyrus
        if np.isnan(result[..., papyrus]).any():
            raise PredictionError(
                f"the network computed NaN in rows {block.box.y0}:{block.box.y1}, columns "
                f"{block.box.x0}:{block.box.x1} at {plan.settings.precision}",
                "try --precision fp32, or another checkpoint",
            )
        return np.where(papyrus, result, np.float32(np.nan))

    def _run_turned(self, tiles: Sequence[Tile | None], volume: np.ndarray) -> Sequence[np.ndarray]:
        """Run a batch, its tiles turned, and turn their maps back."""
        if self._symmetry is None:
            symmetries = turns_of(tiles, self._plan.grid.tile)
        else:
            symmetries = [self._symmetry] * len(tiles)
        if not any(symmetries):
            return self._run_within_memory(volume)
        slots = [turned(slot, how) for slot, how in zip(volume, symmetries, strict=True)]
        shown = self.runtime.buffer((len(slots), *slots[0].shape))
        for target, slot in zip(shown, slots, strict=True):
            target[...] = slot
        maps = self._run_within_memory(shown)
        return [turned_back(map_, how) for map_, how in zip(maps, symmetries, strict=True)]

    def _run_within_memory(self, volume: np.ndarray) -> np.ndarray:
        """Run a batch whole, or in halves if the device has too little memory."""
        while True:
            size = self.records["batch"]
            try:
                maps = [
                    self.runtime(volume[start : start + size])
                    for start in range(0, len(volume), size)
                ]
                return maps[0] if len(maps) == 1 else np.concatenate(maps)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                short = error
            release(self._plan.settings.device)
            size = min(size, len(volume))
            if size == 1:
                raise _TileTooLarge(str(short).splitlines()[0] if str(short) else "") from short
            self.records["batch"] = size // 2
            self._notice(
                f"out of memory with {size} tiles of {volume.shape[-1]} px at once: going on with "
                f"{size // 2}"
            )

    def _with_smaller_tiles(self, block: Block, layers: int | None) -> np.ndarray:
        """Compute one block with tiles of half the side, or a quarter, …"""
        plan = self._plan
        side, settings = max(plan.grid.tile), plan.settings
        context = plan.provenance["checkpoint"]["halo"]
        multiple = plan.multiple_of
        while True:
            smaller = round_down(side // 2, multiple)
            try:
                if plan.normaliser.window is not None or smaller < multiple:
                    raise ValueError("no smaller tile")
                grid = make_grid(
                    plan.grid.shape,
                    smaller,
                    halo=context,
                    multiple_of=multiple,
                    overlap=settings.overlap,
                    block=plan.grid.block,
                )
            except ValueError:
                free = free_memory(settings.device) / 1e9
                raise DeviceMemoryError(
                    f"a tile of {side} px, the smallest possible, does not fit the memory of "
                    f"{settings.device} ({free:.1f} GB free)",
                    "close other programs, choose --device cpu, or a smaller network",
                ) from None
            self._notice(
                f"out of memory with a tile of {side} px: rows {block.box.y0}:{block.box.y1}, "
                f"columns {block.box.x0}:{block.box.x1} with tiles of {smaller} px"
            )
            try:
                result = self._one_by_one(grid, block, layers)
            except _TileTooLarge:
                side = smaller
                continue
            made = {"block": list(block.index), "tile": smaller}
            known = [entry for entry in self.records["smaller_tiles"] if entry != made]
            self.records["smaller_tiles"] = [*known, made]
            return result

    def _one_by_one(self, grid, block: Block, layers: int | None) -> np.ndarray:
        maps, parts = {}, []
        for part in grid.parts(block.box):
            if self._reader.wants(part.box):
                maps[part.tile] = self._run_turned([part.tile], self._read(part.frame))[0]
                parts.append(part)
        return assemble(grid, block.box, parts, maps, layers)

    def _read(self, box: Box) -> np.ndarray:
        volume = self.runtime.buffer((1, 1, self._plan.depth, *box.shape))
        self._reader.volume(box, volume[0, 0])
        return volume


def network_of(plan: PredictionPlan, model: InkNetwork, sample: int | None = None) -> Probability:
    """The plan's network, folded; with Monte Carlo that of a sample, by its index."""
    gates = gates_without(plan.settings.experts_off)
    if sample is None:
        folded = model.fold(plan.task_index, gates)
    else:
        folded = sub_network(plan.monte_carlo, model, plan.task_index, sample, gates)
    return Probability(folded, model.output_stride)


def make_runtime(plan: PredictionPlan, network: Probability, reader: TileReader) -> Runtime:
    """The runtime that the settings name, ready to run.

    int8 is calibrated on tiles of the fragment itself, spread evenly over the papyrus, and
    compared with fp32 on others: the same tiles whenever the same plan is run.
    """
    settings = plan.settings
    if settings.runtime == "torch":
        return TorchRuntime(network, settings.device, settings.precision)
    side = 4 * plan.multiple_of
    runtime = OpenVINORuntime(network, plan.depth, side, settings.precision)
    if settings.runtime == "openvino-int8":
        tiles = _spread_tiles(plan, reader, _CALIBRATION_TILES + _CHECK_TILES)
        check = tiles[:: max(1, len(tiles) // _CHECK_TILES)][:_CHECK_TILES]
        rest = [tile for tile in tiles if all(tile is not other for other in check)]
        runtime.quantise(rest or check, check)
    return runtime


def _spread_tiles(plan: PredictionPlan, reader: TileReader, count: int) -> list[np.ndarray]:
    """Normalised windows from the middles of evenly spread blocks, ``(1, 1, z, y, x)``."""
    blocks = sorted(plan.blocks)
    chosen = np.unique(np.linspace(0, len(blocks) - 1, count).round().astype(int))
    tiles = []
    for index in chosen:
        box = plan.grid.block_box(*blocks[index])
        part = next(part for part in plan.grid.parts(box) if reader.wants(part.box))
        volume = np.empty((1, 1, plan.depth, *plan.grid.tile), np.float32)
        reader.volume(part.frame, volume[0, 0])
        window = tuple(_middle(side, plan.multiple_of) for side in plan.grid.tile)
        tiles.append(np.ascontiguousarray(volume[(..., *window)]))
    return tiles


def _middle(side: int, multiple_of: int) -> slice:
    size = max(multiple_of, round_down(min(side, _CALIBRATION_SIDE), multiple_of))
    start = round_down((side - size) // 2, multiple_of)
    return slice(start, start + size)


class _TileTooLarge(Exception):
    """A single tile does not fit the device's memory."""
