"""Between arrays and layers: fragments and predictions as layer data, and layers as fragments.

Everything this plugin knows about a layer lies in ``layer.metadata["napari_ink"]``, so that it
travels with the layer object whatever the layer is called or renamed to: a dict with

``role``
    ``stack``, ``infrared``, ``ink label``; of a prediction, the name of the image in its store
    that the layer shows: ``ink``, and of Monte Carlo samples ``spread`` (standard deviation of the
    probability) and ``information`` (mutual information, bits). ``samples`` and ``places`` lie
    over an ink, too: samples that its blocks took, and its most uncertain places.
``fragment``
    The :class:`Fragment`, or None where it is not open.
``store``
    Of a prediction: path of its ``NAME.ink.zarr``; empty until the first block of a run. The
    layers of one prediction have the same.
``provenance``
    Of a prediction: what its store records; empty until the first block of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ink._lazy import LazyArray, coarse_step, viewing_levels
from napari_ink.errors import FragmentError

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.types import LayerData

    from napari_ink.volumes.fragment import Fragment

KEY = "napari_ink"
AXES = ("z", "y", "x")
MICROMETRE = "µm"
#: Images of a prediction beside its ink, in the order in which layers lie over the ink.
DOUBTS = ("information", "spread")
#: Layers of a prediction besides its ink, from the lowest up: those images, then how many samples
#: its blocks took, and places to look at.
OVER_INK = (*DOUBTS, "samples", "places")
_DOUBT_WORDS = {"spread": "uncertainty", "information": "disagreement"}
_AVERAGED = (" 4 ways", " 8 ways", " checkpoints")  # how the names of means end
_WAY_WORDS = {"turns": "each tile turned", "flips": "4 ways", "all": "8 ways"}
_SCALE_SIZE = (12, 100)  # px
_UNKNOWN = (0.16, 0.17, 0.2, 1.0)


def stack_layer_data(fragment: Fragment) -> LayerData:
    """The CT stack as one lazily read image layer that carries its fragment."""
    levels = viewing_levels(fragment.volume, fragment.levels)
    return (
        levels if len(levels) > 1 else levels[0],
        {
            "name": fragment.name,
            "multiscale": len(levels) > 1,
            "contrast_limits": grey_limits(fragment),
            "colormap": "gray",
            "metadata": {KEY: {"role": "stack", "fragment": fragment}},
            **space(fragment, 3),
        },
        "image",
    )


def fragment_layer_data(fragment: Fragment) -> list[LayerData]:
    """The stack, and its infrared photograph and ink label as hidden layers, where it has them.

    Hidden layers are not read before they are shown. The stack comes first: the viewer then starts
    in the middle of its depth.
    """
    layers = [stack_layer_data(fragment)]
    for plane, what, colormap, limits in (
        (fragment.infrared, "infrared", "gray", None),
        (fragment.label, "ink label", "bop blue", (0, 1)),
    ):
        if plane is None:
            continue
        arguments = {
            "name": f"{fragment.name} {what}",
            "visible": False,
            "colormap": colormap,
            "contrast_limits": limits or _dtype_limits(plane.dtype),
            "metadata": {KEY: {"role": what, "fragment": fragment}},
            **space(fragment, len(plane.shape)),
        }
        if what == "ink label":
            arguments |= {"blending": "additive", "opacity": 0.6}
        layers.append((LazyArray(plane), arguments, "image"))
    return layers


def space(fragment: Fragment, ndim: int) -> dict[str, Any]:
    """``scale``, ``units`` and ``axis_labels`` of a fragment's layers of so many axes."""
    place: dict[str, Any] = {"axis_labels": AXES[-ndim:]}
    if fragment.voxel_size is not None:
        place |= {"scale": fragment.voxel_size[-ndim:], "units": (MICROMETRE,) * ndim}
    return place


def grey_limits(fragment: Fragment) -> tuple[float, float]:
    """Contrast limits from a subsample of the middle layer; the stack is never scanned."""
    from napari_ink.volumes.sampling import subsample

    middle = fragment.shape[0] // 2
    try:
        sample = subsample(fragment, slice(middle, middle + 1))
    except FragmentError:  # an empty mask still lets one look
        return _dtype_limits(fragment.dtype)
    low, high = np.percentile(sample, (0.5, 99.5))
    return (float(low), float(high)) if low < high else _dtype_limits(fragment.dtype)


def _dtype_limits(dtype: np.dtype) -> tuple[float, float]:
    dtype = np.dtype(dtype)
    return (0.0, float(np.iinfo(dtype).max)) if dtype.kind in "ui" else (0.0, 1.0)


def carried(layer) -> dict[str, Any]:
    """What this plugin wrote into the layer; empty for foreign layers."""
    mine = layer.metadata.get(KEY)
    return mine if isinstance(mine, dict) else {}


def is_ink(layer) -> bool:
    """Whether the layer shows a prediction of ours."""
    return carried(layer).get("role") == "ink"


def is_doubt(layer) -> bool:
    """Whether the layer shows how sure a prediction of ours is: its spread or its information."""
    return carried(layer).get("role") in DOUBTS


def is_stack(layer) -> bool:
    """Whether the layer can be predicted on: it carries a fragment or is a plain 3D image."""
    from napari.layers import Image

    if not isinstance(layer, Image):
        return False
    if carried(layer):
        return carried(layer).get("role") == "stack"
    return layer.ndim == 3 and not layer.rgb


def fragment_of(layer: Image) -> Fragment:
    """The fragment that a layer carries, or the layer's own array as a fragment.

    Raises
    ------
    FragmentError
        When the array of a plain layer has a dtype that no scan has.
    """
    from napari_ink.volumes.fragment import Fragment

    fragment = carried(layer).get("fragment")
    if fragment is not None:
        return fragment
    data = layer.data[0] if layer.multiscale else layer.data
    return Fragment.from_array(data, name=layer.name, voxel_size=_micrometres(layer))


def _micrometres(layer) -> tuple[float, float, float] | None:
    """Voxel size of a plain layer in µm; None where its units are no lengths."""
    sizes = []
    for size, unit in zip(layer.scale, layer.units, strict=True):
        if unit.dimensionality != {"[length]": 1}:
            return None
        sizes.append(float((size * unit).to("micrometer").magnitude))
    return tuple(sizes)


def ink_arguments(stack: Image, ndim: int, first: float = 0, step: int = 1) -> dict[str, Any]:
    """Where a prediction on ``stack`` lies: all that moves the stack moves the ink.

    Parameters
    ----------
    stack : Image
        The layer that was predicted on, wherever the user put it.
    ndim : int
        2 for an ink map, 3 for a labelled volume.
    first : float
        Index of the first layer of the window, for a volume; of a depth sweep, its middle.
    step : int
        Layers of the stack from one layer of a volume to the next.
    """
    translate = np.array(stack.translate[-ndim:])
    if ndim == 3:
        translate[0] += first * stack.scale[-3]
    factors = (step, 1, 1)[-ndim:]
    affine = np.asarray(stack.affine.affine_matrix)
    keep = [*range(3 - ndim, 3), 3]
    return {
        "scale": tuple(s * f for s, f in zip(stack.scale[-ndim:], factors, strict=True)),
        "translate": tuple(translate),
        "rotate": np.asarray(stack.rotate)[-ndim:, -ndim:],
        "affine": affine[np.ix_(keep, keep)],
        "units": tuple(stack.units[-ndim:]),
        "axis_labels": tuple(stack.axis_labels[-ndim:]),
    }


def ink_look(inverted_grey: bool = False) -> dict[str, Any]:
    """Colours of a probability of ink."""
    return {
        "colormap": _with_unknown("gray_r" if inverted_grey else "inferno", "ink"),
        "contrast_limits": (0.0, 1.0),
        "interpolation2d": "linear",
    }


def doubt_look() -> dict[str, Any]:
    """Colours of how sure ink is, which no ink has; hidden, for the ink is seen first.

    Fixed limits, so that maps can be compared: half of the most that samples can differ by (a
    standard deviation of one half), a quarter of the most that they can disagree (a bit).
    """
    return {
        "colormap": _with_unknown("viridis", "doubt"),
        "contrast_limits": (0.0, 0.25),
        "interpolation2d": "linear",
        "visible": False,
    }


def show_scale(doubt: Image) -> None:
    """What its colours mean, in a corner, as long as the layer is seen."""
    doubt.colorbar.position = "bottom_right"
    doubt.colorbar.size = _SCALE_SIZE
    doubt.colorbar.visible = True


def _with_unknown(name: str, prefix: str):
    """A colormap in which what was not predicted is a grey that is none of its colours."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    colours = ensure_colormap(name)
    return Colormap(
        colours.colors,
        name=f"{prefix} {name}",
        display_name=f"{prefix}, {name}",
        controls=colours.controls,
        interpolation=colours.interpolation,
        nan_color=_UNKNOWN,
    )


def ink_name(
    fragment: str,
    layers: Sequence[int],
    bounds: Sequence[int],
    reverse_depth: bool,
    sampled: bool = False,
    symmetries: str = "none",
    swept: bool = False,
    checkpoints: int = 1,
) -> str:
    """The fragment, and what tells this ink from another of it.

    Parameters
    ----------
    fragment : str
        Its name.
    layers, bounds : sequence of int
        Depth window and stored layers, half-open; the window is named if there was a choice.
    reverse_depth : bool
        Against the way the checkpoint was trained.
    sampled : bool
        Whether it is the mean of Monte Carlo samples.
    symmetries : str
        Which way the fragment was turned.
    swept : bool
        Whether a window slid over these layers.
    checkpoints : int
        Of how many it is the mean.
    """
    parts = [fragment, "ink"]
    if tuple(layers) != tuple(bounds):
        parts.append(f"{layers[0]}:{layers[1]}")
    parts += ["reversed"] * reverse_depth + ["depth sweep"] * swept
    if symmetries in _WAY_WORDS:
        parts.append(_WAY_WORDS[symmetries])
    if checkpoints > 1:
        parts.append(f"{checkpoints} checkpoints")
    parts += ["sampled"] * sampled
    return " ".join(parts)


def doubt_name(ink: str, role: str) -> str:
    """Of the layer that shows how sure this ink is.

    A single pass leaves no doubt, so that "sampled" is said only of what is a mean without samples,
    too, and has doubts of its own.
    """
    plain = ink.removesuffix(" sampled")
    return f"{ink if plain.endswith(_AVERAGED) else plain} {_DOUBT_WORDS[role]}"


def ink_metadata(
    fragment: Fragment | None, store: str, provenance: dict, role: str = "ink"
) -> dict[str, Any]:
    """What a layer of a prediction carries; ``role`` says which of its images."""
    return {
        KEY: {"role": role, "fragment": fragment, "store": store, "provenance": dict(provenance)}
    }


def ink_levels(array: np.ndarray) -> list[np.ndarray] | np.ndarray:
    """An ink map as levels to look at; the coarse one is a view, so it is never out of date."""
    step = coarse_step(array.shape[-2:])
    return array if step == 1 else [array, array[..., ::step, ::step]]
