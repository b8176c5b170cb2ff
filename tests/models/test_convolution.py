"""The convolution of a network that learns, against the direct one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_ink.models import convolution
from napari_ink.models.convolution import convolve
from napari_ink.models.mode import MoDEConv3d

#: Channels in and out: the three ways of it.
CHANNELS = [(1, 4), (3, 1), (3, 4)]


def case(inputs, outputs, shape, batch=2, seed=0):
    """Volume, kernel and the gradient that comes back, float64."""
    random = torch.Generator().manual_seed(seed)
    shapes = (batch, inputs, *shape), (outputs, inputs, 5, 5, 5), (batch, outputs, *shape)
    return [torch.randn(s, generator=random, dtype=torch.float64) for s in shapes]


def found_by(convolved, volume, kernel, gradient):
    """What a convolution gives, and its gradients, in float64."""
    volume, kernel = (t.detach().clone().requires_grad_() for t in (volume, kernel))
    result = convolved(volume, kernel)
    found = (result, *torch.autograd.grad(result, (volume, kernel), gradient))
    return [t.detach().double() for t in found]


def direct(volume, kernel):
    return F.conv3d(volume, kernel, padding=2)


def difference(found, truth):
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, truth, strict=True))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 7, 8, 10])
def test_result_and_gradients_are_those_of_the_direct_convolution(channels, depth):
    tensors = case(*channels, (depth, 6, 7))
    found, truth = found_by(convolve, *tensors), found_by(direct, *tensors)
    assert [t.shape for t in found] == [t.shape for t in truth]
    assert difference(found, truth) < 1e-14


@given(
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    shape=st.tuples(st.integers(1, 13), st.integers(1, 6), st.integers(1, 6)),
    batch=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_any_shape_agrees_with_the_direct_convolution(channels, shape, batch, seed):
    tensors = case(*channels, shape, batch, seed)
    assert difference(found_by(convolve, *tensors), found_by(direct, *tensors)) < 1e-13


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("depth", [2, 8])
def test_in_float32_it_keeps_five_digits(channels, depth):
    single = [t.float() for t in case(*channels, (depth, 16, 16))]
    truth = found_by(direct, *(t.double() for t in single))
    assert difference(found_by(convolve, *single), truth) < 4e-6


def test_tiles_of_many_groups_give_what_those_of_one_do(monkeypatch):
    tensors = case(3, 4, (10, 6, 7), batch=3)
    whole = found_by(convolve, *tensors)
    monkeypatch.setattr(convolution, "_CACHE", 1.0)
    apart = found_by(convolve, *tensors)
    assert torch.equal(whole[0], apart[0])
    assert difference(apart, whole) < 1e-14


def test_the_memory_layout_of_the_input_does_not_matter():
    volume, kernel, gradient = case(3, 4, (8, 6, 7))
    last = volume.contiguous(memory_format=torch.channels_last_3d)
    for a, b in zip(
        found_by(convolve, volume, kernel, gradient),
        found_by(convolve, last, kernel, gradient.transpose(3, 4).contiguous().transpose(3, 4)),
        strict=True,
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("channels", CHANNELS)
def test_what_is_frozen_gets_no_gradient_and_the_other_the_same(channels):
    volume, kernel, gradient = case(*channels, (8, 6, 7))
    truth = found_by(direct, volume, kernel, gradient)
    for learns in (0, 1):
        tensors = [volume.clone(), kernel.clone()]
        tensors[learns].requires_grad_()
        convolve(*tensors).backward(gradient)
        assert tensors[1 - learns].grad is None
        assert difference([tensors[learns].grad], [truth[1 + learns]]) < 1e-14


def test_a_second_derivative_is_refused():
    volume, kernel, _ = case(3, 4, (4, 5, 5))
    kernel.requires_grad_()
    (first,) = torch.autograd.grad(
        convolve(volume, kernel).square().sum(), kernel, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_the_gated_convolution_uses_it_while_it_learns_and_nowhere_else(monkeypatch):
    volume = torch.randn(2, 3, 8, 6, 6, generator=torch.manual_seed(0))
    conv, routing, calls = MoDEConv3d(3, 4, tasks=1), ((0, 2),), []

    def counted(*tensors):
        calls.append(tensors)
        return convolve(*tensors)

    monkeypatch.setattr("napari_ink.models.mode.convolve", counted)
    truth = F.conv3d(volume, conv.kernel(0).detach(), padding=2)
    assert difference([conv.train()(volume, routing).detach()], [truth]) < 2e-6
    assert len(calls) == 1
    conv.eval()(volume, routing)
    with torch.no_grad():
        assert torch.equal(conv.train()(volume, routing), conv.eval()(volume, routing))
    with torch.autocast("cpu", torch.bfloat16):
        conv.train()(volume, routing)
    conv.bfloat16()(volume.bfloat16(), routing)
    assert len(calls) == 1
