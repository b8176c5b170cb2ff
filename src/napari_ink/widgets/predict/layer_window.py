"""Which layers a network sees of a fragment: its window of them, without Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_ink.models.checkpoint import CheckpointInfo
    from napari_ink.volumes.fragment import Fragment


def default_layers(
    fragment: Fragment | None, info: CheckpointInfo | None
) -> tuple[int, int] | None:
    """The checkpoint's own window if the fragment has it, else as many layers about the middle."""
    if fragment is None:
        return None
    first, end = fragment.first_layer, fragment.first_layer + fragment.shape[0]
    if info is None:
        return first, end
    if info.layers and first <= info.layers[0] and info.layers[1] <= end:
        return tuple(info.layers)
    depth = min(info.depth, end - first)
    start = first + (end - first - depth) // 2
    return start, start + depth


def fit_window(
    wanted: Sequence[int], last: Sequence[int], depth: int, bounds: Sequence[int]
) -> tuple[int, int]:
    """A window of ``depth`` layers from one whose first or last handle was moved.

    Examples
    --------
    >>> fit_window((4, 32), (0, 32), 32, (0, 65))
    (4, 36)
    """
    start = wanted[0] if wanted[0] != last[0] else wanted[1] - depth
    start = max(bounds[0], min(start, bounds[1] - depth))
    return start, start + depth


def fit_range(
    wanted: Sequence[int], last: Sequence[int], depth: int, bounds: Sequence[int]
) -> tuple[int, int]:
    """A range of at least ``depth`` layers from one whose first or last handle was moved.

    Examples
    --------
    >>> fit_range((4, 8), (0, 8), 6, (0, 65))
    (2, 8)
    """
    first, end = wanted
    if end - first < depth:
        first = end - depth if first != last[0] else first
        first = max(bounds[0], min(first, bounds[1] - depth))
        end = first + depth
    return max(first, bounds[0]), min(end, bounds[1])
