"""Tasks that are added to a trained network later: what each has of its own.

A network that was extended keeps everything it had, frozen. Each added task brings, in every
gated convolution, an expert and gates of its own (:class:`napari_ink.models.mode.OwnExpert`), and
a batch norm of its own wherever there is one. Only the last added task learns.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_ink.models.routing import Routing


class AddedTasks(nn.ModuleList):
    """What the added tasks have of their own at one place of a network, in their order.

    Attributes
    ----------
    first : int
        Index of the first added task; those before it share what the network was made with.
    """

    first = 0

    def grow(self, first: int, parts: Iterable[nn.Module]) -> None:
        """Take the parts of all added tasks; all but the last one's are frozen."""
        self.first = first
        self.extend(parts)
        self[:-1].requires_grad_(False)

    def of(self, task: int, shared: nn.Module | None) -> nn.Module | None:
        """The part of a task, or what the tasks before the first added one share."""
        return self[task - self.first] if len(self) and task >= self.first else shared


def norm_by_task(
    features: Tensor, routing: Routing, shared: nn.Module, added: AddedTasks
) -> Tensor:
    """Batch norm in which every added task has statistics and affine of its own.

    Once there are added tasks, all norms but the last one's use their running statistics while
    training too: they are frozen, and no batch moves them.
    """
    if not len(added):
        return shared(features)
    runs = features.split([samples for _, samples in routing])
    normed = []
    for run, (task, _) in zip(runs, routing, strict=True):
        norm = added.of(task, shared)
        if norm is added[-1]:
            normed.append(norm(run))
            continue
        statistics = norm.running_mean, norm.running_var
        normed.append(F.batch_norm(run, *statistics, norm.weight, norm.bias, eps=norm.eps))
    return normed[0] if len(normed) == 1 else torch.cat(normed)
