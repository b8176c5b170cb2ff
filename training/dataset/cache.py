"""Raw windows kept on disk, for fragments that are slow to read: compressed layers, networks.

One file a table: a slot a window, each with its checksum, at a place that is known beforehand.
So any number of processes may read and fill it at the same time without asking one another: two
that fill the same slot write the same bytes. A process killed at any moment leaves at worst a
window that is read from its fragment again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_ink.errors import SettingsError

_VERSION = 1  # of the file's layout: another one is another file
_HEADER = struct.Struct("<4sI")
_MAGIC = b"INKW"
_PAGE = 4096  # slots begin on pages, so that two processes never write the same one
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class WindowKind:
    """What all windows of one source have in common; with the places, all that they depend on.

    Attributes
    ----------
    fingerprint : str
        Of the fragment.
    dtype : str
        As stored.
    layers : tuple of int
        Depth window, indices, half-open.
    """

    fingerprint: str
    dtype: str
    layers: tuple[int, int]

    def shape(self, side: int) -> tuple[int, int, int]:
        """``(z, y, x)`` of a window."""
        return self.layers[1] - self.layers[0], side, side


class WindowCache:
    """The raw windows of a table in one file.

    Parameters
    ----------
    folder : str or path-like
        Made if need be.
    kinds : sequence of WindowKind
        Of the sources.
    source, y, x : numpy.ndarray
        Of each window: which source, and its upper left pixel.
    side : int
        In pixels.

    Attributes
    ----------
    path : pathlib.Path
        Of the file; its name follows from everything that the windows depend on.
    bytes : int
        Size of the file when it is full.
    notes : dict
        What went wrong and did not stop anything, a sentence a kind of trouble.

    Raises
    ------
    SettingsError
        When the folder cannot be used, or the disk has no room for all windows.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        kinds: Sequence[WindowKind],
        source: np.ndarray,
        y: np.ndarray,
        x: np.ndarray,
        side: int,
    ) -> None:
        self._kinds = tuple(kinds)
        self._side = side
        self._source = np.asarray(source, np.int32)
        sizes = [
            _HEADER.size + int(np.prod(kind.shape(side))) * np.dtype(kind.dtype).itemsize
            for kind in self._kinds
        ]
        slots = np.array([-(-size // _PAGE) * _PAGE for size in sizes], np.int64)
        self._ends = np.cumsum(slots[self._source])
        self.bytes = int(self._ends[-1]) if self._ends.size else 0

        places = np.stack([self._source, y, x]).astype("<i4")
        described = [_VERSION, side, [(k.fingerprint, k.dtype, *k.layers) for k in self._kinds]]
        digest = hashlib.sha256(json.dumps(described).encode() + places.tobytes())
        self.path = Path(folder).expanduser() / f"{digest.hexdigest()[:16]}.windows"
        self.notes: dict[str, str] = {}
        self._reads = self._writes = True
        self._file = None
        self._lock = threading.Lock()
        self._make()

    def __getstate__(self) -> dict:
        """Every process opens the file for itself."""
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | {"_file": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _make(self) -> None:
        """The file at its full length, without using disk; room for it is looked for first."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            with open(self.path, "ab") as file:  # made if need be, never shortened
                there = os.fstat(file.fileno())
                used = getattr(there, "st_blocks", 0) * 512
                if free < self.bytes - used:
                    raise SettingsError(
                        f"the window cache {self.path} needs {(self.bytes - used) / 1e9:.1f} GB, "
                        f"{free / 1e9:.1f} GB are free",
                        "put it on another disk, choose fewer windows, or train without a cache",
                    )
                if there.st_size < self.bytes:
                    file.truncate(self.bytes)
        except OSError as error:
            raise SettingsError(
                f"the window cache {self.path} cannot be used ({error.strerror or error})",
                "put it elsewhere, or train without a cache",
            ) from error

    def get(self, row: int) -> np.ndarray | None:
        """The window of a row of the table, ``(z, y, x)`` as stored; ``None``: it is not here."""
        if not self._reads:
            return None
        kind = self._kinds[self._source[row]]
        window = np.empty(kind.shape(self._side), kind.dtype)
        header = bytearray(_HEADER.size)
        try:
            with self._lock:
                file = self._open()
                file.seek(self._start(row))
                read = file.readinto(header)
                if read < len(header) or not any(header):
                    return None  # nobody has filled it yet
                read = _read_all(file, window)
        except OSError as error:
            self._reads = False
            self._say("read", f"cannot be read ({error.strerror}): windows come from the fragments")
            return None
        if read == window.nbytes and header == self._header(row, window):
            return window
        self._say("damaged", "holds damaged windows: they are read from their fragments again")
        return None

    def put(self, row: int, window: np.ndarray) -> None:
        """Keep the window of a row, as :meth:`Fragment.read` gave it."""
        if not self._writes:
            return
        window = np.ascontiguousarray(window, self._kinds[self._source[row]].dtype)
        start = self._start(row)
        try:
            with self._lock:
                file = self._open()
                # Header last: a slot half filled by a process that was killed is an empty one.
                for place, part in (
                    (start + _HEADER.size, memoryview(window).cast("B")),
                    (start, self._header(row, window)),
                ):
                    file.seek(place)
                    _write_all(file, part)
        except OSError as error:
            self._writes = False
            why = "has no more room" if error.errno in _FULL else "cannot be written"
            self._say("write", f"{why} ({error.strerror}): the other windows are not kept")

    def _start(self, row: int) -> int:
        return int(self._ends[row - 1]) if row else 0

    def _open(self):
        if self._file is None:
            self._file = open(self.path, "r+b", buffering=0)  # noqa: SIM115 (as long as we live)
        return self._file

    @staticmethod
    def _header(row: int, window: np.ndarray) -> bytes:
        """Of a filled slot. The checksum begins with the row: a window elsewhere is damage."""
        return _HEADER.pack(_MAGIC, zlib.crc32(window, row & 0xFFFFFFFF))

    def _say(self, kind: str, what: str) -> None:
        self.notes.setdefault(kind, f"the window cache {self.path} {what}")


def _read_all(file, window: np.ndarray) -> int:
    """Fill ``window``; how many bytes there were. One call reads 2 GB at most."""
    view, done = memoryview(window).cast("B"), 0
    while done < len(view) and (read := file.readinto(view[done:])):
        done += read
    return done


def _write_all(file, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
