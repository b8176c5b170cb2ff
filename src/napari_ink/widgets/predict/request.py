"""One prediction as it is asked for, and the place that belongs to the question."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ink.errors import CheckpointError
from napari_ink.inference.settings import MONTE_CARLO, PredictionSettings
from napari_ink.widgets.folders import file_name

if TYPE_CHECKING:
    from napari_ink.models.info import CheckpointInfo
    from napari_ink.volumes.fragment import Fragment


@dataclass(frozen=True)
class PredictionRequest:
    """What to predict, with what, and the folder that keeps the result.

    Attributes
    ----------
    fragment : Fragment
    checkpoint : Path
    settings : PredictionSettings
    folder : Path
    chosen : CheckpointInfo, optional
        What the checkpoint was when task and layers were chosen for it.
    others : tuple of (Path, CheckpointInfo)
        Further checkpoints, and what they were when they were chosen.
    """

    fragment: Fragment
    checkpoint: Path
    settings: PredictionSettings
    folder: Path
    chosen: CheckpointInfo | None = None
    others: tuple[tuple[Path, CheckpointInfo], ...] = ()


def file_fingerprint(checkpoint: Path) -> str:
    """What tells a checkpoint's file from all others, without loading the network.

    Raises
    ------
    CheckpointError
        When it cannot be read.
    """
    try:
        with checkpoint.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"cannot read {checkpoint} ({error.strerror or error})", "choose it again"
        ) from error


def store_path(request: PredictionRequest, checkpoint: str, others: Sequence[str] = ()) -> Path:
    """Where this prediction is kept: the same question always leads to the same place.

    The question is what was asked, not what the plan makes of it: a tile chosen from today's free
    memory is no part of it. So a second Predict goes on where the first one stopped.

    Parameters
    ----------
    request : PredictionRequest
    checkpoint : str
        Its fingerprint.
    others : sequence of str
        Those of the further checkpoints.
    """
    fragment, asked = request.fragment, asdict(request.settings)
    del asked["focus"]
    for name in MONTE_CARLO if asked["samples"] == 1 else ("samples", "tolerance"):
        del asked[name]  # more samples go on where fewer stopped
    for name, usual in (("depth_sweep", None), ("symmetries", "none")):
        if asked[name] == usual:  # the question as it was before there was a choice
            del asked[name]
    if not asked["experts_off"]:  # the question as it was before there was a choice
        del asked["experts_off"]
    mask = getattr(fragment.mask, "path", None)
    edited = os.stat(mask).st_mtime_ns if mask and os.path.exists(mask) else None
    checkpoint = [checkpoint, *others] if others else checkpoint  # else the question as it was
    question = json.dumps([fragment.fingerprint(), edited, checkpoint, asked], default=str)
    key = hashlib.sha256(question.encode()).hexdigest()[:8]
    names = file_name(fragment.name), file_name(request.checkpoint.stem)
    return request.folder / f"{names[0]}-{names[1]}-{key}.ink.zarr"
