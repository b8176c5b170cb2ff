"""The main job on the sample, from the menu to the ink, and the pictures that show it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ink._layers import is_ink
from napari_ink.inference.settings import Box, PredictionSettings

ROOT = Path(__file__).parents[2]
RUNNING = "predict-running"
PICTURES = ("predict-empty", "predict-ready", RUNNING, "predict-done", "thresholds")


def take_pictures():
    spec = importlib.util.spec_from_file_location("take_pictures", ROOT / "docs/take_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pictures(make_napari_viewer_proxy, tmp_path):
    """The pictures taken anew, and the viewer after it."""
    viewer = make_napari_viewer_proxy(show=True)
    take_pictures().take_all(viewer, tmp_path)
    return tmp_path, viewer


def test_sample_is_predicted_as_headless_and_the_pictures_are_true(pictures):
    from napari_ink import load_checkpoint, open_fragment, predict
    from napari_ink.volumes.sample import sample_path

    folder, viewer = pictures
    (ink,) = [layer for layer in viewer.layers if is_ink(layer)]
    region = Box(192, 320, 256, 512)  # a region is the same part of the whole
    fragment = open_fragment(sample_path("fragment"))
    model = load_checkpoint(sample_path("repmode-sample.safetensors"))
    for tile in predict(fragment, model, PredictionSettings(region=region)):
        shown = np.asarray(ink.data)[tile.box.slices]
        known = np.isfinite(tile.probability)
        assert known.any()
        np.testing.assert_allclose(shown[known], tile.probability[known], atol=1e-5)
    for name in PICTURES:
        committed = Image.open(ROOT / f"docs/images/{name}.png")
        taken = Image.open(folder / f"{name}.png")
        assert committed.info["Description"] == taken.info["Description"], name
        assert committed.size == taken.size
        if name != RUNNING:  # how far it is when the picture is taken varies
            assert np.abs(coarse(committed) - coarse(taken)).mean() < 6, name


def coarse(picture: Image.Image) -> np.ndarray:
    """Grey levels at a fortieth of the size: where things are, not how the font is drawn."""
    small = picture.convert("L").resize((32, 20), Image.Resampling.BOX)
    return np.asarray(small, float)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_small_enough_for_a_readme(name):
    assert (ROOT / f"docs/images/{name}.png").stat().st_size < 300_000
