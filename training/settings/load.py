"""Reading a run's settings from YAML and the command line, and refusing what makes no run.

``CONFIG.yaml [--key value …]``: keys are dotted (``--learning.steps 500``), a dash is as good as
an underscore (``--new-task``), the command line wins over the file, a switch needs no value
(``--trainer.wandb``), and a key that does not exist is refused with the nearest one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from napari_ink.errors import SettingsError
from training.learning.optimiser import check_optimiser
from training.learning.schedule import check_schedule
from training.nearest import nearest
from training.settings.config import BOUNDS, CHOICES, RunConfig

if TYPE_CHECKING:
    import yaml


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """A run's settings from a YAML file and ``--key value`` pairs.

    Raises
    ------
    SettingsError
        If the file cannot be read, a key does not exist, or a value has the wrong type or size.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    path = Path(path)
    tree = read_yaml(path)
    for key in _tree_keys(tree):
        if not isinstance(key, str):
            raise SettingsError(f"{path}: the key {key!r} is no word", "write it in quotes")
    overrides = _tidy(overrides)
    kinds = dict(_keys(RunConfig))
    known = set(kinds)
    given = {o.removeprefix("--").partition("=")[0] for o in overrides if o.startswith("--")}
    entries = dict(_entries(tree, known))
    for key in [*entries, *sorted(given)]:
        if key not in known and not _inside_a_mapping(key, known):
            raise SettingsError(
                f"{path}: there is no setting {key!r}", nearest(key, known, cutoff=0)
            )
    for key, value in entries.items():
        kind = kinds.get(key)
        if value is None and kind is not None and type(None) not in get_args(kind):
            raise SettingsError(f"{path}: {key} has no value", "give one, or leave the key out")
        if is_dataclass(kind) and not isinstance(value, Mapping):
            first = fields(kind)[0].name
            raise SettingsError(
                f"{path}: {key} is {value!r}", f"it is a group: give {{{first}: …}}"
            )

    parser = ArgumentParser(prog="training.run", exit_on_error=False)
    parser.add_class_arguments(RunConfig)
    parser.add_argument("--config", action="config")
    try:
        parsed = parser.parse_args(["--config", str(path), *overrides])
        parsed.pop("config")
        config = RunConfig(**vars(parser.instantiate(parsed)))
    except ArgumentError as error:
        message = " ".join(str(error).split())
        raise SettingsError(f"{path}: {message}", "see python -m training.run --help") from error
    _check(config, path)
    return config


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises
    ------
    SettingsError
        If it cannot be read, or holds anything else.
    """
    import yaml

    try:
        text = path.read_text()
        _refuse_repeated(yaml.compose(text, yaml.SafeLoader))
        tree = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = " ".join(str(error).split())
        raise SettingsError(f"{path}: {message}", "give a readable YAML file") from error
    except RecursionError as error:
        raise SettingsError(f"{path} holds itself", "give settings without such anchors") from error
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} holds no settings", "start from one of training/configs")
    return tree


def _refuse_repeated(node: yaml.Node | None) -> None:
    """Raise for a key that a mapping has twice: one of its values would be lost silently."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is there twice", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                seen.add(key.value)
            _refuse_repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated(value)


def _tree_keys(tree: Any) -> Iterator[Any]:
    """All keys of a tree, at any depth."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield key
            yield from _tree_keys(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _tree_keys(value)


def _tidy(overrides: Sequence[str]) -> list[str]:
    """Command line as the parser wants it: underscores in keys, a value for every switch."""
    switches = {key for key, kind in _keys(RunConfig) if kind is bool}
    tidy = []
    for number, word in enumerate(overrides):
        if not word.startswith("--"):
            tidy.append(word)
            continue
        key, equals, value = word.removeprefix("--").partition("=")
        key = key.replace("-", "_")
        alone = number + 1 == len(overrides) or overrides[number + 1].startswith("--")
        if key in switches and not equals and alone:
            equals, value = "=", "true"
        tidy.append(f"--{key}{equals}{value}")
    return tidy


def _check(config: RunConfig, path: Path) -> None:
    for key, (least, most) in BOUNDS.items():
        value = reduce(getattr, key.split("."), config)
        if not least <= value <= most:
            raise SettingsError(
                f"{path}: {key} is {value}", f"choose a number from {least:g} to {most:g}"
            )
    for key, allowed in CHOICES.items():
        value = reduce(getattr, key.split("."), config)
        if value not in allowed:
            raise SettingsError(f"{path}: {key} is {value!r}", f"choose {' or '.join(allowed)}")
    check_optimiser(config.learning.optimiser)
    check_schedule(config.learning.schedule, config.learning.steps)
    check_names(path, config.name, config.runs)
    if not config.data.synthetic.strengths:
        raise SettingsError(f"{path}: data.synthetic.strengths is empty", "give one or more")
    if bool(config.extend) != bool(config.new_task):
        raise SettingsError(
            f"{path}: extend and new_task go together", "give --extend CHECKPOINT --new-task NAME"
        )


def check_names(path: Path, name: Any, runs: Any) -> None:
    """Raise SettingsError for a name of a run, or a folder of runs, that makes no path."""
    good = isinstance(name, str) and name and name.strip(". ") == name and len(name) <= 100
    if not good or set(name) & set('/\\:*?"<>|\0\n'):
        raise SettingsError(
            f"{path}: name is {name!r}", "choose a plain word, which becomes a file's name"
        )
    if not isinstance(runs, str) or not runs.strip() or "\0" in runs:
        raise SettingsError(f"{path}: runs is {runs!r}", "name a folder")


def _keys(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All dotted keys of a dataclass with their types, groups included; ``[]`` in a list."""
    for name, kind in get_type_hints(cls).items():
        yield prefix + name, kind
        if is_dataclass(kind):
            yield from _keys(kind, f"{prefix}{name}.")
        for element in get_args(kind):
            if is_dataclass(element):
                yield from _keys(element, f"{prefix}{name}[].")


def _entries(
    tree: Mapping[str, Any], known: set[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a YAML tree, down to where free-form mappings begin."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        yield key, value
        if isinstance(value, Mapping) and any(other.startswith(f"{key}.") for other in known):
            yield from _entries(value, known, f"{key}.")
        if isinstance(value, list) and any(other.startswith(f"{key}[].") for other in known):
            for element in value:
                if isinstance(element, Mapping):
                    yield from _entries(element, known, f"{key}[].")


def _inside_a_mapping(key: str, known: set[str]) -> bool:
    """Whether a key such as ``network.arguments.width`` lies in a free-form mapping."""
    parent = key.rpartition(".")[0]
    return bool(parent) and (
        (
            parent in known
            and not any(other.startswith((f"{parent}.", f"{parent}[")) for other in known)
        )
        or _inside_a_mapping(parent, known)
    )
