"""What stands against a prediction, and what to doubt of it, before it begins; without Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ink.inference.doubts import doubts_at_sight
from napari_ink.models.registry import GATED

if TYPE_CHECKING:
    from napari_ink.widgets.predict.model import PredictModel


def problem_of(model: PredictModel) -> str | None:
    """Why Predict cannot run, as the thing to do next; None: it can."""
    if model.fragment is None:
        return "Open a fragment, or the sample, to begin."
    if model.info is None:
        return "Choose a checkpoint: the trained network that finds the ink."
    if model.fragment.shape[0] < model.info.depth:
        return (
            f"This checkpoint takes {model.info.depth} layers, the fragment has "
            f"{model.fragment.shape[0]}. Choose another checkpoint."
        )
    if model.depth_sweep and model.info.arguments.get("collapse") == "none":
        return (
            "This checkpoint labels every layer, there is nothing to sweep: set Depth sweep "
            "under Advanced to off."
        )
    if model.samples_asked and model.runtime == "openvino-int8":
        return "Samples cannot be taken in int8: choose the runtime torch or openvino."
    return _problem_of_others(model)


def _problem_of_others(model: PredictModel) -> str | None:
    """Why these checkpoints cannot be averaged, as the thing to do next; None: they can."""
    if model.others and model.runtime == "openvino-int8":
        return "Checkpoints cannot be averaged in int8: choose the runtime torch or openvino."
    for path, info in model.others:
        remove = "Remove it under Advanced."
        if model.task not in info.tasks:
            return f"{path.stem} does not look for {model.task}. {remove}"
        if info.depth > model.fragment.shape[0]:
            return (
                f"{path.stem} takes {info.depth} layers, the fragment has "
                f"{model.fragment.shape[0]}. {remove}"
            )
        if model.samples_asked and info.architecture not in GATED:
            return f"{path.stem} has no gates, so no samples can be taken. {remove}"
        if model.depth_sweep and info.depth != model.info.depth:
            return (
                f"{path.stem} takes {info.depth} layers, {model.checkpoint.stem} "
                f"{model.info.depth}: their depth sweeps differ. {remove}"
            )
    return None


def doubts_of(model: PredictModel) -> list[str]:
    """What to know before trusting the result, one sentence each; those of the plan."""
    if model.info is None:
        return list(model.lost)
    infos = [model.info, *(info for _, info in model.others)]
    doubts = (doubt for info in infos for doubt in doubts_at_sight(model.fragment, info))
    found = [*model.lost, *dict.fromkeys(doubts)]
    return [*found, model.trained_on] if model.trained_on else found
