"""Switching experts off: gates over the rest, and what prediction makes of it."""

import numpy as np
import pytest
import torch
from expert_networks import checkpoint_of, small_fragment, small_network
from torch.nn import functional as F

from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.models.contract import InkNetwork
from napari_ink.models.experts import checked_experts, expert_names, gates_without
from napari_ink.models.extend import extend


def test_experts_that_are_left_keep_their_proportions():
    gates = torch.tensor([[0.5, 0.1], [0.2, 0.3], [0.1, 0.2], [0.1, 0.2], [0.1, 0.2]])
    left = gates_without(("conv5", "avg5"))("head", gates).numpy()
    expected = [[0, 0], [0.5, 3 / 7], [0.25, 2 / 7], [0.25, 2 / 7], [0, 0]]
    assert left == pytest.approx(np.array(expected), abs=1e-7)


def test_gates_that_underflowed_share_when_nothing_else_is_left():
    gates = torch.tensor([[1.0], [0], [0], [0], [0]])
    left = gates_without(("conv5",))("head", gates)
    assert left[:, 0].tolist() == pytest.approx([0, 0.25, 0.25, 0.25, 0.25])


def test_network_without_an_expert_is_one_whose_gate_never_chooses_it():
    model = small_network()
    volume = torch.rand(1, 1, 8, 16, 16)
    without = model.fold("letters", gates_without(("avg5",)))(volume)
    whole = model.fold("letters")(volume)
    with torch.no_grad():  # the softmax of a logit of -1e4 is 0 in every float
        for layer in model.mode_layers().values():
            layer.gate.bias.view(5, -1)[4] -= 1e4
    assert without.numpy() == pytest.approx(model.fold("letters")(volume).numpy(), abs=1e-4)
    assert (without - whole).abs().max() > 0.1


def test_all_but_one_may_be_off_which_is_then_an_ordinary_convolution():
    model = small_network()
    off = checked_experts(model, 0, ("avg5", "conv5", "avg3", "conv1", "avg5"))
    assert off == ("conv5", "conv1", "avg3", "avg5")
    name, layer = next(iter(model.mode_layers().items()))
    gates = gates_without(off)(name, layer.gates(0))
    volume = torch.rand(1, 1, 8, 16, 16)
    merged = F.conv3d(volume, layer.merge_exactly(gates), padding=2)
    alone = F.conv3d(volume, layer.conv3, padding=1)
    assert merged.detach().numpy() == pytest.approx(alone.detach().numpy(), abs=1e-6)


def test_all_off_is_refused():
    model = small_network()
    with pytest.raises(SettingsError, match="at least one"):
        checked_experts(model, 0, expert_names(model))


def test_added_task_has_an_expert_of_its_own_that_can_be_switched_off():
    model = extend(small_network(), "crackle")
    assert "added" not in expert_names(model, "ink")
    assert expert_names(model, "crackle")[-1] == "added"
    off = checked_experts(model, "crackle", ("added",))
    # the new expert took half of the gate beside the five of task 0, whose proportions are left
    volume = torch.rand(1, 1, 8, 16, 16)
    without = model.fold("crackle", gates_without(off))(volume)
    assert without.numpy() == pytest.approx(model.fold("ink")(volume).numpy(), abs=1e-4)
    with pytest.raises(SettingsError, match="no expert 'added'"):
        checked_experts(model, "ink", ("added",))


@pytest.mark.parametrize(
    ("off", "named"),
    [(("avg7",), "avg7"), (("conv5", "conv3", "conv1", "avg3", "avg5"), "at least one")],
)
def test_plan_refuses_what_leaves_no_network(tmp_path, off, named):
    model = checkpoint_of(small_network(), tmp_path)
    with pytest.raises(SettingsError, match=named):
        plan_prediction(small_fragment(), model, PredictionSettings(experts_off=off))


def test_plan_refuses_to_switch_off_experts_of_a_network_without_any():
    class Plain(InkNetwork):
        architecture, tasks = "plain", ("ink",)

    with pytest.raises(SettingsError, match="no experts"):
        checked_experts(Plain(), 0, ("avg5",))


def test_prediction_without_an_expert_is_that_of_the_network_without_it(tmp_path):
    model = checkpoint_of(small_network(), tmp_path)
    fragment = small_fragment()
    settings = PredictionSettings(tile=64, device="cpu", experts_off=("avg5", "conv3"))
    (tile,) = predict(fragment, model, settings, store=tmp_path / "a.ink.zarr")
    volume = torch.from_numpy(fragment.read().astype(np.float32) / 255)[None, None]
    network = model.fold(0, gates_without(("conv3", "avg5")))
    with torch.no_grad():
        expected = torch.sigmoid(network(volume))[0, 0].numpy()
    middle = (slice(16, -16),) * 2
    assert tile.probability[middle] == pytest.approx(expected[middle], abs=2e-3)
    record = PredictionStore.open(tmp_path / "a.ink.zarr").provenance["settings"]
    assert record["experts_off"] == ["conv3", "avg5"]


def test_store_with_all_experts_is_not_gone_on_with_without_one_nor_the_other_way(tmp_path):
    model, fragment = checkpoint_of(small_network(), tmp_path), small_fragment()
    for first, then in ((), ("avg5",)), (("avg5",), ()):
        path = tmp_path / f"{len(first)}.ink.zarr"
        settings = PredictionSettings(tile=64, device="cpu", experts_off=first)
        list(predict(fragment, model, settings, store=path))
        settings = PredictionSettings(tile=64, device="cpu", experts_off=then)
        with pytest.raises(StoreError, match="experts_off"):
            list(predict(fragment, model, settings, store=path))
