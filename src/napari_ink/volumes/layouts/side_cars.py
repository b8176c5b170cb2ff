"""Side-cars: masks, ink labels and infrared photographs, found by name beside a volume."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from napari_ink.errors import FragmentError
from napari_ink.volumes.files import reading
from napari_ink.volumes.images import ImageFile, ImageMask, ImagePlane
from napari_ink.volumes.planes import BasePlane, LabelPlane, MaskPlane
from napari_ink.volumes.tiff import TiffPlane, open_image

# What a fragment calls it, and how its file's name ends; the longer endings claim theirs first.
KINDS = {
    "supervision": "supervision_mask",
    "validation": "validation_mask",
    "label": "inklabels",
    "mask": "mask",
    "infrared": "ir",
}
_SUFFIXES = (".png", ".tif", ".tiff", ".zarr", ".jpg", ".jpeg")


def side_cars(
    folders: Iterable[str],
    stems: Iterable[str],
    shape: tuple[int, int, int],
    *,
    foreign: bool = False,
) -> dict[str, BasePlane]:
    """Open the side-cars of one volume.

    Parameters
    ----------
    folders : iterable of str
        Where to look; the first folder with a kind wins.
    stems : iterable of str
        Names that a side-car may begin with, best first: ``<stem>_mask.png``.
    shape : tuple of int
        ``(z, y, x)`` of the volume.
    foreign : bool
        Whether names that begin with something else count too: the folder is the volume's own.
        Otherwise, where several volumes lie together, only a name that begins with this volume's
        must fit it; another one of the wrong size is somebody else's.

    Returns
    -------
    dict
        Planes by the name of the ``Fragment`` field.

    Raises
    ------
    FragmentError
        When one is damaged, has another size, is ambiguous, or is a label with NaN.
    """
    found: dict[str, BasePlane] = {}
    stems = list(stems)
    for folder in folders:
        with reading(folder):
            names = sorted(os.listdir(folder))
        single = foreign or alone(folder)
        for kind in KINDS:
            name, rank = _choose(folder, names, kind, stems, foreign)
            if name is None or kind in found:
                continue
            source = open_plane(os.path.join(folder, name), shape[0], mask=_is_mask(kind))
            if source.shape == shape[1:] or single or rank == 0:
                found[kind] = as_side_car(kind, source)
    return found


def as_side_car(kind: str, source: BasePlane) -> BasePlane:
    """A plane as what it stands for: mask, label in [0, 1], or grey levels.

    Raises
    ------
    FragmentError
        For a label with NaN or values outside [0, 1].
    """
    if kind == "label":
        label = LabelPlane(source)
        label.check()
        return label
    return MaskPlane(source) if _is_mask(kind) and source.dtype != bool else source


def open_plane(path: str, depth: int = 1, *, mask: bool = False) -> BasePlane:
    """A mask, label or photograph as a lazily read plane.

    Parameters
    ----------
    path : str
        ``.png``, ``.jpg``, ``.tif`` or ``.zarr``.
    depth : int
        Layers of the volume: a zarr of that depth holds the plane in one of its slices.
    mask : bool
        Keep it at one bit a pixel.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".zarr":
        from napari_ink.volumes.layouts.zarrs import open_zarr_plane

        return open_zarr_plane(path, depth)
    if suffix in (".tif", ".tiff"):
        return TiffPlane(open_image(path))
    image = ImageFile.open(path)
    return ImageMask(image) if mask else ImagePlane(image)


def _is_mask(kind: str) -> bool:
    return kind in ("mask", "supervision", "validation")


def _choose(
    folder: str, names: list[str], kind: str, stems: list[str], foreign: bool
) -> tuple[str | None, int]:
    """The best file of a kind, and the rank of its name: 0 begins with the volume's own."""
    ending = KINDS[kind]
    candidates: dict[int, list[str]] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in _SUFFIXES or _kind_of(stem) != kind:
            continue
        prefix = stem[: -len(ending)].rstrip("_-")
        if prefix in stems:
            rank = stems.index(prefix)
        elif not prefix:
            rank = len(stems)
        elif foreign:
            rank = len(stems) + 1
        else:
            continue
        candidates.setdefault(rank, []).append(name)
    if not candidates:
        return None, -1
    rank = min(candidates)
    best = candidates[rank]
    if len({os.path.splitext(name)[0] for name in best}) > 1:
        raise FragmentError(
            f"{folder} holds {' and '.join(best[:2])}",
            f"keep one, or name the right one {ending}{os.path.splitext(best[0])[1]}",
        )
    best.sort(key=lambda name: _SUFFIXES.index(os.path.splitext(name)[1].lower()))
    return best[0], rank


def _kind_of(stem: str) -> str | None:
    for kind, ending in KINDS.items():
        if stem == ending or stem.endswith(f"_{ending}"):
            return kind
    return None


def volumes_in(folder: str) -> list[str]:
    """Names in a folder that stand for volumes rather than side-cars or predictions."""
    with reading(folder):
        names = sorted(os.listdir(folder))
    return [
        name
        for name in names
        if name.lower().endswith((".zarr", ".tif", ".tiff"))
        and not name.endswith(".ink.zarr")
        and _kind_of(os.path.splitext(name)[0]) is None
    ]


def alone(folder: str) -> bool:
    """Whether what lies loose in a folder can only belong to the one volume there."""
    return len(volumes_in(folder)) == 1
