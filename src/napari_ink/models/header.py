"""The header of a .safetensors file, read and judged without torch.

Format: eight bytes, little-endian, the length of a JSON object that maps tensor names to
``{"dtype", "shape", "data_offsets"}`` and ``"__metadata__"`` to strings; then the tensors' bytes.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from napari_ink.errors import CheckpointError

#: The limit of the format's own reader.
MAX_HEADER = 100_000_000

#: Bytes an element, of the types a checkpoint may hold.
ITEM_SIZE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}

FLOATS = ("F64", "F32", "F16", "BF16")

_AGAIN = "copy or download it again, or choose another file"


@dataclass(frozen=True)
class TensorEntry:
    """Type and shape of a stored tensor."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """What a file says about itself: its tensors by name, and its text metadata."""

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]


def read_header(path: str | os.PathLike) -> Header:
    """Read and check the header of a .safetensors file; the tensors' bytes are not touched.

    Raises
    ------
    CheckpointError
        Naming the file: not there, not a .safetensors file, truncated, or a header that
        contradicts itself or the file's size.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 10 or length > min(size - 8, MAX_HEADER):
                raise CheckpointError(f"{path} is truncated or no .safetensors file", _AGAIN)
            text = file.read(length)
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path} ({error.strerror or error})", "check the path and its permissions"
        ) from error
    content = json_object(text, f"{path} is damaged or no .safetensors file", _AGAIN)
    metadata = content.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(f"{path} is damaged: its metadata is not text", _AGAIN)
    tensors, end = {}, 0
    for name, entry in content.items():
        tensors[name], stop = _entry(path, name, entry)
        end = max(end, stop)
    if end > size - 8 - length:
        raise CheckpointError(f"{path} is truncated: {size} bytes of {end + 8 + length}", _AGAIN)
    return Header(tensors, metadata)


def json_object(text: str | bytes, problem: str, remedy: str) -> dict:
    """The JSON object in a text that anybody may have written.

    Raises
    ------
    CheckpointError
        Of this problem and remedy, when there is none.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(problem, remedy) from error
    if not isinstance(content, dict):
        raise CheckpointError(problem, remedy)
    return content


def _entry(path: Path, name: str, entry) -> tuple[TensorEntry, int]:
    """One tensor of the header and where its bytes end."""
    problem = f"{path} is damaged: tensor {name[:80]!r} contradicts itself"
    if not isinstance(entry, dict):
        raise CheckpointError(problem, _AGAIN)
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if (
        not isinstance(dtype, str)
        or not all(isinstance(values, list) for values in (shape, offsets))
        or len(offsets) != 2
        or not all(type(value) is int and value >= 0 for value in [*shape, *offsets])
    ):
        raise CheckpointError(problem, _AGAIN)
    if dtype not in ITEM_SIZE:
        raise CheckpointError(
            f"{path}: tensor {name[:80]!r} has type {dtype[:20]}",
            f"a checkpoint holds {', '.join(ITEM_SIZE)}",
        )
    if offsets[1] - offsets[0] != math.prod(shape) * ITEM_SIZE[dtype]:
        raise CheckpointError(problem, _AGAIN)
    return TensorEntry(dtype, tuple(shape)), offsets[1]
