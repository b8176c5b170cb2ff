"""Several checkpoints as one prediction: the mean of their maps, and where they disagree.

Their windows of layers, recipes, tiles and strides may differ; they share fragment, task and the
blocks of the result. One network is in memory at a time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from math import lcm
from typing import TYPE_CHECKING

from napari_ink.errors import CheckpointError, SettingsError
from napari_ink.inference.plan import PredictionPlan, plan_prediction
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.tiles import round_down, round_up
from napari_ink.volumes.intensity import Recipe

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment

#: What the account of an ensemble tells of each checkpoint.
_TOLD = ("checkpoint", "direction", "recipe", "statistics", "threshold", "warnings")


class Ensemble:
    """Networks by their number, loaded when their turn comes.

    Parameters
    ----------
    members : sequence of InkNetwork or path
        Networks, or ``NAME.safetensors`` of which one is held at a time.

    Raises
    ------
    SettingsError
        For none.
    """

    def __init__(self, members: Sequence[InkNetwork | str | os.PathLike]) -> None:
        if not members:
            raise SettingsError("an ensemble of no checkpoint", "give one or more")
        self._members = tuple(members)
        self._loaded: tuple[int, InkNetwork] | None = None
        self._fingerprints: dict[int, str | None] = {}

    @classmethod
    def of(cls, model) -> Ensemble:
        """One network, its path, or several of either."""
        single = not isinstance(model, list | tuple)
        return cls([model] if single else model)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: int) -> InkNetwork:
        """The network of a member; the one before is let go.

        Raises
        ------
        CheckpointError
            When its file cannot be read, or is another than when it was read before.
        """
        member = self._members[index]
        if not isinstance(member, str | os.PathLike):
            return member
        if self._loaded is None or self._loaded[0] != index:
            from napari_ink.models.checkpoint import load_checkpoint

            self._loaded = None
            network = load_checkpoint(member)
            found = network.info.fingerprint
            if self._fingerprints.setdefault(index, found) != found:
                raise CheckpointError(
                    f"{member} was changed while it was in use", "predict again under another name"
                )
            self._loaded = index, network
        return self._loaded[1]


def plan_ensemble(
    fragment: Fragment, ensemble: Ensemble, settings: PredictionSettings
) -> PredictionPlan:
    """One plan for all members; that of the network alone for a single one.

    Parameters
    ----------
    fragment : Fragment
    ensemble : Ensemble
    settings : PredictionSettings
        Layers left open are each checkpoint's own.

    Returns
    -------
    PredictionPlan
        With a plan a member.

    Raises
    ------
    SettingsError
        As :func:`plan_prediction`; for members that give other layers of ink, or whose tiles do not
        fit the same blocks.
    """
    first = plan_prediction(fragment, ensemble[0], settings)
    if len(ensemble) == 1:
        return first
    if settings.sampling == "chosen":
        raise SettingsError(
            "chosen samples of an ensemble", "leave --sampling out, or predict each alone"
        )
    if settings.runtime == "openvino-int8":
        raise SettingsError(
            "an ensemble in int8, which would be calibrated anew for each pass",
            "choose the runtime torch or openvino",
        )
    common = replace(first.settings, layers=settings.layers, samples=settings.samples)
    if settings.samples > 1:
        common = replace(
            common, dropout=settings.dropout, gate_noise=settings.gate_noise, sampling="random"
        )
    else:
        common = replace(common, dropout=None, gate_noise=None)
    multiples = [first.multiple_of, *(ensemble[k].multiple_of for k in range(1, len(ensemble)))]
    core = _core(first, lcm(*multiples))
    plans: list[PredictionPlan] = []
    for index in range(len(ensemble)):
        block = plans[0].grid.block if plans else None
        plans.append(_member_plan(fragment, ensemble[index], common, core, block))
    _check_layers(plans)
    first = plans[0]
    warnings = tuple(dict.fromkeys(line for plan in plans for line in plan.warnings))
    told = ("layers", "tile", *(("dropout", "gate_noise") if settings.samples > 1 else ()))
    provenance = first.provenance | {
        "members": [
            {key: plan.provenance[key] for key in _TOLD}
            | {key: plan.provenance["settings"][key] for key in told}
            for plan in plans
        ],
        "threshold": sum(plan.threshold for plan in plans) / len(plans),
        "warnings": list(warnings),
    }
    # Samples are of use if one checkpoint has some that differ, be it the last.
    drawn = [plan.monte_carlo for plan in plans if plan.monte_carlo is not None]
    uncertain = next((one for one in drawn if not one.is_certain), first.monte_carlo)
    passes = replace(first.passes, members=len(plans), monte_carlo=uncertain)
    return replace(
        first,
        passes=passes,
        members=tuple(plans),
        threshold=provenance["threshold"],
        warnings=warnings,
        identity=first.identity | {"members": [plan.identity for plan in plans]},
        provenance=provenance | {"passes": passes.count},
    )


def _check_layers(plans: list[PredictionPlan]) -> None:
    """Refuse to average layers of ink that lie at different depths."""
    if len({tuple(window.layers for window in plan.windows) for plan in plans}) > 1:
        raise SettingsError(
            "a depth sweep with checkpoints that take different numbers of layers, whose windows "
            "do not lie at the same depths",
            "sweep with each alone",
        )
    if len({plan.output_shape for plan in plans}) > 1:
        raise SettingsError(
            "checkpoints of an ensemble that give different layers of ink",
            "give ink networks, or networks of the same labelled layers",
        )
    labelled = {plan.settings.layers for plan in plans}
    if len(plans[0].output_shape) == 3 and not plans[0].windows and len(labelled) > 1:
        told = " and ".join(f"{first}:{end}" for first, end in sorted(labelled))
        raise SettingsError(
            f"checkpoints of an ensemble that label the layers {told}",
            "choose the layers for all of them",
        )


def _member_plan(
    fragment: Fragment,
    model: InkNetwork,
    common: PredictionSettings,
    core: int,
    block: tuple[int, int] | None,
) -> PredictionPlan:
    tile = core + (0 if common.overlap is not None else 2 * round_up(model.halo, model.multiple_of))
    if Recipe.from_dict(model.info.recipe).window is not None:
        tile = None  # the recipe fixes it
    return plan_prediction(fragment, model, replace(common, tile=tile), block=block)


def _core(first: PredictionPlan, multiple: int) -> int:
    """Pixels that a tile of every member alone is asked for, so that they fill the same blocks."""
    if first.grid.is_blended:
        return round_up(first.settings.tile, multiple)
    core = round_down(min(first.grid.y.stride, first.grid.x.stride), multiple)
    if core < multiple:
        raise SettingsError(
            f"tiles of {first.settings.tile} px leave less than {multiple} px beyond the halo, "
            "which the tiles of all checkpoints have to fill",
            "choose a larger tile",
        )
    return core
