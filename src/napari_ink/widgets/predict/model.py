"""What the Predict dock is about, without Qt: the choices made and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import SignalGroupDescriptor

from napari_ink.inference.direction import is_flipped, reading_order
from napari_ink.inference.passes import Passes
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.models.registry import GATED
from napari_ink.widgets.predict.checks import doubts_of, problem_of
from napari_ink.widgets.predict.layer_window import default_layers
from napari_ink.widgets.predict.words import sweep_words

if TYPE_CHECKING:
    from napari_ink.models.checkpoint import CheckpointInfo
    from napari_ink.volumes.fragment import Fragment


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
        Read the layers against the way the checkpoint was trained.
    region : Region
        Where to predict.
    device, precision, runtime : str
        As in :class:`PredictionSettings`.
    tile : int
        Pixels; 0: chosen by the plan.
    overlap : float
        Share of a tile's side; 0: tiles overlap by the halo.
    samples : int
        Sub-networks to average over; 1: a single pass.
    tolerance : float
        Standard error below which a block takes no more samples; 0: all take all.
    dropout, gate_noise : float or None
        Of the samples; ``None``: as the checkpoint was trained.
    seed : int
        Of the samples.
    symmetries : str
        Which way the fragment lies for the network, as in :class:`PredictionSettings`.
    depth_sweep : int
        Layers from one place of the sliding window to the next; 0: it does not slide.
    swept : tuple of int or None
        Layers ``(first, end)`` that the window slides over; ``None``: all.
    others : tuple of (Path, CheckpointInfo)
        Further checkpoints, of which the ink is the mean.
    lost : tuple of str
        Which checkpoints of a prediction that was opened were not found again, a sentence each.
    trained_on : str
        That the checkpoint was trained on this fragment, once somebody has looked; empty: it was
        not, or nobody has.
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
    samples: int = PredictionSettings.samples
    tolerance: float = 0.0
    dropout: float | None = PredictionSettings.dropout
    gate_noise: float | None = PredictionSettings.gate_noise
    seed: int = PredictionSettings.seed
    symmetries: str = PredictionSettings.symmetries
    depth_sweep: int = 0
    swept: tuple[int, int] | None = None
    others: tuple[tuple[Path, CheckpointInfo], ...] = ()
    lost: tuple[str, ...] = ()
    trained_on: str = ""
    running: bool = False

    def choose_fragment(self, fragment: Fragment | None) -> None:
        """Take a fragment; its layer window starts as the checkpoint has it."""
        if fragment is self.fragment:
            return
        self.trained_on, self.swept, self.lost = "", None, ()
        self.fragment = fragment
        self.layers = default_layers(fragment, self.info)

    def choose_checkpoint(self, path: Path | None, info: CheckpointInfo | None) -> None:
        """Take a checkpoint; task and layer window follow it."""
        if path == self.checkpoint and info == self.info:
            return
        self.trained_on, self.swept, self.lost = "", None, ()
        self.checkpoint, self.info = path, info
        self.others = tuple(other for other in self.others if other[0] != path)
        if info is not None:
            self.task = info.tasks[0]
        self.layers = default_layers(self.fragment, info)

    def choose_others(self, others: Sequence[tuple[Path, CheckpointInfo]]) -> None:
        """Take further checkpoints, each once."""
        found = {path: info for path, info in others if path != self.checkpoint}
        self.trained_on, self.lost = "", ()
        self.others = tuple(found.items())

    def choose_settings(self, task: str, layers: tuple[int, int], reverse_depth: bool) -> None:
        """Take over what an earlier prediction asked for, as far as it fits this one."""
        bounds = self.layer_bounds
        if self.info is None or bounds is None:
            return
        if task in self.info.tasks:
            self.task = task
        if bounds[0] <= layers[0] and layers[1] <= bounds[1]:
            self.layers = layers
        self.reverse_depth = reverse_depth

    @property
    def can_sample(self) -> bool:
        """Whether the checkpoint's network has gates, so that sub-networks can be drawn of it."""
        return self.info is not None and self.info.architecture in GATED

    @property
    def samples_asked(self) -> dict[str, Any]:
        """What the settings say of samples; nothing for a single pass."""
        if self.samples == 1 or not self.can_sample:
            return {}
        return {
            "samples": self.samples,
            "tolerance": self.tolerance or None,
            "dropout": self.dropout,
            "gate_noise": self.gate_noise,
            "seed": self.seed,
        }

    @property
    def ways(self) -> int:
        """Ways to turn the fragment, of which the mean is taken."""
        return Passes(symmetries=self.symmetries).count

    @property
    def averages(self) -> bool:
        """Whether the result is a mean of several maps, which has a spread."""
        return bool(self.samples_asked or self.others) or self.ways > 1

    @property
    def layer_bounds(self) -> tuple[int, int] | None:
        """First and end of the stored layers, half-open."""
        if self.fragment is None:
            return None
        first = self.fragment.first_layer
        return first, first + self.fragment.shape[0]

    @property
    def reading_order(self) -> str:
        """``from layer 7 up to 22``; empty while fragment or checkpoint is missing."""
        if self.info is None or self.fragment is None or self.layers is None:
            return ""
        flip = is_flipped(self.reverse_depth, self.info.reverse_depth)
        if self.depth_sweep:
            return sweep_words(self.swept, self.layer_bounds, self.info.depth, self.windows, flip)
        own = ", the other checkpoints read theirs" if self.others and self._reads_own else ""
        return reading_order(self.layers, flip) + own

    @property
    def _reads_own(self) -> bool:
        return self.layers == default_layers(self.fragment, self.info)

    @property
    def swept_layers(self) -> tuple[int, int] | None:
        """First and end of the layers that the window slides over, half-open."""
        return self.swept or self.layer_bounds

    @property
    def windows(self) -> int:
        """Places of the sliding window, an ink layer each; 0: it does not slide."""
        if not self.depth_sweep or self.info is None or self.fragment is None:
            return 0
        first, end = self.swept_layers
        return max(0, (end - first - self.info.depth) // self.depth_sweep + 1)

    @property
    def _layers_asked(self) -> tuple[int, int] | None:
        if self.depth_sweep:
            return self.swept
        return None if self.others and self._reads_own else self.layers

    @property
    def problem(self) -> str | None:
        """Why Predict cannot run, as the thing to do next; None: it can."""
        return problem_of(self)

    @property
    def doubts(self) -> list[str]:
        """What to know before trusting the result, one sentence each; those of the plan."""
        return doubts_of(self)

    def settings(
        self,
        region: Box | None = None,
        focus: tuple[float, float] | None = None,
        *,
        plain: bool = False,
    ) -> PredictionSettings:
        """The choices as the record that the core takes; plain: of the network itself, once."""
        more = {"symmetries": self.symmetries, "depth_sweep": self.depth_sweep or None}
        return PredictionSettings(
            layers=self.layers if plain else self._layers_asked,
            reverse_depth=self.reverse_depth,
            task=self.task or None,
            region=region,
            focus=focus,
            tile=self.tile or None,
            overlap=self.overlap or None,
            device=self.device,
            precision=self.precision,
            runtime=self.runtime,
            interactive=True,
            **({} if plain else more | self.samples_asked),
        )
