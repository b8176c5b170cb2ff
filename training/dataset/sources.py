"""A source: a labelled fragment of a run, or a part of one, and what its windows come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_ink.inference.settings import Box
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Normaliser


@dataclass(frozen=True, eq=False)
class Source:
    """One labelled fragment, or a part of it: label in memory, the volume where it is.

    Planes are ``(y, x)`` of the whole fragment, and shared by all its parts.

    Attributes
    ----------
    name : str
        The fragment's, its region and part; no other source of the run has it.
    fragment : Fragment
        Supplies the windows.
    layers : slice
        Depth window, as indices.
    reverse : bool
        Whether windows are flipped in depth.
    task : str
        One of the network's.
    box : Box
        Rows and columns of the part.
    validation : bool
        Only looked at.
    joins : float
        Share of the run's steps after which it is learned from.
    windows, void, anywhere : int or None
        How many windows with ink, without, and whatever they hold; ``None``: as the selection
        says.
    label : numpy.ndarray
        Ink, uint8, 0 … 255 for 0 … 1.
    counts : numpy.ndarray
        Where the label counts, bool: on papyrus and, if the fragment says where it was looked at,
        there only.
    closed : numpy.ndarray or None
        Pixels that no window of this source may hold, bool; ``None``: there are none in the box.
    normaliser : Normaliser
        The intensity recipe bound to this fragment and depth window.
    """

    name: str
    fragment: Fragment
    layers: slice
    reverse: bool
    task: str
    box: Box
    validation: bool
    joins: float
    windows: int | None
    void: int | None
    anywhere: int | None
    label: np.ndarray
    counts: np.ndarray
    closed: np.ndarray | None
    normaliser: Normaliser

    def allowed_in(self, box: Box) -> np.ndarray:
        """Pixels that a window may hold, bool, of a box that lies in this source's own; a copy."""
        if self.closed is None:
            return np.ones(box.shape, bool)
        return ~self.closed[box.slices]

    @property
    def stored_layers(self) -> tuple[int, int]:
        """The depth window in stored numbering, half-open."""
        first = self.fragment.first_layer
        return first + self.layers.start, first + self.layers.stop

    def cut(self, y0: int, x0: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One window inside the fragment: normalised volume, label, weight.

        Returns
        -------
        tuple of numpy.ndarray
            ``(z, side, side)``, and two ``(side, side)``, all float32; label and weight in [0, 1].
        """
        y, x = slice(y0, y0 + side), slice(x0, x0 + side)
        raw = self.fragment.read(self.layers, y, x)
        volume = np.empty(raw.shape, np.float32)
        self.normaliser.fill(volume, raw, flip=self.reverse)
        label = self.label[y, x].astype(np.float32) / np.float32(255)
        return volume, label, self.counts[y, x].astype(np.float32)
