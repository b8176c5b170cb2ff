"""A small gated network, and a fragment that it takes."""

import numpy as np
import torch

from napari_ink.models.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from napari_ink.models.registry import build
from napari_ink.volumes.fragment import Fragment


def small_network(decoder="2d", tasks=("ink", "letters"), seed=0):
    """Two levels, eight layers; gates that differ from task to task, norms that saw noise."""
    torch.manual_seed(seed)
    arguments = {"width": 2, "levels": 2, "depth": 8, "decoder": decoder, "collapse": "mean"}
    model = build("repmode", {**arguments, "tasks": list(tasks)})
    with torch.no_grad():
        for layer in model.mode_layers().values():
            layer.gate.weight.normal_()
        for module in model.modules():
            if hasattr(module, "momentum"):
                module.momentum = 1.0
        model.train()(torch.rand(2, 1, 8, 64, 64), torch.tensor([0, len(tasks) - 1]))
    return model.eval()


def checkpoint_of(model, folder, name="c.safetensors"):
    """The network as it comes back from a file; the file is ``model.info.path``."""
    info = CheckpointInfo.of(
        model,
        recipe={"kind": "fixed"},
        layers=(0, 8),
        voxel_size=8.0,
        window=64,
        halo=16,
        thresholds=dict.fromkeys(model.tasks, 0.5),
    )
    save_checkpoint(folder / name, model, info)
    return load_checkpoint(folder / name)


def small_fragment(side=64, **planes):
    """Noise, with a label and a mask if they are given."""
    volume = np.random.default_rng(0).integers(0, 255, (8, side, side), dtype=np.uint8)
    return Fragment.from_array(volume, voxel_size=8.0, name="noise", **planes)
