"""Keys of the canvas that step from place to place, given back when the dock goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.viewer import Viewer

#: napari binds neither, in any kind of layer.
NEXT, BACK = "N", "Shift-N"


class StepKeys:
    """Binds both keys; what the user had bound to them comes back with :meth:`close`.

    Parameters
    ----------
    viewer : Viewer
    step : callable
        Called with 1 or −1.
    """

    def __init__(self, viewer: Viewer, step: Callable[[int], None]) -> None:
        self._viewer = viewer
        self._before = {str(key): action for key, action in viewer.keymap.items()}
        viewer.bind_key(NEXT, lambda _: step(1), overwrite=True)
        viewer.bind_key(BACK, lambda _: step(-1), overwrite=True)

    def close(self) -> None:
        """Give the keys back."""
        for key in (NEXT, BACK):
            before = self._before.get(key.replace("-", "+"))
            self._viewer.bind_key(key, before, overwrite=True)
