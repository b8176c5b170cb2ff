"""Which fragments a checkpoint has seen, and what unseen ones like them are made of."""

from __future__ import annotations

import re

from napari_ink.models.info import CheckpointInfo
from training.settings.config import SyntheticConfig


def seen_seeds(info: CheckpointInfo) -> set[int]:
    """Seeds of the simulated fragments that a checkpoint was trained or validated on."""
    names = [str(entry.get("name", "")) for entry in info.dataset]
    names += map(str, info.metrics.get("validation", ()))
    seen = {
        int(seed) for name in names for seed in re.findall(r"(?:synthetic|simulated)-(\d+)", name)
    }
    recorded = _recorded(info)
    if recorded.get("fragments"):
        seen |= {recorded["first_seed"] + i for i in range(recorded["fragments"])}
        seen.add(recorded["validation_seed"])
    return seen


def _recorded(info: CheckpointInfo) -> dict:
    """The simulator's settings in a checkpoint's record; empty where there are none."""
    tree = info.training
    for name in ("config", "data", "synthetic"):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def fragments_for(info: CheckpointInfo, cache: str) -> SyntheticConfig:
    """Fragments like those that the checkpoint learned from: same size, same voxels.

    One that learned from scans gets the simulator's default plane, as deep as its layers reach.
    """
    recorded = _recorded(info)
    default = SyntheticConfig()
    size = {
        name: recorded.get(name, getattr(default, name)) for name in ("depth", "height", "width")
    }
    if not recorded.get("fragments"):
        size["depth"] = max(info.depth, info.layers[1] if info.layers else 0)
    voxel_size = info.voxel_size or recorded.get("voxel_size", default.voxel_size)
    return SyntheticConfig(**size, voxel_size=voxel_size, cache=cache)
