"""What the viewer looks at, in a stack's own pixels: visible area, centre, drawn rectangles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ink.inference.settings import Box

if TYPE_CHECKING:
    from napari.layers import Image, Shapes
    from napari.viewer import Viewer


def looks_at_layers(viewer: Viewer) -> bool:
    """Whether the canvas shows single layers (z slices), which is where ink is seen."""
    dims = viewer.dims
    return dims.ndisplay == 2 and tuple(dims.displayed) == (dims.ndim - 2, dims.ndim - 1)


def visible_box(viewer: Viewer, stack: Image) -> Box | None:
    """The part of the stack's plane that one cell of the canvas shows.

    Returns
    -------
    Box or None
        ``None`` when the canvas shows no layers from above, or none of this stack.
    """
    if not looks_at_layers(viewer):
        return None
    camera = viewer.scene.camera
    half = np.array(viewer.canvas.viewbox_size(viewer.layers), float) / camera.zoom / 2
    centre = np.array(camera.center[-2:])
    corners = [centre + half * sign for sign in ((-1, -1), (-1, 1), (1, -1), (1, 1))]
    return _box(viewer, stack, corners)


def focus_point(viewer: Viewer, stack: Image) -> tuple[float, float] | None:
    """``(y, x)`` of the canvas centre in the stack's pixels."""
    if not looks_at_layers(viewer):
        return None
    y, x = _to_data(viewer, stack, np.array(viewer.scene.camera.center[-2:]))
    return float(y), float(x)


def shapes_box(viewer: Viewer, stack: Image, shapes: Shapes) -> Box | None:
    """The bounding rectangle of the selected shapes, or of the last one drawn."""
    if not len(shapes.data):
        return None
    chosen = sorted(shapes.selected_data) or [len(shapes.data) - 1]
    corners = [
        np.array(shapes.data_to_world(vertex))[-2:] for k in chosen for vertex in shapes.data[k]
    ]
    return _box(viewer, stack, corners)


def _to_data(viewer: Viewer, stack: Image, world: np.ndarray) -> np.ndarray:
    position = np.array(viewer.dims.point, float)
    position[-2:] = world
    return np.asarray(stack.world_to_data(position))[-2:]


def _box(viewer: Viewer, stack: Image, corners: list[np.ndarray]) -> Box | None:
    # Pixel k reaches from k − ½ to k + ½ in data coordinates.
    points = np.array([_to_data(viewer, stack, corner) for corner in corners]) + 0.5
    height, width = (stack.data[0] if stack.multiscale else stack.data).shape[-2:]
    y0, x0 = np.floor(points.min(axis=0) + 1e-6).astype(int)
    y1, x1 = np.ceil(points.max(axis=0) - 1e-6).astype(int)
    box = Box(max(int(y0), 0), min(int(y1), height), max(int(x0), 0), min(int(x1), width))
    return box if box.y0 < box.y1 and box.x0 < box.x1 else None
