"""Cuts on the canvas without touching a pixel: contrast limits that meet, and follow the layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

_STEP = 2.0**-11  # below the spacing of float16 just under 1


class CutView:
    """Shows some ink layers cut: all from the cut on in the last colour, all below in the first.

    The graphics card does it, by contrast limits a step apart. What they were before is given back
    by :meth:`hide`.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._inks: tuple[Image, ...] = ()
        self._before: list[tuple[tuple[float, float], tuple[float, float]]] = []
        self._cuts: tuple[float, ...] = ()
        viewer.dims.events.current_step.connect(self._follow)

    @property
    def shown(self) -> bool:
        """Whether layers are shown cut."""
        return bool(self._inks)

    def show(self, inks: Sequence[Image], cuts: Sequence[float]) -> None:
        """Show these layers at these cuts: one a layer of the volume, or one an ink map."""
        self._cuts = tuple(cuts)
        if list(inks) != list(self._inks):
            self.hide()
            self._inks = tuple(inks)
            self._before = [
                (tuple(ink.contrast_limits), tuple(ink.contrast_limits_range)) for ink in inks
            ]
        self._follow()

    def hide(self) -> None:
        """Give the layers their own contrast back."""
        for ink, (limits, limits_range) in zip(self._inks, self._before, strict=True):
            ink.contrast_limits_range = limits_range
            ink.contrast_limits = limits
        self._inks, self._before = (), []

    def close(self) -> None:
        """The same, and hear no more of the viewer."""
        self.hide()
        self._viewer.dims.events.current_step.disconnect(self._follow)

    def layer_shown(self, ink: Image) -> int:
        """Which layer of a volume the canvas shows, from 0."""
        if ink.ndim == 2:
            return 0
        position = np.asarray(ink.world_to_data(self._viewer.dims.point))[-3]
        depth = (ink.data[0] if ink.multiscale else ink.data).shape[0]
        return int(np.clip(np.floor(position + 0.5), 0, depth - 1))

    def _follow(self, *_) -> None:
        for k, ink in enumerate(self._inks):
            cut = self._cuts[self.layer_shown(ink) if ink.ndim == 3 else k]
            limits = cut_limits(cut)
            if tuple(ink.contrast_limits) != limits:
                ink.contrast_limits = limits


def cut_limits(cut: float) -> tuple[float, float]:
    """Contrast limits between which no stored probability lies.

    Examples
    --------
    >>> cut_limits(0.5)
    (0.499755859375, 0.5)
    """
    if cut > 1:
        return 1.0, 1.0 + _STEP
    from napari_ink.analysis.metrics import BIN_VALUES

    at = int(np.searchsorted(BIN_VALUES, cut, side="left"))
    below = -_STEP if at == 0 else float(BIN_VALUES[at - 1])
    return below, float(BIN_VALUES[at])
