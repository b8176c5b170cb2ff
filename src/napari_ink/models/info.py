"""Metadata of a checkpoint: what there is to know about a network besides its weights."""

from __future__ import annotations

import json
import math
import os
import platform
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ink.errors import CheckpointError, SettingsError
from napari_ink.models.header import json_object
from napari_ink.volumes.intensity import Recipe

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork

FORMAT_VERSION = 1

#: What helps against a file that cannot be used.
REMEDY = "choose another file, or write it again with this program"


@dataclass(frozen=True)
class CheckpointInfo:
    """Metadata of a checkpoint, as stored; the last two fields are about the file itself.

    Attributes
    ----------
    architecture, arguments : str, dict
        What :func:`napari_ink.models.registry.build` takes.
    tasks : tuple of str
        Names of the tasks.
    depth : int
        Layers taken.
    recipe : dict
        Intensity recipe, as ``napari_ink.volumes.intensity.Recipe.to_dict`` gives it.
    layers : tuple of int, optional
        Depth window ``(first, end)`` of training, half-open, in stored numbering.
    reverse_depth : bool
        Whether the window was flipped along z after it was taken.
    voxel_size : float, optional
        µm of training.
    window : int, optional
        Side of the training windows, px.
    halo : int, optional
        Measured context, px; ``None`` where nobody measured it.
    thresholds : dict
        Probability from which on a pixel counts, a task.
    training, metrics, versions : dict
        Settings of the training, its scores, and the versions of the software.
    dataset : tuple of dict
        ``{"name", "fingerprint"}`` of each fragment trained on.
    simulated : bool
        Whether it was trained on simulated fragments only.
    format_version : int
        Of the metadata.
    path : str, optional
        Where it was read from.
    fingerprint : str, optional
        SHA-256 of the file, hex; ``None`` while only the header has been read.
    """

    architecture: str
    arguments: dict
    tasks: tuple[str, ...]
    depth: int
    recipe: dict
    layers: tuple[int, int] | None = None
    reverse_depth: bool = False
    voxel_size: float | None = None
    window: int | None = None
    halo: int | None = None
    thresholds: dict[str, float] = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    dataset: tuple[dict, ...] = ()
    metrics: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    simulated: bool = False
    format_version: int = FORMAT_VERSION
    path: str | None = field(default=None, compare=False)
    fingerprint: str | None = field(default=None, compare=False)

    @property
    def window_mm(self) -> float | None:
        """Side of the training windows in mm; ``None`` where size or voxel is unknown."""
        if self.window is None or self.voxel_size is None:
            return None
        return self.window * self.voxel_size / 1000

    def threshold(self, task: str) -> float:
        """Probability from which on a pixel counts as ink; one half where none is stored."""
        return self.thresholds.get(task, 0.5)

    @classmethod
    def of(cls, model: InkNetwork, *, recipe: dict, **others: Any) -> CheckpointInfo:
        """Metadata of a network: its own part filled in, the versions of the software too."""
        own = {
            "architecture": model.architecture,
            "arguments": dict(model.arguments),
            "tasks": tuple(model.tasks),
            "depth": model.depth,
        }
        versions = _versions() | others.pop("versions", {})
        return cls(recipe=dict(recipe), versions=versions, **own, **others)

    def to_json(self) -> str:
        """The JSON text that is stored."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        del content["path"], content["fingerprint"]
        return json.dumps(_jsonable(content), allow_nan=False)

    @classmethod
    def from_json(cls, text: str, path: str | os.PathLike = "checkpoint") -> CheckpointInfo:
        """Read stored JSON; fields that it does not know are left to later versions.

        Raises
        ------
        CheckpointError
            Naming the file and the field.
        """
        content = json_object(text, f"the metadata of {path} is no JSON object", REMEDY)
        version = content.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has checkpoint format {shortened(version)}, this program reads "
                f"{FORMAT_VERSION}",
                "upgrade napari-ink, or save the checkpoint with this version",
            )
        values = {}
        for name, (check, expected, required) in _FIELDS.items():
            if name not in content:
                if required:
                    raise CheckpointError(f"the metadata of {path} lacks {name!r}", REMEDY)
                continue
            if not check(content[name]):
                raise CheckpointError(
                    f"the metadata of {path} says {name} = {shortened(content[name])}, "
                    f"not {expected}",
                    REMEDY,
                )
            value = content[name]
            values[name] = tuple(value) if isinstance(value, list) else value
        try:
            Recipe.from_dict(values["recipe"])
        except SettingsError as error:
            raise CheckpointError(f"{path}: {error.problem}", error.remedy) from error
        return cls(path=str(path), **values)


def _versions() -> dict[str, str]:
    import torch

    from napari_ink import __version__

    return {
        "napari-ink": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def shortened(value: Any) -> str:
    """``repr`` of a value, fit for a message of one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _jsonable(value: Any) -> Any:
    """Containers and numbers as JSON knows them; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str):  # numpy and torch scalars
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def _is_int(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value < 2**31


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _or_none(check):
    return lambda value: value is None or check(value)


def _is_tasks(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(t, str) for t in value)


def _is_layers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(_is_int, value))
        and (value[0] < value[1])
    )


def _is_thresholds(value: Any) -> bool:
    return _is_dict(value) and all(_is_number(v) and 0 <= v <= 1 for v in value.values())


def _is_dataset(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_dict, value))


#: Field: (check, what it must be, required).
_FIELDS = {
    "format_version": (_is_int, "a whole number", True),
    "architecture": (lambda v: isinstance(v, str), "a name", True),
    "arguments": (_is_dict, "an object", True),
    "tasks": (_is_tasks, "a list of names", True),
    "depth": (lambda v: _is_int(v, 1), "a positive whole number", True),
    "recipe": (_is_dict, "an object", True),
    "layers": (_or_none(_is_layers), "a range [first, end]", False),
    "reverse_depth": (lambda v: isinstance(v, bool), "true or false", False),
    "voxel_size": (_or_none(lambda v: _is_number(v) and v > 0), "a positive number", False),
    "window": (_or_none(lambda v: _is_int(v, 1)), "a positive whole number", False),
    "halo": (_or_none(_is_int), "a whole number", False),
    "thresholds": (_is_thresholds, "probabilities by task", False),
    "training": (_is_dict, "an object", False),
    "dataset": (_is_dataset, "a list of objects", False),
    "metrics": (_is_dict, "an object", False),
    "versions": (_is_dict, "an object", False),
    "simulated": (lambda v: isinstance(v, bool), "true or false", False),
}
