"""Predictions whose samples are known, made without predicting."""

from __future__ import annotations

import numpy as np
import torch

from napari_ink.inference.moments import Moments, entropy
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.store_writing import StoreWriter
from napari_ink.models.info import CheckpointInfo
from napari_ink.models.repmode import RepMode
from napari_ink.volumes.fragment import Fragment

PIXEL = 51.25  # µm: a stroke of 410 µm is 8 px wide, so that full resolution is looked at


def plan_of(shape, *, mask=None, pixel=PIXEL, volume=False, **options):
    """What a prediction of a blank fragment would be."""
    torch.manual_seed(0)
    kind = {"collapse": "none"} if volume else {"decoder": "2d"}
    model = RepMode(width=2, levels=1, depth=4, tasks=("ink",), **kind).eval()
    model.info = CheckpointInfo.of(model, recipe={"kind": "fixed"}, thresholds={"ink": 0.5})
    blank = np.broadcast_to(np.zeros(1, np.uint8), (4, *shape))
    fragment = Fragment.from_array(blank, mask=mask, voxel_size=pixel, name="blank")
    settings = PredictionSettings(
        **{"samples": 9, "dropout": 0.1, "tile": 80, "device": "cpu", **options}
    )
    return plan_prediction(fragment, model, settings)


def store(path, ink, spread, information=None, *, counts=9, finish=True, **options):
    """A prediction with these maps, ``(y, x)`` or ``(z, y, x)``; NaN: not predicted.

    ``counts``: samples of every block, or ``(rows, columns)`` of them.
    """
    ink, spread = np.asarray(ink, np.float32), np.asarray(spread, np.float32)
    information = spread**2 if information is None else np.asarray(information, np.float32)
    plan = plan_of(ink.shape[-2:], volume=ink.ndim == 3, **options)
    counts = np.broadcast_to(counts, plan.grid.blocks_shape)
    with StoreWriter.create_or_resume(path, plan) as made:
        for block in plan.blocks:
            box = plan.grid.block_box(*block)
            where, count = (..., *box.slices), int(counts[block])
            if count:
                moments = Moments.none_of(ink[where].shape)
                moments.state[0] = count
                moments.state[1] = ink[where]
                moments.state[2] = spread[where] ** 2 * max(1, count - 1)
                moments.state[3] = entropy(ink[where]) - information[where]
                made.write_sample(block, box, moments, last=finish)
        if finish:
            made.finish()
    return PredictionStore.open(path)
