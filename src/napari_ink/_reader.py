"""Reader hook: fragments in any layout and finished or half-finished predictions.

Folders come to every plugin that accepts folders, so this hook looks before it claims: a folder
must look like a fragment, a zarr or a prediction; a TIFF must be a stack; an HDF5 file must be a
muon set. Everything else is left to napari's own readers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

if TYPE_CHECKING:
    from napari.types import LayerData

_INK = ".ink.zarr"
_TELLING = {"surface_volume", "layers", "zarr.json", ".zgroup", ".zarray"}
_LAYER_FILE = re.compile(r"^\d+\.(tiff?|jpe?g)$", re.IGNORECASE)


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """A function that reads ``path``, or None for what is not ours; looks at names and headers."""
    if isinstance(path, list):
        if len(path) != 1:
            return None
        path = path[0]
    path = str(path)
    if is_prediction(path):
        return read_prediction
    return read_fragment if looks_like_fragment(path) else None


def is_prediction(path: str) -> bool:
    """Whether the path is that of a prediction store, by its name."""
    return path.rstrip("/\\").lower().endswith(_INK)


def looks_like_fragment(path: str) -> bool:
    """Whether a path could be a fragment, from names and file headers alone."""
    if urlparse(path).scheme in ("http", "https", "s3"):
        return ".zarr" in path
    place = Path(path)
    if place.is_dir():
        try:
            names = os.listdir(place)
        except PermissionError:
            return False
        return any(
            name in _TELLING or name.endswith(".zarr") or _LAYER_FILE.match(name) for name in names
        )
    if not place.is_file():
        return False
    suffix = place.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return _is_stack(place)
    return suffix in (".h5", ".hdf5") and _is_muon_set(place)


def _is_stack(path: Path) -> bool:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            if len(file.series) != 1:
                return False
            series = file.series[0]
            shape = [n for n in series.shape if n > 1]
            return len(shape) == 3 and "S" not in series.axes
    except (OSError, tifffile.TiffFileError):
        return False


def _is_muon_set(path: Path) -> bool:
    import h5py

    try:
        with h5py.File(path) as file:
            return "x0" in file and file["x0"].ndim in (3, 4)
    except OSError:
        return False


def read_fragment(path: str) -> list[LayerData]:
    """The stack and its companions as lazily read layers.

    Raises
    ------
    FragmentError
        When the fragment is incomplete or damaged.
    """
    from napari_ink._layers import fragment_layer_data
    from napari_ink.volumes.layouts import open_fragment

    return fragment_layer_data(open_fragment(_one(path)))


def read_prediction(path: str) -> list[LayerData]:
    """Stack and ink of a prediction; the dock then lays them out side by side.

    The stack comes from where the prediction says it was; if it is no longer there, or is open
    already, the ink comes alone.

    Raises
    ------
    StoreError
        When the store is damaged or of a later version.
    """
    from napari import current_viewer

    from napari_ink._layers import is_stack
    from napari_ink._prediction_layers import prediction_layer_data
    from napari_ink._sample_data import open_dock_soon

    viewer = current_viewer()
    stacks = [] if viewer is None else filter(is_stack, viewer.layers)
    layers = prediction_layer_data(_one(path), stacks)
    open_dock_soon()
    return layers


def _one(path: str | list[str]) -> str:
    return str(path[0] if isinstance(path, list) else path)
