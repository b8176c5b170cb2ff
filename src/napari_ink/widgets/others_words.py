"""Several checkpoints in the Predict dock: reading them, and why they do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ink.errors import InkError
from napari_ink.models.registry import GATED

if TYPE_CHECKING:
    from napari_ink.models.checkpoint import CheckpointInfo
    from napari_ink.widgets.predict_model import PredictModel


def others_problem(model: PredictModel) -> str | None:
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


def others_of(record: Mapping[str, Any]) -> list[tuple[Path, CheckpointInfo]]:
    """The further checkpoints that a prediction records, as far as their files are there."""
    from napari_ink.models.checkpoint import read_info

    found = []
    for member in record.get("members", ())[1:]:
        path = member["checkpoint"].get("path")
        if path and Path(path).is_file():
            with suppress(InkError):  # another file by now
                found.append((Path(path), read_info(Path(path))))
    return found
