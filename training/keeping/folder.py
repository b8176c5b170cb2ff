"""The folder of a run, ``runs/NAME``: a new one, or that of a run that was stopped.

A run is finished when its ``NAME.safetensors`` is there. Called again with the same settings, a
run that was stopped goes on in its folder; any other gets ``NAME-2`` and so on: nothing is written
over.
"""

from __future__ import annotations

import itertools
import json
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from torch import Tensor

from napari_ink.errors import CheckpointError, SettingsError
from training.keeping.checkpoints import BEST, LAST, PREVIOUS, read_checkpoint
from training.learning.machine import say
from training.settings.config import RunConfig, to_tree
from training.whole_files import written_whole

_LOCK = ".lock"


@dataclass(frozen=True)
class Place:
    """Where a run writes, and where it begins.

    Attributes
    ----------
    folder : Path
    checkpoint : Path or None
        To go on from.
    step : int
        That the checkpoint is of, 0 without.
    """

    folder: Path
    checkpoint: Path | None = None
    step: int = 0

    def to_json(self) -> str:
        """As one word for the other processes of a run."""
        return json.dumps([str(self.folder), self.checkpoint and str(self.checkpoint), self.step])

    @classmethod
    def from_json(cls, text: str) -> Place:
        """What :meth:`to_json` wrote."""
        folder, checkpoint, step = json.loads(text)
        return cls(Path(folder), checkpoint and Path(checkpoint), step)


def settle(config: RunConfig, weights: dict[str, Tensor], locks: list[FileLock]) -> Place:
    """Find or make the folder of a run; the lock that is held on it is added to ``locks``.

    Raises
    ------
    SettingsError
        If there cannot be one.
    """
    tree = to_tree(config)
    for number in itertools.count(1):
        name = config.name if number == 1 else f"{config.name}-{number}"
        folder = Path(config.runs) / name
        try:
            new = not folder.exists()
            if not new and (_read(folder) != tree or _finished(folder, config)):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / _LOCK, timeout=0)
            try:
                lock.acquire()
            except Timeout:
                say(f"{folder} is at work in another process")
                continue
            if new and not (folder / "config.yaml").exists():
                _write(folder / "config.yaml", yaml.safe_dump(tree, sort_keys=False))
            elif _read(folder) != tree or _finished(folder, config):
                lock.release()  # another process was faster
                continue
            _write(folder / "versions.json", json.dumps(versions(), indent=1) + "\n")
        except OSError as error:
            raise SettingsError(
                f"cannot write to {folder} ({error.strerror})", "choose another --runs folder"
            ) from error
        locks.append(lock)
        return Place(folder) if new else _go_on(folder, weights)
    raise AssertionError


def _read(folder: Path) -> Any:
    """Settings that the folder's run has; None where they cannot be read."""
    try:
        return yaml.safe_load((folder / "config.yaml").read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def _finished(folder: Path, config: RunConfig) -> bool:
    return (folder / f"{config.name}.safetensors").exists()


def _write(file: Path, text: str) -> None:
    with written_whole(file) as beside:
        beside.write_text(text)


def _go_on(folder: Path, weights: dict[str, Tensor]) -> Place:
    """The newest whole checkpoint of a run that was stopped."""
    for name in (LAST, PREVIOUS, BEST):
        path = folder / name
        if not path.exists():
            continue
        try:
            step = int(read_checkpoint(path, weights)["global_step"])
        except CheckpointError as error:
            say(f"{error.problem}: left out, looking for the one before")
            path.rename(path.with_name(f"damaged-{name}"))  # it must not become the previous one
            continue
        say(f"{folder} was stopped: going on from step {step} ({name})")
        return Place(folder, path, step)
    say(f"{folder} was stopped before its first checkpoint: starting it again")
    return Place(folder)


def versions() -> dict[str, str]:
    """Versions of what a run depends on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("napari-ink", "torch", "lightning", "numpy", "scipy", "zarr"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    commit = _commit()
    return found | ({"commit": commit} if commit else {})


def _commit() -> str:
    """The commit of the checkout that this file lies in, ``+`` if it was changed; else empty."""
    here = Path(__file__).parent
    words = ["git", "-C", str(here), "describe", "--always", "--abbrev=40"]
    words += ["--exclude=*", "--dirty=+"]
    try:
        text = subprocess.run(words, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return text if re.fullmatch(r"[0-9a-f]{40}\+?", text) else ""
