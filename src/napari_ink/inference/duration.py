"""How long a prediction will take, from what its network costs; nothing is predicted for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from napari_ink.inference.device import network_cost
from napari_ink.inference.plan import PredictionPlan

if TYPE_CHECKING:
    from torch import nn

#: Multiply-accumulates a second on one AVX-512 core, PyTorch, single precision. Measured on two
#: cores for folded RepModes: 69e9 (width 16, 64 × 128 × 128 voxels), 72e9 (width 32, 64³).
MACS_PER_SECOND_AND_CORE = 34e9


def seconds_on_processor(plan: PredictionPlan, network: nn.Module) -> float:
    """A rough figure for this machine's processor.

    Parameters
    ----------
    plan : PredictionPlan
        What is to be predicted.
    network : nn.Module
        Folded for the plan's task.
    """
    grid = plan.grid
    rows, columns = grid.blocks_shape
    tiles = len(grid.y.starts) * len(grid.x.starts) * plan.total / (rows * columns)
    cost = network_cost(network, plan.depth, plan.multiple_of)
    macs = tiles * grid.tile[0] * grid.tile[1] * cost.macs_per_pixel
    return macs / (MACS_PER_SECOND_AND_CORE * (os.cpu_count() or 1))
