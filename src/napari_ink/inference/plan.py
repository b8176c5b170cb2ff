"""Everything decided before the first tile: intent and data in, one immutable plan out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from napari_ink.errors import SettingsError
from napari_ink.inference.depth_sweep import Window, swept_layers
from napari_ink.inference.device import RUNTIMES, resolve_device, resolve_precision
from napari_ink.inference.direction import is_flipped
from napari_ink.inference.doubts import doubts
from napari_ink.inference.monte_carlo import MonteCarlo, monte_carlo_of
from napari_ink.inference.papyrus import papyrus_blocks
from napari_ink.inference.passes import Passes
from napari_ink.inference.provenance import provenance_of
from napari_ink.inference.resolve import (
    check_installed,
    depth_window,
    region_within,
    tile_and_batch,
)
from napari_ink.inference.settings import MONTE_CARLO, Box, PredictionSettings
from napari_ink.inference.symmetries import check_symmetries
from napari_ink.inference.tiles import TileGrid, make_grid, round_up
from napari_ink.inference.trial_windows import trial_windows, whether_to_choose
from napari_ink.models.experts import checked_experts
from napari_ink.volumes.intensity import Normaliser, Recipe

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment, Plane

#: Settings that a store may go on with when they change: they order the work, or ask for more.
_NO_IDENTITY = ("focus", *MONTE_CARLO)


@dataclass(frozen=True, eq=False)
class PredictionPlan:
    """One prediction, resolved: nothing is ``None`` that could be chosen, nothing runs yet.

    Attributes
    ----------
    settings : PredictionSettings
        With every choice made.
    z : slice
        Layers to read, counted from 0; of a depth sweep, those of its middle window.
    windows : tuple of Window
        Of a depth sweep; empty otherwise.
    flip : bool
        Whether the window is flipped along z after reading.
    task_index : int
    passes : Passes
        What is averaged; a single pass, if nothing is.
    members : tuple of PredictionPlan
        Of an ensemble, the plan of each checkpoint; empty otherwise.
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
    windows: tuple[Window, ...]
    flip: bool
    task_index: int
    passes: Passes
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
    members: tuple[PredictionPlan, ...] = ()

    @property
    def monte_carlo(self) -> MonteCarlo | None:
        """How samples are drawn; ``None``: the network itself."""
        return self.passes.monte_carlo

    @property
    def total(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def steps(self) -> int:
        """Number of blocks times passes, which is what a prediction counts."""
        return self.total * self.passes.count

    @property
    def depth(self) -> int:
        """Layers of the network's input."""
        return self.z.stop - self.z.start

    @property
    def result_bytes(self) -> int:
        """Upper bound of the full-resolution result on disk, without compression.

        A float16 a pixel; of several passes three of them, and four moments in float32.
        """
        layers = self.output_shape[0] if len(self.output_shape) == 3 else 1
        bytes_a_pixel = 2 if self.passes.is_single else 3 * 2 + 4 * 4
        return bytes_a_pixel * self.total * layers * self.grid.block[0] * self.grid.block[1]


def plan_prediction(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings = PredictionSettings(),  # noqa: B008 (frozen)
    *,
    folded: nn.Module | None = None,
    block: tuple[int, int] | None = None,
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
    block : tuple of int, optional
        ``(height, width)`` of the output blocks; ``None``: what suits the tile.

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
    if settings.focus is not None and not np.isfinite(settings.focus).all():
        raise SettingsError(f"a focus at {settings.focus}", "give it as finite y and x in pixels")
    if settings.runtime not in RUNTIMES:
        raise SettingsError(
            f"runtime {settings.runtime!r} is unknown", f"choose one of {', '.join(RUNTIMES)}"
        )
    check_installed(settings.runtime)
    check_symmetries(settings.symmetries)
    warnings = doubts(fragment, info)
    task = model.tasks[0] if settings.task is None else settings.task
    task_index = model.task_index(task)
    monte_carlo = monte_carlo_of(settings, model)
    if monte_carlo is not None and monte_carlo.is_certain:
        warnings.append(
            "the checkpoint was trained without dropout and gate noise, so that all samples are "
            "the same: give a dropout rate or gate noise to see how sure it is"
        )
    experts_off = checked_experts(model, task_index, settings.experts_off)
    if settings.depth_sweep is None:
        layers, z, warning = depth_window(fragment, model, settings.layers)
        swept = []
    else:
        layers, swept, warning = swept_layers(
            fragment, model, settings.layers, settings.depth_sweep
        )
        z = fragment.layer_range(*swept[len(swept) // 2])
    warnings += warning
    device, warning = resolve_device(settings.device, settings.runtime)
    warnings += [] if warning is None else [warning]
    precision = resolve_precision(settings.precision, device)
    recipe = Recipe.from_dict(info.recipe)
    normaliser = recipe.bind(fragment, z)
    windows = tuple(
        Window(window, part, recipe.bind(fragment, part))
        for window, part in ((window, fragment.layer_range(*window)) for window in swept)
    )
    region = region_within(fragment, settings.region)
    tile, batch = tile_and_batch(
        fragment, model, settings, normaliser, device, folded or task_index
    )
    try:
        grid = make_grid(
            fragment.shape[1:],
            tile,
            halo=model.halo,
            multiple_of=model.multiple_of,
            overlap=settings.overlap,
            batch=batch,
            block=block,
            shrink=normaliser.window is None,
        )
    except ValueError as error:
        smallest = 2 * round_up(model.halo, model.multiple_of) + model.multiple_of
        remedy = (
            f"choose a tile of {smallest} px or more"
            if normaliser.window is None
            else "the checkpoint fixes the tile: blend tiles instead, with an overlap of .5"
        )
        raise SettingsError(str(error), remedy) from None
    blocks, mask_hash = papyrus_blocks(fragment.mask, grid, region)
    if not blocks:
        raise SettingsError(
            f"{fragment.name} has no papyrus in rows {region.y0}:{region.y1}, "
            f"columns {region.x0}:{region.x1}",
            "choose another region, or check the mask",
        )
    if monte_carlo is not None:
        choosing, warning = whether_to_choose(
            "random" if monte_carlo.is_certain else settings.sampling,
            monte_carlo.samples,
            grid.shape,
            len(blocks) * grid.block[0] * grid.block[1],
            trial_windows(model.multiple_of, model.halo, normaliser.window),
        )
        warnings += [] if warning is None else [warning]
        monte_carlo = replace(monte_carlo, choosing=choosing)
    resolved = replace(
        settings,
        layers=layers,
        task=model.tasks[task_index],
        region=None if region == Box(0, fragment.shape[1], 0, fragment.shape[2]) else region,
        tile=tile,
        batch=batch,
        device=device,
        precision=precision,
        experts_off=experts_off,
        dropout=None if monte_carlo is None else monte_carlo.dropout,
        gate_noise=None if monte_carlo is None else monte_carlo.gate_noise,
        sampling="chosen" if monte_carlo is not None and monte_carlo.choosing else "random",
    )
    provenance = provenance_of(fragment, model, resolved, normaliser, tuple(warnings))
    chosen = provenance["settings"]
    identity = {
        "fragment": provenance["fragment"]["fingerprint"],
        "checkpoint": provenance["checkpoint"]["fingerprint"],
        "mask": mask_hash,
        **{key: value for key, value in chosen.items() if key not in _NO_IDENTITY},
        "depth_sweep": settings.depth_sweep,
        "symmetries": None if settings.symmetries == "none" else settings.symmetries,
        "monte_carlo": None if monte_carlo is None else monte_carlo.identity,
        "experts_off": chosen["experts_off"] or None,  # stores from before say nothing of it
        "halo": model.halo,
    }
    passes = Passes(symmetries=settings.symmetries, monte_carlo=monte_carlo)
    if passes.count > 1:
        provenance["passes"] = passes.count
    volume = model.output == "volume"
    layers_out = (model.depth,) if volume else (len(windows),) if windows else ()
    provenance["first_z"] = z.start if volume else 0
    if windows:
        provenance |= {
            "first_z": (windows[0].z.start + windows[0].z.stop - 1) / 2,  # its middle
            "z_step": settings.depth_sweep,
            "windows": [list(window.layers) for window in windows],
            "window_statistics": [window.normaliser.statistics for window in windows],
        }
    return PredictionPlan(
        settings=resolved,
        z=z,
        windows=windows,
        flip=is_flipped(settings.reverse_depth, info.reverse_depth),
        task_index=task_index,
        passes=passes,
        threshold=info.threshold(resolved.task),
        grid=grid,
        blocks=_nearest_first(blocks, grid, settings.focus),
        region=region,
        mask=fragment.mask,
        normaliser=normaliser,
        output_shape=(*layers_out, *fragment.shape[1:]),
        multiple_of=model.multiple_of,
        voxel_size=fragment.voxel_size,
        warnings=tuple(warnings),
        identity=identity,
        provenance=provenance,
    )


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
