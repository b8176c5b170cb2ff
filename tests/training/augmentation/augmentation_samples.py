"""Batches and configurations for the tests of augmentation."""

from dataclasses import fields

import torch

from training.augmentation.config import MIXING, TRANSFORMS, AugmentationConfig
from training.dataset.batch import Batch

#: Every transform at a strength that no test could overlook, for windows of 16 px.
STRONG = {
    "flip": {"p": 0.75},
    "turn": {"p": 0.75},
    "affine": {"p": 1, "shift": 0.2, "scale": 0.3, "degrees": 60},
    "elastic": {"p": 1, "cell": 8, "amplitude": 3.8},
    "grid_distortion": {"p": 1, "cells": 4, "limit": 0.6},
    "optical_distortion": {"p": 1, "limit": 1 / 6},
    "piecewise_affine": {"p": 1, "cells": 3, "jitter": 0.25},
    "z_shift": {"p": 1, "layers": 3},
    "z_flip": {"p": 0.5},
    "group_shuffle": {"p": 1, "group": 4},
    "blur": {"p": 1, "sigma": 1.0},
    "noise": {"p": 1, "sigma": 0.3},
    "contrast": {"p": 1},
    "layer_dropout": {"p": 1, "layers": 5},
    "cutout": {"p": 1, "sides": (6, 10), "grid": 3},
    "mixup": {"p": 1, "alpha": 2.0},
    "cutmix": {"p": 1},
    "label_smoothing": {"p": 1},
}


def config(**settings):
    """The configuration with these transforms: ``config(flip={"p": 0.5})``."""
    kinds = {f.name: f.default_factory for f in fields(AugmentationConfig)}
    return AugmentationConfig(**{name: kinds[name](**each) for name, each in settings.items()})


def everything_but_mixing():
    return config(**{name: STRONG[name] for name in TRANSFORMS if name not in MIXING})


def random_batch(size=4, depth=8, side=16, channels=1, seed=0, tasks=None):
    """Random windows, a fifth of their pixels uncounted."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(shape, generator=generator)

    return Batch(
        volume=torch.randn(size, 1, depth, side, side, generator=generator),
        label=rand(size, channels, side, side),
        weight=(rand(size, 1, side, side) < 0.8).float(),
        task=torch.zeros(size, dtype=torch.int64) if tasks is None else torch.tensor(tasks),
        sample=torch.arange(100, 100 + size),
    )
