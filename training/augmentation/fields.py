"""Displacements of pixels from few random numbers: a coarse grid each, drawn on the CPU.

Each function takes one generator a sample, ``None`` for a sample that is left alone, and returns
``(batch, 2, side, side)`` float32: how far along (y, x), in pixels, each pixel's content is
fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from training.augmentation.config import Elastic, GridDistortion, PiecewiseAffine

Generators = Sequence[np.random.Generator | None]


def elastic(config: Elastic, generators: Generators, side: int, device: torch.device) -> Tensor:
    """Cubic B-splines through uniformly distributed nodes; smooth to the second derivative."""
    basis = spline_basis(side, config.cell).to(device)
    nodes = _uniform(generators, (2, basis.shape[1], basis.shape[1]), config.amplitude)
    return _upsampled(nodes.to(device), basis)


def grid_distortion(
    config: GridDistortion, generators: Generators, side: int, device: torch.device
) -> Tensor:
    """Rows and columns of cells as wide as chance has it; the window's border stays in place."""
    cells = config.cells
    widths = 1 + _uniform(generators, (2, cells), config.limit).double()
    knots = torch.nn.functional.pad(widths.cumsum(-1) / widths.sum(-1, keepdim=True), (1, 0))
    moved = side * (knots - torch.linspace(0, 1, cells + 1, dtype=torch.float64))
    place = (torch.arange(side, dtype=torch.float64) + 0.5) * (cells / side)
    first = place.long().clamp(max=cells - 1)
    # A product of matrices would round otherwise in a batch of another size.
    lines = moved[..., first] + (place - first) * (moved[..., first + 1] - moved[..., first])
    y, x = lines.float().to(device).unbind(1)
    return torch.stack(
        [y[:, :, None].expand(-1, side, side), x[:, None, :].expand(-1, side, side)], 1
    )


def piecewise_affine(
    config: PiecewiseAffine, generators: Generators, side: int, device: torch.device
) -> Tensor:
    """Linear in each of the two triangles of a cell, continuous across their sides."""
    cells = config.cells
    amplitude = config.jitter * side / cells
    nodes = _uniform(generators, (2, cells + 1, cells + 1), amplitude).to(device)
    place = (torch.arange(side, device=device) + 0.5) * (cells / side)
    first = place.long().clamp(max=cells - 1)
    part = place - first
    iy, ix = first[:, None], first[None, :]
    v, u = part[:, None], part[None, :]
    low, high = nodes[..., iy, ix], nodes[..., iy + 1, ix + 1]
    right, below = nodes[..., iy, ix + 1], nodes[..., iy + 1, ix]
    upper = low + u * (right - low) + v * (high - right)
    lower = low + v * (below - low) + u * (high - below)
    return torch.where(u >= v, upper, lower)


@lru_cache(maxsize=16)
def spline_basis(side: int, cell: int) -> Tensor:
    """Weight of each node at each pixel's middle, ``(side, nodes)``; rows sum to 1."""
    place = (np.arange(side) + 0.5) / cell
    nodes = np.arange(-1, int(np.ceil(side / cell)) + 2)
    distance = np.abs(place[:, None] - nodes[None, :])
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    return torch.from_numpy(np.where(distance < 1, inner, outer).astype(np.float32))


def _uniform(generators: Generators, shape: tuple[int, ...], limit: float) -> Tensor:
    """Numbers from ``−limit`` to ``limit``; 0 for samples left alone."""
    drawn = np.zeros((len(generators), *shape), np.float32)
    for values, random in zip(drawn, generators, strict=True):
        if random is not None:
            values[...] = random.uniform(-limit, limit, shape)
    return torch.from_numpy(drawn)


def _upsampled(nodes: Tensor, basis: Tensor) -> Tensor:
    """``(batch, 2, nodes, nodes)`` to ``(batch, 2, side, side)``, one axis after the other."""
    return basis @ nodes @ basis.T
