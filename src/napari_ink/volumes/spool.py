"""Plain copies of layers that can only be decoded whole or across their full width.

A block of 1,024 pixels needs a little of every layer. Where a layer is a JPEG, or strips as wide
as the scan, every block would decode it anew; so each is decoded once, into a plain file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_ink.volumes.images import ImageLayer
from napari_ink.volumes.layouts.layers import LayeredVolume
from napari_ink.volumes.pyramid import BLOCK
from napari_ink.volumes.tiff import TiffImage

_BAND = 1 << 26  # pixels


def needs_spool(volume) -> bool:
    """Whether blocks of this volume would decode much more than they keep."""
    return isinstance(volume, LayeredVolume) and any(
        _wide(layer) and max(layer.shape) > BLOCK for layer in volume.layers
    )


def spool(volume: LayeredVolume, folder: Path) -> Iterator[LayeredVolume]:
    """Copy every layer, skipping those copied before; yields the volume as far as it is plain."""
    folder.mkdir(exist_ok=True)
    layers = list(volume.layers)
    for number, layer in enumerate(layers):
        path = folder / f"{number}.raw"
        if not path.exists():
            _copy(layer, path)
        layers[number] = _plain(layer, path)
        yield LayeredVolume(tuple(layers))


def _wide(layer: TiffImage | ImageLayer) -> bool:
    if isinstance(layer, ImageLayer):
        return True
    return layer.start is None and max(layer.segment) > 2 * BLOCK


def _copy(layer: TiffImage | ImageLayer, path: Path) -> None:
    height, width = layer.shape
    unfinished = path.with_suffix(".partial")
    with open(unfinished, "wb") as file:
        if isinstance(layer, ImageLayer):
            for _, strip in layer.image.strips():
                file.write(np.ascontiguousarray(strip, layer.dtype))
        else:
            step = layer.segment[0]
            rows = max(step, _BAND // width // step * step)
            for top in range(0, height, rows):
                bottom = min(top + rows, height)
                file.write(layer.read(slice(top, bottom), slice(0, width)))
    os.replace(unfinished, path)


def _plain(layer: TiffImage | ImageLayer, path: Path) -> TiffImage:
    stat = path.stat()
    empty = np.empty(0, np.int64)
    return TiffImage(
        path=str(path),
        page=0,
        shape=layer.shape,
        dtype=layer.dtype,
        samples=1,
        start=0,
        order="=",
        segment=layer.shape,
        offsets=empty,
        counts=empty,
        stamp=(stat.st_size, stat.st_mtime_ns),
    )
