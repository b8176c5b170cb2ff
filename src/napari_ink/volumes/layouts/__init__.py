"""On-disk layouts: one module each, and :func:`open_fragment`, which tells them apart."""

from __future__ import annotations

import os
import re
from pathlib import Path

from napari_ink.errors import FragmentError
from napari_ink.volumes.files import reading
from napari_ink.volumes.fragment import Fragment

LAYER_FOLDERS = {"surface_volume": "kaggle", "layers": "segment"}
_SCHEMES = ("http", "https", "s3")
_SUPPORTED = (
    "give a folder of layers, a TIFF stack, a zarr or OME-Zarr (also by URL), or a muon .h5"
)


def open_fragment(
    path: str | os.PathLike,
    *,
    sample: int | None = None,
    voxel_size: float | tuple[float, float, float] | None = None,
) -> Fragment:
    """Open whatever lies there as a fragment; its side-cars are found by name.

    Headers are checked and nothing else is read: files must be complete and fit one another
    before any computation starts.

    Parameters
    ----------
    path : str or path-like
        A folder ``<id>`` with ``surface_volume/`` or ``layers/`` in it, or a folder of numbered
        layers; a TIFF stack; a zarr array or OME-Zarr image, local or by ``http(s)://`` or
        ``s3://`` (anonymous); a muon set ``.h5``, also as ``train.h5#12``.
    sample : int, optional
        Which sample of a muon set; the first one by default.
    voxel_size : float or tuple of float, optional
        In µm, one or ``(z, y, x)``; overrules what the files say.

    Returns
    -------
    Fragment

    Raises
    ------
    FragmentError
        In one line, the file at fault and the remedy.

    Examples
    --------
    >>> fragment = open_fragment("fragments/1")  # doctest: +SKIP
    >>> fragment.read(slice(20, 40), slice(0, 256), slice(0, 256)).shape  # doctest: +SKIP
    (20, 256, 256)
    """
    path = os.fspath(path)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", path)
    if scheme and scheme[1] == "file":
        path = path[len("file://") :]
    elif scheme:
        if scheme[1] not in _SCHEMES:
            raise FragmentError(
                f"{path} has an unknown scheme",
                f"use one of {', '.join(_SCHEMES)}, or a local path",
            )
        from napari_ink.volumes.layouts import zarrs

        return zarrs.open_remote(path, voxel_size)

    path = str(Path(path).expanduser())
    numbered = re.fullmatch(r"(.+\.(?:h5|hdf5))#(\d+)", path)
    if numbered:
        path, sample = numbered[1], int(numbered[2]) if sample is None else sample
    with reading(path):
        os.stat(path)
    suffix = Path(path).suffix.lower()
    if Path(path).is_file():
        if suffix in (".h5", ".hdf5"):
            from napari_ink.volumes.layouts import muon

            return muon.open_sample(path, sample or 0, voxel_size)
        if suffix in (".tif", ".tiff"):
            from napari_ink.volumes.layouts import stack

            return stack.open_stack(path, voxel_size)
        raise FragmentError(f"{path} is no volume", _SUPPORTED)

    with reading(path):
        names = set(os.listdir(path))
    if suffix == ".zarr" or names & {".zarray", ".zgroup", "zarr.json"}:
        from napari_ink.volumes.layouts import zarrs

        return zarrs.open_local(path, voxel_size)
    from napari_ink.volumes.layouts import layers, side_cars

    for folder, layout in LAYER_FOLDERS.items():
        if folder in names:
            return layers.open_layers(path, str(Path(path) / folder), layout, voxel_size)
    if layers.numbered(names):
        layout = LAYER_FOLDERS.get(Path(path).name)
        root = str(Path(path).parent) if layout else path
        return layers.open_layers(root, path, layout or "segment", voxel_size)
    volumes = side_cars.volumes_in(path)
    if len(volumes) == 1:
        return open_fragment(Path(path) / volumes[0], voxel_size=voxel_size)
    if volumes:
        raise FragmentError(
            f"{path} holds {len(volumes)} volumes ({', '.join(volumes[:3])} …)", "open one of them"
        )
    if not names:
        raise FragmentError(f"{path} is empty", _SUPPORTED)
    raise FragmentError(f"{path} holds no layers named like 00.tif and no volume", _SUPPORTED)
