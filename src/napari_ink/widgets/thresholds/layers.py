"""Which layers the Thresholds dock offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_ink._layers import carried, is_doubt, is_ink, is_stack

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer


def predictions(layers: Sequence[Layer]) -> list[tuple[str, tuple[Image, ...]]]:
    """Each ink by itself, and first all ink maps of one size together, where there are several."""
    inks = [layer for layer in layers if is_ink(layer)]
    maps = [ink for ink in inks if ink.ndim == 2]
    alike = [ink for ink in maps if _shape(ink) == _shape(maps[-1])]
    found = [(ink.name, (ink,)) for ink in inks]
    if len(alike) > 1:
        found.insert(0, (f"all {len(alike)} ink maps", tuple(alike)))
    return found


def labels(layers: Sequence[Layer]) -> list[Layer]:
    """What may say where ink is: Labels, and images that are no stack, ink or photograph."""
    from napari.layers import Image, Labels

    return [
        layer
        for layer in layers
        if isinstance(layer, Labels)
        or (isinstance(layer, Image) and not (layer.rgb or is_stack(layer) or _is_no_label(layer)))
    ]


def default_label(layers: Sequence[Layer], inks: Sequence[Image], now: Layer | None):
    """The label chosen now, if it may belong to these; else that of their fragment, else none."""
    if not inks:
        return None
    fragment = carried(inks[0]).get("fragment")
    if now is not None and carried(now).get("fragment") in (None, fragment):
        return now
    for layer in labels(layers):
        mine = carried(layer)
        if mine.get("role") == "ink label" and mine.get("fragment") is fragment is not None:
            return layer
    return None


def window_colours(viewer: Viewer) -> tuple[str, str]:
    """Background and text of the window."""
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme)
    return theme.background.as_hex(), theme.text.as_hex()


def _is_no_label(layer: Image) -> bool:
    return is_doubt(layer) or carried(layer).get("role") in ("ink", "infrared", "samples")


def _shape(layer: Image) -> tuple[int, ...]:
    return tuple((layer.data[0] if layer.multiscale else layer.data).shape)
