"""Each open choice of the settings, resolved on its own."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from torch import nn

from napari_ink.errors import SettingsError
from napari_ink.inference.device import free_memory, network_cost
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.inference.sizes import choose_batch, choose_tile
from napari_ink.inference.tiles import intersection
from napari_ink.volumes.intensity import Normaliser

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment


_PACKAGES = {"openvino": ("openvino",), "openvino-int8": ("openvino", "nncf")}


def check_installed(runtime: str) -> None:
    """Refuse a runtime whose packages are not there, before anything is written for it.

    Raises
    ------
    SettingsError
    """
    for name in _PACKAGES.get(runtime, ()):
        if find_spec(name) is None:
            raise SettingsError(
                f"the runtime {runtime} needs {name}, which is not installed",
                "pip install 'napari-ink[openvino]'",
            )


def depth_window(
    fragment: Fragment, model: InkNetwork, wanted: tuple[int, int] | None
) -> tuple[tuple[int, int], slice, list[str]]:
    """The depth window in stored numbering and as indices, and what to say of the choice."""
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
    if learned is None:
        reason = "the checkpoint names no layers"
    elif learned[1] - learned[0] != depth:
        reason = f"the checkpoint names layers {learned[0]}:{learned[1]} but takes {depth}"
    elif first <= learned[0] and learned[1] <= first + stored:
        return tuple(learned), fragment.layer_range(*learned), []
    else:
        reason = f"the checkpoint's layers {learned[0]}:{learned[1]} are not all here"
    start = first + (stored - depth) // 2
    layers = (start, start + depth)
    warnings = [] if stored == depth else [f"{reason}: the central {layers[0]}:{layers[1]} taken"]
    return layers, fragment.layer_range(*layers), warnings


def region_within(fragment: Fragment, wanted: Box | None) -> Box:
    """What to predict, cut at the borders; the whole plane for ``None``."""
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


def tile_and_batch(
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
    cost = network_cost(network, model.depth, model.multiple_of)
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
            interactive=settings.interactive,
        )
    return tile, batch or choose_batch(tile, cost, memory, device)
