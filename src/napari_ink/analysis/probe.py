"""Could it show ink here? Simulated ink of rising strength on the user's own fragment.

A blank map means either that there is no ink or that the checkpoint is blind to it on this scan.
So known ink is planted where the map is blank, in memory, and predicted with and without: the
weakest that is found says what a blank map is worth. The ink is the simulator's; real ink of the
same strength may be easier or harder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.places import pixel_size, places, usual_side
from napari_ink.analysis.planted_letters import LIT, Bench
from napari_ink.analysis.probe_records import Planted, ProbePlan
from napari_ink.analysis.sweep import Way, map_of_region
from napari_ink.errors import SettingsError
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import Notice
from napari_ink.inference.resolve import depth_window, region_within
from napari_ink.inference.settings import Box, PredictionSettings

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment

STRENGTHS = (1.0, 0.5, 0.35, 0.25, 0.18, 0.12)
SEEDS = 3
FIRST_SEED = 70001  # far from those that checkpoints learn from
BLANK = 0.01  # share of a place in which the checkpoint may already see ink


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
    bench = Bench(fragment, model, plan, once)
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


def _blank_places(bench: Bench, plan: ProbePlan, way: Way) -> Iterator[tuple[Box, np.ndarray]]:
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
