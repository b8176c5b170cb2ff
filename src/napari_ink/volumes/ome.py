"""What makes a zarr group an OME-Zarr image and a fragment: metadata, labels, side-cars."""

from __future__ import annotations

import numpy as np
import zarr

from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.layouts.zarrs import ATTRIBUTES
from napari_ink.volumes.planes import LabelPlane

_PLACES = {
    "label": "labels/inklabels",
    "mask": "labels/mask",
    "supervision": "labels/supervision_mask",
    "validation": "labels/validation_mask",
    "infrared": "infrared",
}
_CHUNK = 1024


def side_cars_of(fragment: Fragment) -> dict:
    """The planes that a fragment has, by the name of the field."""
    planes = {kind: getattr(fragment, kind) for kind in _PLACES}
    return {kind: plane for kind, plane in planes.items() if plane is not None}


def chunk_keys(version: str) -> dict:
    """How the files of chunks are named: in nested folders."""
    return {"name": "v2" if version == "0.4" else "default", "separator": "/"}


def write_plane(root: zarr.Group, fragment: Fragment, kind: str, version: str) -> None:
    """Write one side-car into the image's group, values unchanged, replacing a half-written one."""
    plane = getattr(fragment, kind)
    # A label is copied as it was stored; what full ink is is told from its largest value.
    source = plane.source if isinstance(plane, LabelPlane) else plane
    group = root.require_group(_PLACES[kind])
    array = group.create_array(
        "0",
        shape=source.shape,
        dtype=np.dtype(np.uint8) if source.dtype == bool else source.dtype,
        chunks=tuple(min(_CHUNK, length) for length in source.shape),
        chunk_key_encoding=chunk_keys(version),
        overwrite=True,
    )
    axes = "zyx"[-len(source.shape) :]
    if axes == "yx":
        for y, band in source.bands():
            array[y] = band
    else:
        array[...] = source.read(*(slice(0, length) for length in source.shape))
    size = fragment.voxel_size
    name = _PLACES[kind].split("/")[-1]
    attributes = image_attributes(name, axes, 1, size and size[-len(axes) :], version)
    if kind != "infrared":
        label = {"version": version, "source": {"image": "../../"}}
        attributes.get("ome", attributes)["image-label"] = label
    group.attrs.update(attributes)


def describe_image(root: zarr.Group, fragment: Fragment, levels: int, version: str) -> None:
    """Write what makes the group an image and a fragment; the last thing to be written."""
    planes = side_cars_of(fragment)
    # OME-Zarr knows labels of integers only; this program finds the others all the same.
    labels = [
        _PLACES[kind].split("/")[1]
        for kind in planes
        if kind != "infrared" and root[_PLACES[kind]]["0"].dtype.kind in "ui"
    ]
    if labels:
        listed = {"labels": labels}
        root["labels"].attrs.update(
            listed if version == "0.4" else {"ome": {"version": "0.5", **listed}}
        )
    own = {
        "first_layer": fragment.first_layer,
        "simulated": fragment.simulated,
        "side_cars": {kind: _PLACES[kind] for kind in planes},
        "voxelwise": "label" in planes and len(planes["label"].shape) == 3,
    }
    image = image_attributes(fragment.name, "zyx", levels, fragment.voxel_size, version)
    root.attrs.update({**image, ATTRIBUTES: own})


def image_attributes(
    name: str,
    axes: str,
    levels: int,
    voxel_size: tuple[float, ...] | None,
    version: str,
) -> dict:
    """OME metadata of one image.

    Parameters
    ----------
    name : str
    axes : str
        ``zyx`` or ``yx``.
    levels : int
    voxel_size : tuple of float or None
        Micrometres, one an axis; ``None`` leaves the axes without a unit.
    version : str
        ``0.4`` or ``0.5``.

    Returns
    -------
    dict
        Attributes of the group. A coarse pixel is the mean of fine ones, so its centre lies
        between theirs: hence the translations.
    """
    size = voxel_size or (1.0,) * len(axes)
    unit = {"unit": "micrometer"} if voxel_size else {}
    datasets = []
    for level in range(levels):
        factors = [1 if axis == "z" else 2**level for axis in axes]
        scale = [step * factor for step, factor in zip(size, factors, strict=True)]
        shift = [step * (factor - 1) / 2 for step, factor in zip(size, factors, strict=True)]
        transforms = [{"type": "scale", "scale": scale}]
        if level:
            transforms.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    image = {
        "name": name,
        "axes": [{"name": axis, "type": "space", **unit} for axis in axes],
        "datasets": datasets,
        "type": "mean",
    }
    if version == "0.4":
        return {"multiscales": [{"version": "0.4", **image}]}
    return {"ome": {"version": "0.5", "multiscales": [image]}}
