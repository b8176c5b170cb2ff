"""Where each pixel of a window comes from: exact turns, then one sampling for all the rest.

Volume, label and weight are planes over the same (y, x) and are moved together, z as channels:
depth is not interchangeable with y and x, ink lies on one side.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.augmentation import fields
from training.augmentation.chance import Chance
from training.augmentation.config import Affine, AugmentationConfig, OpticalDistortion

#: Below this share of counted pixels under it, a resampled pixel does not count.
LEAST_WEIGHT = 1e-3


def turned(planes: Tensor, quarters: int, flip_y: bool, flip_x: bool) -> Tensor:
    """Mirrored, then turned by quarters, on the last two axes; no value changes."""
    mirrored = [axis for axis, wanted in ((-2, flip_y), (-1, flip_x)) if wanted]
    return torch.rot90(planes.flip(mirrored) if mirrored else planes, quarters, (-2, -1))


def turn_all(chances: list[Chance], *parts: Tensor) -> list[Tensor]:
    """Each sample's random flips and quarter turns, the same for all its planes."""
    symmetries = [_symmetry(chance) for chance in chances]
    if not any(any(symmetry) for symmetry in symmetries):
        return list(parts)
    return [
        torch.stack([turned(one, *how) for one, how in zip(part, symmetries, strict=True)])
        for part in parts
    ]


def _symmetry(chance: Chance) -> tuple[int, bool, bool]:
    quarters, axes = (
        0 if random is None else int(random.integers(1, 4))
        for random in (chance.draw("turn"), chance.draw("flip"))
    )
    return quarters, bool(axes & 1), bool(axes & 2)


def sampling_grid(
    config: AugmentationConfig, chances: list[Chance], side: int, device: torch.device
) -> tuple[list[int], Tensor | None]:
    """The samples that are resampled, and where each of their pixels is fetched.

    Returns
    -------
    list of int
        Places in the batch.
    Tensor or None
        ``(samples, side, side, 2)`` float32: (y, x) in pixels from the window's middle. ``None``
        without samples.
    """
    names = ("affine", "optical_distortion", "elastic", "grid_distortion", "piecewise_affine")
    drawn = {name: [chance.draw(name) for chance in chances] for name in names}
    moved = [i for i in range(len(chances)) if any(drawn[name][i] is not None for name in names)]
    if not moved:
        return [], None
    drawn = {name: [each[i] for i in moved] for name, each in drawn.items()}
    line = torch.arange(side, device=device, dtype=torch.float32) - (side - 1) / 2
    place = torch.stack(torch.meshgrid(line, line, indexing="ij")).expand(len(moved), -1, -1, -1)
    for name in names[2:]:
        if any(random is not None for random in drawn[name]):
            field = getattr(fields, name)
            place = place + field(getattr(config, name), drawn[name], side, device)
    optical = _optical(config.optical_distortion, drawn["optical_distortion"]).to(device)
    radius = place.square().sum(1, keepdim=True) / (side / 2) ** 2
    place = place * (1 + optical.view(-1, 1, 1, 1) * radius)
    matrices = affine_matrices(config.affine, drawn["affine"], side).to(device)
    (yy, yx, y0), (xy, xx, x0) = (row.unbind(1) for row in matrices.view(-1, 2, 3, 1, 1).unbind(1))
    y, x = place.unbind(1)
    return moved, torch.stack([yy * y + yx * x + y0, xy * y + xx * x + x0], -1)


def affine_matrices(config: Affine, generators: fields.Generators, side: int) -> Tensor:
    """``(batch, 2, 3)``: from a pixel to where it is fetched, both (y, x) from the middle."""
    matrices = np.tile(np.eye(2, 3), (len(generators), 1, 1))
    for matrix, random in zip(matrices, generators, strict=True):
        if random is not None:
            shift = random.uniform(-config.shift, config.shift, 2) * side
            scale = random.uniform(1 - config.scale, 1 + config.scale)
            angle = np.deg2rad(random.uniform(-config.degrees, config.degrees))
            cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
            matrix[:, :2] = [[cos, -sin], [sin, cos]]
            matrix[:, 2] = -matrix[:, :2] @ shift
    return torch.from_numpy(matrices.astype(np.float32))


def _optical(config: OpticalDistortion, generators: fields.Generators) -> Tensor:
    drawn = [r.uniform(-config.limit, config.limit) if r is not None else 0.0 for r in generators]
    return torch.tensor(drawn, dtype=torch.float32)


def resample(
    volume: Tensor, label: Tensor, weight: Tensor, place: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Fetch every plane at ``place``, bilinearly.

    Outside the window volume and label are mirrored and the weight is 0. A label is averaged
    over those pixels that count; the weight is the share of them.

    Parameters
    ----------
    volume : Tensor
        ``(batch, 1, z, y, x)``.
    label, weight : Tensor
        ``(batch, channels, y, x)``.
    place : Tensor
        ``(batch, y, x, 2)``, see :func:`sampling_grid`.
    """
    depth, channels, side = volume.shape[2], label.shape[1], volume.shape[-1]
    planes = torch.cat([volume[:, 0], label * weight, weight], 1)
    grid = place.flip(-1) * (2 / side)  # grid_sample wants (x, y), ±1 at the window's border
    planes = functional.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
    volume, label, weight = planes.split([depth, channels, weight.shape[1]], 1)
    label = (label / weight.clamp_min(LEAST_WEIGHT)).clamp(0, 1)
    inside = (grid.abs() <= 1).all(-1)[:, None]
    weight = weight * (inside & (weight >= LEAST_WEIGHT))
    return volume[:, None], label, weight
