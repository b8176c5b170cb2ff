"""Folders of numbered layers: Kaggle fragments and volume-cartographer segments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from napari_ink.errors import FragmentError
from napari_ink.volumes.files import reading
from napari_ink.volumes.fragment import Fragment, isotropic
from napari_ink.volumes.images import ImageFile, ImageLayer
from napari_ink.volumes.layouts import scale
from napari_ink.volumes.layouts.side_cars import side_cars
from napari_ink.volumes.tiff import TiffImage, open_image, open_tiff

_LAYER = re.compile(r"(\d+)\.(tiff?|jpe?g|png)", re.IGNORECASE)


@dataclass(frozen=True)
class LayeredVolume:
    """A volume whose layers are files of their own, or pages of one."""

    layers: tuple[TiffImage | ImageLayer, ...]

    layerwise = True  # cheapest to read one layer after the other

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""
        return (len(self.layers), *self.layers[0].shape)

    @property
    def dtype(self) -> np.dtype:
        """Of all layers."""
        return self.layers[0].dtype

    def read(self, z: slice, y: slice, x: slice) -> np.ndarray:
        """The window, one layer after the other."""
        out = np.empty((z.stop - z.start, y.stop - y.start, x.stop - x.start), self.dtype)
        for plane, layer in zip(out, self.layers[z], strict=True):
            layer.read_into(plane, y, x)
        return out


def numbered(names: Iterable[str]) -> list[tuple[int, str]]:
    """The layers among some file names, by number."""
    matches = ((_LAYER.fullmatch(name), name) for name in names)
    return sorted((int(match[1]), name) for match, name in matches if match)


def open_layers(root: str, folder: str, layout: str, voxel_size) -> Fragment:
    """Open a folder of layers with its side-cars.

    Parameters
    ----------
    root : str
        The fragment's folder, where the side-cars and ``meta.json`` lie.
    folder : str
        The folder of the layers, in it or the same.
    layout : str
        ``kaggle`` or ``segment``.
    voxel_size : float or tuple of float or None

    Raises
    ------
    FragmentError
        For a gap in the numbering, two files of one number, layers of different size or dtype,
        colour, a truncated file, no layers at all.
    """
    with reading(folder):
        files = numbered(os.listdir(folder))
    if not files:
        raise FragmentError(f"{folder} holds no layers", "put files named 00.tif, 01.tif … there")
    for (before, name), (number, other) in pairwise(files):
        if number == before:
            raise FragmentError(
                f"{folder} holds layer {number} twice, {name} and {other}", "keep one of them"
            )
        if number != before + 1:
            gap = str(before + 1) + (f" … {number - 1}" if number > before + 2 else "")
            raise FragmentError(
                f"{folder} lacks layer {gap} (between {name} and {other})",
                "copy or download what is missing",
            )
    images = [_open_layer(os.path.join(folder, name)) for _, name in files]
    for image in images[1:]:
        _same(images[0], image)
    volume = LayeredVolume(tuple(images))

    root = os.path.abspath(root)
    meta = scale.read_meta(root) or scale.read_meta(folder)
    size = isotropic(voxel_size) or scale.of_meta(meta)
    if size is None and isinstance(images[0], TiffImage):
        with open_tiff(images[0].path) as file:
            size = scale.of_tiff(file)
    name = Path(root).name
    places = dict.fromkeys((root, os.path.abspath(folder)))
    return Fragment(
        name=name,
        path=root,
        layout=layout,
        volume=volume,
        voxel_size=size,
        first_layer=files[0][0],
        simulated=bool(meta.get("simulated", False)),
        **side_cars(places, [name], volume.shape, foreign=True),
    )


def _open_layer(path: str) -> TiffImage | ImageLayer:
    if path.lower().endswith((".tif", ".tiff")):
        image = open_image(path)
        if image.samples != 1:
            raise FragmentError(f"{path} is a colour image", "save its layers as greyscale")
        return image
    image = ImageFile.open(path)
    return ImageLayer(image)


def _same(first: TiffImage | ImageLayer, other: TiffImage | ImageLayer) -> None:
    """Raise unless two layers belong to one volume."""
    if other.shape != first.shape:
        raise FragmentError(
            f"{other.path} has {_size(other)} pixels, {Path(first.path).name} has {_size(first)}",
            "replace the layer of the wrong size",
        )
    if other.dtype != first.dtype:
        raise FragmentError(
            f"{other.path} is {other.dtype}, {Path(first.path).name} is {first.dtype}",
            "convert all layers to one type",
        )


def _size(layer: TiffImage | ImageLayer) -> str:
    return " × ".join(map(str, layer.shape))
