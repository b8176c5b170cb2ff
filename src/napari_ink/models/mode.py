"""Mixture of diverse experts: five convolutions that become one before they are applied.

Source: Zhou et al., *RepMode: Learning to Re-parameterize Diverse Experts for Subcellular
Structure Prediction*, CVPR 2023, arXiv 2212.10066, section 3.3; written from its mathematics.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_ink.models.added import AddedTasks
from napari_ink.models.convolution import convolve
from napari_ink.models.routing import Routing

#: The experts in the order of the gates: three convolutions, then average pooling over K³
#: followed by a 1³ convolution.
EXPERTS = ("conv5", "conv3", "conv1", "avg3", "avg5")


class OwnExpert(nn.Module):
    """Expert and gates of a task that was added later, in one gated convolution.

    The expert is a 5³ convolution: every other that could be merged is a special case of it.

    Attributes
    ----------
    kernel : Parameter
        ``(out_channels, in_channels, 5, 5, 5)``.
    gate : Parameter
        Logits ``(6 · out_channels,)``: of the shared experts, then of this one. Flat, as biases
        are, since weight decay would pull what was learned before towards equal shares.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(out_channels, in_channels, 5, 5, 5))
        nn.init.kaiming_uniform_(self.kernel, a=math.sqrt(5))
        self.gate = nn.Parameter(torch.zeros((len(EXPERTS) + 1) * out_channels))


class MoDEConv3d(nn.Module):
    """A 5³ convolution whose kernel is a gated sum of five experts, gated by task and channel.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels.
    tasks : int
        Number of tasks that the gate tells apart; tasks added later have gates of their own.
    gate_noise : float
        Standard deviation of the normal noise on the gate's logits while training.
    """

    def __init__(
        self, in_channels: int, out_channels: int, tasks: int, gate_noise: float = 0.0
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.gate_noise = gate_noise
        for expert, size in zip(EXPERTS, (5, 3, 1, 1, 1), strict=True):
            weight = torch.empty(out_channels, in_channels, size, size, size)
            self.register_parameter(expert, nn.Parameter(weight))
        self.gate = nn.Linear(tasks, len(EXPERTS) * out_channels)
        self.added = AddedTasks()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: each expert as an ordinary convolution of its own fan-in."""
        for expert in EXPERTS:
            nn.init.kaiming_uniform_(getattr(self, expert), a=math.sqrt(5))
        self.gate.reset_parameters()

    def logits(self, task: int) -> Tensor:
        """Logits of a task's gates, ``(experts · out_channels,)``, without noise."""
        own = self.added.of(task, None)
        # The gate sees a one-hot task, so the matrix product is one column of its weight.
        return self.gate.weight[:, task] + self.gate.bias if own is None else own.gate

    def gates(self, task: int) -> Tensor:
        """Weight of each expert in each output channel, ``(5, out_channels)``; columns sum to 1.

        A task that was added later has a sixth row, of its own expert.
        """
        logits = self.logits(task)
        if self.training and self.gate_noise > 0:
            logits = logits + self.gate_noise * torch.randn_like(logits)
        return logits.view(-1, self.out_channels).softmax(dim=0)

    def own_expert(self) -> OwnExpert:
        """A fresh expert for an added task."""
        return OwnExpert(self.in_channels, self.out_channels)

    def kernel(self, task: int) -> Tensor:
        """The kernel of a task, ``(out_channels, in_channels, 5, 5, 5)``."""
        gates, own = self.gates(task), self.added.of(task, None)
        if own is None:
            return self.merge(gates)
        return self.merge(gates[:-1]) + gates[-1].view(-1, 1, 1, 1, 1) * own.kernel

    def merge(self, gates: Tensor) -> Tensor:
        """The one kernel ``(out_channels, in_channels, 5, 5, 5)`` that equals the gated branches.

        Parameters
        ----------
        gates : Tensor
            ``(5, out_channels)``, in the order of :data:`EXPERTS`.
        """
        g5, g3, g1, a3, a5 = gates.view(len(EXPERTS), -1, 1, 1, 1, 1)
        # Serial merge: K³ average pooling (padding counted) after a 1³ convolution is that
        # weight / K³ at every tap. Parallel merge: smaller kernels sit in the middle of 5³.
        inner = F.pad(g1 * self.conv1, (1,) * 6) + g3 * self.conv3 + a3 / 27 * self.avg3
        return F.pad(inner, (1,) * 6) + g5 * self.conv5 + a5 / 125 * self.avg5

    @torch.no_grad()
    def merge_exactly(self, gates: Tensor, task: int = 0) -> Tensor:
        """The kernel of a task, multiplied out in float64 and cast back; without gradients.

        The gates have a sixth row where the task was added later.

        A few output channels at a time stay in the processor's cache: six times faster for the
        widest layers than :meth:`merge` in float64.
        """
        own = self.added.of(task, None)
        merged = torch.empty_like(self.conv5)
        for first in range(0, self.out_channels, 4):
            rows = slice(first, first + 4)
            g5, g3, g1, a3, a5 = gates[:5, rows].double().reshape(5, -1, 1, 1, 1, 1)
            inner = g3 * self.conv3[rows]
            inner += a3 / 27 * self.avg3[rows]
            inner[..., 1:2, 1:2, 1:2] += g1 * self.conv1[rows]
            kernel = g5 * self.conv5[rows]
            kernel += a5 / 125 * self.avg5[rows]
            kernel[..., 1:4, 1:4, 1:4] += inner
            if own is not None:
                kernel += gates[5, rows].double().view(-1, 1, 1, 1, 1) * own.kernel[rows]
            merged[rows] = kernel
        return merged

    def forward(self, volume: Tensor, routing: Routing) -> Tensor:
        """Convolve ``(batch, in, z, y, x)``, each run of samples with the kernel of its task."""
        if len(routing) == 1:
            return self._convolve(volume, self.kernel(routing[0][0]))
        runs = volume.split([samples for _, samples in routing])
        return torch.cat(
            [
                self._convolve(run, self.kernel(task))
                for run, (task, _) in zip(runs, routing, strict=True)
            ]
        )

    def _convolve(self, volume: Tensor, kernel: Tensor) -> Tensor:
        """Convolve as the device at hand does it best."""
        if volume.device.type != "cpu":
            return F.conv3d(volume, kernel, padding=2)
        learns = self.training and torch.is_grad_enabled()
        exact = volume.dtype in (torch.float32, torch.float64)
        if learns and exact and not torch.is_autocast_enabled("cpu"):
            return convolve(volume, kernel)
        # Features follow the kernel's layout, in which oneDNN is faster. The network's input
        # cannot ask for it: with one channel both layouts are the same.
        return F.conv3d(volume, kernel.contiguous(memory_format=torch.channels_last_3d), padding=2)

    def extra_repr(self) -> str:
        """Channels, for ``repr``."""
        return f"{self.in_channels}, {self.out_channels}"
