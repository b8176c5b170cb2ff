"""Which checkpoints to offer, without Qt and without torch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ink.errors import InkError

if TYPE_CHECKING:
    from napari_ink._preferences import Preferences

SAMPLE_CHECKPOINT = "repmode-sample.safetensors"


def known_checkpoints(preferences: Preferences) -> list[Path]:
    """The one used last, the sample, and the folder of the Preferences; each once, if there.

    What cannot be looked at is not there.
    """
    found = [Path(preferences.checkpoint)] if preferences.checkpoint else []
    sample = sample_checkpoint()
    if sample is not None:
        found.append(sample)
    if preferences.checkpoint_folder:
        with suppress(OSError, ValueError, RuntimeError):  # no such user, name too long, …
            found += sorted(Path(preferences.checkpoint_folder).expanduser().glob("*.safetensors"))
    unique = {}
    for path in found:
        with suppress(OSError, ValueError, RuntimeError):
            if path.is_file():
                unique[path.resolve()] = path
    return list(unique.values())


def sample_checkpoint() -> Path | None:
    """The checkpoint that comes with the plugin."""
    from napari_ink.volumes.sample import sample_path

    try:
        path = sample_path(SAMPLE_CHECKPOINT)
    except InkError:
        return None
    return path if path.is_file() else None


def checkpoint_name(path: Path) -> str:
    """What to call a checkpoint in a list."""
    return path.stem
