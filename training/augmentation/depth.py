"""Changes along z: the order of layers, and layers lost. No pixel leaves its (y, x)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.augmentation.chance import Chance
from training.augmentation.config import AugmentationConfig


def layer_order(config: AugmentationConfig, chance: Chance, depth: int) -> np.ndarray | None:
    """Which layer each layer comes from after shift, flip and shuffle; ``None`` if all stay.

    A layer from outside the stack has its number there, below 0 or from ``depth`` on.
    """
    shift, flip, shuffle = (chance.draw(n) for n in ("z_shift", "z_flip", "group_shuffle"))
    order = np.arange(depth)
    if shift is not None:
        most = config.z_shift.layers
        order += shift.integers(-most, most, endpoint=True)
    if flip is not None:
        order = order[::-1]
    if shuffle is not None:
        group = config.group_shuffle.group
        groups = (order[first : first + group] for first in range(0, depth, group))
        order = np.concatenate([shuffle.permutation(members) for members in groups])
    return None if (order == np.arange(depth)).all() else order


def reorder(
    config: AugmentationConfig, chances: list[Chance], volume: Tensor, label: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Put each sample's layers in its own order; those of a labelled volume go along.

    The outermost layer stands for layers from outside, whose label does not count.
    """
    depth = volume.shape[2]
    orders = [layer_order(config, chance, depth) for chance in chances]
    if all(order is None for order in orders):
        return volume, label, weight
    known = np.arange(depth)
    orders = torch.from_numpy(np.stack([known if order is None else order for order in orders]))
    orders = orders.to(volume.device)
    layers = orders.clamp(0, depth - 1)
    rows = torch.arange(len(orders), device=volume.device)[:, None]
    volume = volume[:, 0][rows, layers][:, None]
    if label.shape[1] > 1:
        label, weight = label[rows, layers], weight[rows, layers]
        weight = weight * (orders == layers)[:, :, None, None]
    return volume, label, weight


def drop_layers(config: AugmentationConfig, chances: list[Chance], volume: Tensor) -> Tensor:
    """Replace some layers by the window's mean; labels stay: the ink is still there."""
    depth = volume.shape[2]
    dropped = np.zeros((len(chances), depth), bool)
    for lost, chance in zip(dropped, chances, strict=True):
        random = chance.draw("layer_dropout")
        if random is not None:
            number = random.integers(1, min(config.layer_dropout.layers, depth), endpoint=True)
            lost[random.choice(depth, number, replace=False)] = True
    if not dropped.any():
        return volume
    lost = torch.from_numpy(dropped).to(volume.device)[:, None, :, None, None]
    return torch.where(lost, volume.mean(dim=(1, 2, 3, 4), keepdim=True), volume)
