"""What several tests of the networks need: weights with a past, and experts taken apart."""

from torch import nn
from torch.nn import functional as F


def experienced(network):
    """The network, its batch norms as if they had seen something, ready to predict."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            for values, low, high in (
                (module.weight, 0.5, 2),
                (module.bias, 0, 1),
                (module.running_mean, -0.1, 0.1),
                (module.running_var, 0.05, 0.5),
            ):
                nn.init.uniform_(values, low, high)
    return network.eval()


def gated_branches(conv, volume, gates, *added):
    """Equations of the paper, branch by branch, without any merging; then kernels that were added.

    Parameters
    ----------
    gates : Tensor
        ``(experts, channels)``.
    """
    branches = (
        F.conv3d(volume, conv.conv5, padding=2),
        F.conv3d(volume, conv.conv3, padding=1),
        F.conv3d(volume, conv.conv1),
        F.conv3d(F.avg_pool3d(volume, 3, 1, 1, count_include_pad=True), conv.avg3),
        F.conv3d(F.avg_pool3d(volume, 5, 1, 2, count_include_pad=True), conv.avg5),
        *(F.conv3d(volume, kernel, padding=2) for kernel in added),
    )
    return sum(g.view(1, -1, 1, 1, 1) * b for g, b in zip(gates, branches, strict=True))
