"""Activations of the published variants."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_ink.models.added import AddedTasks, norm_by_task
from napari_ink.models.routing import Routing

ACTIVATIONS = ("relu", "frelu", "mish")


class FReLU(nn.Module):
    """Funnel activation: ``max(x, BN(depthwise 3^d convolution of x))``.

    Source: Ma et al., *Funnel Activation for Visual Recognition*, ECCV 2020, eq. 2; here with
    batch norm after the funnel, as in the ink branch of RepMode.

    Parameters
    ----------
    channels : int
        Channels.
    dims : int
        3 for volumes, 2 for planes.
    """

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        conv, norm = (nn.Conv3d, nn.BatchNorm3d) if dims == 3 else (nn.Conv2d, nn.BatchNorm2d)
        self.funnel = conv(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = norm(channels)
        self.added_norms = AddedTasks()

    def forward(self, features: Tensor, routing: Routing) -> Tensor:
        """Same shape as ``features``."""
        funnel = norm_by_task(self.funnel(features), routing, self.norm, self.added_norms)
        return torch.maximum(features, funnel)


def build_activation(
    name: str, channels: int, dims: int = 3, *, resampling: bool = False
) -> nn.Module:
    """The activation after a batch norm.

    ``frelu`` acts where the published branch puts it, after the convolutions that change the
    resolution (``resampling``); the others there are ReLU.
    """
    if name == "mish":
        return nn.Mish()
    if name == "frelu" and resampling:
        return FReLU(channels, dims)
    return nn.ReLU()
