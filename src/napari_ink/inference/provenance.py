"""How a result came about: from the map back to fragment, checkpoint, settings and versions."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_ink.inference.direction import direction
from napari_ink.inference.settings import MONTE_CARLO, PredictionSettings
from napari_ink.volumes.intensity import Normaliser

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment


def provenance_of(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings,
    normaliser: Normaliser,
    warnings: tuple[str, ...],
) -> dict[str, Any]:
    """The account of a prediction that goes into its store; JSON-able."""
    info = model.info
    used = asdict(settings)
    del used["interactive"]  # it chose the tile, and that is here
    for key in ("depth_sweep", "symmetries"):
        if used[key] in (None, "none"):
            del used[key]
    if settings.samples == 1:
        used = {key: value for key, value in used.items() if key not in MONTE_CARLO}
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
            "halo_measured": info.training.get("halo"),
            "dataset": [dict(entry) for entry in info.dataset],
            "metrics": dict(info.metrics),
        },
        "settings": used,
        "direction": direction(settings.layers, settings.reverse_depth, info.reverse_depth),
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
