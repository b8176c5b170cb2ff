"""The merged kernel and its shares, against the file's tensors and the network itself."""

import numpy as np
import pytest
import torch
from expert_networks import checkpoint_of, small_network
from safetensors.numpy import load_file
from torch.nn import functional as F

from napari_ink.analysis.gates import gate_shares
from napari_ink.analysis.gates_figures import kernel_chart
from napari_ink.analysis.gates_kernel import merged_kernel
from napari_ink.errors import SettingsError
from napari_ink.models.extend import extend

SIZES = {"conv5": 5, "conv3": 3, "conv1": 1, "avg3": 3, "avg5": 5}


def softmax_from_file(tensors, layer, task):
    """Gates ``(5, out)`` by hand."""
    logits = tensors[f"{layer}.conv.gate.weight"][:, task] + tensors[f"{layer}.conv.gate.bias"]
    weights = np.exp(logits.astype(np.float64).reshape(5, -1))
    return weights / weights.sum(axis=0)


def parts_from_file(tensors, layer, task):
    """Each expert as a gated 5³ kernel, by hand, ``(5, out, in, 5, 5, 5)`` float64."""
    gates, parts = softmax_from_file(tensors, layer, task), []
    for gate, (expert, size) in zip(gates, SIZES.items(), strict=True):
        weight = tensors[f"{layer}.conv.{expert}"].astype(np.float64)
        kernel = np.zeros((*weight.shape[:2], 5, 5, 5))
        middle = slice((5 - size) // 2, (5 - size) // 2 + size)
        averaged = weight / size**3 if expert.startswith("avg") else weight
        kernel[..., middle, middle, middle] = averaged
        parts.append(gate[:, None, None, None, None] * kernel)
    return np.stack(parts)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = checkpoint_of(small_network(decoder="3d"), tmp_path_factory.mktemp("kernel"))
    return model, load_file(model.info.path)


@pytest.mark.parametrize("task", [0, 1])
def test_shares_are_the_softmax_of_the_files_tensors(saved, task):
    model, tensors = saved
    shares = gate_shares(model, task)
    for name, value, mean, spread in zip(
        shares.names, shares.values, shares.mean, shares.spread, strict=True
    ):
        gates = 100 * softmax_from_file(tensors, name, task)
        assert value == pytest.approx(gates, abs=1e-4)
        assert mean == pytest.approx(gates.mean(axis=1), abs=1e-4)
        assert spread == pytest.approx(gates.std(axis=1), abs=1e-4)


@pytest.mark.parametrize("block", ["C1.1", "C2.1", "D1.2", "head"])
def test_kernel_and_shares_are_those_of_the_files_tensors(saved, block):
    model, tensors = saved
    kernel = merged_kernel(model, block, "letters")
    parts = parts_from_file(tensors, kernel.name, 1)
    whole = parts.sum(axis=0)
    assert kernel.kernel.dtype == np.float32
    assert kernel.kernel == pytest.approx(whole, abs=1e-6)
    share = [(part * whole).sum() / (whole * whole).sum() for part in parts]
    assert kernel.share == pytest.approx(np.array(share), abs=1e-6)
    assert kernel.share.sum() == pytest.approx(1, abs=1e-6)
    size = [np.linalg.norm(part) / np.linalg.norm(whole) for part in parts]
    assert kernel.size == pytest.approx(np.array(size), abs=1e-6)
    assert kernel.energy == pytest.approx((whole**2).sum(axis=(0, 1)), rel=1e-5)
    assert kernel.parts == pytest.approx((parts**2).sum(axis=(1, 2)), rel=1e-5, abs=1e-12)


def test_kernel_is_the_one_that_the_network_applies(saved):
    model, _ = saved
    layer = model.mode_layers()["encoder.0.1"]
    volume = torch.rand(1, 2, 8, 8, 8)
    kernel = torch.from_numpy(merged_kernel(model, "encoder.0.1", 1).kernel)
    with torch.no_grad():
        applied = layer(volume, ((1, 1),))
    assert F.conv3d(volume, kernel, padding=2).numpy() == pytest.approx(applied.numpy(), abs=1e-5)


def test_expert_that_works_against_the_others_has_a_negative_share():
    model = small_network()
    layer = model.mode_layers()["encoder.0.1"]
    with torch.no_grad():
        layer.gate.weight.zero_()
        layer.gate.bias.zero_()
        for expert in (layer.conv3, layer.avg3, layer.avg5):
            expert.zero_()
        layer.conv5.zero_()
        layer.conv5[..., 2, 2, 2] = 3.0
        layer.conv1.fill_(-1.0)  # the sum is 2/5 at the middle: 3/2 of it less 1/2 of it
    kernel = merged_kernel(model, "C1.2")
    assert kernel.share == pytest.approx(np.array([1.5, 0, -0.5, 0, 0]))
    assert kernel.size == pytest.approx(np.array([1.5, 0, 0.5, 0, 0]))


def test_added_task_counts_its_own_expert():
    model = extend(small_network(), "crackle")
    kernel = merged_kernel(model, "C1.2", "crackle")
    assert kernel.experts[-1] == "added"
    # it starts as task 0's merged kernel with half of the gate
    assert kernel.share[-1] == pytest.approx(0.5, abs=1e-6)
    assert kernel.share.sum() == pytest.approx(1, abs=1e-6)
    assert kernel.kernel == pytest.approx(merged_kernel(model, "C1.2", "ink").kernel, abs=1e-6)


def test_kernel_of_zeros_has_no_shares_and_can_be_drawn():
    model = small_network()
    with torch.no_grad():
        for parameter in model.mode_layers()["encoder.0.1"].parameters():
            parameter.zero_()
    kernel = merged_kernel(model, "C1.2")
    assert np.isnan(kernel.share).all()
    assert len(kernel_chart(kernel).axes) == 13


def test_unknown_block_is_named_with_those_there_are(saved):
    with pytest.raises(SettingsError, match=r"'C9\.1'.*C1\.1"):
        merged_kernel(saved[0], "C9.1")
