"""Draw docs/images/augmentation.png: each transform of the trainer on one simulated window.

Run by hand: ``python docs/draw_augmentation.py``.
"""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image

from napari_ink.volumes.intensity import Recipe
from napari_ink.volumes.synthetic import synthesise
from training.augmentation import Augmentation, AugmentationConfig
from training.dataset.batch import Batch

SIDE, LAYERS, LAYER, VOXEL = 96, slice(4, 28), 10, 16.0
#: What cannot be seen in one layer of the volume.
UNSEEN = ("manifold_mixup", "label_smoothing", "one_of")
SETTINGS = {"cutout": {"sides": (32,)}, "mixup": {"alpha": 20.0}, "layer_dropout": {"layers": 23}}
FILE = Path(__file__).parent / "images/augmentation.png"


def windows() -> Batch:
    """Two windows of a simulated fragment, each partly inked."""
    fragment = synthesise(900, depth=32, height=320, width=480, voxel_size=VOXEL)
    normaliser = Recipe("fixed", mean=0.45, std=0.15).bind(fragment, LAYERS)
    volume = normaliser(fragment.read()[LAYERS])
    label = np.asarray(fragment.label, np.float32)
    corners = [
        (y, x)
        for y in range(0, label.shape[0] - SIDE, 16)
        for x in range(0, label.shape[1] - SIDE, 16)
        if 0.2 < label[y : y + SIDE, x : x + SIDE].mean() < 0.35
        and np.asarray(fragment.mask)[y : y + SIDE, x : x + SIDE].all()
    ]
    cuts = [np.s_[y : y + SIDE, x : x + SIDE] for y, x in (corners[len(corners) // 2], corners[-1])]
    return Batch(
        torch.from_numpy(np.stack([volume[(slice(None), *cut)] for cut in cuts]))[:, None],
        torch.from_numpy(np.stack([label[cut] for cut in cuts]))[:, None],
        torch.ones(2, 1, SIDE, SIDE),
        torch.zeros(2, dtype=torch.int64),
        torch.tensor([10, 11]),
    )


def draw(axes, batch: Batch, title: str) -> None:
    """One layer, the label's contour, and a tint over what does not count."""
    label, weight = batch.label[0, 0].numpy(), batch.weight[0, 0].numpy()
    axes.imshow(batch.volume[0, 0, LAYER], cmap="gray", vmin=-2, vmax=2.5)
    axes.imshow(np.ma.masked_where(weight > 0, weight), cmap="cool", alpha=0.35, vmin=0, vmax=1)
    axes.contour(np.ma.masked_where(weight == 0, label), [0.5], colors="orange", linewidths=1.2)
    axes.set_title(title, fontsize=9, pad=3)
    axes.axis("off")


def main() -> None:
    """Draw and save."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    batch = windows()
    kinds = {f.name: f.default_factory for f in fields(AugmentationConfig) if f.name not in UNSEEN}
    figure, panels = plt.subplots(3, 6, figsize=(11, 6.2), layout="constrained")
    draw(panels.flat[0], batch, "as it is")
    for axes, (name, kind) in zip(panels.flat[1:], kinds.items(), strict=True):
        change = AugmentationConfig(**{name: kind(p=1, **SETTINGS.get(name, {}))})
        draw(axes, Augmentation(change, seed=3)(batch), name)
    figure.suptitle(
        f"One layer of a simulated window ({SIDE} px of {VOXEL:g} µm) after each transform; "
        "orange: its label; tinted: does not count",
        fontsize=10,
    )
    picture = io.BytesIO()
    figure.savefig(picture, dpi=90)
    Image.open(picture).convert("RGB").quantize(96).save(FILE, optimize=True)


if __name__ == "__main__":
    main()
