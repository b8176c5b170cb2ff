"""One window, two ways to the network: learned from, and predicted by the checkpoint."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_ink import load_checkpoint
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.tiles import Tile
from napari_ink.inference.work import TileReader
from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
from napari_ink.models.registry import build
from napari_ink.volumes.intensity import KINDS, Recipe
from napari_ink.volumes.layouts import open_fragment
from training.dataset.config import SourceConfig
from training.dataset.opening import open_sources
from training.dataset.windows import Stack, Windows

SIDE, DEPTH, LAYERS = 32, 8, (2, 10)
RECIPES = {
    "fixed": Recipe("fixed", low=0.2, high=0.9, mean=0.45, std=0.15),
    "percentile": Recipe("percentile", low=1, high=99, mean=0.5, std=0.25),
    "zscore": Recipe("zscore", window=SIDE),
    "layer_zscore": Recipe("layer_zscore"),
}


def write_fragment(folder, dtype, height=103, width=90):
    """Layers of differing grey, a ragged mask, void beyond it."""
    (folder / "surface_volume").mkdir(parents=True)
    random = np.random.default_rng(5)
    mask = np.hypot(*np.ogrid[-50 : height - 50, -40 : width - 40]) < 47
    levels = random.normal(30000, 6000, (12, height, width)) + 1500 * np.arange(12)[:, None, None]
    volume = np.clip(levels * mask, 0, 65535).astype(np.uint16)
    if dtype == np.uint8:
        volume = (volume >> 8).astype(np.uint8)
    for z, layer in enumerate(volume):
        tifffile.imwrite(folder / "surface_volume" / f"{z:02d}.tif", layer)
    ink = mask & (random.random((height, width)) < 0.3)
    Image.fromarray(ink.astype(np.uint8) * 255).save(folder / "inklabels.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "mask.png")
    return volume


def learner(folder, recipe, reverse):
    """The source of a run, as the run opens it."""
    configs = [
        SourceConfig(str(folder), part="1/2", layers=LAYERS, reverse=reverse),
        SourceConfig(str(folder), part="2/2", layers=LAYERS, validation=True),
    ]
    return open_sources(configs, recipe=recipe, depth=DEPTH, context=0, tasks=("ink",))[0]


def reader(folder, recipe, reverse, path, **settings):
    """What prediction does with the checkpoint of that run, read from its file."""
    arguments = {"width": 4, "levels": 1, "depth": DEPTH, "decoder": "2d", "collapse": "conv2d"}
    network = build("repmode", arguments | {"tasks": ["ink"]})
    network.halo = 4
    info = CheckpointInfo.of(
        network, recipe=recipe.to_dict(), layers=LAYERS, reverse_depth=reverse, halo=4
    )
    save_checkpoint(path, network, info)
    fragment = open_fragment(folder)
    plan = plan_prediction(fragment, load_checkpoint(path), PredictionSettings(**settings))
    return plan, TileReader(fragment, plan)


def fed(source, places, side=SIDE):
    """Windows at some places, as the run reads them."""
    y, x = np.array(places, np.int32).T
    windows = Windows([Stack.of(source)], np.zeros(len(places), np.int32), y, x, side)
    return windows.read(np.arange(len(places)), torch.full(windows.shape(len(places)), 77.0))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("overlap", [None, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_training_feeds_the_bits_that_prediction_feeds(kind, dtype, reverse, overlap, tmp_path):
    """At every tile of the plane: on papyrus, half off it, and over the border."""
    raw = write_fragment(tmp_path / "f", dtype)
    source = learner(tmp_path / "f", RECIPES[kind], reverse)
    plan, tiles = reader(
        *(tmp_path / "f", RECIPES[kind], reverse, tmp_path / "c.safetensors"),
        tile=SIDE,
        batch=1,
        overlap=overlap,
    )
    assert plan.normaliser.statistics == source.normaliser.statistics
    boxes = [
        plan.grid.tile_box(Tile(*place))
        for place in np.ndindex(len(plan.grid.y.starts), len(plan.grid.x.starts))
    ]
    assert len(boxes) > 8
    height, width = raw.shape[1:]
    over = [box for box in boxes if box.y1 > height or box.x1 > width]
    assert bool(over) is (overlap is None)
    shown = np.full((len(boxes), DEPTH, SIDE, SIDE), -77, np.float32)
    for box, out in zip(boxes, shown, strict=True):
        tiles.volume(box, out)
    windows = fed(source, [(box.y0, box.x0) for box in boxes]).numpy()[:, 0]
    np.testing.assert_array_equal(windows.view(np.uint32), shown.view(np.uint32))
    for box, window in zip(boxes, windows, strict=True):
        if box not in over:
            np.testing.assert_array_equal(source.cut(box.y0, box.x0, SIDE)[0], window)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_zscore_over_the_border_counts_what_lies_inside_alone(dtype, reverse, tmp_path):
    """By hand, in float64. What is off the papyrus, but scanned, counts."""
    raw = write_fragment(tmp_path / "f", dtype, height=SIDE + 8, width=90)
    source = learner(tmp_path / "f", RECIPES["zscore"], reverse)
    for y0, x0 in ((0, 0), (20, 10), (30, 80)):
        inside = raw[2:10, y0 : y0 + SIDE, x0 : x0 + SIDE] / np.iinfo(dtype).max
        expected = (inside - inside.mean()) / (inside.std() + 1e-6)
        window = fed(source, [(y0, x0)]).numpy()[0, 0, :: -1 if reverse else 1]
        height, width = inside.shape[1:]
        np.testing.assert_allclose(window[:, :height, :width], expected, atol=1e-4)
        assert not window[:, height:].any()
        assert not window[:, :, width:].any()
