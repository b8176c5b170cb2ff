"""File ▸ Open Sample: the simulated fragment that comes with the plugin."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.types import LayerData
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QDockWidget

SAMPLE_FRAGMENT = "fragment"
SAMPLE_NAME = "sample"
_SETTLED_MS = 100


def fragment() -> list[LayerData]:
    """The sample fragment as layers, and the Predict dock beside it, one click from ink."""
    from napari_ink._layers import fragment_layer_data
    from napari_ink.volumes.layouts import open_fragment
    from napari_ink.volumes.sample import sample_path

    sample = replace(open_fragment(sample_path(SAMPLE_FRAGMENT)), name=SAMPLE_NAME)
    layers = fragment_layer_data(sample)
    open_dock_soon()
    return layers


def open_dock_soon() -> None:
    """Open the Predict dock once the layers are in, if there is a window to open it in."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is None:
        return
    from qtpy.QtCore import QTimer

    QTimer.singleShot(0, open_dock)


def open_dock() -> None:
    """Open the Predict dock in the current viewer, with the visible top layer selected.

    Whoever opened something for another dock of ours keeps that one in front.
    """
    from napari import current_viewer
    from qtpy.QtCore import QTimer

    viewer = current_viewer()
    if viewer is None:
        return
    front = _front_dock(viewer)
    viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink", tabify=True)
    if front is not None:
        QTimer.singleShot(_SETTLED_MS, front.raise_)  # once the tabs are made
    QTimer.singleShot(_SETTLED_MS, viewer.reset_view)  # docks have taken room from the canvas
    visible = [layer for layer in viewer.layers if layer.visible]
    if visible:
        viewer.layers.selection.active = visible[-1]


def _front_dock(viewer: Viewer) -> QDockWidget | None:
    """The dock of ours that is seen, whichever it is."""
    from qtpy.QtWidgets import QDockWidget

    for name, widget in viewer.window.dock_widgets.items():
        if not name.endswith("(napari-ink)") or widget.visibleRegion().isEmpty():
            continue
        dock = widget
        while dock is not None and not isinstance(dock, QDockWidget):
            dock = dock.parentWidget()
        return dock
    return None
