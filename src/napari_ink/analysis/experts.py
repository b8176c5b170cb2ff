"""What a network finds without some of its experts: one region, predicted twice."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.metrics import Histogram, summary
from napari_ink.errors import SettingsError
from napari_ink.inference.plan import PredictionPlan, plan_prediction
from napari_ink.inference.predict import as_recorded, run_plan
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.inference.tiles import intersection
from napari_ink.models.experts import checked_experts

if TYPE_CHECKING:
    from napari_ink.inference.predict import Notice
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment, Plane


@dataclass(frozen=True, eq=False)
class ExpertsEffect:
    """One region, by the whole network and without some experts, all else being the same.

    Attributes
    ----------
    box : Box
        The region.
    experts_off : tuple of str
        What was left out.
    whole, without : numpy.ndarray
        Ink probability of the region, ``(y, x)`` or ``(z, y, x)`` float32; NaN: no papyrus.
    scores : tuple of dict, or None
        Of the two against the label, at the checkpoint's threshold, see
        :func:`napari_ink.analysis.metrics.summary`; ``None`` without a label in the region.
    """

    box: Box
    experts_off: tuple[str, ...]
    whole: np.ndarray
    without: np.ndarray
    scores: tuple[dict, dict] | None

    @property
    def mean_change(self) -> float:
        """Mean of ``|without − whole|`` over what was predicted."""
        return float(np.nanmean(np.abs(self.without - self.whole)))

    def change(self, score: str) -> float:
        """Of a score, without less whole; NaN where it is undefined or there is no label."""
        if self.scores is None:
            return float("nan")
        whole, without = self.scores
        return without[score] - whole[score]


def effect_of_experts(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings,
    *,
    label: Plane | None = None,
    stores: tuple[str | os.PathLike, str | os.PathLike] | None = None,
    notice: Notice | None = None,
) -> ExpertsEffect:
    """Predict a region with all experts and without some; see :func:`effect_steps`."""
    steps = effect_steps(fragment, model, settings, label=label, stores=stores, notice=notice)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def effect_steps(
    fragment: Fragment,
    model: InkNetwork,
    settings: PredictionSettings,
    *,
    label: Plane | None = None,
    stores: tuple[str | os.PathLike, str | os.PathLike] | None = None,
    notice: Notice | None = None,
) -> Generator[float, None, ExpertsEffect]:
    """The same, yielding the share that is done after every block; closing it stops the work.

    Runs in the caller's thread (any), touches no Qt.

    Parameters
    ----------
    fragment : Fragment
    model : InkNetwork
        Gated, with metadata.
    settings : PredictionSettings
        With ``experts_off``. Both maps are single passes, in the same tiles and the same batches.
    label : Plane, optional
        Ink of the whole plane; ``None``: the fragment's own, if it has one.
    stores : pair of paths, optional
        Where the map with all experts and the one without are kept; what is there is not computed
        again.
    notice : callable, optional
        Told what the user should know.

    Raises
    ------
    SettingsError
        If no expert is to be left out, or the settings do not fit.
    """
    off = checked_experts(model, settings.task or 0, settings.experts_off)
    if not off:
        raise SettingsError("no expert is switched off", "switch one off, such as avg5")
    settings = settings.single_pass
    whole_settings = replace(settings, experts_off=())
    if stores is not None:
        whole_settings = as_recorded(stores[0], whole_settings)
    plan = plan_prediction(fragment, model, whole_settings)
    same = replace(plan.settings, experts_off=off)
    plans = (plan, plan_prediction(fragment, model, same))
    maps = []
    for at, each in enumerate(plans):
        store = None if stores is None else stores[at]
        found = yield from _predicted(each, fragment, model, store, notice, at / 2)
        maps.append(found)
    label = fragment.label if label is None else label
    scores = _scores(plan, fragment, label, maps)
    return ExpertsEffect(plan.region, off, maps[0], maps[1], scores)


def _predicted(
    plan: PredictionPlan,
    fragment: Fragment,
    model: InkNetwork,
    store: str | os.PathLike | None,
    notice: Notice | None,
    before: float,
) -> Generator[float, None, np.ndarray]:
    """The region's map; yields shares of the whole work, from ``before`` to half more."""
    region = plan.region
    result = np.full((*plan.output_shape[:-2], *region.shape), np.nan, np.float32)
    with closing(run_plan(plan, fragment, model, store=store, notice=notice)) as tiles:
        for tile in tiles:
            inside = intersection(tile.box, region)
            there = Box(
                inside.y0 - tile.box.y0,
                inside.y1 - tile.box.y0,
                inside.x0 - tile.box.x0,
                inside.x1 - tile.box.x0,
            )
            here = Box(
                inside.y0 - region.y0,
                inside.y1 - region.y0,
                inside.x0 - region.x0,
                inside.x1 - region.x0,
            )
            result[(..., *here.slices)] = tile.probability[(..., *there.slices)]
            yield before + tile.index / tile.total / 2
    if fragment.mask is not None:  # blocks are larger than the region, and show all their papyrus
        result[..., ~np.asarray(fragment.mask.read(*region.slices), bool)] = np.nan
    return result


def _scores(
    plan: PredictionPlan, fragment: Fragment, label, maps: list[np.ndarray]
) -> tuple[dict, dict] | None:
    """Of both maps, where the label is one of this kind of map."""
    if label is None or len(label.shape) != len(plan.output_shape):
        return None
    window = plan.region.slices
    if len(label.shape) == 3:
        window = (plan.z, *window)
    truth = np.asarray(label.read(*window))
    believed = fragment.supervision
    if believed is not None:
        believed = np.broadcast_to(np.asarray(believed.read(*plan.region.slices)), truth.shape)
    found = [
        summary(Histogram.of(values, truth, supervision=believed), plan.threshold)
        for values in maps
    ]
    return None if not found[0]["pixels"] else tuple(found)
