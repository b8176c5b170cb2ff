"""What a fragment is, in numbers: for ``napari-ink info`` and for the docks."""

from __future__ import annotations

import os

import numpy as np

from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.sampling import subsample

PERCENTILES = (0.1, 1, 50, 99, 99.9)
SIDE_CARS = ("mask", "label", "infrared", "supervision", "validation")
# A folded RepMode of width 16 on a window of 64 layers takes 4.0 s for 128 × 128 pixels on two
# AVX-512 cores in PyTorch, single precision: 2,048 pixels a second and core.
PIXELS_PER_SECOND_AND_CORE = 2048


def describe(fragment: Fragment) -> dict:
    """Everything ``napari-ink info`` tells; reads the mask and a subsample of the volume.

    Parameters
    ----------
    fragment : Fragment

    Returns
    -------
    dict
        JSON-able. ``mask_area_px`` is the whole plane where there is no mask; lengths and areas
        are ``None`` where no voxel size is known. ``prediction`` is a rough figure for this
        machine's processor: see :data:`PIXELS_PER_SECOND_AND_CORE`.

    Raises
    ------
    FragmentError
        When something that is looked at cannot be read.
    """
    depth, height, width = fragment.shape
    size = fragment.voxel_size
    pixels = _area(fragment)
    sample = subsample(fragment) if pixels else np.empty((depth, 0), fragment.dtype)
    levels = np.percentile(sample, PERCENTILES).tolist() if sample.size else []
    cores = os.cpu_count() or 1
    rate = PIXELS_PER_SECOND_AND_CORE * cores
    side_cars = {}
    for kind in SIDE_CARS:
        plane = getattr(fragment, kind)
        side_cars[kind] = None if plane is None else getattr(plane, "path", None) or True
    return {
        "name": fragment.name,
        "path": fragment.path,
        "layout": fragment.layout,
        "shape": [depth, height, width],
        "dtype": fragment.dtype.name,
        "layers": [fragment.first_layer, fragment.first_layer + depth],
        "voxel_size_um": None if size is None else list(size),
        "size_mm": None
        if size is None
        else [length * step / 1000 for length, step in zip(fragment.shape, size, strict=True)],
        "bytes": depth * height * width * fragment.dtype.itemsize,
        "pyramid_levels": 1 + len(fragment.levels),
        "mask_area_px": pixels,
        "mask_area_share": pixels / (height * width),
        "mask_area_mm2": None if size is None else pixels * size[1] * size[2] / 1e6,
        "side_cars": side_cars,
        "percentiles": {
            f"{share:g}": level for share, level in zip(PERCENTILES, levels, strict=False)
        },
        "simulated": fragment.simulated,
        "fingerprint": fragment.fingerprint(),
        "prediction": {
            "seconds": pixels / rate,
            "pixels_per_second": rate,
            "assumes": f"RepMode of width 16, 64 layers, {cores} processor cores",
        },
    }


def _area(fragment: Fragment) -> int:
    if fragment.mask is None:
        return fragment.shape[1] * fragment.shape[2]
    if hasattr(fragment.mask, "bands"):
        return sum(int(np.count_nonzero(band)) for _, band in fragment.mask.bands())
    return int(np.count_nonzero(np.asarray(fragment.mask)))
