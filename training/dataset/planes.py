"""The planes of a fragment that a run needs in memory: its label, and what of it counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_ink.errors import FragmentError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.layouts import open_fragment

_ROWS = 256  # of a label that is converted at a time


@dataclass(eq=False)
class Planes:
    """What is drawn upon a fragment, ``(y, x)``; shared by all its parts.

    Attributes
    ----------
    key : str
        The fragment's fingerprint: the same pixels, under whatever path.
    label : numpy.ndarray
        Ink, uint8, 0 … 255 for 0 … 1.
    counts : numpy.ndarray
        Where the label counts, bool: on papyrus and, if the fragment says where it was looked at,
        there only.
    mask : numpy.ndarray or None
        Papyrus, bool; ``None``: everywhere, or not needed any more.
    validation : numpy.ndarray or None
        What the fragment itself sets apart to validate on, bool; ``None``: nothing.
    """

    key: str
    label: np.ndarray
    counts: np.ndarray
    mask: np.ndarray | None
    validation: np.ndarray | None


def read_planes(fragment: Fragment) -> Planes:
    """Label and masks, checked.

    They come from an opening of their own, since image files keep what they decoded.

    Raises
    ------
    FragmentError
        If there is nothing to learn from.
    """
    if fragment.label is None:
        raise FragmentError(f"{fragment.name} has no ink label", "add inklabels.png")
    if len(fragment.label.shape) != 2:
        raise FragmentError(
            f"{fragment.name} is labelled voxel by voxel", "give fragments with one label (y, x)"
        )
    fresh = open_fragment(fragment.path) if fragment.path else fragment
    label = np.empty(fragment.shape[1:], np.uint8)
    for y, values in fresh.label.bands():
        for row in range(0, len(values), _ROWS):
            rows = np.rint(values[row : row + _ROWS] * 255)
            label[y.start + row : y.start + row + len(rows)] = rows
    mask, supervision, validation = (
        None if plane is None else np.asarray(plane, bool)
        for plane in (fresh.mask, fresh.supervision, fresh.validation)
    )
    if mask is None:
        counts = np.ones(label.shape, bool) if supervision is None else supervision
    else:
        counts = mask if supervision is None else mask & supervision
    if not counts.any():
        raise FragmentError(
            f"{fragment.name} has no labelled papyrus", "check mask and supervision mask"
        )
    if validation is not None and not validation.any():
        validation = None
    return Planes(fragment.fingerprint(), label, counts, mask, validation)
