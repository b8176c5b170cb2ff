"""Coarser levels of a prediction and their OME-Zarr 0.5 description."""

from __future__ import annotations

import numpy as np
import zarr

_COARSEST = 512  # px: a level this small is drawn at once; no coarser one is needed


def level_count(shape: tuple[int, int]) -> int:
    """Levels of a plane, full resolution included."""
    count, side = 1, max(shape)
    while side > _COARSEST:
        side, count = -(-side // 2), count + 1
    return count


def build_levels(image: zarr.Group, finished: np.ndarray, compressor) -> int:
    """Write levels 1, 2, … beneath level 0, chunk by chunk.

    A pixel is the mean of the up to 2 × 2 pixels beneath it that were predicted; NaN if none was.
    Memory is that of four chunks.

    Parameters
    ----------
    image : zarr.Group
        Holds the array ``0``, ``(y, x)`` or ``(z, y, x)``; depth is never reduced.
    finished : numpy.ndarray
        Which chunks of level 0 hold anything, bool.

    Returns
    -------
    int
        Number of levels.
    """
    source = image["0"]
    count = level_count(source.shape[-2:])
    for level in range(1, count):
        shape = (*source.shape[:-2], *(-(-side // 2) for side in source.shape[-2:]))
        target = image.create_array(
            str(level),
            shape=shape,
            chunks=source.chunks,
            dtype="float16",
            fill_value=float("nan"),
            compressors=compressor,
            dimension_names=source.metadata.dimension_names,
            overwrite=True,
        )
        finished = _any_of_four(finished)
        height, width = source.chunks[-2:]
        for row, column in np.argwhere(finished):
            y, x = row * height, column * width
            fine = source[..., 2 * y : 2 * (y + height), 2 * x : 2 * (x + width)]
            coarse = halved(fine)
            target[..., y : y + height, x : x + width] = coarse.astype(np.float16)
        source = target
    return count


def halved(values: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels along the last two axes, NaN left out; float32, sides rounded up."""
    height, width = values.shape[-2:]
    total = np.zeros((*values.shape[:-2], -(-height // 2), -(-width // 2)), np.float32)
    count = np.zeros_like(total)
    for dy in (0, 1):
        for dx in (0, 1):
            part = values[..., dy::2, dx::2].astype(np.float32)
            known = ~np.isnan(part)
            window = (..., slice(part.shape[-2]), slice(part.shape[-1]))
            total[window] += np.where(known, part, 0)
            count[window] += known
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan))


def _any_of_four(chunks: np.ndarray) -> np.ndarray:
    rows, columns = (-(-side // 2) for side in chunks.shape)
    padded = np.zeros((2 * rows, 2 * columns), bool)
    padded[: chunks.shape[0], : chunks.shape[1]] = chunks
    return padded.reshape(rows, 2, columns, 2).any(axis=(1, 3))


def multiscales(
    name: str,
    voxel_size: tuple[float, float, float] | None,
    axes: int,
    levels: int,
    first_z: float = 0,
    z_step: int = 1,
) -> dict:
    """The ``ome`` attribute of an image.

    Parameters
    ----------
    name : str
    voxel_size : tuple of float, optional
        Micrometres ``(z, y, x)``; ``None``: pixels, without a unit.
    axes : int
        2 for ``(y, x)``, 3 for ``(z, y, x)``.
    levels : int
    first_z : float
        Index of the first predicted layer in the stack, for ``(z, y, x)``.
    z_step : int
        Layers of the stack from one predicted layer to the next.

    Returns
    -------
    dict
        JSON-able, OME-Zarr 0.5.
    """
    unit = {} if voxel_size is None else {"unit": "micrometer"}
    size = voxel_size or (1.0, 1.0, 1.0)
    datasets = []
    for level in range(levels):
        factors = (z_step, 2**level, 2**level)
        scale = [float(s * f) for s, f in zip(size, factors, strict=True)]
        # a coarse pixel's centre lies between those of the pixels that it stands for
        shift = [s * (f - 1) / 2 for s, f in zip(size, factors, strict=True)]
        shift[0] = first_z * size[0]
        transforms = [
            {"type": "scale", "scale": scale[-axes:]},
            {"type": "translation", "translation": shift[-axes:]},
        ]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [{"name": axis, "type": "space", **unit} for axis in "zyx"[-axes:]],
                "datasets": datasets,
            }
        ],
    }
