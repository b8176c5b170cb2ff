"""Where predictions are kept, without Qt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

if TYPE_CHECKING:
    from napari_ink._preferences import Preferences
    from napari_ink.volumes.fragment import Fragment


def prediction_folder(fragment: Fragment | None, preferences: Preferences) -> Path:
    """The folder of the Preferences; else beside the fragment if one may write there; else a cache.

    The sample and fragments from the net or from memory have no place of their own.
    """
    if preferences.store_folder:
        return Path(preferences.store_folder).expanduser()
    if fragment is not None and fragment.path and "://" not in fragment.path:
        beside = Path(fragment.path).absolute().parent
        if beside.is_dir() and os.access(beside, os.W_OK) and not _is_sample(fragment.path):
            return beside
    return user_cache_path("napari-ink", appauthor=False) / "predictions"


def _is_sample(path: str) -> bool:
    return Path(path).absolute().parent.name == "sample_data"


def short_path(path: Path, length: int = 34) -> str:
    """The end of a path, which is what tells folders apart."""
    text = str(path)
    home = str(Path.home())
    if text.startswith(home):
        text = "~" + text[len(home) :]
    return text if len(text) <= length else "…" + text[-(length - 1) :]
