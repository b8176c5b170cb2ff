"""The picture of a run with samples, from the sample to its uncertainty."""

from __future__ import annotations

import numpy as np
from PIL import Image
from test_pictures import ROOT, take_pictures

from napari_ink._layers import carried

NAME = "predict-samples.png"


def test_the_picture_of_samples_is_true(make_napari_viewer_proxy, tmp_path, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    dock = take_pictures().take_samples(viewer, tmp_path, until=2)
    dock.run.cancel.click()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=60_000)
    committed, taken = (Image.open(place / NAME) for place in (ROOT / "docs/images", tmp_path))
    assert committed.info["Description"] == taken.info["Description"]
    assert committed.size == taken.size
    (spread,) = [layer for layer in viewer.layers if carried(layer).get("role") == "spread"]
    assert spread.visible
    letter = spread.data[:310, 330:630]
    assert np.nanmax(letter) > 0.25  # so that there is something to see in it


def test_it_is_small_enough_for_a_readme():
    assert (ROOT / "docs/images" / NAME).stat().st_size < 300_000
