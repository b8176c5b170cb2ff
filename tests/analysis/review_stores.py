"""Predictions of one small fragment whose maps are known, to review."""

from __future__ import annotations

import numpy as np
import torch
import zarr

from napari_ink.analysis.blind_review import Answer, Region, Review, Shown
from napari_ink.analysis.blind_review_plan import plan_review
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.models.contract import InkNetwork
from napari_ink.volumes.fragment import Fragment

SHAPE = (360, 520)


class Scaled(InkNetwork):
    """The layers times a weight: the least that can be told from another of its kind."""

    architecture = "scaled"
    output_stride = multiple_of = 1
    halo = 0

    def __init__(self, weight=1.0, output="layer"):
        super().__init__()
        self.depth, self.output, self.tasks, self.arguments = 4, output, ("ink",), {}
        self.weight = torch.nn.Parameter(torch.tensor(float(weight)), requires_grad=False)
        self.info = CheckpointInfo.of(
            self, recipe={"kind": "fixed"}, voxel_size=8.0, window=64, thresholds={"ink": 0.5}
        )

    def forward(self, volume, task):
        layers = volume[:, 0] * self.weight
        return layers if self.output == "volume" else layers.mean(1, keepdim=True)

    def fold(self, task=0, gates=None):
        return _Folded(self)


class _Folded(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, volume):
        return self.network(volume, None)


def noise(shape, *, mask=True, seed=0):
    """A fragment with an elliptic papyrus, or papyrus everywhere."""
    volume = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    y, x = np.ogrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    papyrus = (y**2 + x**2 < 0.9) if mask else None
    return Fragment.from_array(volume, mask=papyrus, voxel_size=8.0, name="noise")


def strokes(shape=SHAPE, period=40) -> np.ndarray:
    """A map with vertical strokes of ink everywhere."""
    x = np.arange(shape[1]) % period < period // 4
    return np.broadcast_to(np.where(x, np.float32(0.9), np.float32(0.1)), shape).copy()


def store(path, values, *, weight=1.0, **options):
    """A finished prediction at ``path``, with ``values`` where it has any."""
    fragment = noise((4, *values.shape[-2:]), **options)
    model = Scaled(weight, "volume" if values.ndim == 3 else "layer").eval()
    for _ in predict(fragment, model, PredictionSettings(device="cpu"), store=path):
        pass
    ink = zarr.open_group(path, mode="r+")["ink/0"]
    ink[...] = np.where(np.isnan(ink[...]), np.nan, values)
    return path


def planned(a, b, **options) -> Review:
    """A review of two sides."""
    steps = plan_review(a, b, **options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def bare_review(lefts="abab", choices=(), repeats=None, digests=("x", "y"), finished=None):
    """A record alone: who is left in each region, and what was answered."""
    repeats = repeats or {}
    regions = tuple(
        Region(Box(0, 64, 64 * k, 64 * k + 64), left, repeats.get(k), "p")
        for k, left in enumerate(lefts)
    )
    a, b = (Shown(f"/{d}.ink.zarr", None, None, {}, d) for d in digests)
    at = "2026-01-02T03:04:05+00:00"
    return Review(
        fragment={"name": "f", "fingerprint": "f", "pixel_um": 8.0, "simulated": True},
        a=a,
        b=b,
        regions=regions,
        seed=0,
        created=at,
        answers=tuple(Answer(choice, at) for choice in choices),
        finished=finished,
    )
