"""Could it show ink here? Simulated ink of rising strength on the user's own fragment.

A blank map means either that there is no ink or that the checkpoint is blind to it on this scan.
So known ink is planted where the map is blank, in memory, and predicted with and without: the
weakest that is found says what a blank map is worth. The ink is the simulator's; real ink of the
same strength may be easier or harder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import maximum_filter

from napari_ink.analysis import metrics
from napari_ink.analysis.detection import TARGET, limit, spread
from napari_ink.analysis.places import pixel_size, places, usual_side
from napari_ink.analysis.separation import STROKE
from napari_ink.analysis.sweep import Way, map_of_region
from napari_ink.errors import SettingsError
from napari_ink.inference.plan import PredictionPlan, plan_prediction
from napari_ink.inference.predict import Notice
from napari_ink.inference.resolve import depth_window, region_within
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.inference.tiles import intersection
from napari_ink.volumes.sampling import subsample
from napari_ink.volumes.synthetic.ink import Ink
from napari_ink.volumes.synthetic.letters import write_text
from napari_ink.volumes.synthetic.planting import GreyLevels, find_surface, plant
from napari_ink.volumes.views import patched

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment

STRENGTHS = (1.0, 0.5, 0.35, 0.25, 0.18, 0.12)
SEEDS = 3
FIRST_SEED = 70001  # far from those that checkpoints learn from
BLANK = 0.01  # share of a place in which the checkpoint may already see ink
LIT = 0.5  # share from which on what it sees is no ink but the papyrus
_TEXTS = 24
_FRINGE = 240.0  # µm around a place that planted ink can change
_LEAST_INK = 0.02


@dataclass(frozen=True, eq=False)
class Planted:
    """One prediction of a place with ink planted in it.

    Attributes
    ----------
    index, total : int
        Predictions done, this one included, and predictions in all.
    seed : int
        Of the text and of its grains.
    region : Box
    strength : float
        0: as the fragment is.
    auc : float
        Planted letters against their surroundings.
    probability : numpy.ndarray
        ``(y, x)`` float32 of the place.
    label : numpy.ndarray
        ``(y, x)`` bool: the letters.
    clearness : float
        How clear the face is that the ink lies on, see
        :func:`~napari_ink.volumes.synthetic.planting.find_surface`.
    """

    index: int
    total: int
    seed: int
    region: Box
    strength: float
    auc: float
    probability: np.ndarray
    label: np.ndarray
    clearness: float


@dataclass(frozen=True, eq=False)
class ProbePlan:
    """What a probe will do, before it does it.

    Attributes
    ----------
    settings : PredictionSettings
        Every choice made.
    regions : tuple of Box
        Places to try, the best first.
    strengths : tuple of float
        Descending, without 0.
    seeds : tuple of int
    """

    settings: PredictionSettings
    regions: tuple[Box, ...]
    strengths: tuple[float, ...]
    seeds: tuple[int, ...]

    @property
    def total(self) -> int:
        """Predictions that are reported."""
        return len(self.seeds) * (1 + len(self.strengths))


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What was found.

    Attributes
    ----------
    strengths : tuple of float
        Descending; the last is 0.
    regions : tuple of Box
        One a seed.
    auc : numpy.ndarray
        ``(seeds, strengths)``.
    clearness : tuple of float
        One a seed.
    """

    strengths: tuple[float, ...]
    regions: tuple[Box, ...]
    auc: np.ndarray
    clearness: tuple[float, ...]

    @classmethod
    def of(cls, done: Sequence[Planted]) -> ProbeResult:
        """From the records of a finished probe."""
        strengths = tuple(sorted({one.strength for one in done}, reverse=True))
        bare = [one for one in done if one.strength == 0]
        values = {(one.seed, one.strength): one.auc for one in done}
        auc = [[values[one.seed, strength] for strength in strengths] for one in bare]
        regions = tuple(one.region for one in bare)
        return cls(strengths, regions, np.array(auc), tuple(one.clearness for one in bare))

    @property
    def limits(self) -> list[float | None]:
        """The limit of each seed; ``None`` where not even the strongest ink was found."""
        return [limit(self.strengths, row) for row in self.auc]

    def summary(self) -> dict:
        """All figures, JSON-able."""
        reached = [value for value in self.limits if value is not None]
        return {
            "ink": "simulated",
            "target": TARGET,
            "strengths": list(self.strengths),
            "regions": [list(region) for region in self.regions],
            "auc": np.round(self.auc, 4).tolist(),
            "mean_auc": np.round(self.auc.mean(axis=0), 4).tolist(),
            "limits": self.limits,
            "reached": len(reached),
            "limit": spread(reached) if len(reached) == len(self.auc) else None,
            "surface_clearness": [round(value, 3) for value in self.clearness],
        }

    def verdict(self) -> str:
        """What the figures say, in one line."""
        found, strongest = self.summary()["limit"], self.strengths[0]
        if found is None:
            missed = len(self.auc) - self.summary()["reached"]
            return (
                f"simulated ink of strength {strongest:g} is not found in {missed} of "
                f"{len(self.auc)} tries: a blank map says nothing here"
            )
        tries = "one try"
        if len(self.auc) > 1:
            tries = f"{found['min']:.3f} to {found['max']:.3f} in {len(self.auc)} tries"
        return (
            f"simulated ink is found here from strength {found['mean']:.3f} on ({tries}): a blank "
            "map means no ink above that, as far as real ink is like the simulated"
        )


def plan_probe(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings = PredictionSettings(),  # noqa: B008 (frozen)
    *,
    strengths: Sequence[float] = STRENGTHS,
    seeds: int = SEEDS,
) -> ProbePlan:
    """Choose places; everything that can be refused without predicting is refused here.

    Parameters
    ----------
    fragment : Fragment
    model : InkNetwork
        With metadata.
    settings : PredictionSettings
        As for the prediction that is in question. ``region``: plant here; ``None``: in places of
        8 mm with much papyrus where the checkpoint's own map is blank.
    strengths : sequence of float
        Of the ink; 1 is what the simulator's fragments have.
    seeds : int
        Tries, each with other letters and grains, in another place where there is one.

    Raises
    ------
    SettingsError
    """
    if model.output == "volume":
        raise SettingsError("the checkpoint labels volumes", "choose one that finds ink")
    given = [float(strength) for strength in strengths]
    if not given or not all(np.isfinite(given)) or min(given) < 0 or not 0 < max(given) <= 10:
        raise SettingsError(
            f"ink strengths {', '.join(f'{strength:g}' for strength in given) or 'none'}",
            "give numbers above 0, at most 10",
        )
    if seeds < 1:
        raise SettingsError(f"{seeds} tries", "choose 1 or more")
    layers, _, _ = depth_window(fragment, model, settings.layers)
    if settings.region is not None:
        regions = [region_within(fragment, settings.region)]
    else:
        side = usual_side(pixel_size(fragment, model.info.voxel_size))
        regions = places(fragment, side, max(6, 2 * seeds))
    wanted = replace(settings, layers=layers, region=regions[0])
    chosen = replace(plan_prediction(fragment, model, wanted).settings, region=regions[0])
    return ProbePlan(
        chosen,
        tuple(regions),
        tuple(sorted({strength for strength in given if strength > 0}, reverse=True)),
        tuple(range(FIRST_SEED, FIRST_SEED + seeds)),
    )


def probe(
    fragment: Fragment,
    model: InkNetwork,
    plan: ProbePlan,
    *,
    notice: Notice | None = None,
) -> Iterator[Planted]:
    """Predict places without ink and with ink of every strength.

    Runs in the caller's thread (any), touches no Qt, and writes nothing; closing the generator
    ends it.

    Parameters
    ----------
    fragment : Fragment
    model : InkNetwork
    plan : ProbePlan
        As :func:`plan_probe` gives it.
    notice : callable, optional
        Told, in one line each, what the user should know, once.

    Yields
    ------
    Planted
        A seed at a time, strength 0 first, then from the strongest down.

    Raises
    ------
    InkError
        Also when no place has room for a letter.
    """
    told: set[str] = set()

    def once(line: str) -> None:
        if line not in told and notice is not None:
            notice(line)
        told.add(line)

    way = Way(plan.settings.layers, plan.settings.reverse_depth)
    bench = _Bench(fragment, model, plan, once)
    done = 0
    for seed, (region, bare) in zip(plan.seeds, _blank_places(bench, plan, way), strict=False):
        site = bench.site(region, bare, seed)
        for strength in (0.0, *plan.strengths):
            probability = bare
            if strength:
                view = site.planted(fragment, strength)
                probability = map_of_region(view, model, plan.settings, region, way, once)
            done += 1
            yield Planted(
                done,
                plan.total,
                seed,
                region,
                strength,
                site.auc(probability),
                probability,
                site.label,
                site.clearness,
            )


def _blank_places(bench: _Bench, plan: ProbePlan, way: Way) -> Iterator[tuple[Box, np.ndarray]]:
    """Places where the map is blank, over and over; the least inked one if there is none."""
    kept: list[tuple[Box, np.ndarray]] = []
    least = (np.inf, plan.regions[0], np.empty(0))
    for region in plan.regions:
        bare = map_of_region(bench.fragment, bench.model, plan.settings, region, way, bench.notice)
        inked = bench.inked(bare)
        if inked < least[0]:
            least = (inked, region, bare)
        if inked <= BLANK:
            kept.append((region, bare))
            yield region, bare
    if not kept:
        inked, region, bare = least
        bench.notice(
            f"the checkpoint takes {inked:.0%} of the emptiest place for ink: "
            + (
                "that is the papyrus, and letters are planted all over it"
                if inked > LIT
                else "letters are planted beside it, and what it sees there does not count"
            )
        )
        kept = [(region, bare)]
        yield region, bare
    while True:
        yield from kept


class _Bench:
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

    def site(self, region: Box, bare: np.ndarray, seed: int) -> _Site:
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
        return _Site(self, frame, volume, surface, whole, label, counts, seed, clearness)

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
class _Site:
    bench: _Bench
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
