"""Files that are there whole or not at all, whenever a run is stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Where to write instead: beside the file, whose place it takes in the end.

    An error leaves the file that was there, and nothing beside it.

    Parameters
    ----------
    path : Path
        Of the file.
    shared : bool
        Several processes may write it at the same time.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part" if shared else f".{path.name}.part")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
