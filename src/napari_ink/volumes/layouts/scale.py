"""Voxel sizes, where a layout records them: ``meta.json``, TIFF tags, OME metadata."""

from __future__ import annotations

import json
import re
from pathlib import Path

import tifffile

from napari_ink.errors import FragmentError
from napari_ink.volumes.files import reading

MICROMETRES = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "nm": 1e-3,
    "micrometer": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "millimeter": 1e3,
    "mm": 1e3,
    "centimeter": 1e4,
    "cm": 1e4,
    "inch": 25400.0,
    "meter": 1e6,
    "m": 1e6,
}
# No scanner writes 72 … 600 dots an inch (353 … 42 µm) as its voxel size; image editors do.
_LARGEST = 40.0

Scale = tuple[float, float, float]


def read_meta(folder: str | Path) -> dict:
    """What ``meta.json`` says (volume-cartographer's convention), empty without one.

    Raises
    ------
    FragmentError
        When it is not a JSON object or its voxel size is not a positive number.
    """
    path = Path(folder) / "meta.json"
    if not path.is_file():
        return {}
    with reading(str(path)):
        text = path.read_bytes()
    try:
        meta = json.loads(text)
        size = meta.get("voxelsize")
        if size is not None and not 0 < float(size) < float("inf"):
            raise ValueError(f"voxelsize {size}")
    except (ValueError, TypeError, AttributeError) as error:
        raise FragmentError(
            f"{path} is not usable ({error})", 'write {"voxelsize": µm}, or move it away'
        ) from None
    return meta


def of_meta(meta: dict) -> Scale | None:
    """Voxel size of a ``meta.json``."""
    size = meta.get("voxelsize")
    return None if size is None else (float(size),) * 3


def of_tiff(file: tifffile.TiffFile) -> Scale | None:
    """Voxel size in a TIFF's OME, ImageJ or resolution tags; ``None`` where there is none.

    Resolutions coarser than 40 µm are taken for an image editor's dots an inch.
    """
    return _of_ome_xml(file) or _of_resolution(file)


def _of_ome_xml(file: tifffile.TiffFile) -> Scale | None:
    text = file.ome_metadata if file.is_ome else None
    sizes = []
    for axis in "ZYX":
        size = re.search(rf'PhysicalSize{axis}="([^"]+)"', text or "")
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', text or "")
        factor = MICROMETRES.get(unit[1] if unit else "µm")
        sizes.append(_length(size[1], factor) if size and factor else None)
    z, y, x = sizes
    return None if y is None or x is None else (z or y, y, x)


def _of_resolution(file: tifffile.TiffFile) -> Scale | None:
    page = file.pages.first
    imagej = (file.imagej_metadata or {}) if file.is_imagej else {}
    factor = MICROMETRES.get(str(imagej.get("unit")))
    if factor is None:
        factor = {2: 25400.0, 3: 1e4}.get(int(page.tags.valueof("ResolutionUnit", 1)))
        imagej = {}
    across, down = (page.tags.valueof(f"{axis}Resolution") for axis in "XY")
    if factor is None or not across or not down or 0 in (*across, *down):
        return None
    y, x = factor * down[1] / down[0], factor * across[1] / across[0]
    if not imagej and max(y, x) > _LARGEST:
        return None
    return (_length(imagej.get("spacing"), factor) or y, y, x)


def _length(value, factor: float) -> float | None:
    """A length in µm; ``None`` for what is none: microscopes write −1, 0 and NaN for unknown."""
    try:
        length = float(value) * factor
    except (TypeError, ValueError):
        return None
    return length if 0 < length < float("inf") else None
