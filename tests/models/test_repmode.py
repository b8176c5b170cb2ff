"""RepMode as published: counts, variants, batches of mixed tasks, refusals."""

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_ink.errors import SettingsError
from napari_ink.models.activations import FReLU
from napari_ink.models.collapse import COLLAPSES
from napari_ink.models.layers import MoDELayer
from napari_ink.models.registry import build
from napari_ink.models.repmode import RepMode, receptive_radius


def published(width, tasks=1):
    """The published network, on the device without memory."""
    names = tuple(map(str, range(tasks)))
    with torch.device("meta"):
        return RepMode(width, 4, 64, names, collapse="none")


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


# SOURCES: counted by running the authors' network.
@pytest.mark.parametrize(
    ("width", "tasks", "parameters"),
    [(32, 12, 123_877_633), (32, 1, 123_715_658), (16, 12, 31_021_729), (16, 1, 30_940_714)],
)
def test_parameters_are_as_many_as_published(width, tasks, parameters):
    assert count(published(width, tasks)) == parameters


@pytest.mark.parametrize(("width", "parameters"), [(32, 100_152_768), (16, 25_042_144)])
def test_parameters_after_merging_are_as_many_as_published(width, parameters):
    network = published(width)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    biases = sum(norm.num_features for norm in norms)  # what absorbing batch norm leaves of it
    assert count(network.fold()) - biases + sum(map(count, norms)) == parameters


@pytest.mark.parametrize(
    ("width", "shape", "giga"),
    [
        (32, (64, 64, 64), 273.09),
        (32, (32, 128, 128), 546.18),
        (16, (64, 64, 64), 68.80),
        (16, (32, 128, 128), 137.59),
    ],
)
def test_multiply_accumulates_are_as_many_as_published(width, shape, giga):
    volume, task = torch.empty(1, 1, *shape, device="meta"), torch.zeros(1, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        published(width)(volume, task)
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, abs=0.006)


def test_the_published_network_has_nineteen_gated_convolutions_in_order():
    layers = published(8).mode_layers()
    assert len(layers) == 19
    names = list(layers)
    assert names[0] == "encoder.0.0"
    assert names[8] == "bottleneck.0"
    assert names[-1] == "head"
    assert layers["encoder.0.0"].in_channels == layers["head"].out_channels == 1


VARIANTS = [
    (decoder, collapse)
    for decoder, collapse in itertools.product(("3d", "2d"), COLLAPSES)
    if (decoder, collapse) != ("2d", "none")
]


@pytest.mark.parametrize(("decoder", "collapse"), VARIANTS)
def test_output_has_the_shape_that_the_network_declares(decoder, collapse):
    network = RepMode(2, 1, 4, decoder=decoder, collapse=collapse).eval()
    logits = network(torch.randn(2, 1, 4, 6, 8), torch.zeros(2, dtype=torch.long))
    assert network.output == ("volume" if collapse == "none" else "layer")
    assert logits.shape == ((2, 4, 6, 8) if collapse == "none" else (2, 1, 6, 8))


@pytest.mark.parametrize(("decoder", "collapse"), VARIANTS)
def test_every_parameter_learns(decoder, collapse):
    torch.manual_seed(0)
    network = RepMode(2, 1, 4, decoder=decoder, collapse=collapse, activation="mish").train()
    logits = network(torch.randn(2, 1, 4, 8, 8), torch.zeros(2, dtype=torch.long))
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_mixed_batch_equals_its_samples_one_by_one():
    torch.manual_seed(0)
    network = RepMode(3, 2, 8, ("a", "b", "c"), collapse="mean").double().eval()
    volume, task = torch.randn(5, 1, 8, 8, 12).double(), torch.tensor([2, 0, 2, 1, 0])
    with torch.no_grad():
        together = network(volume, task)
        alone = torch.cat([network(volume[i : i + 1], task[i : i + 1]) for i in range(5)])
        swapped = network(volume, torch.tensor([0, 0, 2, 1, 0]))
    assert (together - alone).abs().max() < 1e-12
    assert (together - swapped)[0].abs().max() > 1e-9  # the task does matter


def test_a_batch_of_one_task_merges_each_kernel_once(monkeypatch):
    network = RepMode(2, 1, 4, ("a", "b")).eval()
    layers, merged = network.mode_layers().values(), []
    for layer in layers:
        merge = layer.merge
        monkeypatch.setattr(layer, "merge", lambda g, m=merge: merged.append(g) or m(g))
    network(torch.randn(4, 1, 4, 4, 4), torch.ones(4, dtype=torch.long))
    assert len(merged) == len(layers)
    network(torch.randn(4, 1, 4, 4, 4), torch.tensor([0, 1, 0, 1]))
    assert len(merged) == 3 * len(layers)


def test_a_network_that_labels_volumes_takes_any_depth_of_its_grid():
    network = RepMode(2, 2, 8, collapse="none").eval()
    volume = torch.randn(1, 1, 12, 8, 8)
    assert network(volume, torch.zeros(1, dtype=torch.long)).shape == (1, 12, 8, 8)
    with pytest.raises(SettingsError, match="multiple of 4"):
        network(volume[:, :, :10], torch.zeros(1, dtype=torch.long))


def test_dropout_enters_every_gated_layer_but_the_first():
    network = RepMode(4, 2, 8, dropout=0.25)
    shares = [m.dropout.p for m in network.modules() if isinstance(m, MoDELayer)]
    assert shares[0] == 0
    assert set(shares[1:]) == {0.25}


def test_dropout_drops_whole_channels_and_only_while_training():
    layer = next(iter(RepMode(64, 1, 4, dropout=0.5).bottleneck)).train()
    dropped = layer.dropout(torch.ones(1, 64, 2, 2, 2))[0].flatten(1)
    assert ((dropped == 0).all(1) | (dropped == 2).all(1)).all()
    assert 0 < (dropped[:, 0] == 0).sum() < 64
    assert torch.equal(layer.eval().dropout(torch.ones(1, 64, 2, 2, 2)), torch.ones(1, 64, 2, 2, 2))


def test_frelu_is_the_larger_of_the_input_and_its_funnel():
    torch.manual_seed(0)
    funnel, features = FReLU(3, 3).eval(), torch.randn(2, 3, 4, 5, 6)
    kernel, expected = funnel.funnel.weight, []
    for channel in range(3):
        smooth = torch.nn.functional.conv3d(
            features[:, channel : channel + 1], kernel[channel : channel + 1], padding=1
        )
        expected.append(torch.maximum(features[:, channel : channel + 1], smooth / 1.00001**0.5))
    result = funnel(features, ((0, 2),))
    torch.testing.assert_close(result, torch.cat(expected, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("collapse", ["mean", "matmul_input", "matmul_bottleneck"])
@pytest.mark.parametrize("decoder", ["3d", "2d"])
def test_a_wider_tile_gives_the_same_map_inside_its_receptive_field(decoder, collapse):
    torch.manual_seed(0)
    network = RepMode(2, 1, 4, decoder=decoder, collapse=collapse, activation="frelu").double()
    volume = torch.randn(1, 1, 4, 96, 96).double()
    folded, halo = network.fold(), network.halo
    core = slice(48 - network.multiple_of, 48 + network.multiple_of)
    tile = slice(core.start - halo, core.stop + halo)
    assert tile.start > 0
    whole = folded(volume)[..., core, core]
    inner = slice(halo, halo + 2 * network.multiple_of)
    part = folded(volume[..., tile, tile])[..., inner, inner]
    assert (whole - part).abs().max() < 1e-12


@pytest.mark.parametrize(("decoder", "collapse"), VARIANTS)
def test_nothing_beyond_the_declared_receptive_field_reaches_a_pixel(decoder, collapse):
    torch.manual_seed(0)
    network = RepMode(2, 1, 2, decoder=decoder, collapse=collapse, activation="frelu").double()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
            torch.nn.init.ones_(module.bias)  # no ReLU is dead
    volume = torch.randn(1, 1, 2, 100, 4).double().requires_grad_()
    logits = network.eval()(volume, torch.zeros(1, dtype=torch.long))
    radius = receptive_radius(1, decoder, collapse, "frelu")
    for row in (50, 51):
        (gradient,) = torch.autograd.grad(logits[..., row, :].sum(), volume, retain_graph=True)
        touched = gradient.abs().amax((0, 1, 2, 4)).nonzero().flatten()
        assert touched.min() >= row - radius
        assert touched.max() <= row + radius
        assert touched.max() - touched.min() > radius  # the bound is not idle
    assert network.halo >= radius
    assert network.halo % network.multiple_of == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"width": 0}, "width"),
        ({"width": "32"}, "width"),
        ({"width": 10**9}, "width"),
        ({"width": True}, "width"),
        ({"levels": 0}, "levels"),
        ({"levels": 10**6}, "levels"),
        ({"depth": 24}, "multiple of 16"),
        ({"tasks": ()}, "tasks"),
        ({"tasks": "ink"}, "tasks"),
        ({"tasks": ("a", "a")}, "tasks"),
        ({"decoder": "4d"}, "decoder"),
        ({"collapse": "max"}, "collapse"),
        ({"collapse": ["mean"]}, "collapse"),
        ({"decoder": "2d", "collapse": "none"}, "2D decoder"),
        ({"activation": "gelu"}, "activation"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"gate_noise": -1}, "gate_noise"),
        ({"heads": 3}, "heads"),
    ],
)
def test_arguments_that_make_no_network_are_refused_by_name(arguments, named):
    with pytest.raises(SettingsError, match=named):
        build("repmode", arguments)


def test_an_unknown_architecture_is_refused_by_name():
    with pytest.raises(SettingsError, match="resnet"):
        build("resnet", {})


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        ((1, 1, 8, 8, 10), "multiples of 4"),
        ((1, 1, 4, 8, 8), "takes 8 layers"),
        ((1, 2, 8, 8, 8), "batch, 1, z, y, x"),
        ((1, 8, 8, 8), "batch, 1, z, y, x"),
        ((1, 1, 8, 0, 8), "multiples of 4"),
    ],
)
def test_volumes_that_do_not_fit_are_refused(shape, named):
    network = RepMode(1, 2, 8)
    with pytest.raises(SettingsError, match=named):
        network(torch.zeros(shape), torch.zeros(1, dtype=torch.long))


def test_tasks_that_do_not_exist_are_refused():
    network, volume = RepMode(1, 1, 2, ("ink",)).eval(), torch.zeros(1, 1, 2, 4, 4)
    for task in (1, -1):
        with pytest.raises(SettingsError, match="choose one of ink"):
            network(volume, torch.tensor([task]))
    with pytest.raises(SettingsError, match="letters"):
        network.fold("letters")
    with pytest.raises(SettingsError, match="one task a sample"):
        network(volume, torch.tensor([0, 0]))
    assert network.task_index("ink") == network.task_index(0) == 0
