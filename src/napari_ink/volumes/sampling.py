"""A deterministic subsample of a fragment's voxels, for statistics that need not see them all."""

from __future__ import annotations

import numpy as np

from napari_ink.errors import FragmentError
from napari_ink.volumes.fragment import Fragment

_WINDOWS = 64
_SIDE = 48


def subsample(fragment: Fragment, layers: slice | None = None) -> np.ndarray:
    """Columns of voxels from windows on a grid, inside the papyrus.

    Without a mask, columns that are zero in every layer count as padding. The same fragment gives
    the same sample, whatever is read before.

    Parameters
    ----------
    fragment : Fragment
    layers : slice, optional
        Which layers, counted from 0.

    Returns
    -------
    numpy.ndarray
        ``(z, n)``, the stack's dtype, at most some 150,000 columns.

    Raises
    ------
    FragmentError
        When there is no papyrus at all.
    """
    places, inside = _places(fragment)
    z = range(fragment.shape[0])[layers or slice(None)]
    if not len(z):
        raise FragmentError(f"{fragment.name}: no layers to look at", "choose at least one layer")
    z = slice(z.start, z.stop)
    # Layers that are files are read one after the other, so that each is opened and decoded once.
    per_layer = getattr(fragment.volume, "layerwise", False)
    steps = [slice(k, k + 1) for k in range(z.start, z.stop)] if per_layer else [z]
    sample = np.concatenate(
        [
            np.concatenate(
                [
                    fragment.read(step, *place)[:, keep]
                    for place, keep in zip(places, inside, strict=True)
                ],
                axis=1,
            )
            for step in steps
        ]
    )
    if fragment.mask is None:
        papyrus = (sample != 0).any(axis=0)
        if papyrus.any():
            sample = sample[:, papyrus]
    return sample


def _places(fragment: Fragment) -> tuple[list[tuple[slice, slice]], list[np.ndarray]]:
    """Up to 64 windows with papyrus, and which pixels of each are papyrus."""
    _, height, width = fragment.shape
    total = max(1, height // _SIDE) * max(1, width // _SIDE)
    wanted = _WINDOWS
    while True:
        places, inside = [], []
        for y, x in _grid(height, width, wanted):
            place = (slice(y, min(y + _SIDE, height)), slice(x, min(x + _SIDE, width)))
            keep = (
                np.ones([part.stop - part.start for part in place], bool)
                if fragment.mask is None
                else fragment.mask.read(*place)
            )
            if keep.any():
                places.append(place)
                inside.append(keep)
        if len(places) >= _WINDOWS // 2 or (wanted >= total and places):
            step = -(-len(places) // _WINDOWS)
            return places[::step], inside[::step]
        if wanted >= total:
            break
        wanted *= 4
    # Nothing on the finest grid of windows: the papyrus, if any, lies in the margin.
    for y, band in fragment.mask.bands():
        if band.any():
            row = int(np.flatnonzero(band.any(axis=1))[0])
            column = int(np.flatnonzero(band[row])[0])
            place = (
                slice(y.start + row, min(y.start + row + _SIDE, height)),
                slice(column, min(column + _SIDE, width)),
            )
            return [place], [fragment.mask.read(*place)]
    raise FragmentError(
        f"{getattr(fragment.mask, 'path', None) or f'the mask of {fragment.name}'} is empty",
        "give a mask with papyrus in it, or move it away",
    )


def _grid(height: int, width: int, wanted: int) -> list[tuple[int, int]]:
    """Upper left corners of about ``wanted`` windows, evenly spread."""
    rows = int(np.clip(round((wanted * height / width) ** 0.5), 1, max(1, height // _SIDE)))
    columns = int(np.clip(-(-wanted // rows), 1, max(1, width // _SIDE)))
    ys = [max(0, int((k + 0.5) * height / rows) - _SIDE // 2) for k in range(rows)]
    xs = [max(0, int((k + 0.5) * width / columns) - _SIDE // 2) for k in range(columns)]
    return [(y, x) for y in ys for x in xs]
