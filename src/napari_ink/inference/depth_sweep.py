"""Depth sweep: the checkpoint's window of layers slides over the stack, an ink layer a place.

Ink may lie in other layers at one end of a fragment than at the other, or in more than one sheet.
The ink layers of all windows together are a ``(z, y, x)`` stack, of which each layer gets a cut of
its own (:mod:`napari_ink.analysis.thresholds`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment
    from napari_ink.volumes.intensity import Normaliser


class Window(NamedTuple):
    """One place of the sliding window.

    Attributes
    ----------
    layers : tuple of int
        ``(first, end)``, half-open, in the numbering of the stored layers.
    z : slice
        The same, counted from 0.
    normaliser : Normaliser
        The checkpoint's recipe, bound to these layers of the fragment.
    """

    layers: tuple[int, int]
    z: slice
    normaliser: Normaliser


def swept_layers(
    fragment: Fragment, model: InkNetwork, wanted: tuple[int, int] | None, step: int
) -> tuple[tuple[int, int], list[tuple[int, int]], list[str]]:
    """Over which layers the window slides, its places, and what to say of them.

    Parameters
    ----------
    fragment : Fragment
    model : InkNetwork
    wanted : tuple of int, optional
        ``(first, end)`` in stored numbering; ``None``: all layers.
    step : int
        From one place to the next, in layers.

    Raises
    ------
    SettingsError
        For a step below 1, too few layers, and a network that labels volumes.
    """
    if type(step) is not int or step < 1:
        raise SettingsError(f"a depth sweep in steps of {step}", "choose a whole number from 1")
    if model.output == "volume":
        raise SettingsError(
            f"a depth sweep with a {model.architecture} network, which labels every layer",
            "predict without a sweep: its result has a layer a layer already",
        )
    first = fragment.first_layer
    layers = (first, first + fragment.shape[0]) if wanted is None else tuple(wanted)
    fragment.layer_range(*layers)  # are they all here?
    if layers[1] - layers[0] < model.depth:
        raise SettingsError(
            f"the layers {layers[0]}:{layers[1]} are {layers[1] - layers[0]}, the checkpoint takes "
            f"{model.depth}",
            "sweep over more layers, or choose a checkpoint for fewer",
        )
    starts = range(layers[0], layers[1] - model.depth + 1, step)
    windows = [(start, start + model.depth) for start in starts]
    said = []
    if len(windows) == 1:
        said.append(
            f"the depth sweep has one window, {windows[0][0]}:{windows[0][1]}: its step is too "
            "large, or there are no more layers"
        )
    elif windows[-1][1] < layers[1]:
        said.append(f"the layers {windows[-1][1]}:{layers[1]} lie in no window of the depth sweep")
    return layers, windows, said
