"""A voxel size that nothing recorded, told by the user: the stack and all that lies on it follow.

Layers of which no size is known lie in pixels. Once told, they lie in micrometres; what covered
the same voxels before covers them still, and the view stays where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ink._layers import KEY, MICROMETRE, carried, fragment_of, is_stack

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_ink.volumes.fragment import Fragment


def records_voxel_size(stack: Image, fragment: Fragment) -> bool:
    """Whether the size came with the fragment, and is not for the user to tell."""
    return fragment.voxel_size is not None and not carried(stack).get("told")


def tell_voxel_size(viewer: Viewer, stack: Image, size: float | None) -> Fragment:
    """Give a stack its voxel size.

    Parameters
    ----------
    viewer : Viewer
        Its camera and slider follow.
    stack : Image
        A layer whose fragment records none.
    size : float or None
        µm, the same along all axes; ``None``: unknown again.

    Returns
    -------
    Fragment
        The fragment that the layer carries from now on.
    """
    before = fragment_of(stack)
    told = before.at_voxel_size(size)
    ratio = (size or 1.0) / np.asarray(stack.scale)[-3:]
    unit = MICROMETRE if size else "pixel"
    grid = tuple(stack.scale), tuple(stack.units)
    camera = viewer.scene.camera
    centre, zoom, point = camera.center, camera.zoom, np.array(viewer.dims.point, float)
    for layer in [layer for layer in viewer.layers if _lies_on(layer, stack, before, *grid)]:
        mine = carried(layer)
        _stretch(layer, ratio[-layer.ndim :], unit)
        if mine.get("fragment") is not None:
            mine = mine | {"fragment": told}
        if layer == stack:
            mine = mine | {"role": "stack", "told": size is not None}
        if mine:
            layer.metadata = {**layer.metadata, KEY: mine}
    camera.center = (*centre[:-2], *(np.array(centre[-2:]) * ratio[-2:]))
    camera.zoom = zoom / float(ratio[-1])
    n = min(len(point), 3)
    viewer.dims.point = (*point[:-n], *(point[-n:] * ratio[-n:]))
    return fragment_of(stack)


def _lies_on(layer: Layer, stack: Image, fragment: Fragment, scale: tuple, units: tuple) -> bool:
    """The stack itself, what was made of its fragment, and what others put on the same grid."""
    if layer == stack:
        return True
    if carried(layer).get("fragment") is not None:
        return _pixels(carried(layer)["fragment"]) is _pixels(fragment)
    if is_stack(layer) or layer.ndim > 3:
        return False
    n = layer.ndim
    return tuple(layer.units) == units[-n:] and np.allclose(layer.scale, scale[-n:])


def _pixels(fragment: Fragment) -> object:
    # A plain layer becomes a new fragment each time it is asked, always of the same array.
    return getattr(fragment.volume, "array", fragment.volume)


def _stretch(layer: Layer, ratio: np.ndarray, unit: str) -> None:
    """Scale a layer's place in the world about the origin."""
    affine = np.asarray(layer.affine.affine_matrix)
    by = np.diag([*ratio, 1.0])
    layer.units = (unit,) * layer.ndim
    layer.scale = np.asarray(layer.scale) * ratio
    layer.translate = np.asarray(layer.translate) * ratio
    layer.affine = by @ affine @ np.linalg.inv(by)
