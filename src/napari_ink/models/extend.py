"""Task-incremental learning: a trained network takes up one more task and forgets nothing.

Source: Zhou et al., arXiv 2212.10066, where a network is "retrained with an added expert"; what is
added and how it starts is our own.

- Every gated convolution gets one expert, a 5³ kernel, and gates over the five shared experts and
  that one. The gates of the tasks before run over the experts that they had.
- Every batch norm gets a twin for the new task: its statistics, scale and offset.
- All else is frozen, also the statistics of the norms, so that the maps of the tasks before stay
  what they were, bit for bit.
- The new task starts as a task that is there: its norms are copied, and the new expert is that
  task's merged kernel, which carries half of the gate. Whatever the gates, the sum of a kernel's
  parts is then that kernel, so that the first map is the old task's; and half of each kernel learns
  freely from there.
- A task added later sees the five and its own expert, not those of other added tasks: old and new
  cost the same however many were added, and their order does not matter. What another added task
  has learned is taken over by starting from it: expert, gates and norms are copied.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from napari_ink.errors import SettingsError
from napari_ink.models.layers import normed_modules
from napari_ink.models.mode import EXPERTS, MoDEConv3d
from napari_ink.models.repmode import RepMode


@torch.no_grad()
def extend(network: RepMode, new_task: str, start: int | str = 0) -> RepMode:
    """A network with one task more, of which only what that task adds will learn.

    Parameters
    ----------
    network : RepMode
        Trained; left as it is, no memory is shared with it.
    new_task : str
        Name of the new task, whose index is the next one.
    start : int or str
        Task whose map the new one's is at first.

    Returns
    -------
    RepMode
        What learns has ``requires_grad``; so it is again when the network is built anew from its
        ``arguments``. Where the network had metadata, the new task takes over the threshold.

    Raises
    ------
    SettingsError
        If the name is empty or taken, or there is no task to start from.
    """
    if not new_task.strip():
        raise SettingsError("a new task without a name", "name it")
    if new_task in network.tasks:
        raise SettingsError(f"the network has a task {new_task!r} already", "choose another name")
    start = network.task_index(start)
    before = network.arguments.get("added_tasks", [])
    arguments = network.arguments | {"added_tasks": [*before, new_task]}
    with torch.device("meta"):
        extended = RepMode(**arguments)

    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name, module in network.named_modules():
        if isinstance(module, MoDEConv3d):
            kernel, gate = own_expert_like(module, start)
            state |= {
                f"{name}.added.{len(before)}.kernel": kernel,
                f"{name}.added.{len(before)}.gate": gate,
            }
    for name, module in normed_modules(network):
        norm = module.added_norms.of(start, module.norm)
        state |= {
            f"{name}.added_norms.{len(before)}.{key}": tensor.clone()
            for key, tensor in norm.state_dict().items()
        }
    extended.load_state_dict(state, assign=True)
    extended.halo = network.halo
    if network.info is not None:
        threshold = network.info.threshold(network.tasks[start])
        extended.info = replace(
            network.info,
            arguments=dict(extended.arguments),
            tasks=extended.tasks,
            thresholds=network.info.thresholds | {new_task: threshold},
            path=None,
            fingerprint=None,
        )
    return extended.train(network.training)


def own_expert_like(conv: MoDEConv3d, task: int) -> tuple[Tensor, Tensor]:
    """Kernel and gate logits of an expert with which a new task's kernel is that of ``task``."""
    own = conv.added.of(task, None)
    if own is not None:
        return own.kernel.clone(), own.gate.clone()
    logits = conv.logits(task).view(len(EXPERTS), -1)
    kernel = conv.merge_exactly(logits.double().softmax(dim=0))
    half = logits.logsumexp(dim=0, keepdim=True)
    return kernel, torch.cat([logits, half]).flatten()
