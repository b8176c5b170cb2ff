"""A simulated fragment on disk, in one of the users' layouts.

Everything is written beside its place and renamed at the end, so that a reader never meets half
a fragment.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import zarr
from PIL import Image

from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes.fragment import Fragment

LAYOUTS = ("kaggle", "segment", "tiff", "zarr", "ome-zarr")
_SUFFIXES = {"tiff": (".tif", ".tiff"), "zarr": (".zarr",), "ome-zarr": (".zarr",)}
_SIDE_CARS = {"mask": "mask", "inklabels": "label", "ir": "infrared"}
_CHUNK = (16, 256, 256)


def write_fragment(
    fragment: Fragment, out: str | Path, layout: str = "kaggle", *, about: dict | None = None
) -> Path:
    """Write a fragment.

    Parameters
    ----------
    fragment : Fragment
        What to write; it is read layer by layer.
    out : str or Path
        A folder. For ``tiff``, ``zarr`` and ``ome-zarr`` it may also be the volume itself, by a
        name that ends in ``.tif`` or ``.zarr``: mask, label and infrared image then lie beside
        it as ``NAME_mask.png``, ``NAME_inklabels.png`` and ``NAME_ir.png``.
    layout : str
        One of :data:`LAYOUTS`.
    about : dict, optional
        More for ``meta.json``, such as the seed.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    FragmentError
        When something is already there or the disk refuses.
    SettingsError
        When the layout is unknown.
    """
    refuse(out, layout)
    out = Path(out)
    meta = {"name": out.stem, "simulated": fragment.simulated}
    if fragment.voxel_size is not None:
        meta["voxelsize"] = fragment.voxel_size[0]
    meta |= about or {}
    workplace = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        os.chmod(workplace, 0o755)  # mkdtemp's 0700 would hide the fragment from colleagues
        if out.is_dir():
            out.rmdir()
        if not out.suffix or layout not in _SUFFIXES:
            _write_folder(fragment, workplace, layout, out.name, meta)
            workplace.rename(out)
            workplace = None
        else:
            _write_single(fragment, workplace / out.name, layout, meta)
            # The volume comes last: side-cars without a volume are no fragment.
            for part in sorted(workplace.iterdir(), key=lambda path: path.name == out.name):
                part.replace(out.parent / part.name)
    except OSError as error:
        raise FragmentError(
            f"{out} cannot be written ({error.strerror or error})",
            "check that the folder exists, is yours to write and the disk has room",
        ) from error
    finally:
        if workplace is not None:
            shutil.rmtree(workplace, ignore_errors=True)
    return out


def refuse(out: str | Path, layout: str) -> None:
    """Raise what :func:`write_fragment` would raise before writing, and change nothing."""
    out = Path(out)
    if layout not in LAYOUTS:
        raise SettingsError(
            f"the layout {layout} is unknown", f"choose one of {', '.join(LAYOUTS)}"
        )
    single = layout in _SUFFIXES and bool(out.suffix)
    if single and out.suffix not in _SUFFIXES[layout]:
        raise SettingsError(
            f"{out.name} does not suit the layout {layout}",
            f"let the name end in {_SUFFIXES[layout][0]}, or in nothing for a folder",
        )
    try:
        taken = out.is_file() or (out.is_dir() and any(out.iterdir()))
        if single:
            stem = out.stem.removesuffix(".ome")
            taken |= any((out.parent / f"{stem}_{name}.png").exists() for name in _SIDE_CARS)
    except OSError as error:
        raise FragmentError(f"{out} cannot be looked into", "choose another name") from error
    if taken:
        raise FragmentError(f"{out} is already there", "choose another name or remove it first")


def _write_folder(fragment: Fragment, folder: Path, layout: str, name: str, meta: dict) -> None:
    if layout in _SUFFIXES:
        _write_single(fragment, folder / (name + _SUFFIXES[layout][0]), layout, meta)
        (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
        return
    layers = folder / ("surface_volume" if layout == "kaggle" else "layers")
    layers.mkdir()
    digits = max(2, len(str(fragment.first_layer + fragment.shape[0] - 1)))
    for z in range(fragment.shape[0]):
        _write_tiff(
            layers / f"{fragment.first_layer + z:0{digits}d}.tif",
            fragment.read(slice(z, z + 1))[0],
            fragment,
        )
    _write_side_cars(fragment, folder, "" if layout == "kaggle" else f"{name}_")
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


def _write_single(fragment: Fragment, path: Path, layout: str, meta: dict) -> None:
    if layout == "tiff":
        _write_stack(fragment, path, meta)
    else:
        _write_zarr(fragment, path, layout, meta)
    _write_side_cars(fragment, path.parent, f"{path.stem.removesuffix('.ome')}_")


def _write_tiff(path: Path, layer: np.ndarray, fragment: Fragment) -> None:
    options = {}
    if fragment.voxel_size is not None:
        _, y, x = fragment.voxel_size
        options = {"resolution": (1e4 / x, 1e4 / y), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(
        path, layer, compression="deflate", compressionargs={"level": 9}, predictor=True,
        rowsperstrip=64, metadata=None, software="napari-ink", **options
    )  # fmt: skip


def _write_stack(fragment: Fragment, path: Path, meta: dict) -> None:
    voxel = fragment.voxel_size or (1.0, 1.0, 1.0)
    pages = (fragment.read(slice(z, z + 1))[0] for z in range(fragment.shape[0]))
    tifffile.imwrite(
        path, pages, shape=fragment.shape, dtype=fragment.dtype, imagej=True,
        resolution=(1 / voxel[2], 1 / voxel[1]),
        metadata={"axes": "ZYX", "unit": "um", "spacing": voxel[0], "Info": json.dumps(meta)},
    )  # fmt: skip


def _write_zarr(fragment: Fragment, path: Path, layout: str, meta: dict) -> None:
    chunks = tuple(min(c, n) for c, n in zip(_CHUNK, fragment.shape, strict=True))
    options = {"shape": fragment.shape, "dtype": fragment.dtype, "chunks": chunks}
    if layout == "zarr":
        array = zarr.create_array(path, zarr_format=2, **options)
        array.attrs["napari-ink"] = meta
    else:
        group = zarr.create_group(path, zarr_format=3)
        voxel = fragment.voxel_size or (1.0, 1.0, 1.0)
        scale = {"type": "scale", "scale": list(voxel)}
        axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
        datasets = [{"path": "0", "coordinateTransformations": [scale]}]
        image = {"name": meta["name"], "axes": axes, "datasets": datasets}
        group.attrs.update({"ome": {"version": "0.5", "multiscales": [image]}, "napari-ink": meta})
        array = group.create_array("0", dimension_names=list("zyx"), **options)
    (path / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
    for z in range(0, fragment.shape[0], chunks[0]):
        array[z : z + chunks[0]] = fragment.read(slice(z, z + chunks[0]))


def _write_side_cars(fragment: Fragment, folder: Path, prefix: str) -> None:
    for name, attribute in _SIDE_CARS.items():
        plane = getattr(fragment, attribute)
        if plane is None:
            continue
        pixels = np.asarray(plane)
        if name != "ir":
            pixels = np.rint(pixels.astype(np.float32) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{prefix}{name}.png", optimize=True)
