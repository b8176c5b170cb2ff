"""Switching experts off: gates over the rest, and what prediction makes of it."""

import numpy as np
import pytest
import torch
from expert_networks import checkpoint_of, small_fragment, small_network
from torch.nn import functional as F

from napari_ink.analysis.experts import effect_of_experts, effect_steps
from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import Box, PredictionSettings
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


REGION = Box(8, 56, 16, 60)


def with_label(mask=None):
    label = np.zeros((64, 64), np.uint8)
    label[20:40, 10:50] = 1
    return small_fragment(label=label, mask=mask)


def effect(model, fragment, asked=None, **options):
    settings = PredictionSettings(
        region=REGION, experts_off=("conv5",), tile=64, device="cpu", **asked or {}
    )
    return effect_of_experts(fragment, model, settings, **options)


def test_effect_holds_both_maps_of_the_region_as_they_are_predicted_singly(tmp_path):
    model, fragment = checkpoint_of(small_network(), tmp_path), with_label()
    found = effect(model, fragment)
    for values, off in ((found.whole, ()), (found.without, ("conv5",))):
        settings = PredictionSettings(tile=64, device="cpu", experts_off=off)
        (tile,) = predict(fragment, model, settings)
        assert values == pytest.approx(tile.probability[REGION.slices], abs=1e-6)
    assert found.mean_change == pytest.approx(np.abs(found.without - found.whole).mean())
    assert found.mean_change > 0.01


def test_effect_is_that_on_a_single_pass_whatever_samples_are_asked_for(tmp_path):
    model, fragment = checkpoint_of(small_network(), tmp_path), with_label()
    sampled = effect(model, fragment, {"samples": 9, "dropout": 0.1, "tolerance": 0.01})
    np.testing.assert_array_equal(sampled.without, effect(model, fragment).without)


def test_scores_are_those_of_scikit_learn_in_the_region(tmp_path):
    from sklearn.metrics import fbeta_score

    fragment = with_label()
    found = effect(checkpoint_of(small_network(), tmp_path), fragment)
    truth = fragment.label.read(*REGION.slices).ravel() > 0
    expected = [
        fbeta_score(truth, values.ravel().astype(np.float16) >= 0.5, beta=0.5)
        for values in (found.whole, found.without)
    ]
    assert [scores["f05"] for scores in found.scores] == pytest.approx(expected)
    assert found.change("f05") == pytest.approx(expected[1] - expected[0])


def test_without_a_label_there_is_no_score_but_the_change_of_the_map(tmp_path):
    found = effect(checkpoint_of(small_network(), tmp_path), small_fragment())
    assert found.scores is None
    assert np.isnan(found.change("f05"))
    assert found.mean_change > 0


def test_outside_the_papyrus_nothing_is_found_nor_scored(tmp_path):
    mask = np.ones((64, 64), bool)
    mask[:30] = False
    found = effect(checkpoint_of(small_network(), tmp_path), with_label(mask))
    assert np.isnan(found.whole[:22]).all()
    assert np.isfinite(found.without[22:]).all()
    assert found.scores[0]["pixels"] == 26 * 44


def test_stores_keep_both_maps_so_that_they_are_not_computed_again(tmp_path, monkeypatch):
    model, fragment = checkpoint_of(small_network(), tmp_path), with_label()
    stores = (tmp_path / "whole.ink.zarr", tmp_path / "without.ink.zarr")
    first = effect(model, fragment, stores=stores)
    assert [PredictionStore.open(path).finished for path in stores] == [1, 1]
    monkeypatch.setattr("napari_ink.inference.predict.Engine", None)
    again = effect(model, fragment, stores=stores)
    assert again.without == pytest.approx(first.without, abs=1e-3)


def test_steps_tell_the_share_that_is_done_and_stop_when_closed(tmp_path):
    model, fragment = checkpoint_of(small_network(), tmp_path), with_label()
    settings = PredictionSettings(experts_off=("avg5",), tile=64, device="cpu")
    stores = (tmp_path / "a.ink.zarr", tmp_path / "b.ink.zarr")
    steps = effect_steps(fragment, model, settings, stores=stores)
    assert next(steps) == 0.5  # one block, of the first of two maps
    steps.close()
    assert not stores[1].exists()


def test_effect_of_nothing_is_refused(tmp_path):
    model = checkpoint_of(small_network(), tmp_path)
    with pytest.raises(SettingsError, match="no expert is switched off"):
        effect_of_experts(with_label(), model, PredictionSettings())
