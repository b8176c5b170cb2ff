"""Letters of simulated ink on a place of the user's own fragment, in memory.

They lie on the face of the sheet that is found there, clear of ink that the checkpoint already
sees, in the text that the bare map betrays least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter

from napari_ink.analysis import metrics
from napari_ink.analysis.places import pixel_size
from napari_ink.analysis.probe_records import ProbePlan
from napari_ink.analysis.separation import STROKE
from napari_ink.errors import SettingsError
from napari_ink.inference.plan import PredictionPlan, plan_prediction
from napari_ink.inference.predict import Notice
from napari_ink.inference.settings import Box
from napari_ink.inference.tiles import intersection
from napari_ink.volumes.sampling import subsample
from napari_ink.volumes.synthetic.ink import Ink
from napari_ink.volumes.synthetic.letters import write_text
from napari_ink.volumes.synthetic.planting import GreyLevels, find_surface, plant
from napari_ink.volumes.views import patched

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment

LIT = 0.5  # share from which on what it sees is no ink but the papyrus
_TEXTS = 24
_FRINGE = 240.0  # µm around a place that planted ink can change
_LEAST_INK = 0.02


class Bench:
    """What all places of a probe share."""

    def __init__(
        self, fragment: Fragment, model: InkNetwork, plan: ProbePlan, notice: Notice
    ) -> None:
        self.fragment, self.model, self.notice = fragment, model, notice
        self.plan: PredictionPlan = plan_prediction(fragment, model, plan.settings)
        self.pixel = pixel_size(fragment, model.info.voxel_size)
        self.levels = GreyLevels.of(subsample(fragment, self.plan.z))
        if not self.levels.two_peaks:
            notice(
                "the grey levels show no air beside the papyrus: how strong the planted ink is "
                "could only be guessed"
            )
        if fragment.voxel_size is None:
            notice(f"the voxel size is unknown: letters are written for {self.pixel:.4g} µm")

    def inked(self, probability: np.ndarray) -> float:
        """Share of a map that the checkpoint takes for ink."""
        there = np.isfinite(probability)
        return float((probability[there] >= self.plan.threshold).mean()) if there.any() else 0.0

    def site(self, region: Box, bare: np.ndarray, seed: int) -> Site:
        """A place made ready: surface found, letters placed."""
        margin = int(np.ceil(_FRINGE / self.pixel))
        _, height, width = self.fragment.shape
        around = Box(region.y0 - margin, region.y1 + margin, region.x0 - margin, region.x1 + margin)
        frame = intersection(around, Box(0, height, 0, width))
        volume = self.fragment.read(self.plan.z, *frame.slices)
        volume = volume[::-1] if self.plan.flip else volume
        surface, clear = find_surface(volume, self.levels, self.pixel)
        inner = (
            slice(region.y0 - frame.y0, region.y1 - frame.y0),
            slice(region.x0 - frame.x0, region.x1 - frame.x0),
        )
        taken = np.zeros(bare.shape, bool)
        if self.inked(bare) <= LIT:
            ink = np.nan_to_num(bare) >= self.plan.threshold
            taken = maximum_filter(ink, size=1 + 2 * round(STROKE / 2 / self.pixel))
        counts = np.isfinite(bare) & ~taken
        label = self._letters(seed, bare, counts)
        whole = np.zeros(frame.shape, bool)
        whole[inner] = label
        clearness = float(clear[inner][label].mean())
        return Site(self, frame, volume, surface, whole, label, counts, seed, clearness)

    def _letters(self, seed: int, bare: np.ndarray, room: np.ndarray) -> np.ndarray:
        """Letters where there is room; of several texts the one that the bare map betrays least."""
        step = max(1, round(64 / self.pixel))
        coarse, sketch_room = bare[::step, ::step], room[::step, ::step]
        best: tuple[float, int] | None = None
        for attempt in range(_TEXTS):
            sketch, letters = write_text(
                seed, coarse.shape, self.pixel * step, room=sketch_room, attempt=attempt
            )
            sketch &= sketch_room
            if not letters or sketch.mean() < _LEAST_INK:
                continue
            value = metrics.auc(metrics.Histogram.of(coarse, sketch, sketch_room))
            if np.isfinite(value):
                cost = abs(value - 0.5) + 0.02 * max(0, 3 - len(letters))
                best = min(best or (np.inf, 0), (cost, attempt))
        label = np.zeros(bare.shape, bool)
        if best is not None:
            label, _ = write_text(seed, bare.shape, self.pixel, room=room, attempt=best[1])
            label &= room
        if not label.any():
            raise SettingsError(
                f"no room for a letter in {bare.shape[0]} × {bare.shape[1]} px of "
                f"{self.pixel:.4g} µm",
                "give a --region without ink, of 8 mm or more",
            )
        return label


@dataclass(frozen=True, eq=False)
class Site:
    """A place made ready: its sheet's face found, its letters laid out; see :meth:`Bench.site`."""

    bench: Bench
    frame: Box
    volume: np.ndarray
    surface: np.ndarray
    whole: np.ndarray
    label: np.ndarray
    counts: np.ndarray
    seed: int
    clearness: float

    def planted(self, fragment: Fragment, strength: float) -> Fragment:
        """The fragment with ink of this strength, in memory."""
        bench = self.bench
        ink = Ink(self.surface, self.whole, self.seed, bench.pixel, strength)
        volume = plant(self.volume, ink, bench.levels)
        if bench.plan.flip:
            volume = volume[::-1]
        return patched(fragment, volume, (bench.plan.z.start, self.frame.y0, self.frame.x0))

    def auc(self, probability: np.ndarray) -> float:
        """Letters against what lies around them, the fragment's own ink left out."""
        return metrics.auc(metrics.Histogram.of(probability, self.label, self.counts))
