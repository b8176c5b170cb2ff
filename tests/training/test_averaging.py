"""The average of the weights: what it holds of the beginning, and of weights that stand still."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from training.learning.averaging import moving_average


def averaged_after(steps, decay):
    """What is left of batch-norm statistics that were 1 once and .07 ever since."""
    network = nn.BatchNorm1d(3)
    average = AveragedModel(network, multi_avg_fn=moving_average(decay), use_buffers=True)
    network.running_var.fill_(0.07)
    for _ in range(steps):
        average.update_parameters(network)
    return average.module.running_var


def test_nothing_of_the_beginning_is_left_after_a_short_run():
    assert torch.allclose(averaged_after(100, 0.99), torch.tensor(0.07), rtol=1e-3)


def test_a_long_run_averages_with_the_decay_that_was_asked_for():
    network = nn.Linear(1, 1, bias=False)
    average = AveragedModel(network, multi_avg_fn=moving_average(0.9), use_buffers=True)
    average.n_averaged.fill_(1000)
    before = average.module.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1)
    average.update_parameters(network)
    assert torch.allclose(average.module.weight, before + 0.1)


def test_weights_that_stand_still_stay_the_same_bits():
    network = nn.Linear(50, 50)
    average = AveragedModel(network, multi_avg_fn=moving_average(0.99), use_buffers=True)
    for _ in range(30):
        average.update_parameters(network)
    assert torch.equal(average.module.weight, network.weight)
