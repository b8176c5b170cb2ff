"""The published paths of RepMode, written from its mathematics, to be compared with."""

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
            pool = torch.full((size,) * 3, 1 / size**3, dtype=conv.conv5.dtype)
            self.register_buffer(f"pool{size}", pool)

    def gates(self, tasks: list[int]):
        """Weight of each expert in each output channel, ``(batch, 5, out)``."""
        one_hot = F.one_hot(torch.tensor(tasks), self.conv.gate.in_features)
        return self.conv.gate(one_hot.to(self.conv.gate.weight)).view(len(tasks), 5, -1).softmax(1)

    def kernels(self) -> list[torch.Tensor]:
        """Each expert as a full 5³ kernel."""
        conv = self.conv
        kernels = [conv.conv5, F.pad(conv.conv3, (1,) * 6), F.pad(conv.conv1, (2,) * 6)]
        for weight, pool in ((conv.avg3, self.pool3), (conv.avg5, self.pool5)):
            merged = torch.einsum("oi,dhw->oidhw", weight[:, :, 0, 0, 0], pool)
            kernels.append(F.pad(merged, ((5 - len(pool)) // 2,) * 6))
        return kernels

    def forward(self, volume, routing):
        """Convolve with sample 0's kernel."""
        return F.conv3d(volume, gated(self.gates([routing[0][0]])[0], self.kernels()), padding=2)


class PublishedTrainingMoDE(PublishedMoDE):
    """A MoDE convolution as the published training runs it: a kernel and a convolution a sample."""

    def forward(self, volume, routing):
        """Convolve sample by sample."""
        gates = self.gates([task for task, samples in routing for _ in range(samples)])
        experts = self.kernels()
        merged = torch.stack([gated(own, experts) for own in gates])
        convolved = [
            F.conv3d(sample[None], kernel, padding=2)
            for sample, kernel in zip(volume, merged, strict=True)
        ]
        return torch.cat(convolved)


def gated(gates: torch.Tensor, kernels: list[torch.Tensor]) -> torch.Tensor:
    """One kernel from the experts' and their gates ``(5, out)``."""
    return sum(torch.einsum("o,oidhw->oidhw", g, k) for g, k in zip(gates, kernels, strict=True))


def published(model: RepMode, training: bool = False) -> RepMode:
    """The same weights, merged in every forward; in training for every sample."""
    kind = PublishedTrainingMoDE if training else PublishedMoDE
    copied = copy.copy(model)
    copied._modules = copy.deepcopy(model._modules)
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, MoDEConv3d):
                setattr(module, name, kind(child))
    return copied.train(training)
