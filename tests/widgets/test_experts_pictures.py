"""The Experts dock over the sample, and the picture that shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from test_pictures import coarse, take_pictures

from napari_ink.widgets.shared_model import shared_model

PICTURE = Path(__file__).parents[2] / "docs/images/experts.png"


def test_sample_without_an_expert_is_as_in_the_picture(make_napari_viewer_proxy, tmp_path):
    viewer = make_napari_viewer_proxy(show=True)
    take_pictures().take_experts(viewer, tmp_path)
    assert shared_model(viewer).side_by_side.shows_whole()  # in three cells as in one
    committed, taken = Image.open(PICTURE), Image.open(tmp_path / PICTURE.name)
    assert committed.info["Description"] == taken.info["Description"]
    assert committed.size == taken.size
    assert np.abs(coarse(committed) - coarse(taken)).mean() < 6
    assert PICTURE.stat().st_size < 300_000
