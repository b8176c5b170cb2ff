"""The demo, apart from its window."""

from dataclasses import replace

from napari_ink.cli import main as napari_ink
from napari_ink.demo import is_outdated
from napari_ink.models.checkpoint import load_checkpoint, save_checkpoint
from napari_ink.volumes.sample import sample_path


def test_a_prediction_of_another_versions_sample_is_told_from_ours(tmp_path):
    fragment = sample_path("fragment")
    checkpoint = sample_path("repmode-sample.safetensors")
    store = tmp_path / "sample.ink.zarr"
    assert not is_outdated(store, fragment, checkpoint)  # none is there
    words = ["predict", fragment, "--checkpoint", checkpoint, "--out", store]
    assert napari_ink([*map(str, words), "--region", "0:64,0:64"]) == 0
    assert not is_outdated(store, fragment, checkpoint)
    network = load_checkpoint(checkpoint)
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, network, replace(network.info, thresholds={"ink": 0.75}))
    assert is_outdated(store, fragment, other)


def test_what_is_no_prediction_is_left_alone(tmp_path):
    folder = tmp_path / "sample.ink.zarr"
    folder.mkdir()
    assert not is_outdated(folder, *map(sample_path, ("fragment", "repmode-sample.safetensors")))
