"""The gate chart's numbers against the published figure."""

import numpy as np
import pytest
import torch

from napari_ink.analysis.gates import EXPERT_LABELS, gate_shares
from napari_ink.analysis.gates_figures import gate_chart
from napari_ink.errors import SettingsError
from napari_ink.models.contract import InkNetwork
from napari_ink.models.registry import build

#: SOURCES.md B: mean gates in percent of the published ink network, experts 5, 3, 1, avg3, avg5.
PUBLISHED = {
    "C1.1": (49, 11, 8, 25, 7),
    "C1.2": (25, 19, 24, 7, 25),
    "C2.1": (14, 11, 44, 13, 18),
    "C2.2": (24, 44, 20, 7, 5),
    "C3.1": (25, 9, 16, 43, 8),
    "C3.2": (23, 38, 6, 5, 28),
    "C4.1": (43, 2, 11, 22, 22),
    "C4.2": (27, 17, 28, 11, 17),
    "C5.1": (23, 22, 23, 20, 13),
    "C5.2": (19, 6, 20, 34, 22),
}


def network(decoder="2d", tasks=("ink", "letters"), gate_noise=0.0):
    return build(
        "repmode",
        {
            "width": 2,
            "levels": 4,
            "depth": 16,
            "decoder": decoder,
            "collapse": "mean",
            "tasks": list(tasks),
            "gate_noise": gate_noise,
        },
    )


def set_gates(layer, task, percent):
    """Make every channel of a layer weigh the experts like this for one task."""
    with torch.no_grad():
        layer.gate.bias.zero_()
        logits = torch.tensor(percent, dtype=torch.float32).log()
        layer.gate.weight[:, task] = logits.repeat_interleave(layer.out_channels)


def test_published_gates_come_out_in_the_published_order():
    model = network(gate_noise=3.0).train()
    for layer, percent in zip(model.mode_layers().values(), PUBLISHED.values(), strict=True):
        set_gates(layer, 1, percent)
    shares = gate_shares(model, "letters")
    assert shares.blocks == tuple(PUBLISHED)
    assert shares.experts == EXPERT_LABELS == ("5³", "3³", "1³", "avg 3³", "avg 5³")
    # their rounded rows add up to 98 … 101
    rows = np.array(list(PUBLISHED.values()), float)
    assert shares.mean == pytest.approx(100 * rows / rows.sum(1, keepdims=True), abs=1e-4)
    assert shares.spread == pytest.approx(0, abs=1e-4)
    assert shares.overall[[0, 4]] == pytest.approx([27.2, 16.5], abs=0.1)
    assert model.training
    assert not np.allclose(gate_shares(model, "ink").mean, shares.mean, atol=1)


def test_spread_is_over_the_channels_of_a_block():
    model = network()
    layer = model.mode_layers()["encoder.0.0"]
    with torch.no_grad():
        layer.gate.weight.zero_()
        layer.gate.bias.zero_()
        # channel 0 all on the first expert, channel 1 even
        layer.gate.bias.view(5, 2)[0, 0] = 50.0
    shares = gate_shares(model)
    assert shares.mean[0] == pytest.approx([60, 10, 10, 10, 10])
    assert shares.spread[0] == pytest.approx([40, 10, 10, 10, 10])


def test_decoder_blocks_follow_in_the_order_of_a_pass():
    shares = gate_shares(network(decoder="3d"))
    assert shares.blocks[8:] == (
        *("C5.1", "C5.2", "D4.1", "D4.2", "D3.1", "D3.2", "D2.1", "D2.2", "D1.1", "D1.2"),
        "head",
    )
    assert shares.mean.sum(1) == pytest.approx(100)


def test_network_without_gates_says_so():
    class Plain(InkNetwork):
        architecture = "plain"
        tasks = ("ink",)

    with pytest.raises(SettingsError, match="no gates"):
        gate_shares(Plain())


def test_chart_stacks_each_block_to_one_hundred_in_the_order_of_the_experts():
    shares = gate_shares(network())
    axes = gate_chart(shares).axes[0]
    bars = [container.patches for container in axes.containers]
    assert [c.get_label() for c in axes.containers] == list(EXPERT_LABELS)
    tops = [bar.get_y() + bar.get_height() for bar in bars[-1]]
    assert tops == pytest.approx([100] * 11)
    heights = np.array([[bar.get_height() for bar in part] for part in bars]).T
    assert heights[:-1] == pytest.approx(shares.mean)
    assert heights[-1] == pytest.approx(shares.overall)
