"""Everything decided before the first tile: intent and data in, one immutable plan out."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from napari_ink.errors import SettingsError
from napari_ink.inference.device import (
    RUNTIMES,
    free_memory,
    network_cost,
    resolve_device,
    resolve_precision,
)
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.inference.sizes import choose_batch, choose_tile
from napari_ink.inference.tiles import TileGrid, intersection, make_grid, round_up
from napari_ink.volumes.intensity import Normaliser, Recipe

if TYPE_CHECKING:
    from napari_ink.models.checkpoint import CheckpointInfo
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment, Plane

WIDEST_WINDOW_MM = 0.55  # 64 px at 8 µm: beyond it networks learn letter shapes (DATA.md, 9)
LARGEST_SCALE_ERROR = 0.2
_BAND = 1 << 24  # pixels of the mask in memory at once


@dataclass(frozen=True, eq=False)
class PredictionPlan:
    """One prediction, resolved: nothing is ``None`` that could be chosen, nothing runs yet.

    Attributes
    ----------
    settings : PredictionSettings
        With every choice made.
    z : slice
        Layers to read, counted from 0.
    flip : bool
        Whether the window is flipped along z after reading.
    task_index : int
    threshold : float
        Of the checkpoint, for the task.
    grid : TileGrid
        Tiles and blocks of the whole plane, whatever the region.
    blocks : tuple of (int, int)
        Rows and columns of the blocks with papyrus, in the order of work.
    region : Box
        What to predict; the whole plane if nobody asked for less.
    mask : Plane or None
        Papyrus.
    normaliser : Normaliser
        The checkpoint's recipe, bound to the fragment.
    output_shape : tuple of int
        ``(y, x)`` or ``(z, y, x)`` of the result.
    multiple_of : int
        What sides and origins of tiles are multiples of.
    voxel_size : tuple of float or None
        µm ``(z, y, x)`` of the fragment.
    warnings : tuple of str
        What the user should know; also in the provenance.
    identity : dict
        What a store must agree on for this plan to go on in it.
    provenance : dict
        JSON-able account of fragment, checkpoint, settings, recipe and versions.
    """

    settings: PredictionSettings
    z: slice
    flip: bool
    task_index: int
    threshold: float
    grid: TileGrid
    blocks: tuple[tuple[int, int], ...]
    region: Box
    mask: Plane | None
    normaliser: Normaliser
    output_shape: tuple[int, ...]
    multiple_of: int
    voxel_size: tuple[float, float, float] | None
    warnings: tuple[str, ...]
    identity: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def total(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def depth(self) -> int:
        """Layers of the network's input."""
        return self.z.stop - self.z.start

    @property
    def result_bytes(self) -> int:
        """Upper bound of the full-resolution result on disk, float16 without compression."""
        layers = self.output_shape[0] if len(self.output_shape) == 3 else 1
        return 2 * self.total * layers * self.grid.block[0] * self.grid.block[1]


def plan_prediction(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings = PredictionSettings(),  # noqa: B008 (frozen)
    *,
    folded: nn.Module | None = None,
) -> PredictionPlan:
    """Resolve settings against a fragment, a network and this machine.

    Parameters
    ----------
    fragment : Fragment
    model : InkNetwork
        With metadata (``.info``), as :func:`napari_ink.load_checkpoint` gives it.
    settings : PredictionSettings
    folded : nn.Module, optional
        ``model.fold(task)`` if the caller has it already; needed only to choose a tile.

    Returns
    -------
    PredictionPlan

    Raises
    ------
    SettingsError
        When a setting does not fit the fragment, the checkpoint or the machine.
    """
    info = model.info
    if info is None:
        raise SettingsError(
            "the network carries no metadata", "load it with load_checkpoint, or set model.info"
        )
    if settings.runtime not in RUNTIMES:
        raise SettingsError(
            f"runtime {settings.runtime!r} is unknown", f"choose one of {', '.join(RUNTIMES)}"
        )
    warnings = _warnings(fragment, info)
    task = model.tasks[0] if settings.task is None else settings.task
    task_index = model.task_index(task)
    layers, z, warning = _layers(fragment, model, settings.layers)
    warnings += warning
    device, warning = resolve_device(settings.device, settings.runtime)
    warnings += [] if warning is None else [warning]
    precision = resolve_precision(settings.precision, device)
    normaliser = Recipe.from_dict(info.recipe).bind(fragment, z)
    region = _region(fragment, settings.region)
    tile, batch = _sizes(fragment, model, settings, normaliser, device, folded or task_index)
    try:
        grid = make_grid(
            fragment.shape[1:],
            tile,
            halo=model.halo,
            multiple_of=model.multiple_of,
            overlap=settings.overlap,
            batch=batch,
            shrink=normaliser.window is None,
        )
    except ValueError as error:
        smallest = 2 * round_up(model.halo, model.multiple_of) + model.multiple_of
        raise SettingsError(str(error), f"choose a tile of {smallest} px or more") from None
    blocks, mask_hash = _papyrus_blocks(fragment.mask, grid, region)
    if not blocks:
        raise SettingsError(
            f"{fragment.name} has no papyrus in rows {region.y0}:{region.y1}, "
            f"columns {region.x0}:{region.x1}",
            "choose another region, or check the mask",
        )
    resolved = replace(
        settings,
        layers=layers,
        task=model.tasks[task_index],
        region=None if region == Box(0, fragment.shape[1], 0, fragment.shape[2]) else region,
        tile=tile,
        batch=batch,
        device=device,
        precision=precision,
    )
    provenance = _provenance(fragment, model, resolved, normaliser, tuple(warnings))
    chosen = provenance["settings"]
    identity = {
        "fragment": provenance["fragment"]["fingerprint"],
        "checkpoint": provenance["checkpoint"]["fingerprint"],
        "mask": mask_hash,
        **{key: value for key, value in chosen.items() if key != "focus"},
        "halo": model.halo,
    }
    volume = model.output == "volume"
    provenance["first_z"] = z.start if volume else 0
    return PredictionPlan(
        settings=resolved,
        z=z,
        flip=settings.reverse_depth != info.reverse_depth,
        task_index=task_index,
        threshold=info.threshold(resolved.task),
        grid=grid,
        blocks=_nearest_first(blocks, grid, settings.focus),
        region=region,
        mask=fragment.mask,
        normaliser=normaliser,
        output_shape=(model.depth, *fragment.shape[1:]) if volume else tuple(fragment.shape[1:]),
        multiple_of=model.multiple_of,
        voxel_size=fragment.voxel_size,
        warnings=tuple(warnings),
        identity=identity,
        provenance=provenance,
    )


def _warnings(fragment: Fragment, info: CheckpointInfo) -> list[str]:
    found = []
    if info.voxel_size is None or fragment.voxel_size is None:
        whose = "checkpoint's" if info.voxel_size is None else "fragment's"
        found.append(f"the {whose} voxel size is unknown: whether the scales match cannot be told")
    else:
        ratio = float(np.mean(fragment.voxel_size)) / info.voxel_size
        if abs(ratio - 1) > LARGEST_SCALE_ERROR:
            found.append(
                f"voxels of {float(np.mean(fragment.voxel_size)):.4g} µm where the checkpoint "
                f"learned from {info.voxel_size:.4g} µm: rescale the fragment"
            )
    if info.window_mm is not None and info.window_mm > WIDEST_WINDOW_MM:
        found.append(
            f"trained on windows of {info.window_mm:.2f} mm, wider than {WIDEST_WINDOW_MM} mm: "
            "it may have learned the shapes of letters"
        )
    if fragment.fingerprint() in {entry.get("fingerprint") for entry in info.dataset}:
        found.append("the checkpoint was trained on this fragment: its ink proves nothing here")
    return found


def _layers(
    fragment: Fragment, model: InkNetwork, wanted: tuple[int, int] | None
) -> tuple[tuple[int, int], slice, list[str]]:
    """The depth window in stored numbering and as indices."""
    depth, first, stored = model.depth, fragment.first_layer, fragment.shape[0]
    if wanted is not None:
        z = fragment.layer_range(*wanted)
        if z.stop - z.start != depth:
            raise SettingsError(
                f"the layers {wanted[0]}:{wanted[1]} are {z.stop - z.start}, the checkpoint takes "
                f"{depth}",
                f"choose {wanted[0]}:{wanted[0] + depth}",
            )
        return tuple(wanted), z, []
    if stored < depth:
        raise SettingsError(
            f"{fragment.name} has {stored} layers, the checkpoint takes {depth}",
            "choose a checkpoint for fewer layers",
        )
    learned = model.info.layers
    if learned is not None and learned[1] - learned[0] == depth:
        if first <= learned[0] and learned[1] <= first + stored:
            return tuple(learned), fragment.layer_range(*learned), []
        reason = f"the checkpoint's layers {learned[0]}:{learned[1]} are not all here"
    else:
        reason = "the checkpoint names no layers"
    start = first + (stored - depth) // 2
    layers = (start, start + depth)
    warnings = [] if stored == depth else [f"{reason}: the central {layers[0]}:{layers[1]} taken"]
    return layers, fragment.layer_range(*layers), warnings


def _region(fragment: Fragment, wanted: Box | None) -> Box:
    whole = Box(0, fragment.shape[1], 0, fragment.shape[2])
    if wanted is None:
        return whole
    inside = intersection(Box(*wanted), whole)
    if 0 in inside.shape:
        raise SettingsError(
            f"the region {wanted[0]}:{wanted[1]},{wanted[2]}:{wanted[3]} holds no pixel",
            f"choose y0:y1,x0:x1 within {whole.y1} × {whole.x1}",
        )
    return inside


def _sizes(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings,
    normaliser: Normaliser,
    device: str,
    folded: nn.Module | int,
) -> tuple[int, int]:
    """Tile and batch: as asked for, or chosen."""
    overlap, tile, batch = settings.overlap, settings.tile, settings.batch
    if overlap is not None and not 0 <= overlap < 1:
        raise SettingsError(f"an overlap of {overlap}", "choose a fraction, 0 ≤ overlap < 1")
    if batch is not None and batch < 1:
        raise SettingsError(f"a batch of {batch}", "choose 1 or more")
    if normaliser.window is not None:
        if tile not in (None, normaliser.window):
            raise SettingsError(
                f"a tile of {tile} px for a checkpoint that normalises windows of "
                f"{normaliser.window} px",
                f"choose {normaliser.window}, or leave it out",
            )
        tile = normaliser.window
    if tile is not None and (tile < 1 or tile % model.multiple_of):
        raise SettingsError(f"a tile of {tile} px", f"choose a multiple of {model.multiple_of} px")
    if tile is not None and batch is not None:
        return tile, batch
    network = folded if isinstance(folded, nn.Module) else model.fold(folded)
    cost = network_cost(network, model.depth, 4 * model.multiple_of)
    memory = free_memory(device)
    if tile is None:
        tile = choose_tile(
            fragment.shape[1:],
            cost,
            halo=model.halo,
            multiple_of=model.multiple_of,
            overlap=overlap,
            memory=memory,
            device=device,
        )
    return tile, batch or choose_batch(tile, cost, memory, device)


def _papyrus_blocks(
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


def _nearest_first(
    blocks: list[tuple[int, int]], grid: TileGrid, focus: tuple[float, float] | None
) -> tuple[tuple[int, int], ...]:
    if focus is None:
        return tuple(blocks)

    def distance(block: tuple[int, int]) -> float:
        box = grid.block_box(*block)
        outside_y = max(box.y0 - focus[0], 0, focus[0] - box.y1)
        outside_x = max(box.x0 - focus[1], 0, focus[1] - box.x1)
        middle = ((box.y0 + box.y1) / 2 - focus[0], (box.x0 + box.x1) / 2 - focus[1])
        return (np.hypot(outside_y, outside_x), np.hypot(*middle))

    return tuple(sorted(blocks, key=distance))


def _provenance(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings,
    normaliser: Normaliser,
    warnings: tuple[str, ...],
) -> dict[str, Any]:
    info = model.info
    used = asdict(settings)
    for key, value in used.items():
        used[key] = list(value) if isinstance(value, tuple) else value
    return {
        "fragment": {
            "name": fragment.name,
            "path": fragment.path,
            "layout": fragment.layout,
            "fingerprint": fragment.fingerprint(),
            "shape": list(fragment.shape),
            "dtype": str(fragment.dtype),
            "first_layer": fragment.first_layer,
            "voxel_size": None if fragment.voxel_size is None else list(fragment.voxel_size),
            "simulated": fragment.simulated,
        },
        "checkpoint": {
            "path": info.path,
            "fingerprint": info.fingerprint or weights_fingerprint(model),
            "architecture": info.architecture,
            "arguments": dict(info.arguments),
            "tasks": list(info.tasks),
            "depth": info.depth,
            "voxel_size": info.voxel_size,
            "window": info.window,
            "reverse_depth": info.reverse_depth,
            "halo": model.halo,
            "dataset": [dict(entry) for entry in info.dataset],
            "metrics": dict(info.metrics),
        },
        "settings": used,
        "recipe": info.recipe,
        "statistics": normaliser.statistics,
        "threshold": info.threshold(settings.task),
        "warnings": list(warnings),
        "versions": _versions(),
    }


def weights_fingerprint(model: nn.Module) -> str:
    """Hash of the weights, for a network that came from no file."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("napari-ink", "torch", "numpy", "zarr", "openvino", "nncf"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
