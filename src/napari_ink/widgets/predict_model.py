"""What the Predict dock is about, without Qt: the choices made and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from psygnal import SignalGroupDescriptor

from napari_ink.inference.settings import Box, PredictionSettings

if TYPE_CHECKING:
    from napari_ink.models.checkpoint import CheckpointInfo
    from napari_ink.volumes.fragment import Fragment

#: Side of a training window from which on a network learns letter shapes (64 px at 8 µm and a
#: little more), in mm; and how far two voxel sizes may lie apart.
WINDOW_LIMIT_MM = 0.55
SCALE_TOLERANCE = 0.20


class Region(StrEnum):
    """Where to predict."""

    PAPYRUS = "papyrus"
    VISIBLE = "visible"
    SHAPE = "shape"


@dataclass
class PredictModel:
    """The choices of the dock; every field tells when it changes.

    Attributes
    ----------
    fragment : Fragment or None
        What to predict on.
    checkpoint : Path or None
        The network's file.
    info : CheckpointInfo or None
        Its metadata.
    task : str
        Name of the task; empty: the checkpoint's first.
    layers : tuple of int or None
        Depth window ``(first, end)`` in stored numbering.
    reverse_depth : bool
        Flip the window along z, compared with how the checkpoint was trained.
    region : Region
        Where to predict.
    device, precision, runtime : str
        As in :class:`PredictionSettings`.
    tile : int
        Pixels; 0: chosen by the plan.
    overlap : float
        Share of a tile's side; 0: tiles overlap by the halo.
    running : bool
        Whether a prediction is under way.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    fragment: Fragment | None = None
    checkpoint: Path | None = None
    info: CheckpointInfo | None = None
    task: str = ""
    layers: tuple[int, int] | None = None
    reverse_depth: bool = False
    region: Region = Region.PAPYRUS
    device: str = PredictionSettings.device
    precision: str = PredictionSettings.precision
    runtime: str = PredictionSettings.runtime
    tile: int = 0
    overlap: float = 0.0
    running: bool = False

    def choose_fragment(self, fragment: Fragment | None) -> None:
        """Take a fragment; its layer window starts as the checkpoint has it."""
        if fragment is self.fragment:
            return
        self.fragment = fragment
        self.layers = default_layers(fragment, self.info)

    def choose_checkpoint(self, path: Path | None, info: CheckpointInfo | None) -> None:
        """Take a checkpoint; task and layer window follow it."""
        if path == self.checkpoint and info == self.info:
            return
        self.checkpoint, self.info = path, info
        if info is not None:
            self.task = info.tasks[0]
        self.layers = default_layers(self.fragment, info)

    @property
    def layer_bounds(self) -> tuple[int, int] | None:
        """First and end of the stored layers, half-open."""
        if self.fragment is None:
            return None
        first = self.fragment.first_layer
        return first, first + self.fragment.shape[0]

    @property
    def problem(self) -> str | None:
        """Why Predict cannot run, as the thing to do next; None: it can."""
        if self.fragment is None:
            return "Open a fragment, or the sample, to begin."
        if self.info is None:
            return "Choose a checkpoint: the trained network that finds the ink."
        if self.fragment.shape[0] < self.info.depth:
            return (
                f"This checkpoint takes {self.info.depth} layers, the fragment has "
                f"{self.fragment.shape[0]}. Choose another checkpoint."
            )
        return None

    @property
    def advice(self) -> list[str]:
        """What to know before trusting the result, one sentence each."""
        return advice(self.fragment, self.info)

    def settings(
        self, region: Box | None = None, focus: tuple[float, float] | None = None
    ) -> PredictionSettings:
        """The choices as the record that the core takes."""
        return PredictionSettings(
            layers=self.layers,
            reverse_depth=self.reverse_depth,
            task=self.task or None,
            region=region,
            focus=focus,
            tile=self.tile or None,
            overlap=self.overlap or None,
            device=self.device,
            precision=self.precision,
            runtime=self.runtime,
        )


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


def advice(fragment: Fragment | None, info: CheckpointInfo | None) -> list[str]:
    """What a reader should know about this pair before trusting the ink."""
    if info is None:
        return []
    found = []
    if info.window_mm is not None and info.window_mm > WINDOW_LIMIT_MM:
        found.append(
            f"The network saw windows of {info.window_mm:.2f} mm: above {WINDOW_LIMIT_MM} mm it "
            "may invent letters."
        )
    if fragment is None or info.voxel_size is None:
        return found
    if fragment.voxel_size is None:
        found.append(
            f"The fragment's voxel size is not recorded; the network was trained at "
            f"{info.voxel_size:g} µm."
        )
        return found
    if _scale_error(fragment, info) > SCALE_TOLERANCE:
        found.append(
            f"Scale differs: fragment {fragment.voxel_size[-1]:g} µm, network "
            f"{info.voxel_size:g} µm. Expect poor ink."
        )
    return found


def _scale_error(fragment: Fragment, info: CheckpointInfo) -> float | None:
    """How far the fragment's voxels are from those of training, as a share; None: unknown."""
    if fragment.voxel_size is None or info.voxel_size is None:
        return None
    return abs(sum(fragment.voxel_size) / 3 / info.voxel_size - 1)


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
    error = _scale_error(fragment, info)
    if error is not None:
        matches = error <= SCALE_TOLERANCE
        parts.append("scale matches" if matches else "scale differs")
    return " · ".join(parts)
