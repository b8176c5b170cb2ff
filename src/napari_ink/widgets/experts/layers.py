"""The two maps of a region as layers, beside their stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ink._layers import ink_arguments, is_ink
from napari_ink._prediction_layers import prediction_layer_data

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_ink.widgets.side_by_side import SideBySide


class EffectLayers:
    """At most one pair of layers: with all experts, and without some.

    Parameters
    ----------
    viewer : Viewer
    side_by_side : SideBySide
    """

    def __init__(self, viewer: Viewer, side_by_side: SideBySide) -> None:
        self._viewer, self._side_by_side = viewer, side_by_side
        self._pair: list[Image] = []

    def show(self, stack: Image, stores: tuple[Path, Path], labels: tuple[str, ...]) -> None:
        """Show a pair in place of the last one; other ink is hidden, its eye brings it back."""
        whole = self._side_by_side.shows_whole()
        for layer in self._pair:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        for layer in filter(is_ink, self._viewer.layers):
            layer.visible = False
        names = "ink, all experts", f"ink without {', '.join(labels)}"
        self._pair = [
            self._add(stack, str(store), name) for store, name in zip(stores, names, strict=True)
        ]
        self._side_by_side.show()
        if whole:  # it still should be, in narrower cells
            self._viewer.reset_view()

    def _add(self, stack: Image, store: str, name: str) -> Image:
        levels, arguments, _ = prediction_layer_data(store, [stack])[-1]
        first = 0
        ndim = (levels[0] if isinstance(levels, list) else levels).ndim
        if ndim == 3:
            first = arguments["metadata"]["napari_ink"]["provenance"]["first_z"]
        arguments |= ink_arguments(stack, ndim, first)  # also where the user moved the stack
        arguments["name"] = name
        return self._viewer.add_image(levels, **arguments)
