"""The mixture of experts against its definition: five branches, gated, added."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_networks import gated_branches
from torch.nn import functional as F

from napari_ink.models.mode import EXPERTS, MoDEConv3d
from napari_ink.models.routing import route


@pytest.fixture
def conv():
    torch.manual_seed(0)
    return MoDEConv3d(3, 4, tasks=3).double().eval()


@pytest.fixture
def volume():
    return torch.randn(2, 3, 7, 9, 8, dtype=torch.float64, generator=torch.manual_seed(1))


def five_branches(conv, volume, task):
    """Equations of the paper, branch by branch, without any merging."""
    one_hot = F.one_hot(torch.tensor(task), conv.gate.in_features).double()
    gates = conv.gate(one_hot).view(5, -1).softmax(0)
    return gated_branches(conv, volume, gates)


@pytest.mark.parametrize("task", range(3))
def test_merged_kernel_equals_five_gated_branches(conv, volume, task):
    truth = five_branches(conv, volume, task)
    merged = F.conv3d(volume, conv.merge(conv.gates(task)), padding=2)
    assert (merged - truth).abs().max() < 1e-12
    assert (conv(volume, ((task, 2),)) - truth).abs().max() < 1e-12
    assert truth.abs().max() > 0.1


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_exact_merging_equals_merging(channels):
    conv = MoDEConv3d(3, channels, tasks=1).double()
    gates = torch.rand(5, channels, dtype=torch.float64)
    assert (conv.merge_exactly(gates) - conv.merge(gates)).abs().max() < 1e-15
    single = conv.float().merge_exactly(gates)
    assert single.dtype == torch.float32
    assert (single - conv.double().merge(gates)).abs().max() < 1e-7


@pytest.mark.parametrize(("expert", "size"), [("avg3", 3), ("avg5", 5)])
def test_serial_merge_equals_pooling_and_convolution(conv, volume, expert, size):
    gates = torch.zeros(5, 4, dtype=torch.float64)
    gates[EXPERTS.index(expert)] = 1
    merged = F.conv3d(volume, conv.merge(gates), padding=2)
    pooled = F.avg_pool3d(volume, size, stride=1, padding=size // 2)
    assert (merged - F.conv3d(pooled, getattr(conv, expert))).abs().max() < 1e-12


def test_gates_are_a_distribution_a_channel_and_differ_between_tasks(conv):
    first, second = conv.gates(0), conv.gates(1)
    assert first.shape == (5, 4)
    torch.testing.assert_close(first.sum(0), torch.ones(4, dtype=torch.float64))
    assert (first - second).abs().max() > 1e-3


def test_experts_start_as_ordinary_convolutions_of_their_own_fan_in():
    torch.manual_seed(0)
    conv = MoDEConv3d(64, 64, tasks=1)
    for expert in EXPERTS:
        weight = getattr(conv, expert)
        bound = (64 * weight[0, 0].numel()) ** -0.5  # kaiming uniform with a = √5
        assert weight.abs().max() <= bound
        assert weight.abs().max() > 0.98 * bound


def test_a_mixed_batch_uses_each_samples_own_kernel(conv, volume):
    mixed = conv(volume, ((0, 1), (2, 1)))
    truth = torch.cat([five_branches(conv, volume[:1], 0), five_branches(conv, volume[1:], 2)])
    assert (mixed - truth).abs().max() < 1e-12


def test_gate_noise_acts_only_while_training():
    conv = MoDEConv3d(2, 3, tasks=1, gate_noise=0.5)
    assert not torch.equal(conv.train().gates(0), conv.gates(0))
    assert torch.equal(conv.eval().gates(0), conv.gates(0))


def test_gradients_reach_every_expert_and_only_the_gates_of_the_tasks_present(conv, volume):
    conv(volume, ((1, 2),)).square().sum().backward()
    for expert in EXPERTS:
        assert getattr(conv, expert).grad.abs().min() > 0
    used = conv.gate.weight.grad.abs().sum(0)
    assert used[1] > 0
    assert used[0] == used[2] == 0


def test_merging_has_the_gradient_of_its_definition(conv):
    gates = torch.rand(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv.merge, (gates,))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_routing_sorts_by_task_and_keeps_the_samples_of_a_task_in_order(tasks):
    order, routing = route(tasks)
    order = list(range(len(tasks))) if order is None else order
    assert sorted(order) == list(range(len(tasks)))
    expanded = [task for task, samples in routing for _ in range(samples)]
    assert [tasks[sample] for sample in order] == expanded
    assert len(routing) == len(set(tasks))
