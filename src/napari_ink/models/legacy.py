"""Weights from pickled files of the published code, let in without running anything of theirs.

Such a file is a program. It is disassembled first: a class outside tensors, primitives and
containers is refused by its name. What passes is read by torch's restricted unpickler.
"""

from __future__ import annotations

import os
import pickletools
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from napari_ink.errors import CheckpointError, SettingsError
from napari_ink.models.mode import EXPERTS

if TYPE_CHECKING:
    from torch import Tensor

    from napari_ink.models.repmode import RepMode

_ALLOWED = re.compile(
    r"""collections\.OrderedDict
    | (builtins|__builtin__)\.(set|bytearray|complex)
    | _codecs\.encode
    | torch\.(cuda\.)?\w*Storage | torch\.storage\.(Typed|Untyped)Storage
    | torch\.(Size|device|Tensor) | torch\.(u?int|float|complex|bfloat)\d+ | torch\.bool
    | torch\._utils\._rebuild_(tensor(_v2|_v3)?|parameter)
    | torch\.nn\.parameter\.Parameter""",
    re.VERBOSE,
)

#: Under which keys a training script keeps the state dict, and what wrappers of modules prefix.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "nn_state")

#: How deep; a pickle may hold a dictionary that holds itself.
_DEEPEST = 4

_REMEDY = "save the state dict alone: torch.save(network.state_dict(), …)"

_PUBLISHED_EXPERTS = dict(
    zip(
        EXPERTS,
        ("conv5x5_conv", "conv3x3_conv", "conv1x1_conv", "avg3x3_conv", "avg5x5_conv"),
        strict=True,
    )
)


def read_state_dict(path: str | os.PathLike) -> dict[str, Tensor]:
    """The named tensors of a ``.pth``, ``.pt``, ``.p`` or ``.ckpt`` file.

    Raises
    ------
    CheckpointError
        Naming the file and, where it holds one, the class that is not let in.
    """
    import torch

    path = Path(path)
    try:
        foreign = sorted({name for name in _globals(path) if not _ALLOWED.fullmatch(name)})
        if foreign:
            raise CheckpointError(
                f"{path} holds {', '.join(foreign)[:300]}: only tensors, primitives and "
                "containers are let in",
                _REMEDY,
            )
        if tarfile.is_tarfile(path):
            raise CheckpointError(f"{path} is a tar file of torch before 0.1.10", _REMEDY)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path} ({error.strerror or error})", "check the path and its permissions"
        ) from error
    except Exception as error:  # what torch raises for a damaged file has no common base
        raise CheckpointError(
            f"{path} is damaged or no file of weights ({type(error).__name__})", _REMEDY
        ) from error
    for _ in range(_DEEPEST):
        if not isinstance(content, dict):
            break
        content = next(
            (content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), content
        )
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(k, str) and torch.is_tensor(v) for k, v in content.items())
    ):
        raise CheckpointError(f"{path} holds no state dict", _REMEDY)
    return content


def _globals(path: Path) -> Iterator[str]:
    """Names of all classes and functions that the pickles of a file would look up."""
    with open(path, "rb") as stream:
        start = stream.read(4)
    if start == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".pkl"):
                    with archive.open(member) as stream:
                        yield from _pickle_globals(stream)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            for name in ("storages", "tensors", "pickle"):
                member = archive.extractfile(name) if name in archive.getnames() else None
                if member is not None:
                    yield from _pickle_globals(member)
    else:
        with open(path, "rb") as stream:
            yield from _pickle_globals(stream)


def _pickle_globals(stream: IO[bytes]) -> Iterator[str]:
    """The same for one stream of pickles, which may be followed by raw data."""
    while True:
        strings: list[str] = []
        memo: dict[int, str] = {}
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                name = opcode.name
                if name in ("GLOBAL", "INST"):
                    yield argument.replace(" ", ".")
                elif name == "STACK_GLOBAL":
                    yield ".".join(strings[-2:])
                elif name.startswith("EXT"):
                    yield f"of the extension registry, number {argument}"
                elif name == "MEMOIZE":
                    memo[len(memo)] = strings[-1] if strings else "?"
                elif "PUT" in name:
                    memo[int(argument)] = strings[-1] if strings else "?"
                elif "GET" in name:
                    strings.append(memo.get(int(argument), "?"))
                elif isinstance(argument, str):
                    strings.append(argument)
        except Exception:  # no pickle any more: raw storages, or damage that torch will report
            return


def import_repmode(
    path: str | os.PathLike, *, depth: int | None = None, tasks: tuple[str, ...] | None = None
) -> RepMode:
    """A RepMode network from a state dict with the published keys.

    Width, levels and number of tasks follow from the shapes; decoder ``3d``, collapse ``none``
    and ReLU are those of the published network.

    Parameters
    ----------
    path : path
        File that :func:`read_state_dict` takes; prefixes such as ``module.`` are dropped.
    depth : int, optional
        Layers taken, a multiple of ``2**levels``; default 32, that of the published patches.
    tasks : tuple of str, optional
        Names of the tasks; default ``"0"`` to ``"T-1"``.

    Raises
    ------
    CheckpointError
        Naming the file and the tensor that is missing, unexpected, wrongly shaped or not finite.
    SettingsError
        If depth or names do not fit.
    """
    import torch

    from napari_ink.models.repmode import RepMode

    state = _without_prefix(path, read_state_dict(path))
    kernel, gate = state["conv_out.expert_conv5x5_conv"], state.get("conv_out.gate.weight")
    encoder = [re.match(r"encoder_block(\d{1,3})\.", key) for key in state]
    levels = max((int(match[1]) for match in encoder if match), default=0)
    if kernel.ndim != 5 or gate is None or gate.ndim != 2:
        raise CheckpointError(f"{path} has no usable conv_out", _REMEDY)
    number = gate.shape[1]
    tasks = tuple(map(str, range(number))) if tasks is None else tuple(tasks)
    if len(tasks) != number:
        raise SettingsError(f"{len(tasks)} task names for {path}", f"it has {number} tasks")
    arguments = {"width": kernel.shape[1], "levels": levels, "depth": depth or 32, "tasks": tasks}
    with torch.device("meta"):
        network = RepMode(**arguments, decoder="3d", collapse="none", activation="relu")
    elements = sum(parameter.numel() for parameter in network.parameters())
    if elements > Path(path).stat().st_size:  # views that repeat a few numbers
        raise CheckpointError(f"{path} is too small for the shapes it claims", "use another file")
    translated = {}
    for name, expected in network.state_dict().items():
        published = published_name(name)
        if published not in state:
            if name.endswith("num_batches_tracked"):  # not yet there in the first files
                translated[name] = torch.zeros((), dtype=torch.long)
                continue
            raise CheckpointError(f"{path} lacks {published}", "is it a RepMode checkpoint?")
        tensor = state.pop(published)
        if tensor.shape != expected.shape:
            raise CheckpointError(
                f"{path}: {published} is {tuple(tensor.shape)}, not {tuple(expected.shape)}",
                "is it a RepMode checkpoint?",
            )
        if tensor.is_complex() or not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {published} is not finite and real", "use another file")
        translated[name] = tensor.detach().to(expected.dtype, copy=True).contiguous()
    _check_pools(path, state)
    if state:
        raise CheckpointError(
            f"{path} has an unexpected {min(state)}", "is it a RepMode checkpoint?"
        )
    network.load_state_dict(translated, assign=True)
    return network.eval()


def published_name(name: str) -> str:
    """The published key of one of our RepMode's parameters or buffers."""
    parts = name.split(".")
    if parts[0] == "bottleneck":
        layer, rest = f"bottle_block.conv{int(parts[1]) + 1}", parts[2:]
    elif parts[0] == "head":
        layer, rest = "conv_out", parts[1:]
    elif parts[0] in ("down", "up"):
        block, sequence = {"down": ("encoder", "conv_down"), "up": ("decoder", "convt")}[parts[0]]
        place = {"conv": "0", "norm": "1"}[parts[2]]
        return f"{block}_block{int(parts[1]) + 1}.{sequence}.{place}.{'.'.join(parts[3:])}"
    else:
        pair = {"encoder": "conv_more", "decoder": "conv_less"}[parts[0]]
        level, index = int(parts[1]) + 1, int(parts[2]) + 1
        layer, rest = f"{parts[0]}_block{level}.{pair}.conv{index}", parts[3:]
    if rest[0] == "norm":
        return f"{layer}.subsequent_layer.0.{'.'.join(rest[1:])}"
    if rest[1] == "gate":
        return f"{layer}.gate.{rest[2]}"
    return f"{layer}.expert_{_PUBLISHED_EXPERTS[rest[1]]}"


def _without_prefix(path: str | os.PathLike, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with the published keys, whatever module wrapped the network."""
    anchor = "conv_out.expert_conv5x5_conv"
    prefix = next((key[: -len(anchor)] for key in state if key.endswith(anchor)), None)
    if prefix is None:
        raise CheckpointError(f"{path} lacks {anchor}", "is it a RepMode checkpoint?")
    return {key.removeprefix(prefix): tensor for key, tensor in state.items()}


def _check_pools(path: str | os.PathLike, state: dict[str, Tensor]) -> None:
    """Take the fixed pooling kernels out; refuse others than the mean, which would be ignored."""
    for key in [key for key in state if re.search(r"\.expert_avg(3x3|5x5)_pool$", key)]:
        pool, taps = state.pop(key).float(), 27 if "3x3" in key else 125
        if pool.numel() != taps or not pool.allclose(pool.new_tensor(1 / taps), rtol=1e-2):
            raise CheckpointError(f"{path}: {key} is no mean", "is it a RepMode checkpoint?")
