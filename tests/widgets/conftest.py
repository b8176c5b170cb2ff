"""A fragment folder and a tiny network that are real, and a dock in a real window."""

from __future__ import annotations

import contextlib
import gc
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

with contextlib.suppress(ImportError):
    import triton  # noqa: F401  (its LLVM must be loaded before that of Mesa's OpenGL)

DEPTH, HEIGHT, WIDTH = 8, 320, 480
VOXEL = 16.0


@pytest.fixture(scope="session", autouse=True)
def _quick_collections():
    """Leaves what was imported out of all garbage collections: napari's fixture does four a window.

    Each took a tenth of a second over the modules of torch and napari, which stay anyway.
    """
    import napari.viewer
    import torch  # noqa: F401

    assert napari.viewer
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _own_settings(plugin_settings, npe2pm, tmp_path, monkeypatch):
    """This plugin alone, with settings and a cache of its own."""
    from npe2 import PluginManifest

    npe2pm.register(PluginManifest.from_distribution("napari-ink"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def fragment_folder(tmp_path_factory):
    """A Kaggle folder of 8 layers, 320 × 480 px, with papyrus everywhere but in one corner."""
    folder = tmp_path_factory.mktemp("data") / "frag"
    (folder / "surface_volume").mkdir(parents=True)
    volume = np.random.default_rng(0).integers(60, 200, (DEPTH, HEIGHT, WIDTH), dtype=np.uint8)
    for z, layer in enumerate(volume):
        tifffile.imwrite(folder / "surface_volume" / f"{z:02}.tif", layer)
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[-160:, -160:] = 0
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[40:80, 40:120] = 255
    for name, plane in (("mask", mask), ("inklabels", label), ("ir", 255 - label // 2)):
        Image.fromarray(plane).save(folder / f"{name}.png")
    (folder / "meta.json").write_text(json.dumps({"voxelsize": VOXEL, "simulated": True}))
    return folder


def random_checkpoint(path, **arguments):
    """A RepMode of the smallest size with random weights."""
    import torch

    from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
    from napari_ink.models.repmode import RepMode
    from napari_ink.volumes.intensity import Recipe

    torch.manual_seed(0)
    model = RepMode(width=2, levels=2, depth=DEPTH, tasks=("ink",), **arguments)
    info = CheckpointInfo.of(
        model,
        recipe=Recipe("fixed").to_dict(),
        voxel_size=VOXEL,
        window=32,
        halo=16,
        metrics={"f05": 0.86},
        thresholds={"ink": 0.5},
    )
    save_checkpoint(path, model, info)
    return path


@pytest.fixture
def altered(checkpoint, tmp_path):
    """Makes the tiny checkpoint with other metadata."""
    from napari_ink.models.checkpoint import load_checkpoint, save_checkpoint

    def _altered(**metadata):
        model = load_checkpoint(checkpoint)
        path = tmp_path / f"{'-'.join(metadata)}.safetensors"
        save_checkpoint(path, model, replace(model.info, **metadata))
        return path

    return _altered


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """For ink maps."""
    return random_checkpoint(
        tmp_path_factory.mktemp("checkpoints") / "tiny.safetensors", decoder="2d"
    )


@pytest.fixture(scope="session")
def volume_checkpoint(tmp_path_factory):
    """For labelled volumes."""
    return random_checkpoint(
        tmp_path_factory.mktemp("checkpoints") / "volume.safetensors", collapse="none"
    )


@pytest.fixture
def preferences(checkpoint, tmp_path):
    """The Preferences page set to the tiny checkpoint and a folder of the test's own."""
    from napari_ink._preferences import remember

    stores = tmp_path / "stores"
    stores.mkdir()
    remember(checkpoint=str(checkpoint), store_folder=str(stores))
    return stores


@pytest.fixture
def viewer(make_napari_viewer_proxy, preferences):
    """A window on the (virtual) screen, seen as a plugin sees it."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1280, 800)
    return viewer


@pytest.fixture
def put_in(viewer):
    """Adds a prediction as the reader gives it: the stack and its ink, but no dock and no more.

    Every layer and every dock that a test has no use for takes it a fifth of a second.
    """
    from napari_ink._layers import carried, is_stack
    from napari_ink._prediction_layers import prediction_layer_data

    def _put_in(path, roles=("stack", "ink")):
        stacks = [layer for layer in viewer.layers if is_stack(layer)]
        for data, arguments, _ in prediction_layer_data(str(path), stacks):
            if arguments["metadata"]["napari_ink"]["role"] in roles:
                layer = viewer.add_image(data, **arguments)
        assert carried(layer)["role"] == "ink"
        return layer

    return _put_in


@pytest.fixture
def dock(viewer, fragment_folder):
    """The Predict dock over the opened fragment, ready to predict in small tiles."""
    viewer.open(fragment_folder, plugin="napari-ink")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    dock.settings.tile.setValue(64)
    return dock
