"""What to know about a fragment and a checkpoint before trusting the ink that they make.

The same sentences stand in the dock, on the command line and in the provenance. Nothing here needs
torch, so that a dock can ask before the network is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_ink.models.info import CheckpointInfo
    from napari_ink.volumes.fragment import Fragment

WIDEST_WINDOW_MM = 0.55  # 64 px at 8 µm: beyond it networks learn letter shapes (DATA.md, 9)
LARGEST_SCALE_ERROR = 0.2


def doubts(fragment: Fragment, info: CheckpointInfo) -> list[str]:
    """Every reason to doubt this checkpoint on this fragment, one sentence each.

    Raises
    ------
    FragmentError
        When the places that tell fragments apart cannot be read.
    """
    known = trained_on(fragment, info)
    return doubts_at_sight(fragment, info) + ([] if known is None else [known])


def doubts_at_sight(fragment: Fragment | None, info: CheckpointInfo) -> list[str]:
    """Those that need no pixel; without a fragment, those about the checkpoint alone."""
    found = []
    if fragment is not None:
        found += _of_scale(fragment, info)
    if info.window_mm is not None and info.window_mm > WIDEST_WINDOW_MM:
        found.append(
            f"trained on windows of {info.window_mm:.2f} mm, wider than {WIDEST_WINDOW_MM} mm: "
            "it may have learned the shapes of letters"
        )
    if not info.thresholds:
        found.append("the checkpoint names no ink threshold: one half taken")
    return found


def trained_on(fragment: Fragment, info: CheckpointInfo) -> str | None:
    """The doubt about a fragment that the checkpoint learned from; ``None`` if it did not.

    Reads 36 places of the fragment the first time, unless the checkpoint names no data: a tenth of
    a second on a local disk, much more over a network.

    Raises
    ------
    FragmentError
        When they cannot be read.
    """
    learned = [entry["fingerprint"] for entry in info.dataset if entry.get("fingerprint")]
    if learned and fragment.fingerprint() in learned:
        return "the checkpoint was trained on this fragment: its ink proves nothing here"
    return None


def scale_error(fragment: Fragment, info: CheckpointInfo) -> float | None:
    """How far the voxels are from those of training, as a share; ``None`` where one is unknown."""
    if fragment.voxel_size is None or info.voxel_size is None:
        return None
    return abs(_side(fragment) / info.voxel_size - 1)


def _of_scale(fragment: Fragment, info: CheckpointInfo) -> list[str]:
    error = scale_error(fragment, info)
    if error is None:
        known = info.voxel_size
        unknown = (
            "the checkpoint's voxel size is unknown"
            if known is None
            else f"the fragment's voxel size is unknown, the checkpoint's is {known:.4g} µm"
        )
        return [f"{unknown}: whether the scales match cannot be told"]
    if error > LARGEST_SCALE_ERROR:
        return [
            f"voxels of {_side(fragment):.4g} µm where the checkpoint learned from "
            f"{info.voxel_size:.4g} µm: rescale the fragment, or choose another checkpoint"
        ]
    return []


def _side(fragment: Fragment) -> float:
    """Mean side of a voxel, µm."""
    return sum(fragment.voxel_size) / 3
