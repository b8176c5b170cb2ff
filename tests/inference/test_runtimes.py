"""Every runtime gives the network's own map."""

import numpy as np
import pytest
import torch
from inference_fakes import SmallNetwork, joined, noise_fragment

from napari_ink.inference.predict import predict
from napari_ink.inference.runtimes import Probability, TorchRuntime
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore


def run(runtime, told=None, store=None, **settings):
    fragment = noise_fragment()
    records = predict(
        fragment, SmallNetwork(), PredictionSettings(tile=32, runtime=runtime, **settings),
        store=store, notice=(told if told is not None else []).append,
    )  # fmt: skip
    return joined(records, fragment.shape[1:])


def test_openvino_gives_the_map_of_torch():
    pytest.importorskip("openvino")
    np.testing.assert_allclose(run("openvino"), run("torch"), atol=1e-5)


def test_int8_says_what_it_changes_and_is_the_same_when_it_goes_on(tmp_path):
    pytest.importorskip("nncf")
    told = []
    path = tmp_path / "a.ink.zarr"
    first = run("openvino-int8", told, path)
    change = np.nanmean(np.abs(first - run("torch")))
    assert 0 < change < 0.05
    assert any("int8 changes the map by" in line for line in told)
    report = PredictionStore.open(path).attributes["runtime"]
    assert report["mean_change"] == pytest.approx(change, abs=0.02)
    assert report["calibration_tiles"] >= 1
    np.testing.assert_array_equal(run("openvino-int8"), first)


def test_strided_logits_become_probabilities_at_full_resolution():
    class Strided(torch.nn.Module):
        def forward(self, volume):
            return torch.nn.functional.avg_pool2d(volume[:, 0], 4)

    tiles = np.random.default_rng(0).normal(size=(2, 1, 1, 16, 24)).astype(np.float32)
    runtime = TorchRuntime(Probability(Strided(), 4), "cpu", "fp32")
    found = runtime(tiles)
    assert found.shape == (2, 16, 24)
    coarse = torch.sigmoid(torch.nn.functional.avg_pool2d(torch.from_numpy(tiles[:, 0]), 4))
    expected = torch.nn.functional.interpolate(coarse, (16, 24), mode="bilinear")
    np.testing.assert_allclose(found, expected[:, 0].numpy(), atol=1e-6)


def test_closing_a_runtime_lets_go_of_the_network():
    import weakref

    network = SmallNetwork().fold(0)
    seen = weakref.ref(network)
    runtime = TorchRuntime(Probability(network, 1), "cpu", "fp32")
    del network
    runtime.close()
    assert seen() is None
