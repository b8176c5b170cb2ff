"""What every network without gates does alike."""

import pytest
import torch
from torch import nn

from napari_ink.errors import SettingsError
from napari_ink.models.ordinary import OrdinaryNetwork


class Small(OrdinaryNetwork):
    architecture, depth, output, multiple_of, halo = "small", 4, "layer", 2, 2

    def __init__(self, side=None):
        super().__init__()
        self.side = side
        self.body = nn.Sequential(
            nn.Conv3d(1, 6, 3, padding=2, dilation=2, bias=False),
            nn.BatchNorm3d(6),
            nn.ReLU(),
            nn.Conv3d(6, 6, (4, 3, 3), padding=(0, 1, 1), groups=3),
            nn.BatchNorm3d(6),
            nn.ConvTranspose3d(6, 4, (1, 3, 3), padding=(0, 1, 1)),
            nn.BatchNorm3d(4),
            nn.ReLU(),
        )
        self.head = nn.Conv2d(4, 1, 1)

    def logits(self, volume):
        return self.head(self.body(volume).squeeze(2))


def trained(network):
    """As after some steps: norms with statistics of their own."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


def test_a_folded_network_gives_the_same_map_without_norms():
    network = trained(Small())
    volume = torch.randn(2, 1, 4, 8, 8)
    folded = network.fold("ink")
    expected = network(volume, torch.zeros(2, dtype=torch.long))
    torch.testing.assert_close(folded(volume), expected, rtol=1e-5, atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
    assert not any(p.requires_grad for p in folded.parameters())
    own = {p.data_ptr() for p in network.parameters()}
    assert own.isdisjoint(p.data_ptr() for p in folded.parameters())


def test_there_are_no_gates_to_replace():
    with pytest.raises(SettingsError, match="small has no gated layers"):
        Small().fold(gates={"a": [[1.0]]})
    with pytest.raises(SettingsError, match="no task 'letters'"):
        Small().fold("letters")


def test_a_network_of_one_side_takes_no_other():
    volume = torch.zeros(1, 1, 4, 8, 8)
    Small(side=8)(volume, torch.zeros(1, dtype=torch.long))
    with pytest.raises(SettingsError, match=r"8×10 px.*8×8 px only"):
        Small(side=8).check_shape((1, 1, 4, 8, 10))
