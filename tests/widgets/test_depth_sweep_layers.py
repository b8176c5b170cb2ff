"""A depth sweep that is opened: a stack of ink that stands at its depth, with named cuts."""

import numpy as np
import pytest
import torch
from napari.layers import Image

from napari_ink._prediction_layers import prediction_layer_data
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.models.repmode import RepMode
from napari_ink.volumes.fragment import Fragment
from napari_ink.widgets.thresholds.commit import kept_cuts


@pytest.fixture
def store(tmp_path):
    """Windows 2:6, 4:8 and 6:10 of layers 2 to 9, 8 µm apart."""
    torch.manual_seed(0)
    model = RepMode(width=2, levels=1, depth=4, collapse="mean", decoder="2d", tasks=["ink"])
    model.info = CheckpointInfo.of(model, recipe={"kind": "fixed"}, thresholds={"ink": 0.4})
    model.eval().halo = 8
    volume = np.random.default_rng(0).integers(0, 255, (8, 60, 80), dtype=np.uint8)
    fragment = Fragment.from_array(volume, first_layer=2, name="swept", voxel_size=8.0)
    path = tmp_path / "swept.ink.zarr"
    list(predict(fragment, model, PredictionSettings(depth_sweep=2, device="cpu"), store=path))
    return path


def opened(path):
    data, arguments, _ = prediction_layer_data(str(path))[-1]
    return Image(data, **arguments)


def test_each_ink_layer_stands_in_the_middle_of_its_window(store):
    ink = opened(store)
    assert ink.name == "swept ink depth sweep"
    assert ink.data.shape == (3, 60, 80)
    # stored layers 2 to 5 are the first four of the stack: their middle is at 1.5
    assert [float(ink.data_to_world((k, 0, 0))[0]) for k in range(3)] == [12.0, 28.0, 44.0]


def test_every_window_has_a_cut_of_its_own_by_name(store):
    names, cuts = kept_cuts([opened(store)])
    assert names == ("z 2–5", "z 4–7", "z 6–9")
    assert cuts == pytest.approx([0.4] * 3)
