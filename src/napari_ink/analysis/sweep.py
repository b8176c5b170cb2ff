"""A look before a long run: one small region predicted in many ways, and how each map separates.

Which way the layers run and which of them hold the writing is recorded nowhere, and a prediction
that gets it wrong fails without a word. Here the same region is predicted through every window of
layers, forward and reversed, and turned by quarter turns; the map with the highest
:func:`~napari_ink.analysis.separation.separation` is the one to go on with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis import metrics
from napari_ink.analysis.places import pixel_size, places, usual_side
from napari_ink.analysis.separation import separation
from napari_ink.errors import SettingsError
from napari_ink.inference.plan import PredictionPlan, plan_prediction
from napari_ink.inference.predict import Notice, run_plan
from napari_ink.inference.resolve import depth_window, region_within
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.inference.tiles import intersection
from napari_ink.volumes.views import patched, turned, turned_window

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment


@dataclass(frozen=True)
class Way:
    """One way to read a region.

    Attributes
    ----------
    layers : tuple of int
        Depth window ``(first, end)``, half-open, in stored numbering.
    reverse_depth : bool
        As ``PredictionSettings.reverse_depth``: against the way of training.
    turns : int
        Quarter turns counterclockwise of what the network is shown.
    """

    layers: tuple[int, int]
    reverse_depth: bool = False
    turns: int = 0

    @property
    def name(self) -> str:
        """For people: ``layers 7–22, reversed, turned 90°``."""
        words = [f"layers {self.layers[0]}–{self.layers[1] - 1}"]
        words.append("reversed" if self.reverse_depth else "as trained")
        return ", ".join(words + ([f"turned {90 * self.turns}°"] if self.turns else []))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A region as one way of reading shows it.

    Attributes
    ----------
    index, total : int
        Candidates done, this one included, and candidates in all.
    way : Way
    region : Box
        What was predicted.
    probability : numpy.ndarray
        ``(y, x)`` float32 of the region, turned back; NaN off the papyrus.
    separation : float
        See :func:`~napari_ink.analysis.separation.separation`.
    auc : float or None
        Against the label; ``None`` without one, or without ink or bare papyrus in it.
    """

    index: int
    total: int
    way: Way
    region: Box
    probability: np.ndarray
    separation: float
    auc: float | None = None

    def record(self) -> dict:
        """The figures, JSON-able."""
        return {
            "direction": "reversed" if self.way.reverse_depth else "as trained",
            "reverse_depth": self.way.reverse_depth,
            "turn": 90 * self.way.turns,
            "layers": list(self.way.layers),
            "separation": round(self.separation, 4),
            "auc": None if self.auc is None else round(self.auc, 4),
        }


@dataclass(frozen=True, eq=False)
class SweepPlan:
    """What a sweep will do, before it does it.

    Attributes
    ----------
    settings : PredictionSettings
        Of the checkpoint's own way, every choice made.
    region : Box
    windows : tuple of tuple of int
        Depth windows in stored numbering, the checkpoint's own first, then by their distance. The
        own one mirrored is among them: there the writing is in a stack stored the other way.
    """

    settings: PredictionSettings
    region: Box
    windows: tuple[tuple[int, int], ...]

    @property
    def total(self) -> int:
        """Candidates: every window both ways, and three turns of the better window each way."""
        return 2 * len(self.windows) + 2 * 3


def best_of(candidates: list[Candidate]) -> Candidate:
    """The one that separates most; of equals the first, which is nearest to the training."""
    return max(candidates, key=lambda candidate: candidate.separation)


def plan_sweep(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings = PredictionSettings(),  # noqa: B008 (frozen)
    *,
    step: int | None = None,
) -> SweepPlan:
    """Choose the region and the windows; everything that can be refused is refused here.

    Parameters
    ----------
    fragment : Fragment
    model : InkNetwork
        With metadata.
    settings : PredictionSettings
        ``region``: where; ``None``: 8 mm where the papyrus is densest, near the middle.
        ``layers``: the window to begin with, the checkpoint's for ``None``. Task, device and
        precision are used as they are.
    step : int, optional
        Layers from one window to the next; ``None``: a quarter of the checkpoint's depth.

    Raises
    ------
    SettingsError
        When the fragment has fewer layers than the checkpoint takes, or a choice does not fit.
    """
    if model.output == "volume":
        raise SettingsError("the checkpoint labels volumes", "choose one that finds ink")
    if step is not None and step < 1:
        raise SettingsError(f"a step of {step} layers", "choose 1 or more")
    own, _, _ = depth_window(fragment, model, settings.layers)
    region = settings.region
    if region is None:
        side = usual_side(pixel_size(fragment, model.info.voxel_size))
        region = places(fragment, side)[0]
    plan = plan_prediction(fragment, model, replace(settings, layers=own, region=region))
    depth, first = model.depth, fragment.first_layer
    last = first + fragment.shape[0] - depth
    mirrored = first + last - own[0]  # where the same layers lie in a stack stored the other way
    starts = {*range(first, last + 1, step or max(1, depth // 4)), last, own[0], mirrored}
    nearest = sorted(starts, key=lambda start: (abs(start - own[0]), start))
    windows = tuple((start, start + depth) for start in nearest)
    chosen = replace(plan.settings, region=region, reverse_depth=settings.reverse_depth)
    return SweepPlan(chosen, region_within(fragment, region), windows)


def sweep(
    fragment: Fragment,
    model: InkNetwork,
    plan: SweepPlan,
    *,
    notice: Notice | None = None,
) -> Iterator[Candidate]:
    """Predict the region in every way of the plan, one after the other.

    The direction that the settings ask for comes first. A label of the fragment, if it has one,
    is scored against and changes nothing. Runs in the caller's thread (any), touches no Qt, and
    writes nothing; closing the generator ends it.

    Parameters
    ----------
    fragment : Fragment
    model : InkNetwork
    plan : SweepPlan
        As :func:`plan_sweep` gives it.
    notice : callable, optional
        Told, in one line each, what the user should know, once.

    Yields
    ------
    Candidate

    Raises
    ------
    InkError
    """
    told: set[str] = set()

    def once(line: str) -> None:
        if line not in told and notice is not None:
            notice(line)
        told.add(line)

    label = _Label(fragment, plan.region)
    pixel = pixel_size(fragment, model.info.voxel_size)
    held = at_hand(fragment, model, plan)
    directions = (plan.settings.reverse_depth, not plan.settings.reverse_depth)
    done: list[Candidate] = []

    def seen(way: Way) -> Candidate:
        probability = map_of_region(held, model, plan.settings, plan.region, way, once)
        score = separation(probability, pixel)
        auc = label.auc(probability)
        done.append(Candidate(len(done) + 1, plan.total, way, plan.region, probability, score, auc))
        return done[-1]

    for window in plan.windows:
        for reverse in directions:
            yield seen(Way(window, reverse))
    for reverse in directions:
        window = best_of([one for one in done if one.way.reverse_depth == reverse]).way.layers
        for turns in (1, 2, 3):
            yield seen(Way(window, reverse, turns))


def map_of_region(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings,
    region: Box,
    way: Way,
    notice: Notice,
) -> np.ndarray:
    """The ink map of a region read one way, turned back; ``(y, x)`` float32, NaN off papyrus."""
    view = turned(fragment, way.turns)
    y, x = turned_window(*region.slices, fragment.shape[1:], way.turns)
    box = Box(y.start, y.stop, x.start, x.stop)
    wanted = replace(settings, layers=way.layers, reverse_depth=way.reverse_depth, region=box)
    plan = plan_prediction(view, model, wanted)
    result = np.full(box.shape, np.nan, np.float32)
    with closing(run_plan(plan, view, model, notice=notice)) as blocks:
        for block in blocks:
            common = intersection(block.box, box)
            result[_within(common, box)] = block.probability[_within(common, block.box)]
    return np.ascontiguousarray(np.rot90(result, -way.turns))


def at_hand(fragment: Fragment, model: InkNetwork, plan: SweepPlan) -> Fragment:
    """The fragment with the region, its context and all layers in question kept in memory.

    A layer that is a compressed file would otherwise be decoded once a candidate.
    """
    own = plan_prediction(fragment, model, plan.settings)
    frame = _context(own, plan.region)
    first = min(window[0] for window in plan.windows)
    z = fragment.layer_range(first, max(window[1] for window in plan.windows))
    return patched(fragment, fragment.read(z, *frame.slices), (z.start, frame.y0, frame.x0))


def _context(plan: PredictionPlan, region: Box) -> Box:
    """What the tiles that fill a region reach over, cut at the border."""
    frames = np.array([part.frame for part in plan.grid.parts(region)])
    whole = Box(0, plan.grid.shape[0], 0, plan.grid.shape[1])
    y0, _, x0, _ = frames.min(axis=0)
    _, y1, _, x1 = frames.max(axis=0)
    return intersection(Box(int(y0), int(y1), int(x0), int(x1)), whole)


class _Label:
    """The part of a label that lies in the region, if there is one."""

    def __init__(self, fragment: Fragment, region: Box) -> None:
        self._label = self._believed = None
        if fragment.label is not None and len(fragment.label.shape) == 2:
            self._label = fragment.label.read(*region.slices)
            if fragment.supervision is not None:
                self._believed = fragment.supervision.read(*region.slices)

    def auc(self, probability: np.ndarray) -> float | None:
        if self._label is None:
            return None
        histogram = metrics.Histogram.of(probability, self._label, supervision=self._believed)
        value = metrics.auc(histogram)
        return None if np.isnan(value) else value


def _within(box: Box, frame: Box) -> tuple[slice, slice]:
    return (
        slice(box.y0 - frame.y0, box.y1 - frame.y0),
        slice(box.x0 - frame.x0, box.x1 - frame.x0),
    )
