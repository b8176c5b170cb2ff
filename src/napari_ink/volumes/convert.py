"""Any layout → sharded, compressed, multiscale OME-Zarr, in bounded memory, resumable.

The result grows in ``.NAME.zarr.partial`` beside its place and is renamed when complete, so a
half-written fragment is never mistaken for one. Finished blocks are listed in a journal; a
conversion that was stopped, even by force, goes on from there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numcodecs
import numpy as np
import zarr
from filelock import FileLock, Timeout

from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes.fragment import Fragment, isotropic
from napari_ink.volumes.intensity import full_scale
from napari_ink.volumes.ome import chunk_keys, describe_image, side_cars_of, write_plane
from napari_ink.volumes.pyramid import BLOCK, Pyramid, halve
from napari_ink.volumes.spool import needs_spool, spool

_WORTH_KEEPING = 1 << 30  # bytes


@dataclass(frozen=True)
class BlockDone:
    """Progress of a conversion: blocks finished, and blocks in all."""

    index: int
    total: int


def convert(
    fragment: Fragment,
    destination: str | os.PathLike,
    *,
    version: str = "0.5",
    voxel_size: float | None = None,
    dtype: str | None = None,
) -> Iterator[BlockDone]:
    """Write a fragment, with its side-cars, as one OME-Zarr image.

    Parameters
    ----------
    fragment : Fragment
    destination : str or path-like
        ``NAME.zarr``, which must not exist.
    version : str
        ``0.5`` (zarr v3, sharded) or ``0.4`` (zarr v2).
    voxel_size : float, optional
        In µm; overrules the fragment's.
    dtype : str, optional
        ``uint8``, ``uint16`` or ``float32``, full scale to full scale.

    Yields
    ------
    BlockDone
        After every block; closing the generator leaves a half that the next call goes on from.

    Raises
    ------
    SettingsError
        When the destination exists, or cannot be written, or the settings make no sense.
    FragmentError
        When the source is damaged, or the disk too full. What was written for a damaged source is
        removed, unless more than 1 GB of work would be lost.
    """
    destination = Path(destination).expanduser().absolute()
    if voxel_size is not None:
        fragment = replace(fragment, voxel_size=isotropic(voxel_size))
    job = _Job(fragment, destination, version, np.dtype(dtype or fragment.dtype))
    return job.run()


class _Job:
    def __init__(self, fragment: Fragment, destination: Path, version: str, dtype) -> None:
        if version not in ("0.4", "0.5"):
            raise SettingsError(f"OME-Zarr {version} is not written", "choose 0.5 or 0.4")
        if dtype.name not in ("uint8", "uint16", "float32"):
            raise SettingsError(
                f"dtype {dtype.name} is not written", "choose uint8, uint16 or float32"
            )
        if destination.suffix != ".zarr" or destination.name.endswith(".ink.zarr"):
            raise SettingsError(f"{destination.name} is no name for it", "call it NAME.zarr")
        self.fragment, self.destination, self.dtype = fragment, destination, dtype
        self.version = version
        self.partial = destination.with_name(f".{destination.name}.partial")
        self.journal = self.partial / "journal.txt"
        self.pyramid = Pyramid(fragment.shape, version)
        self.source = fragment.volume
        self._check_place()
        self.identity = {
            "fragment": fragment.fingerprint(),
            "version": version,
            "dtype": dtype.name,
            "voxel_size": fragment.voxel_size and list(fragment.voxel_size),
            "first_layer": fragment.first_layer,
            "side_cars": sorted(side_cars_of(fragment)),
        }
        self.resumed = self._resumed()
        self._check_disk()

    def _check_place(self) -> None:
        if os.path.lexists(self.destination):
            raise SettingsError(f"{self.destination} exists", "choose another name, or delete it")
        if not self.destination.parent.is_dir():
            raise SettingsError(f"{self.destination.parent} is no folder", "create it first")

    def _resumed(self) -> bool:
        """Whether a half-finished result of the very same conversion is there."""
        if not os.path.lexists(self.partial):
            return False
        try:
            identity = json.loads((self.partial / "conversion.json").read_text())
        except (OSError, ValueError):
            identity = None
        if identity != self.identity:
            raise SettingsError(
                f"{self.partial} is the half of another conversion", "finish that one or delete it"
            )
        return True

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.destination.parent).free
        needed = self._estimate() - (_size(self.partial) if self.resumed else 0)
        if needed > free:
            raise FragmentError(
                f"{self.destination} needs about {_gigabytes(needed)} GB, "
                f"{_gigabytes(free)} GB are free",
                "make room, or choose another disk",
            )

    def _estimate(self) -> float:
        """Bytes of the result: full size times the compression of a few places, and a margin."""
        depth, height, width = self.fragment.shape
        z = slice(0, min(depth, self.pyramid.chunk[0]))
        raw = packed = 0
        codec = numcodecs.Blosc("zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
        for part in (1, 2, 3):
            y, x = height * part // 4, width * part // 4
            piece = self._as_dtype(self.fragment.read(z, slice(y, y + 128), slice(x, x + 128)))
            raw += piece.nbytes
            packed += len(codec.encode(piece))
        pixels = sum(int(np.prod(shape)) for shape in self.pyramid.shapes)
        size = 1.1 * pixels * self.dtype.itemsize * packed / raw
        if needs_spool(self.source):
            size += int(np.prod(self.fragment.shape)) * self.fragment.dtype.itemsize
        return size + (1 << 16)

    def _compressors(self) -> list:
        if self.version == "0.4":
            return [numcodecs.Blosc("zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)]
        return [
            zarr.codecs.BloscCodec(
                cname="zstd", clevel=5, shuffle="shuffle", typesize=self.dtype.itemsize
            ),
            zarr.codecs.Crc32cCodec(),  # a flipped bit is an error, not a wrong grey level
        ]

    def run(self) -> Iterator[BlockDone]:
        """Create or go on with the partial result, then move it to its place."""
        with self._locked():
            done = self._begin()
            try:
                yield from self._work(done)
            except FragmentError:
                if not self.resumed and _size(self.partial) < _WORTH_KEEPING:
                    shutil.rmtree(self.partial, ignore_errors=True)
                raise
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise FragmentError(
                    f"the disk of {self.destination} is full", "make room and run again to go on"
                ) from error
            self._finish()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(f"{self.partial}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise SettingsError(
                f"{self.destination} is being converted right now", "wait for that to end"
            ) from None
        except OSError as error:  # no permission, a read-only disk
            raise SettingsError(
                f"{self.destination.parent} cannot be written ({error.strerror})",
                "choose another place",
            ) from None
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def _begin(self) -> set[str]:
        if self.resumed:
            for leftover in self.partial.rglob("*.partial"):  # of writes that were cut off
                leftover.unlink()
            # A line counts when it is complete.
            lines = self.journal.read_text().split("\n") if self.journal.exists() else [""]
            return set(lines[:-1])
        self.partial.mkdir()
        (self.partial / "conversion.json").write_text(json.dumps(self.identity))
        return set()

    def _work(self, done: set[str]) -> Iterator[BlockDone]:
        root = zarr.open_group(self.partial, mode="a", zarr_format=self._zarr_format)
        levels = self._levels(root)
        tasks = [
            (f"{level} {number}", level, block)
            for level in range(len(levels))
            for number, block in enumerate(self.pyramid.blocks(level))
        ]
        planes = side_cars_of(self.fragment)
        total, index = len(tasks) + len(planes), 0
        if needs_spool(self.source):
            total += self.fragment.shape[0]
            for plain in spool(self.fragment.volume, self.partial / "spool"):
                self.source, index = plain, index + 1
                yield BlockDone(index, total)
        with open(self.journal, "a") as journal:
            for key, level, block in tasks:
                index += 1
                if key in done:
                    continue
                window = _halved(levels[level - 1], block) if level else self._read(block)
                levels[level][block] = window
                journal.write(f"{key}\n")
                journal.flush()
                yield BlockDone(index, total)
            for kind in planes:
                index += 1
                if kind not in done:
                    write_plane(root, self.fragment, kind, self.version)
                    journal.write(f"{kind}\n")
                    journal.flush()
                    yield BlockDone(index, total)
        describe_image(root, self.fragment, len(levels), self.version)

    @property
    def _zarr_format(self) -> int:
        return 2 if self.version == "0.4" else 3

    def _levels(self, root: zarr.Group) -> list[zarr.Array]:
        levels = []
        for level, shape in enumerate(self.pyramid.shapes):
            if str(level) in root:
                levels.append(root[str(level)])
                continue
            options = {"shards": self.pyramid.block, "dimension_names": ("z", "y", "x")}
            levels.append(
                root.create_array(
                    str(level),
                    shape=shape,
                    dtype=self.dtype,
                    chunks=self.pyramid.chunk,
                    compressors=self._compressors(),
                    chunk_key_encoding=chunk_keys(self.version),
                    **(options if self.version == "0.5" else {}),
                )
            )
        return levels

    def _read(self, block: tuple[slice, slice, slice]) -> np.ndarray:
        return self._as_dtype(self.source.read(*block))

    def _as_dtype(self, window: np.ndarray) -> np.ndarray:
        if window.dtype == self.dtype:
            return window
        if window.dtype == np.uint16 and self.dtype == np.uint8:
            return (window >> 8).astype(np.uint8)
        values = window.astype(np.float32) / np.float32(full_scale(window.dtype))
        if self.dtype.kind == "f":
            return values
        if not (values.min() >= 0 and values.max() <= 1):  # NaN is neither
            raise FragmentError(
                f"{self.fragment.path} has values outside 0 … 1", f"keep {window.dtype}"
            )
        return np.rint(values * np.float32(full_scale(self.dtype))).astype(self.dtype)

    def _finish(self) -> None:
        shutil.rmtree(self.partial / "spool", ignore_errors=True)
        self.journal.unlink(missing_ok=True)
        (self.partial / "conversion.json").unlink()
        self._check_place()
        os.rename(self.partial, self.destination)


def _halved(finer: zarr.Array, block: tuple[slice, slice, slice]) -> np.ndarray:
    """A block of the next level, made from one block of the finer level at a time."""
    z, y, x = block
    out = np.empty([part.stop - part.start for part in block], finer.dtype)
    half = BLOCK // 2
    for top in range(y.start, y.stop, half):
        for left in range(x.start, x.stop, half):
            rows = slice(top, min(top + half, y.stop))
            columns = slice(left, min(left + half, x.stop))
            piece = halve(
                finer[z, 2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
            )
            out[:, rows.start - y.start : rows.stop - y.start,
                columns.start - x.start : columns.stop - x.start] = piece  # fmt: skip
    return out


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2g}"
