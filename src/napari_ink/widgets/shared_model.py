"""What the docks of one viewer share: which fragment, checkpoint and task they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

from psygnal import Signal

from napari_ink._preferences import read_preferences
from napari_ink.widgets.predict.model import PredictModel
from napari_ink.widgets.predict.samples_kept import samples_in
from napari_ink.widgets.side_by_side import SideBySide

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

#: By the viewer's identity. A value holds its viewer, and is held by the docks alone: so an
#: identity is not given to another viewer while it stands here.
_shared: WeakValueDictionary[int, SharedModel] = WeakValueDictionary()


class SharedModel:
    """One viewer's choices, and its one grid of stack and ink.

    Signals
    -------
    stack_chosen : Image or None
        The layer of the fragment is another.

    Attributes
    ----------
    model : PredictModel
    side_by_side : SideBySide

    Parameters
    ----------
    viewer : Viewer
        The real one.
    """

    stack_chosen = Signal(object)

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._docks: WeakSet[object] = WeakSet()
        preferences = read_preferences()
        self.model = PredictModel(
            device=preferences.device, tile=preferences.tile, **samples_in(preferences)
        )
        self.side_by_side = SideBySide(viewer)

    @property
    def stack(self) -> Image | None:
        """The layer that shows the fragment."""
        return self.side_by_side.stack

    @stack.setter
    def stack(self, stack: Image | None) -> None:
        if stack != self.side_by_side.stack:  # not "is": plugins see layers through proxies
            self.side_by_side.stack = stack
            self.stack_chosen.emit(stack)

    def join(self, dock: object) -> None:
        """A dock is there."""
        self._docks.add(dock)

    def leave(self, dock: object) -> None:
        """A dock goes; with the last one, the grid is given back and the choices are forgotten."""
        self._docks.discard(dock)
        if not self._docks:
            self.side_by_side.hide()
            _shared.pop(id(self._viewer), None)


def shared_model(viewer: Viewer) -> SharedModel:
    """What the docks of this viewer share, whichever asks first."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins see a proxy of it
    shared = _shared.get(id(viewer))
    if shared is None:
        shared = _shared[id(viewer)] = SharedModel(viewer)
    return shared
