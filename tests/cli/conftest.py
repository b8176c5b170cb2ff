"""A small fragment, a checkpoint that fits it, and predictions of it, finished and half so."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_ink.models.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from napari_ink.models.registry import build

DEPTH, HEIGHT, WIDTH = 9, 150, 200


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """``fragment/`` of 9 layers, ``c.safetensors`` for 8, ``done.ink.zarr`` and ``half.ink.zarr``.

    Read only: tests write elsewhere.
    """
    from napari_ink import open_fragment, predict
    from napari_ink.inference.settings import PredictionSettings

    root = tmp_path_factory.mktemp("command line")
    fill_fragment(root / "fragment")
    torch.manual_seed(0)
    model = build("repmode", {"width": 4, "levels": 2, "depth": 8, "decoder": "2d"}).eval()
    info = CheckpointInfo.of(
        model,
        recipe={"kind": "fixed"},
        layers=(0, 8),
        voxel_size=8.0,
        window=64,
        halo=16,
        thresholds={"0": 0.5},
    )
    save_checkpoint(root / "c.safetensors", model, info)
    fragment, model = open_fragment(root / "fragment"), load_checkpoint(root / "c.safetensors")
    settings = PredictionSettings(tile=48, overlap=0.25, device="cpu")
    for name, blocks in (("done", None), ("half", 1)):
        steps = predict(fragment, model, settings, store=root / f"{name}.ink.zarr")
        list(itertools.islice(steps, blocks))
        steps.close()
    return root


def fill_fragment(folder):
    """Noise in a Kaggle folder, with mask, label and voxel size."""
    rng = np.random.default_rng(0)
    (folder / "surface_volume").mkdir(parents=True)
    for layer in range(DEPTH):
        image = rng.integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)
        tifffile.imwrite(folder / f"surface_volume/{layer:02}.tif", image)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:140, 20:190] = 255
    label = np.zeros_like(mask)
    label[40:80, 40:120] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(label).save(folder / "inklabels.png")
    (folder / "meta.json").write_text('{"voxelsize": 8.0}')
    return folder
