"""What scanner and reconstruction could have done otherwise: no pixel is moved."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.augmentation.chance import Chance
from training.augmentation.config import AugmentationConfig


def blur(config: AugmentationConfig, chances: list[Chance], volume: Tensor) -> Tensor:
    """Gaussian blur in y and x, each sample as wide as it drew; layers are not mixed."""
    drawn = [chance.draw("blur") for chance in chances]
    rows = [i for i, random in enumerate(drawn) if random is not None]
    if not rows or not config.blur.sigma:
        return volume
    sigma = torch.tensor([drawn[i].uniform(0, config.blur.sigma) for i in rows])
    radius = math.ceil(4 * config.blur.sigma)
    distance = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (distance / sigma.clamp_min(1e-3)[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).to(volume.device)
    planes = volume[rows, 0]
    for axis in (2, 3):
        # A sum of shifted copies, unlike a convolution, is the same whatever the batch's size.
        padding = (radius, radius, 0, 0) if axis == 3 else (0, 0, radius, radius)
        wide = functional.pad(planes, padding, mode="replicate")
        size = planes.shape[axis]
        planes = torch.zeros_like(planes)
        for tap, weight in enumerate(weights.unbind(1)):
            planes.addcmul_(wide.narrow(axis, tap, size), weight.view(-1, 1, 1, 1))
    volume = volume.clone()
    volume[rows, 0] = planes
    return volume


def add_noise(config: AugmentationConfig, chances: list[Chance], volume: Tensor) -> Tensor:
    """White noise, drawn on the device, each sample's from a seed of its own."""
    drawn = [chance.draw("noise") for chance in chances]
    if all(random is None for random in drawn):
        return volume
    volume = volume.clone()
    generator = torch.Generator(volume.device)
    for window, random in zip(volume, drawn, strict=True):
        if random is not None:
            sigma = random.uniform(0, config.noise.sigma)
            generator.manual_seed(int(random.integers(2**63)))
            size = window.shape
            window.add_(torch.randn(size, generator=generator, device=window.device), alpha=sigma)
    return volume


def change_contrast(config: AugmentationConfig, chances: list[Chance], volume: Tensor) -> Tensor:
    """One gain and one offset a sample."""
    drawn = [chance.draw("contrast") for chance in chances]
    if all(random is None for random in drawn):
        return volume
    limits = (config.contrast.gain, config.contrast.offset)
    changes = [(0.0, 0.0) if r is None else [r.uniform(-m, m) for m in limits] for r in drawn]
    gain, offset = torch.tensor(changes).to(volume).view(-1, 2, 1, 1, 1, 1).unbind(1)
    return volume * (1 + gain) + offset


def cut_out(
    config: AugmentationConfig, chances: list[Chance], volume: Tensor, label: Tensor
) -> tuple[Tensor, Tensor]:
    """A square of the window's mean, labelled as without ink, through all layers."""
    drawn = [chance.draw("cutout") for chance in chances]
    if all(random is None for random in drawn):
        return volume, label
    volume, label = volume.clone(), label.clone()
    means = volume.mean(dim=(1, 2, 3, 4))
    side, grid = volume.shape[-1], config.cutout.grid
    for i, random in enumerate(drawn):
        if random is not None:
            hole = int(random.choice(config.cutout.sides))
            y, x = (grid * int(n) for n in random.integers((side - hole) // grid + 1, size=2))
            volume[i, ..., y : y + hole, x : x + hole] = means[i]
            label[i, :, y : y + hole, x : x + hole] = 0
    return volume, label


def smooth_labels(config: AugmentationConfig, chances: list[Chance], label: Tensor) -> Tensor:
    """``t·(1 − 2·amount) + amount``."""
    amount = config.label_smoothing.amount
    drawn = [chance.draw("label_smoothing") is not None for chance in chances]
    if not any(drawn):
        return label
    amounts = torch.tensor(drawn, device=label.device).view(-1, 1, 1, 1) * amount
    return label * (1 - 2 * amounts) + amounts
