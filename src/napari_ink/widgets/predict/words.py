"""What the Predict dock says of a fragment, a checkpoint and the two together, without Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ink.inference.doubts import LARGEST_SCALE_ERROR, scale_error

if TYPE_CHECKING:
    from napari_ink.models.checkpoint import CheckpointInfo
    from napari_ink.volumes.fragment import Fragment


def checkpoint_line(info: CheckpointInfo | None) -> str:
    """One line about a checkpoint: ``2D · F0.5 .86 · window 0.51 mm``."""
    if info is None:
        return ""
    parts = ["3D labels" if info.arguments.get("collapse") == "none" else "2D"]
    score = info.metrics.get("f05")
    if isinstance(score, int | float):
        parts.append(f"F0.5 {f'{score:.2f}'.removeprefix('0')}")
    if info.window_mm is not None:
        parts.append(f"window {info.window_mm:.2f} mm")
    return " · ".join(parts)


def fragment_line(fragment: Fragment | None) -> str:
    """One line about a fragment: ``32×640×1280 · 16 µm``."""
    if fragment is None:
        return ""
    size = "×".join(str(length) for length in fragment.shape)
    voxel = fragment.voxel_size
    grain = "voxel size unknown" if voxel is None else f"{voxel[-1]:g} µm"
    return f"{size} · {grain}" + (" · simulated" if fragment.simulated else "")


def scale_line(fragment: Fragment | None, info: CheckpointInfo | None) -> str:
    """``window 0.51 mm · scale matches``."""
    if info is None or fragment is None:
        return ""
    parts = [] if info.window_mm is None else [f"window {info.window_mm:.2f} mm"]
    error = scale_error(fragment, info)
    if error is not None:
        matches = error <= LARGEST_SCALE_ERROR
        parts.append("scale matches" if matches else "scale differs")
    return " · ".join(parts)


def sweep_words(
    swept: tuple[int, int] | None, bounds: tuple[int, int], depth: int, windows: int, flip: bool
) -> str:
    """What a window of so many layers does that slides over these, or over all of them."""
    layers = f"all {bounds[1] - bounds[0]} layers"
    if swept is not None:
        layers = f"layers {swept[0]}–{swept[1] - 1}"
    places = "1 window" if windows == 1 else f"{windows} windows"
    cost = "" if windows < 2 else f", {windows} × as long"
    return (
        f"Depth sweep: {layers}, window of {depth}, {places}, each read "
        f"{'down' if flip else 'up'}. An ink layer each{cost}."
    )
