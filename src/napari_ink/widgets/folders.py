"""Where predictions are kept, without Qt."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from napari_ink._preferences import Preferences
    from napari_ink.volumes.fragment import Fragment

_ILLEGAL = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f\ud800-\udfff]+')  # on one system or another
_DEVICE = re.compile(r"(?i)^(con|prn|aux|nul|(?:com|lpt)[0-9¹²³])(?=\.)")  # to Windows
_NAME_BYTES = 60  # two of them, a key and a suffix fit any file system


def prediction_folder(fragment: Fragment | None, preferences: Preferences) -> Path:
    """The folder of the Preferences; else beside the fragment if one may write there; else a cache.

    The sample and fragments from the net or from memory have no place of their own.

    Raises
    ------
    SettingsError
        When the folder of the Preferences can be none.
    """
    if preferences.store_folder:
        return _told_folder(preferences.store_folder)
    if fragment is not None and fragment.path and "://" not in fragment.path:
        beside = Path(fragment.path).absolute().parent
        if beside.is_dir() and os.access(beside, os.W_OK) and not _is_sample(fragment.path):
            return beside
    return user_cache_path("napari-ink", appauthor=False) / "predictions"


def _told_folder(told: str) -> Path:
    try:
        folder = Path(told).expanduser()
        if not folder.is_absolute():
            raise ValueError("no full path")
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise ValueError("a file")
    except FileNotFoundError:  # it will be made
        return folder
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"the folder for predictions {short_path(Path(told))} cannot be used ({reason})",
            "choose another one",
        ) from error
    return folder


def _is_sample(path: str) -> bool:
    return Path(path).absolute().parent.name == "sample_data"


def file_name(name: str) -> str:
    """The part of a file's name that tells what a layer or a checkpoint is called.

    Legal on every system, within one folder, at most 60 bytes, never empty.
    """
    legal = _DEVICE.sub(r"\1_", _ILLEGAL.sub("_", name).strip(". "))
    kept = legal.encode()[:_NAME_BYTES].decode(errors="ignore")
    return kept.strip(". ") or "stack"


def short_path(path: Path, length: int = 34) -> str:
    """The end of a path, which is what tells folders apart."""
    text = str(path)
    home = str(Path.home())
    if text.startswith(home):
        text = "~" + text[len(home) :]
    return text if len(text) <= length else "…" + text[-(length - 1) :]
