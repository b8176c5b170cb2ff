"""Small labelled fragments on disk, as users have them, and the sources of a run over them."""

from __future__ import annotations

import numpy as np
import tifffile
from PIL import Image

from napari_ink.volumes.intensity import Recipe
from training.dataset.config import SourceConfig
from training.dataset.opening import open_sources

DEPTH = 4


def write_fragment(folder, label=None, seed=0, depth=DEPTH, shape=(60, 90), **masks):
    """A folder with a TIFF stack of noise, its label (uint8) and masks (bool); returns its path."""
    shape = shape if label is None else label.shape
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed).integers(1, 255, (depth, *shape), np.uint8)
    tifffile.imwrite(folder / f"{folder.name}.tif", noise, photometric="minisblack", metadata=None)
    if label is not None:
        Image.fromarray(label).save(folder / "inklabels.png")
    for kind, mask in masks.items():
        name = "mask" if kind == "mask" else f"{kind}_mask"
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}.png")
    return str(folder)


def blobs(seed, shape=(60, 90), share=0.3):
    """A label of 0 and 255 with blobs of ink on about that share of it."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 4)
    return (noise > np.quantile(noise, 1 - share)).astype(np.uint8) * 255


def in_memory(fragment, **settings):
    """A fragment in memory as a source of a run."""
    return SourceConfig(fragment.name, **settings), fragment


def allowed(source):
    """Pixels of the whole fragment that a window of a source may hold."""
    plane = np.zeros(source.label.shape, bool)
    plane[source.box.slices] = source.allowed_in(source.box)
    return plane


def opened(*configs, **kwargs):
    """The sources of a run with a network of :data:`DEPTH` layers."""
    arguments = {"recipe": Recipe(), "depth": DEPTH, "context": 5, "tasks": ("ink", "other")}
    return open_sources(configs, **arguments | kwargs)
