"""What a prediction that is opened asked for comes back into the Predict dock; without Qt."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ink.errors import InkError
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.symmetries import NAMES as SYMMETRIES

if TYPE_CHECKING:
    from napari_ink.models.checkpoint import CheckpointInfo
    from napari_ink.widgets.predict_model import PredictModel


def recall(model: PredictModel, record: Mapping[str, Any]) -> None:
    """Ask for what a prediction asked for, as far as it fits fragment and checkpoint.

    Parameters
    ----------
    model : PredictModel
        With the fragment and the checkpoint of the prediction.
    record : mapping
        ``PredictionStore.provenance``.
    """
    asked = record["settings"]
    windows = record.get("windows") or [asked["layers"]]
    model.choose_settings(asked["task"], tuple(windows[len(windows) // 2]), asked["reverse_depth"])
    recall_samples(model, asked)
    model.swept = _swept(model, asked)
    model.choose_others(_others(record))


def _swept(model: PredictModel, asked: Mapping[str, Any]) -> tuple[int, int] | None:
    """The layers that a depth sweep was of; ``None``: all of them."""
    bounds, layers = model.layer_bounds, tuple(asked["layers"])
    if not model.depth_sweep or bounds is None or layers == bounds:
        return None
    return layers if bounds[0] <= layers[0] and layers[1] <= bounds[1] else None


def recall_samples(model: PredictModel, asked: Mapping[str, Any]) -> None:
    """Average over what an earlier prediction averaged, from the settings in its record."""
    symmetries = asked.get("symmetries", PredictionSettings.symmetries)
    if symmetries in SYMMETRIES:
        model.symmetries = symmetries
    model.depth_sweep = asked.get("depth_sweep") or 0
    model.samples = asked.get("samples", PredictionSettings.samples)
    if model.samples == 1 or model.info is None:
        return
    model.tolerance = asked["tolerance"] or 0.0
    model.seed = asked["seed"]
    for name in ("dropout", "gate_noise"):
        own = model.info.arguments.get(name, 0.0)
        setattr(model, name, None if asked[name] == own else asked[name])


def _others(record: Mapping[str, Any]) -> list[tuple[Path, CheckpointInfo]]:
    """The further checkpoints that a prediction records, as far as their files are there."""
    from napari_ink.models.checkpoint import read_info

    found = []
    for member in record.get("members", ())[1:]:
        path = member["checkpoint"].get("path")
        if path and Path(path).is_file():
            with suppress(InkError):  # another file by now
                found.append((Path(path), read_info(Path(path))))
    return found
