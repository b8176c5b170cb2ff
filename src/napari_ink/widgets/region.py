"""Where to predict, from what the viewer shows: the visible area, drawn rectangles, the centre."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ink._view import focus_point, shapes_box, visible_box
from napari_ink.errors import SettingsError
from napari_ink.widgets.predict.model import Region

if TYPE_CHECKING:
    from napari.layers import Image, Shapes
    from napari.viewer import Viewer

    from napari_ink.inference.settings import Box


class RegionPicker:
    """Reads regions off one viewer.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def shapes_layers(self) -> list[Shapes]:
        """The layers that hold rectangles."""
        from napari.layers import Shapes

        return [layer for layer in self._viewer.layers if isinstance(layer, Shapes)]

    def focus(self, stack: Image) -> tuple[float, float] | None:
        """The centre of the view, in the stack's pixels."""
        return focus_point(self._viewer, stack)

    def box(self, region: Region, stack: Image, shapes: Shapes | None) -> Box | None:
        """The region in the stack's pixels; ``None`` for the whole papyrus.

        Raises
        ------
        SettingsError
            When there is no such region, saying what to do.
        """
        if region is Region.PAPYRUS:
            return None
        if region is Region.VISIBLE:
            box = visible_box(self._viewer, stack)
            if box is None:
                raise SettingsError(
                    "the canvas shows no part of this fragment",
                    "look at its layers in 2D, from above, and move them into sight",
                )
            return box
        if shapes is None:
            raise SettingsError("no rectangle has been drawn", "press Draw and draw one")
        box = shapes_box(self._viewer, stack, shapes)
        if box is None:
            raise SettingsError(
                f"{shapes.name} holds no rectangle on the fragment", "draw one over the stack"
            )
        return box

    def draw(self, stack: Image) -> Shapes:
        """A new shapes layer over the stack, ready to draw a rectangle."""
        shapes = self._viewer.add_shapes(
            ndim=2,
            name=f"region of {stack.name}",
            scale=stack.scale[-2:],
            translate=stack.translate[-2:],
            units=tuple(stack.units[-2:]),
            axis_labels=tuple(stack.axis_labels[-2:]),
            edge_color="yellow",
            edge_width=max(1, round(stack.data.shape[-1] / 400)),
            face_color=np.zeros(4),
        )
        shapes.mode = "add_rectangle"
        return shapes
