"""Figures and tables of gates as files: checked before the work, whole or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_target(path: str | os.PathLike, suffix: str) -> None:
    """Refuse a file that cannot be written, before anything is computed for it.

    Raises
    ------
    SettingsError
        For another suffix, a folder that is not there, or one that may not be written to.
    """
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise SettingsError(f"{path} is no name for this file", f"let it end in {suffix}")
    try:
        there = path.parent.is_dir()
        folder = path.is_dir()
    except (OSError, ValueError):
        there = folder = False
    if not there:
        raise SettingsError(f"there is no folder {path.parent}", "make it, or choose another place")
    if folder:
        raise SettingsError(f"{path} is a folder", "choose another name")
    if not os.access(path.parent, os.W_OK):
        raise SettingsError(f"{path.parent} may not be written to", "choose another place")


@contextmanager
def written(path: str | os.PathLike) -> Iterator[Path]:
    """A name to write under, renamed to ``path`` at the end and gone after a failure.

    Raises
    ------
    SettingsError
        Where it cannot be written.
    """
    path = Path(path)
    beside = None
    try:
        handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        beside = Path(name)
        yield beside
        beside.chmod(0o644)
        beside.replace(path)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror or error})", "choose another place"
        ) from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """A figure as PNG or SVG, by the suffix; the same figure gives the same bytes.

    Raises
    ------
    SettingsError
        Where it cannot be written.
    """
    import matplotlib

    svg = Path(path).suffix.lower() == ".svg"
    # text stays text, which one can search for and set in another font
    stable = {"svg.fonttype": "none", "svg.hashsalt": "napari-ink"}
    with written(path) as beside, matplotlib.rc_context(stable):
        kind = {"format": "svg", "metadata": {"Date": None}} if svg else {"format": "png"}
        figure.savefig(beside, dpi=150, **kind)


def save_text(text: str, path: str | os.PathLike) -> None:
    """A table as UTF-8.

    Raises
    ------
    SettingsError
        Where it cannot be written.
    """
    with written(path) as beside:
        beside.write_text(text, encoding="utf-8")
