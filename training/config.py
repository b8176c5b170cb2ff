"""The settings of a run as frozen dataclasses, read from YAML and the command line.

``python -m training.run CONFIG.yaml [--key value …]``: keys are dotted (``--learning.steps 500``),
the command line wins over the file, and a key that does not exist is refused with the nearest one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import reduce
from pathlib import Path
from typing import Any, get_type_hints

from napari_ink.errors import SettingsError


@dataclass(frozen=True)
class SyntheticConfig:
    """Fragments made by the simulator, one a seed.

    Attributes
    ----------
    fragments : int
        How many to learn from; 0: none.
    first_seed : int
        The first one's seed; the others follow.
    validation_seed : int
        Seed of the fragment that is only looked at, never learned from.
    strengths : tuple of float
        Ink strengths, dealt out to the fragments in turn. Validation is at strength 1.
    depth, height, width : int
        Size in voxels.
    voxel_size : float
        In µm.
    cache : str
        Folder where fragments are kept from one run to the next.
    """

    fragments: int = 0
    first_seed: int = 1000
    validation_seed: int = 900
    strengths: tuple[float, ...] = (1.0,)
    depth: int = 32
    height: int = 640
    width: int = 1280
    voxel_size: float = 16.0
    cache: str = "runs/synthetic"


@dataclass(frozen=True)
class DataConfig:
    """What to learn from.

    Attributes
    ----------
    fragments : tuple of str
        Paths of labelled fragments.
    validation : tuple of str
        Paths of the fragments that are only looked at.
    synthetic : SyntheticConfig
        Simulated fragments, beside those or instead.
    layers : tuple of int, optional
        Depth window ``(first, end)`` in stored numbering; ``None``: the network's depth, centred.
    window : int
        Side of a training window in pixels. Above 0.55 mm a network learns letter shapes.
    edges : float
        Share of windows that lie at the edge of a stroke; the others lie anywhere on papyrus.
    recipe : dict
        Intensity recipe, see :class:`napari_ink.volumes.intensity.Recipe`.
    jitter : float
        Standard deviation of a window's random gain and offset, in normalised units.
    """

    fragments: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    layers: tuple[int, int] | None = None
    window: int = 32
    edges: float = 0.5
    recipe: dict[str, Any] = field(default_factory=dict)
    jitter: float = 0.05


@dataclass(frozen=True)
class NetworkConfig:
    """Which network: a name of ``napari_ink.models.registry`` and its arguments."""

    architecture: str = "repmode"
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LearningConfig:
    """How to learn.

    Attributes
    ----------
    steps, batch : int
        Optimiser steps, and windows a step.
    learning_rate, weight_decay : float
        Peak rate of the cycle; decay of everything but biases and norms.
    warm_up : float
        Share of the steps in which the rate rises.
    clip : float
        Largest norm of the gradient.
    averaging : float
        Decay of the moving average of the weights, which is what is kept; 0: none.
    losses : dict
        Weight of each loss, by name.
    validate_every : int
        Steps between looks at the validation fragment.
    precision : str
        As Lightning names it: ``32-true``, ``bf16-mixed``, ``16-mixed``.
    """

    steps: int = 2000
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.2
    clip: float = 1.0
    averaging: float = 0.99
    losses: dict[str, float] = field(default_factory=lambda: {"bce": 0.5, "dice": 0.5})
    validate_every: int = 250
    precision: str = "32-true"


@dataclass(frozen=True)
class RunConfig:
    """One run, whose files go to ``runs/NAME``.

    Attributes
    ----------
    name : str
        Of the run, its folder and its checkpoint.
    seed : int
        Of everything random here.
    runs : str
        Folder of all runs.
    accelerator : str
        As Lightning names it: ``auto``, ``cpu``, ``gpu``, ``mps``.
    threads : int
        Threads of PyTorch on the CPU; 0: its own choice.
    """

    name: str
    seed: int = 1
    runs: str = "runs"
    accelerator: str = "auto"
    threads: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)


#: The smallest and the largest value of a number that has such; both included.
_BOUNDS = {
    "seed": (0, 2**32 - 1),
    "threads": (0, 4096),
    "data.window": (1, 2**16),
    "data.edges": (0, 1),
    "data.jitter": (0, 1),
    "learning.steps": (1, 2**31),
    "learning.batch": (1, 2**16),
    "learning.learning_rate": (1e-12, 1e3),
    "learning.weight_decay": (0, 1e3),
    "learning.warm_up": (0, 1),
    "learning.clip": (1e-12, 1e12),
    "learning.averaging": (0, 0.999999),
    "learning.validate_every": (1, 2**31),
}


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """A run's settings from a YAML file and ``--key value`` pairs.

    Raises
    ------
    SettingsError
        If the file cannot be read, a key does not exist or a value has the wrong type.
    """
    import yaml
    from jsonargparse import ArgumentError, ArgumentParser

    path = Path(path)
    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        message = " ".join(str(error).split())
        raise SettingsError(f"{path}: {message}", "give a readable YAML file") from error
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} holds no settings", "start from training/configs/sample.yaml")
    known = set(_keys(RunConfig))
    given = {o.removeprefix("--").partition("=")[0] for o in overrides if o.startswith("--")}
    for key in [*_paths(tree, known), *sorted(given)]:
        if key not in known and not _inside_a_mapping(key, known):
            near = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
            raise SettingsError(f"{path}: there is no setting {key!r}", f"did you mean {near!r}?")

    parser = ArgumentParser(prog="training.run", exit_on_error=False)
    parser.add_class_arguments(RunConfig)
    parser.add_argument("--config", action="config")
    try:
        parsed = parser.parse_args(["--config", str(path), *overrides])
    except ArgumentError as error:
        message = " ".join(str(error).split())
        raise SettingsError(f"{path}: {message}", "see training/config.py") from error
    parsed.pop("config")
    config = RunConfig(**vars(parser.instantiate_classes(parsed)))
    for key, (least, most) in _BOUNDS.items():
        value = reduce(getattr, key.split("."), config)
        if not least <= value <= most:
            raise SettingsError(
                f"{path}: {key} is {value}", f"choose a number from {least:g} to {most:g}"
            )
    if not config.data.synthetic.strengths:
        raise SettingsError(f"{path}: data.synthetic.strengths is empty", "give one or more")
    return config


def _keys(cls: type, prefix: str = "") -> Iterator[str]:
    """All dotted keys of a dataclass, groups included."""
    for name, kind in get_type_hints(cls).items():
        yield prefix + name
        if is_dataclass(kind):
            yield from _keys(kind, f"{prefix}{name}.")


def _paths(tree: Mapping[str, Any], known: set[str], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a YAML tree, down to where free-form mappings begin."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        yield key
        group = any(other.startswith(f"{key}.") for other in known)
        if group and isinstance(value, Mapping):
            yield from _paths(value, known, f"{key}.")


def _inside_a_mapping(key: str, known: set[str]) -> bool:
    """Whether a key such as ``network.arguments.width`` lies in a free-form mapping."""
    parent = key.rpartition(".")[0]
    return bool(parent) and (
        (parent in known and not any(other.startswith(f"{parent}.") for other in known))
        or _inside_a_mapping(parent, known)
    )


def to_tree(config: Any) -> Any:
    """Plain dicts, lists and numbers of a configuration, for YAML and JSON."""
    if is_dataclass(config):
        return {f.name: to_tree(getattr(config, f.name)) for f in fields(config)}
    if isinstance(config, Mapping):
        return {key: to_tree(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_tree(value) for value in config]
    return config
