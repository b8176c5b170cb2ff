"""Networks without gates: one task, and nothing to merge before they run."""

from __future__ import annotations

import copy
from abc import abstractmethod

import torch
from torch import Tensor, nn

from napari_ink.errors import SettingsError
from napari_ink.models.contract import GateOverride, InkNetwork
from napari_ink.models.folding import folded_convolution
from napari_ink.models.narrowing import ChannelFactors

#: Exactly these: what inherits from them may do more.
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


class OrdinaryNetwork(InkNetwork):
    """Base of networks that give one map, whatever the task; see :class:`InkNetwork`.

    A network is its submodules and :meth:`logits`. Folding is done here.
    """

    tasks = ("ink",)

    @abstractmethod
    def logits(self, volume: Tensor) -> Tensor:
        """``(batch, 1, z, y, x)`` to logits as :class:`InkNetwork` has them."""

    def forward(self, volume: Tensor, task: Tensor) -> Tensor:
        """The same as :meth:`logits`; there is one task only."""
        self.check_shape(volume.shape)
        return self.logits(volume)

    @torch.no_grad()
    def fold(
        self,
        task: int | str = 0,
        gates: GateOverride | None = None,
        factors: ChannelFactors | None = None,
    ) -> nn.Module:
        """A copy that takes the volume alone; see :meth:`InkNetwork.fold`.

        Where a batch norm follows a convolution in an ``nn.Sequential``, they become one.

        Raises
        ------
        SettingsError
            For gates or factors, which it has none of.
        """
        self.task_index(task)
        if gates or factors:
            raise SettingsError(
                f"a {self.architecture} has no gated layers", "choose a checkpoint with experts"
            )
        network = copy.deepcopy(self)
        absorb_norms(network)
        return Folded(network).requires_grad_(False).eval()


class Folded(nn.Module):
    """An ordinary network as it is run: without a task, its batch norms absorbed."""

    def __init__(self, network: OrdinaryNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, volume: Tensor) -> Tensor:
        """``(batch, 1, z, y, x)`` to the network's logits."""
        return self.network.logits(volume)


def absorb_norms(network: nn.Module) -> None:
    """In every ``nn.Sequential``, make a convolution and the batch norm right after it one."""
    for module in list(network.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for place in range(len(module) - 1):
            conv, norm = module[place], module[place + 1]
            plain = type(conv) in _CONVOLUTIONS and conv.padding_mode == "zeros"
            if plain and type(norm) in _NORMS and not (conv.transposed and conv.groups > 1):
                module[place] = folded_convolution(conv, norm)
                module[place + 1] = nn.Identity()
