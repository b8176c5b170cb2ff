"""Docks of this plugin as tabs: one below the other they would be too short on a small screen."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

_OURS = "(napari-ink)"  # what napari puts behind the names of our docks


def join_tabs(widget: QWidget) -> None:
    """Make the dock that holds a widget a tab beside the plugin's other docks, and the front one.

    Docks that float, or that the user moved to another side, are left where they are.
    """
    dock = widget
    while dock is not None and not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    window = None if dock is None else dock.parentWidget()
    if not isinstance(window, QMainWindow) or dock.isFloating():
        return
    here = window.dockWidgetArea(dock)
    for other in window.findChildren(
        QDockWidget, options=Qt.FindChildOption.FindDirectChildrenOnly
    ):
        beside = not other.isFloating() and window.dockWidgetArea(other) == here
        if other is not dock and _OURS in other.windowTitle() and beside and other.isVisible():
            if dock not in window.tabifiedDockWidgets(other):
                window.tabifyDockWidget(other, dock)
            break
    QTimer.singleShot(0, dock.raise_)  # the tab is only made when the layout is next at work
