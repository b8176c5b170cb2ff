"""[Side by side] and [Provenance…] of the Predict dock: what can be done with ink that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt

from napari_ink._layers import carried, is_ink
from napari_ink.widgets.predict.provenance import ProvenanceDialog

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from napari_ink.widgets.predict.run_view import RunView
    from napari_ink.widgets.side_by_side import SideBySide


class InkButtons:
    """Does what both buttons of a :class:`RunView` say.

    Parameters
    ----------
    viewer : Viewer
    view : RunView
    side_by_side : SideBySide
    parent : QWidget
        Of the windows that are opened.
    """

    def __init__(
        self, viewer: Viewer, view: RunView, side_by_side: SideBySide, parent: QWidget
    ) -> None:
        self._viewer, self._view, self._parent = viewer, view, parent
        self._side_by_side = side_by_side
        view.provenance_wanted.connect(self._on_provenance)
        view.side_by_side_wanted.connect(self._on_side_by_side)
        side_by_side.changed.connect(self.show)

    def leave(self) -> None:
        """Hear no more of the grid, which may outlive the dock."""
        self._side_by_side.changed.disconnect(self.show)

    def show(self, *_) -> None:
        """Whether there is ink, and whether it is beside its stack."""
        self._view.show_ink(self._chosen() is not None, self._side_by_side.active)

    def _chosen(self) -> Image | None:
        """The selected ink layer, or the newest."""
        active = self._viewer.layers.selection.active
        if active is not None and is_ink(active):
            return active
        inks = [layer for layer in self._viewer.layers if is_ink(layer)]
        return inks[-1] if inks else None

    def _on_side_by_side(self, on: bool) -> None:
        self._side_by_side.show() if on else self._side_by_side.hide()

    def _on_provenance(self) -> None:
        ink = self._chosen()
        if ink is not None:
            record = carried(ink)
            dialog = ProvenanceDialog(ink.name, record["store"], record["provenance"], self._parent)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.show()
