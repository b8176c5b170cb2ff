"""Resolving settings: every choice is made, every doubt is said."""

import numpy as np
import pytest
import torch
from inference_fakes import SmallNetwork, noise_fragment

from napari_ink.errors import SettingsError
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.settings import Box, PredictionSettings


def plan(fragment=None, network=None, **settings):
    return plan_prediction(
        fragment or noise_fragment(), network or SmallNetwork(), PredictionSettings(**settings)
    )


def quiet(warnings):
    return [line for line in warnings if "predicting on the CPU" not in line]


def test_nothing_is_left_open():
    settings = plan().settings
    assert settings.layers == (0, 4)
    assert settings.task == "ink"
    assert settings.device in ("cpu", "cuda", "mps")
    assert settings.precision in ("fp32", "bf16", "fp16")
    assert settings.tile % 4 == 0
    assert settings.batch >= 1
    assert quiet(plan().warnings) == []


def test_the_checkpoints_layers_are_taken_where_the_fragment_has_them():
    network = SmallNetwork(layers=(22, 26))
    found = plan(noise_fragment((9, 60, 60), first_layer=20), network)
    assert found.settings.layers == (22, 26)
    assert found.z == slice(2, 6)
    assert quiet(found.warnings) == []


def test_the_central_layers_are_taken_otherwise_and_said():
    network = SmallNetwork(layers=(30, 34))
    found = plan(noise_fragment((9, 60, 60), first_layer=20), network)
    assert found.settings.layers == (22, 26)
    assert any("30:34" in line and "22:26" in line for line in found.warnings)


@pytest.mark.parametrize("layers", [(0, 3), (0, 5), (7, 11), (3, 3)])
def test_layers_that_do_not_fit_are_refused(layers):
    with pytest.raises(SettingsError):
        plan(noise_fragment((9, 60, 60)), layers=layers)


def test_too_few_layers_are_refused():
    with pytest.raises(SettingsError, match="3 layers, the checkpoint takes 4"):
        plan(noise_fragment((3, 60, 60)))


@pytest.mark.parametrize(("voxel", "warns"), [(8.0, False), (9.5, False), (10.0, True), (6, True)])
def test_another_scale_is_said_from_a_fifth_on(voxel, warns):
    found = plan(noise_fragment(voxel_size=voxel)).warnings
    assert any("rescale" in line for line in found) == warns


def test_an_unknown_scale_is_said():
    assert any("unknown" in line for line in plan(noise_fragment(voxel_size=None)).warnings)
    network = SmallNetwork(voxel_size=None)
    assert any("checkpoint's voxel size" in line for line in plan(network=network).warnings)


@pytest.mark.parametrize(("window", "warns"), [(64, False), (68, False), (72, True)])
def test_windows_wide_enough_for_letters_are_said(window, warns):
    found = plan(network=SmallNetwork(window=window)).warnings
    assert any("letters" in line for line in found) == warns


def test_a_fragment_that_was_trained_on_is_said():
    fragment = noise_fragment()
    dataset = ({"name": "a", "fingerprint": fragment.fingerprint()},)
    assert any(
        "trained on this" in line for line in plan(fragment, SmallNetwork(dataset=dataset)).warnings
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_cpu_is_never_fallen_back_to_silently():
    assert any("on the CPU" in line for line in plan().warnings)
    assert plan(device="cpu").warnings == ()
    with pytest.raises(SettingsError, match="no cuda device"):
        plan(device="cuda")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"device": "tpu"}, "device 'tpu'"),
        ({"precision": "fp64"}, "precision 'fp64'"),
        ({"precision": "fp16", "device": "cpu"}, "fp16"),
        ({"runtime": "onnx"}, "runtime 'onnx'"),
        ({"runtime": "openvino", "device": "cuda"}, "openvino"),
        ({"task": "papyrus"}, "task"),
        ({"tile": 33}, "multiple of 4"),
        ({"tile": 16}, "20 px or more"),
        ({"tile": 0}, "tile of 0"),
        ({"overlap": 1.0}, "overlap"),
        ({"overlap": -0.1}, "overlap"),
        ({"batch": 0}, "batch"),
        ({"region": Box(500, 600, 0, 10)}, "region"),
        ({"region": Box(0, 1, 0, 1)}, "no papyrus"),
    ],
)
def test_settings_that_fit_nothing_are_refused_by_name(settings, match):
    with pytest.raises(SettingsError, match=match):
        plan(**settings)


def test_a_network_without_metadata_is_refused():
    network = SmallNetwork()
    network.info = None
    with pytest.raises(SettingsError, match="metadata"):
        plan(network=network)


def test_blocks_are_exactly_those_with_papyrus_in_the_region(monkeypatch):
    monkeypatch.setattr("napari_ink.inference.papyrus._BAND", 5000)
    monkeypatch.setattr("napari_ink.inference.tiles._SMALLEST_BLOCK", 16)
    rng = np.random.default_rng(0)
    mask = rng.random((210, 330)) < 0.002
    region = Box(13, 190, 21, 300)
    found = plan(noise_fragment((4, 210, 330), mask=mask), tile=32, region=region)
    inside = np.zeros_like(mask)
    inside[region.slices] = mask[region.slices]
    rows, columns = found.grid.blocks_shape
    expected = [
        (row, column)
        for row in range(rows)
        for column in range(columns)
        if inside[found.grid.block_box(row, column).slices].any()
    ]
    assert list(found.blocks) == expected


def test_a_focus_that_is_nowhere_is_refused():
    settings = PredictionSettings(focus=(float("nan"), 3.0))
    with pytest.raises(SettingsError, match="focus"):
        plan_prediction(noise_fragment(), SmallNetwork(), settings)


def test_a_missing_threshold_is_said():
    plan = plan_prediction(noise_fragment(), SmallNetwork(thresholds={}))
    assert any("names no ink threshold" in line for line in plan.warnings)


def test_layers_that_contradict_the_depth_are_named():
    plan = plan_prediction(noise_fragment((8, 64, 64)), SmallNetwork(layers=(0, 3)))
    assert any("names layers 0:3 but takes 4" in line for line in plan.warnings)
