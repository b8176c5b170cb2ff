"""Changes that keep a window true: what papyrus and scanner could have done otherwise.

Volumes are ``(batch, 1, z, y, x)``, labels ``(batch, 1, y, x)``. Only y and x are turned, which
are always the last two axes of both: depth is not interchangeable with them, ink lies on one
side.
"""

from __future__ import annotations

import torch
from torch import Tensor


def turn(planes: Tensor, quarter: int, mirrored: bool) -> Tensor:
    """One of the eight symmetries of the square on the last two axes."""
    if mirrored:
        planes = planes.flip(-1)
    return torch.rot90(planes, quarter, (-2, -1))


def random_turns(volume: Tensor, *planes: Tensor, generator: torch.Generator) -> list[Tensor]:
    """A random flip and quarter turn for each sample, the same for its volume and its planes."""
    symmetries = torch.randint(8, (len(volume),), generator=generator).tolist()
    return [
        torch.stack([turn(one, s % 4, s >= 4) for one, s in zip(part, symmetries, strict=True)])
        for part in (volume, *planes)
    ]


def random_intensity(volume: Tensor, jitter: float, generator: torch.Generator) -> Tensor:
    """A random gain ``1 ± jitter`` and offset ``± jitter`` (one σ) for each sample."""
    shape = (len(volume), 1, 1, 1, 1)
    gain, offset = (jitter * torch.randn(shape, generator=generator) for _ in range(2))
    return volume * (1 + gain.to(volume.device)) + offset.to(volume.device)
