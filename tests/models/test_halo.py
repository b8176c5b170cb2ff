"""The halo is what the map needs, no less, and is found by looking at the map."""

import json

import pytest
import torch

from napari_ink.errors import SettingsError
from napari_ink.models.contract import InkNetwork
from napari_ink.models.halo import measure_halo
from napari_ink.models.repmode import RepMode


class Blur(InkNetwork):
    """A network that looks exactly ``reach`` px far along x."""

    depth, output, multiple_of, tasks, halo, output_stride = 2, "layer", 4, ("0",), 12, 1

    def __init__(self, reach):
        super().__init__()
        self.reach = reach

    def fold(self, task=0, gates=None):
        def network(volume):
            flat = volume.sum(2)
            left = torch.nn.functional.pad(flat, (self.reach, 0))[..., : flat.shape[-1]]
            return flat + left

        return network


@pytest.mark.parametrize(("reach", "halo"), [(0, 0), (1, 4), (4, 4), (5, 8), (11, 12), (17, 20)])
def test_the_halo_is_the_smallest_multiple_that_reaches(reach, halo):
    window = torch.randn(2, 1, 2, 64, 80, generator=torch.manual_seed(0))
    measured = measure_halo(Blur(reach), 0, window, 1e-6)
    assert measured.halo == halo
    assert measured.change < 1e-6
    assert measured.reached
    assert [row[0] for row in measured.curve] == list(range(0, 24, 4))


def test_what_is_said_of_a_halo_names_its_statistic_its_maximum_and_how_much_was_seen():
    window = torch.randn(3, 1, 2, 64, 64, generator=torch.manual_seed(0))
    window[0, 0, :, 24, 5] = 60.0  # one pixel of the row that it smears over is far out
    measured = measure_halo(Blur(20), 0, window, 1e-3, core=16, quantile=0.5)
    record = json.loads(json.dumps(measured.record()))
    assert record["change"] < record["tolerance"] == 1e-3
    assert record["quantile"] == 0.5
    assert record["pixels"] == 3 * 16 * 16
    assert record["windows"] == 3
    _, largest, p999 = next(row for row in measured.curve if row[0] == measured.halo)
    assert (record["largest"], record["p999"]) == (largest, p999)
    assert largest >= p999 >= record["change"]
    assert largest > measured.tolerance
    assert "no bound" in record["statistic"]


def test_a_window_without_enough_context_says_so():
    measured = measure_halo(Blur(16), 0, torch.randn(1, 1, 2, 48, 48), 1e-6)
    assert not measured.reached
    assert measured.halo == measured.full_context == 16


def test_a_tighter_tolerance_never_shrinks_the_halo():
    torch.manual_seed(0)
    model = RepMode(4, 2, 8, collapse="mean").eval()
    window = torch.randn(1, 1, 8, 64, 64)
    rows = [measure_halo(model, 0, window, tolerance) for tolerance in (1, 1e-2, 1e-3, 1e-5)]
    halos = [row.halo for row in rows]
    assert halos == sorted(halos)
    assert halos[0] == 0
    assert halos[-1] > 0
    softened = measure_halo(model, 0, window, 1e-3, quantile=0.5)
    assert softened.halo <= halos[2]


def test_the_receptive_field_is_enough():
    torch.manual_seed(0)
    model = RepMode(2, 1, 2, collapse="mean").double().eval()
    window = torch.randn(1, 1, 2, 80, 80).double()
    measured = measure_halo(model, 0, window, 1e-12, core=8)
    assert measured.reached
    assert 0 < measured.halo <= model.halo


def test_windows_that_cannot_be_measured_are_refused():
    model = RepMode(1, 2, 4)
    with pytest.raises(SettingsError, match="at least 12 px"):
        measure_halo(model, 0, torch.zeros(1, 1, 4, 8, 8))
    with pytest.raises(SettingsError, match="multiple of 4"):
        measure_halo(model, 0, torch.zeros(1, 1, 4, 32, 32), core=6)
