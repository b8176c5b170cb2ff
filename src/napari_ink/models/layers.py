"""The layers that RepMode is made of, each with the routing of the batch at hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_ink.models.activations import FReLU
from napari_ink.models.added import AddedTasks, norm_by_task
from napari_ink.models.folding import folded_activation, folded_convolution, folded_mode
from napari_ink.models.mode import MoDEConv3d
from napari_ink.models.routing import Routing


class StochasticDepth(nn.Module):
    """While training, lets each sample skip a layer with some probability.

    Stochastic depth (Huang et al., ECCV 2016) skips residual branches, of which RepMode has none.
    Here a layer as wide as its input is skipped, whose features then pass as they came. What a
    layer gives is not rescaled, so that evaluation, where nothing is skipped, is that of a network
    without it. Skipped samples are computed too: they count in the layer's batch norm, whose
    statistics so remain those of evaluation, and every parameter has a gradient in every step.

    Parameters
    ----------
    probability : float
        Of skipping, 0 to below 1.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Features after the layer, or as they were before it, sample by sample."""
        if not self.training or self.probability == 0:
            return after
        shape = [len(after)] + [1] * (after.ndim - 1)
        skipped = torch.rand(shape, device=after.device) < self.probability
        return torch.where(skipped, before, after)

    def extra_repr(self) -> str:
        """The probability, for ``repr``."""
        return f"{self.probability}"


class MoDELayer(nn.Module):
    """Dropout of whole channels, gated convolution, batch norm, activation.

    The last layer of a network (``act=None``) has neither norm nor activation.
    """

    def __init__(
        self, conv: MoDEConv3d, act: nn.Module | None, dropout: float, skipping: float = 0.0
    ) -> None:
        super().__init__()
        # Dropping the only channel would drop the fragment.
        self.dropout = nn.Dropout3d(dropout if conv.in_channels > 1 else 0.0)
        self.conv = conv
        self.norm = None if act is None else nn.BatchNorm3d(conv.out_channels)
        self.added_norms = AddedTasks()
        self.act = act
        self.depth = StochasticDepth(skipping)

    def forward(self, features: Tensor, routing: Routing) -> Tensor:
        """``(batch, in, z, y, x)`` to ``(batch, out, z, y, x)``."""
        result = self.conv(self.dropout(features), routing)
        if self.norm is None:
            return result
        result = self.act(norm_by_task(result, routing, self.norm, self.added_norms))
        return self.depth(features, result)

    def folded(self, gates: Tensor, task: int) -> nn.Module:
        """Ordinary convolution and activation for a task and its gates ``(experts, out)``."""
        conv = folded_mode(self.conv, self.added_norms.of(task, self.norm), gates, task)
        return conv if self.act is None else nn.Sequential(conv, folded_activation(self.act, task))


class ConvLayer(nn.Module):
    """Convolution, batch norm, activation; of the task it knows only an added one's norm."""

    def __init__(self, conv: nn.Module, act: nn.Module, skipping: float = 0.0) -> None:
        super().__init__()
        self.conv = conv
        norm = nn.BatchNorm3d if conv.weight.ndim == 5 else nn.BatchNorm2d
        self.norm = norm(conv.out_channels)
        self.added_norms = AddedTasks()
        self.act = act
        self.depth = StochasticDepth(skipping)

    def forward(self, features: Tensor, routing: Routing) -> Tensor:
        """``(batch, in, …)`` to ``(batch, out, …)``."""
        result = norm_by_task(self.conv(features), routing, self.norm, self.added_norms)
        funnel = isinstance(self.act, FReLU)  # the one activation with a batch norm inside
        result = self.act(result, routing) if funnel else self.act(result)
        return self.depth(features, result)

    def folded(self, task: int) -> nn.Module:
        """Convolution and activation for a task."""
        conv = folded_convolution(self.conv, self.added_norms.of(task, self.norm))
        return nn.Sequential(conv, folded_activation(self.act, task))


class PlainHead(nn.Conv2d):
    """Last convolution of a 2D decoder; ignores the task."""

    def forward(self, features: Tensor, *routing) -> Tensor:
        """``(batch, in, y, x)`` to ``(batch, 1, y, x)``."""
        return super().forward(features)


def add_tasks(network: nn.Module, first: int, added: int) -> None:
    """Freeze a network and give it, at every place, what its added tasks have of their own.

    Parameters
    ----------
    network : nn.Module
        Of these layers, without added tasks.
    first, added : int
        Index of the first added task, and how many there are; only the last one's parts learn.
    """
    network.requires_grad_(False)
    for module in list(network.modules()):
        if isinstance(module, MoDEConv3d):
            module.added.grow(first, [module.own_expert() for _ in range(added)])
    for _, module in normed_modules(network):
        norm = module.norm
        parts = [type(norm)(norm.num_features) for _ in range(added)]
        module.added_norms.grow(first, parts)


def normed_modules(network: nn.Module) -> list[tuple[str, MoDELayer | ConvLayer | FReLU]]:
    """Names and modules of all that hold a batch norm, ``norm``, and its ``added_norms``."""
    return [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, MoDELayer | ConvLayer | FReLU) and module.norm is not None
    ]
