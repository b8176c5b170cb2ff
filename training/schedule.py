"""How the weights move: optimiser and learning rate over the run."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from training.config import LearningConfig


def build_optimiser(network: nn.Module, learning: LearningConfig) -> tuple[AdamW, OneCycleLR]:
    """AdamW under a one-cycle learning rate, to be stepped once a batch.

    Weight decay spares biases and norms (anything with fewer than two axes): pulling a scale or
    an offset towards zero regularises nothing.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": learning.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = AdamW(groups, lr=learning.learning_rate)
    schedule = OneCycleLR(
        optimiser,
        max_lr=learning.learning_rate,
        total_steps=learning.steps,
        pct_start=learning.warm_up,
    )
    return optimiser, schedule
