"""One .safetensors file: a network's weights and everything needed to use them.

The metadata is one JSON string under the key ``napari_ink``. Nothing is unpickled, and nothing
is allocated before the header has been found to agree with the network that it describes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ink.errors import CheckpointError, SettingsError
from napari_ink.models.header import Header, read_header

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork

FORMAT_VERSION = 1
KEY = "napari_ink"

_REMEDY = "choose another file, or write it again with this program"


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
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"the metadata of {path} is no JSON", _REMEDY) from error
        if not isinstance(content, dict):
            raise CheckpointError(f"the metadata of {path} is no JSON object", _REMEDY)
        version = content.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has checkpoint format {_short(version)}, this program reads "
                f"{FORMAT_VERSION}",
                "upgrade napari-ink, or save the checkpoint with this version",
            )
        values = {}
        for name, (check, expected, required) in _FIELDS.items():
            if name not in content:
                if required:
                    raise CheckpointError(f"the metadata of {path} lacks {name!r}", _REMEDY)
                continue
            if not check(content[name]):
                raise CheckpointError(
                    f"the metadata of {path} says {name} = {_short(content[name])}, not {expected}",
                    _REMEDY,
                )
            value = content[name]
            values[name] = tuple(value) if isinstance(value, list) else value
        return cls(path=str(path), **values)


def save_checkpoint(path: str | os.PathLike, model: InkNetwork, info: CheckpointInfo) -> None:
    """Write weights and metadata to one file, which is either whole or not there.

    The file is written beside its place, flushed to the disk and then renamed.

    Raises
    ------
    SettingsError
        If the metadata are not those of the network.
    CheckpointError
        If the file cannot be written, naming it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    own = CheckpointInfo.of(model, recipe=info.recipe)
    for name in ("architecture", "arguments", "tasks", "depth"):
        if getattr(own, name) != getattr(info, name):
            raise SettingsError(
                f"metadata say {name} = {getattr(info, name)!r}, the network {getattr(own, name)!r}",
                "make them with CheckpointInfo.of(model, …)",
            )
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, beside, metadata={KEY: info.to_json()})
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot write {path} ({error})", "check permissions and the space left on the disk"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def read_info(path: str | os.PathLike) -> CheckpointInfo:
    """Metadata of a checkpoint from its header alone, without torch.

    Raises
    ------
    CheckpointError
        If the file is no checkpoint of this program, or a damaged one.
    """
    return _info(path, read_header(path))


def _info(path: str | os.PathLike, header: Header) -> CheckpointInfo:
    if KEY not in header.metadata:
        raise CheckpointError(
            f"{path} is a .safetensors file without napari-ink metadata",
            "bring foreign weights in with napari-ink import-checkpoint",
        )
    return CheckpointInfo.from_json(header.metadata[KEY], path)


def load_checkpoint(path: str | os.PathLike) -> InkNetwork:
    """A network in eval mode, on the CPU, with its metadata as ``.info``.

    The network described is first built without memory and compared with the header.

    Raises
    ------
    CheckpointError
        Naming the file: unknown format, missing or unexpected tensors, wrong shapes, truncated,
        not finite, or metadata that contradict the weights.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    header = read_header(path)
    info = _info(path, header)
    model = _described(path, info)
    _compare(path, model.state_dict(), header)
    try:
        data = Path(path).read_bytes()
        tensors = load(data)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"cannot read the weights of {path} ({error})", _REMEDY) from error
    expected = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    tensors = {name: tensor.to(expected[name]) for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: tensor {name!r} holds NaN or infinity", _REMEDY)
    model.load_state_dict(tensors, assign=True)
    model.info = replace(info, fingerprint=hashlib.sha256(data).hexdigest())
    if info.halo is not None:
        model.halo = info.halo
    return model.eval()


def _described(path: str | os.PathLike, info: CheckpointInfo) -> InkNetwork:
    """The network that the metadata describe, on torch's device without memory."""
    import torch

    from napari_ink.models.registry import build

    try:
        with torch.device("meta"):
            model = build(info.architecture, info.arguments)
    except SettingsError as error:
        raise CheckpointError(f"{path}: {error.problem}", error.remedy) from error
    except (RuntimeError, OverflowError, MemoryError) as error:
        raise CheckpointError(
            f"{path} describes a network that cannot be built", _REMEDY
        ) from error
    for name in ("tasks", "depth"):
        if getattr(info, name) != getattr(model, name):
            raise CheckpointError(
                f"{path} contradicts itself: {name} {_short(getattr(info, name))} and "
                f"{_short(getattr(model, name))}",
                _REMEDY,
            )
    if info.halo is not None and info.halo % model.multiple_of:
        raise CheckpointError(
            f"{path}: halo {info.halo} is no multiple of {model.multiple_of}", _REMEDY
        )
    unknown = set(info.thresholds) - set(model.tasks)
    if unknown:
        raise CheckpointError(
            f"{path} has a threshold for the unknown task {_short(min(unknown))}", _REMEDY
        )
    return model


def _compare(path: str | os.PathLike, expected: dict, header: Header) -> None:
    """Raise CheckpointError unless the file's tensors are exactly those of the network."""
    found = header.tensors
    for problem, names in (
        ("lacks tensor", expected.keys() - found.keys()),
        ("has an unexpected tensor", found.keys() - expected.keys()),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(f"{path} {problem} {min(names)[:80]!r}{more}", _REMEDY)
    for name, tensor in expected.items():
        if found[name].shape != tuple(tensor.shape):
            raise CheckpointError(
                f"{path}: tensor {name!r} is {found[name].shape}, its metadata describe "
                f"{tuple(tensor.shape)}",
                _REMEDY,
            )
        if tensor.is_floating_point() != found[name].dtype.startswith(("F", "BF")):
            raise CheckpointError(f"{path}: tensor {name!r} has type {found[name].dtype}", _REMEDY)


def _versions() -> dict[str, str]:
    import torch

    from napari_ink import __version__

    return {
        "napari-ink": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def _short(value: Any) -> str:
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
