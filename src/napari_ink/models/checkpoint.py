"""One .safetensors file: a network's weights and everything needed to use them.

The metadata is one JSON string under the key ``napari_ink``. Nothing is unpickled, and nothing
is allocated before the header has been found to agree with the network that it describes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ink.errors import CheckpointError, SettingsError
from napari_ink.models.header import FLOATS, Header, read_header
from napari_ink.models.info import FORMAT_VERSION, REMEDY, CheckpointInfo, shortened

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork

__all__ = ["FORMAT_VERSION", "CheckpointInfo", "load_checkpoint", "read_info", "save_checkpoint"]

KEY = "napari_ink"


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
    from safetensors.torch import save

    own = CheckpointInfo.of(model, recipe=info.recipe)
    text = info.to_json()
    CheckpointInfo.from_json(text, path)  # what could not be read again is not written
    for name in ("architecture", "arguments", "tasks", "depth"):
        if getattr(own, name) != getattr(info, name):
            raise SettingsError(
                f"the metadata's {name} {shortened(getattr(info, name))} are not the network's "
                f"{shortened(getattr(own, name))}",
                "make them with CheckpointInfo.of(model, …)",
            )
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "xb") as file:
            file.write(save(tensors, metadata={KEY: text}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path} ({error.strerror or error})",
            "check permissions and the space left on the disk",
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
        raise CheckpointError(f"cannot read the weights of {path} ({error})", REMEDY) from error
    expected = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    tensors = {name: tensor.to(expected[name]) for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: tensor {name!r} holds NaN or infinity", REMEDY)
    model.load_state_dict(tensors, assign=True)
    model.info = replace(info, fingerprint=hashlib.sha256(data).hexdigest())
    if info.halo is not None:
        model.halo = min(info.halo, model.halo)  # more than the receptive field changes nothing
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
        raise CheckpointError(f"{path} describes a network that cannot be built", REMEDY) from error
    for name in ("tasks", "depth"):
        if getattr(info, name) != getattr(model, name):
            raise CheckpointError(
                f"{path} contradicts itself: {name} {shortened(getattr(info, name))} and "
                f"{shortened(getattr(model, name))}",
                REMEDY,
            )
    if info.halo is not None and info.halo % model.multiple_of:
        raise CheckpointError(
            f"{path}: halo {info.halo} is no multiple of {model.multiple_of}", REMEDY
        )
    unknown = set(info.thresholds) - set(model.tasks)
    if unknown:
        raise CheckpointError(
            f"{path} has a threshold for the unknown task {shortened(min(unknown))}", REMEDY
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
            raise CheckpointError(f"{path} {problem} {min(names)[:80]!r}{more}", REMEDY)
    for name, tensor in expected.items():
        if found[name].shape != tuple(tensor.shape):
            raise CheckpointError(
                f"{path}: tensor {name!r} is {found[name].shape}, its metadata describe "
                f"{tuple(tensor.shape)}",
                REMEDY,
            )
        if tensor.is_floating_point() != (found[name].dtype in FLOATS):
            raise CheckpointError(f"{path}: tensor {name!r} has type {found[name].dtype}", REMEDY)
