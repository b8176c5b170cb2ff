"""From a volume of features to a plane: the ways a depth axis disappears.

Every collapse maps ``(batch, channels, z, y, x)`` to ``(batch, channels, y, x)``. The published
matmul takes one vector a window, computed from the whole of it, so that its map depends on the
window's size. Here the vector is computed from cells of fixed size, so that a tile of any size
gives the same map (see DESIGN.md, Model).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COLLAPSES = ("conv2d", "mean", "matmul_free", "matmul_input", "matmul_bottleneck", "none")


class MeanCollapse(nn.Module):
    """Mean over depth."""

    def forward(self, features: Tensor, volume: Tensor, bottleneck: Tensor) -> Tensor:
        """``(batch, channels, z, y, x)`` to ``(batch, channels, y, x)``."""
        return features.mean(dim=2)


class ConvCollapse(nn.Module):
    """2D convolution that takes all layers as channels (the published best).

    Kept as a 3D convolution as deep as the stack, which is the same sum and leaves the memory
    layout alone.
    """

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, (depth, 3, 3), padding=(0, 1, 1))

    def forward(self, features: Tensor, volume: Tensor, bottleneck: Tensor) -> Tensor:
        """``(batch, channels, depth, y, x)`` to ``(batch, channels, y, x)``."""
        return self.conv(features).squeeze(2)


class VectorCollapse(nn.Module):
    """Product with a vector along z that is learned freely; starts as the mean."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.full((depth,), 1.0 / depth))

    def forward(self, features: Tensor, volume: Tensor, bottleneck: Tensor) -> Tensor:
        """``(batch, channels, depth, y, x)`` to ``(batch, channels, y, x)``."""
        return (features * self.vector.view(1, 1, -1, 1, 1)).sum(dim=2)


class CellCollapse(nn.Module):
    """Product with a vector along z that is computed from the sample, cell by cell.

    A cell is what one pixel of the bottleneck covers; between cells the vector is interpolated.

    Parameters
    ----------
    depth : int
        Layers of the features.
    source : str
        ``"input"``: from the input volume, averaged over cells and down to ``depth`` layers.
        ``"bottleneck"``: from the bottleneck, its channels and layers flattened.
    source_size : int
        Values a cell: ``depth`` for the input, channels × layers for the bottleneck.
    reduction : int
        By how much the features are coarser than the input, along z, y and x.
    cell : int
        Side of a cell in pixels of the input.
    """

    def __init__(
        self, depth: int, source: str, source_size: int, reduction: int, cell: int
    ) -> None:
        super().__init__()
        self.depth, self.source = depth, source
        self.pool = (reduction, cell, cell)
        self.scale = cell // reduction
        self.vector = nn.Conv2d(source_size, depth, 1)

    def forward(self, features: Tensor, volume: Tensor, bottleneck: Tensor) -> Tensor:
        """``(batch, channels, depth, y, x)`` to ``(batch, channels, y, x)``."""
        if self.source == "input":
            cells = F.avg_pool3d(volume, self.pool).squeeze(1)
        else:
            cells = bottleneck.flatten(1, 2)
        vector = (1 + self.vector(cells)) / self.depth
        if self.scale > 1:
            vector = F.interpolate(
                vector, scale_factor=float(self.scale), mode="bilinear", align_corners=False
            )
        return (features * vector.unsqueeze(1)).sum(dim=2)


def build_collapse(
    kind: str, channels: int, depth: int, reduction: int, cell: int, bottleneck_size: int
) -> nn.Module:
    """The collapse of one feature map.

    Parameters
    ----------
    kind : str
        One of :data:`COLLAPSES`, not ``"none"``.
    channels, depth : int
        Of the features.
    reduction : int
        By how much the features are coarser than the input, along z, y and x.
    cell : int
        The same of the bottleneck.
    bottleneck_size : int
        Channels × layers of the bottleneck.
    """
    if kind == "conv2d":
        return ConvCollapse(channels, depth)
    if kind == "mean":
        return MeanCollapse()
    if kind == "matmul_free":
        return VectorCollapse(depth)
    source = kind.removeprefix("matmul_")
    size = depth if source == "input" else bottleneck_size
    return CellCollapse(depth, source, size, reduction, cell)
