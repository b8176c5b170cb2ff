"""The files of a prediction store: made, opened, and what can go wrong on a disk."""

from __future__ import annotations

import base64
import errno
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr
from filelock import FileLock, Timeout
from rich.filesize import decimal
from zarr.codecs import ZstdCodec

from napari_ink.errors import StoreError
from napari_ink.inference.layer_places import layer_places
from napari_ink.inference.pyramid import multiscales
from napari_ink.inference.store_samples import IMAGES, create_samples

if TYPE_CHECKING:
    from napari_ink.inference.plan import PredictionPlan

FORMAT_VERSION = 1
KEY = "napari_ink"
COMPRESSOR = ZstdCodec(level=3)
_MASK_CHUNK = 1024
_PYRAMID_SHARE = 4 / 3  # 1 + 1/4 + 1/16 + …


def create(path: Path, plan: PredictionPlan) -> None:
    """Make an empty store beside the final name, then rename it: it is never seen half made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        rows, columns = plan.grid.blocks_shape
        attributes = plan.provenance | {
            "format_version": FORMAT_VERSION,
            "state": "running",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "identity": plan.identity,
            "blocks": {"shape": [rows, columns], "size": plan.grid.block, "total": plan.total},
            "finished": packed(np.zeros((rows, columns), bool)),
        }
        group = zarr.create_group(made, attributes={KEY: attributes})
        axes = len(plan.output_shape)
        averaged = not plan.passes.is_single
        for name in ("ink", *(IMAGES if averaged else ())):
            ome = multiscales(name, plan.voxel_size, axes, 1, *layer_places(attributes))
            group.create_group(name, attributes={"ome": ome}).create_array(
                "0",
                shape=plan.output_shape,
                chunks=(*plan.output_shape[:-2], *plan.grid.block),
                dtype="float16",
                fill_value=float("nan"),
                compressors=COMPRESSOR,
                dimension_names=("z", "y", "x")[-axes:],
            )
        if averaged:
            create_samples(group, plan, COMPRESSOR)
        if plan.mask is not None:
            _copy_mask(plan.mask, group)
        os.chmod(made, 0o777 & ~_umask())  # mkdtemp makes it private
        made.rename(path)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _copy_mask(mask, group: zarr.Group) -> None:
    chunks = tuple(min(_MASK_CHUNK, side) for side in mask.shape)
    target = group.create_array(
        "mask",
        shape=mask.shape,
        chunks=chunks,
        dtype=bool,
        compressors=COMPRESSOR,
        dimension_names=("y", "x"),
    )
    for y in range(0, mask.shape[0], chunks[0]):
        rows = slice(y, min(y + chunks[0], mask.shape[0]))
        target[rows] = np.asarray(mask.read(rows, slice(None))) != 0


def opened(path: Path, mode: str) -> zarr.Group:
    """The store's group, checked to be one; StoreError otherwise."""
    if not there(path):
        raise StoreError(f"{path} does not exist", "give the path of a NAME.ink.zarr")
    try:
        group = zarr.open_group(path, mode=mode, use_consolidated=False)
        version = group.attrs[KEY]["format_version"]
        group["ink/0"]
    except PermissionError as error:
        raise StoreError(f"{path} may not be opened", "ask for permission") from error
    except Exception as error:
        if not there(path):
            raise removed(path) from error
        raise StoreError(
            f"{path} is not a prediction of napari-ink", "give another path; it was left alone"
        ) from error
    if version != FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {version}, this program knows {FORMAT_VERSION}",
            "update napari-ink",
        )
    return group


def removed(path: Path) -> StoreError:
    """What to say of a store that is no longer where it was."""
    return StoreError(f"{path} was removed while it was written", "predict again")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """What the disk refuses becomes a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"the disk of {path} is full", "free space and call again: it goes on from here"
            ) from error
        reason = error.strerror or error
        raise StoreError(f"{path} cannot be written ({reason})", "choose another place") from error


def there(path: Path) -> bool:
    """Whether anything is at a path; StoreError for one that the disk cannot have."""
    with disk_errors(path):
        return path.exists()


def check_space(path: Path, needed: int) -> None:
    """Raise StoreError unless the disk holds a result of this size and its coarser levels."""
    there = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(there).free
    needed = int(needed * _PYRAMID_SHARE)
    if needed > free:
        raise StoreError(
            f"the result takes up to {decimal(needed)}, {there} has {decimal(free)} free",
            "choose another place or a smaller region",
        )


def packed(bits: np.ndarray) -> str:
    """A table of yes and no as compressed text."""
    return base64.b64encode(zlib.compress(np.packbits(bits).tobytes())).decode()


def unpacked(text: str, shape: list[int]) -> np.ndarray:
    """The table that :func:`packed` wrote, of ``shape``."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(raw, count=shape[0] * shape[1]).astype(bool).reshape(shape)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def locked(path: Path) -> FileLock:
    """The lock of a store, taken.

    Raises
    ------
    StoreError
        When another process has it, or nothing may be written there.
    """
    lock = FileLock(path / "ink" / "0" / ".lock", timeout=0, thread_local=False)
    with disk_errors(path):
        try:
            lock.acquire()
        except Timeout:
            raise StoreError(
                f"{path} is being written by another process", "wait for it, or choose another name"
            ) from None
    return lock


def clear_lock(path: Path) -> None:
    """Of a store that was removed before it was locked, leave nothing: locks make their folder."""
    if not (path / "zarr.json").exists():
        (path / "ink" / "0" / ".lock").unlink(missing_ok=True)
        with suppress(OSError):  # not empty: somebody else's
            for folder in (path / "ink" / "0", path / "ink", path):
                folder.rmdir()
