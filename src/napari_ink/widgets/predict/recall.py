"""What a prediction that is opened asked for comes back into the Predict dock; without Qt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ink.errors import InkError
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.symmetries import NAMES as SYMMETRIES

if TYPE_CHECKING:
    from napari_ink.models.checkpoint import CheckpointInfo
    from napari_ink.widgets.predict.model import PredictModel


def checkpoint_of(record: Mapping[str, Any]) -> Path | str:
    """The file of a prediction's first checkpoint, or the sentence that it was not found again.

    Parameters
    ----------
    record : mapping
        ``PredictionStore.provenance``.
    """
    found = _found(record["checkpoint"])
    return found if isinstance(found, str) else found[0]


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
    others = [_found(member["checkpoint"]) for member in record.get("members", ())[1:]]
    model.choose_others([other for other in others if not isinstance(other, str)])
    model.lost = tuple(other for other in others if isinstance(other, str))


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


def _found(made: Mapping[str, Any]) -> tuple[Path, CheckpointInfo] | str:
    """A recorded checkpoint where it was, or why it is not taken back into the dock."""
    from napari_ink.models.checkpoint import read_info

    if not made["path"]:
        return "a network of this prediction came from no file: Predict does without it"
    path = Path(made["path"])
    if not path.is_file():
        gone = f"{path.name} is no longer in {path.parent}"
        return f"a checkpoint of this prediction, {gone}: Predict does without it"
    try:
        return path, read_info(path)
    except InkError as error:  # another file by now
        return f"a checkpoint of this prediction cannot be read ({error.problem})"
