"""The published evaluation path of RepMode, written from its mathematics, to be compared with."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn

from napari_ink.models.mode import MoDEConv3d
from napari_ink.models.repmode import RepMode


class PublishedMoDE(nn.Module):
    """A MoDE convolution as the published evaluation runs it: merged anew in every forward.

    Each expert becomes a full 5³ kernel (serial merge of the pooled ones, zero padding of the
    small ones), the five are weighted by the gate and added up (SOURCES.md, A).
    """

    def __init__(self, conv: MoDEConv3d) -> None:
        super().__init__()
        self.conv = conv
        for size in (3, 5):
            self.register_buffer(f"pool{size}", torch.full((size,) * 3, 1 / size**3))

    def forward(self, volume, routing):
        """Convolve with sample 0's kernel."""
        conv = self.conv
        one_hot = F.one_hot(torch.tensor(routing[0][0]), conv.gate.in_features).float()
        gates = conv.gate(one_hot).view(5, -1).softmax(0)
        kernels = [conv.conv5, F.pad(conv.conv3, (1,) * 6), F.pad(conv.conv1, (2,) * 6)]
        for weight, pool in ((conv.avg3, self.pool3), (conv.avg5, self.pool5)):
            merged = torch.einsum("oi,dhw->oidhw", weight[:, :, 0, 0, 0], pool)
            kernels.append(F.pad(merged, ((5 - len(pool)) // 2,) * 6))
        kernel = sum(
            torch.einsum("o,oidhw->oidhw", g, k) for g, k in zip(gates, kernels, strict=True)
        )
        return F.conv3d(volume, kernel, padding=2)


def published(model: RepMode) -> RepMode:
    """The same weights, merged in every forward."""
    copied = copy.copy(model)
    copied._modules = copy.deepcopy(model._modules)
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, MoDEConv3d):
                setattr(module, name, PublishedMoDE(child))
    return copied.eval()
