"""A small network and a small fragment, for tests of everything around them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.models.contract import InkNetwork
from napari_ink.volumes.fragment import Fragment

torch.set_num_threads(1)  # maps this small are not worth a second thread


class Layers(nn.Module):
    """Convolutions with z as channels; pooled once, so that tiles must be anchored."""

    def __init__(self, depth: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(depth, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, out, 3, padding=1)

    def forward(self, volume):
        features = torch.relu(self.first(volume[:, 0]))
        deep = torch.relu(self.second(nn.functional.max_pool2d(features, 2)))
        features = features + nn.functional.interpolate(deep, scale_factor=2.0)
        return self.last(features) * 4


class SmallNetwork(InkNetwork):
    """Receptive field 8 px: with a halo of 8 tiling changes nothing."""

    architecture = "small"
    output_stride = 1
    multiple_of = 4
    halo = 8

    def __init__(self, depth=4, output="layer", tasks=("ink",), seed=0, **info):
        super().__init__()
        torch.manual_seed(seed)
        self.depth, self.output, self.tasks, self.arguments = depth, output, tasks, {}
        self.layers = Layers(depth, depth if output == "volume" else 1)
        self.requires_grad_(False).eval()
        info = {"layers": None, "voxel_size": 8.0, "window": 64} | info
        recipe = info.pop("recipe", {"kind": "fixed"})
        self.info = CheckpointInfo.of(self, recipe=recipe, **{"thresholds": {"ink": 0.5}, **info})

    def forward(self, volume, task):
        return self.layers(volume)

    def fold(self, task=0, gates=None):
        self.task_index(task)
        folded = Layers(self.depth, self.layers.last.out_channels)
        folded.load_state_dict(self.layers.state_dict())
        return folded.eval().requires_grad_(False)


def noise_fragment(shape=(4, 150, 210), seed=0, mask=True, **options) -> Fragment:
    """Noise, with an elliptic papyrus."""
    rng = np.random.default_rng(seed)
    volume = rng.integers(0, 255, shape, dtype=np.uint8)
    if mask is True:
        y, x = np.ogrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
        mask = y**2 + x**2 < 0.9
    elif mask is False:
        mask = None
    options = {"voxel_size": 8.0, "name": "noise"} | options
    return Fragment.from_array(volume, mask=mask, **options)


def joined(records, shape) -> np.ndarray:
    """The map that a prediction yields, float32, NaN elsewhere."""
    result = np.full(shape, np.nan, np.float32)
    for record in records:
        result[(..., *record.box.slices)] = record.probability
    return result


def whole(fragment, network) -> np.ndarray:
    """The map in one pass, padded to a multiple; the reference."""
    raw = fragment.read().astype(np.float32) / 255
    pad = [(0, 0)] + [(0, -side % network.multiple_of) for side in raw.shape[1:]]
    volume = torch.from_numpy(np.pad(raw, pad, mode="edge"))[None, None]
    with torch.no_grad():
        map_ = torch.sigmoid(network.fold(0)(volume))[0].numpy()
    map_ = map_[..., : raw.shape[1], : raw.shape[2]]
    return map_[0] if network.output == "layer" else map_
