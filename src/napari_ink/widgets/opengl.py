"""OpenGL objects are deleted in the context that they were made in."""

from __future__ import annotations

from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget


def make_canvas_current(widget: QWidget) -> None:
    """Before a layer is removed, let its OpenGL objects go in the context of the window's canvas.

    napari deletes them at once, in whichever context is current: with Mesa the canvas then draws
    without a vertex shader, and the process crashes.

    Parameters
    ----------
    widget : QWidget
        Anything inside the viewer's window.
    """
    window = widget
    while window.parentWidget() is not None:  # above a floating dock, too
        window = window.parentWidget()
    for canvas in window.findChildren(QOpenGLWidget):
        canvas.makeCurrent()
