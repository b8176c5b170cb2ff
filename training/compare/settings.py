"""What is compared: a base, rows that change it, and seeds."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from napari_ink.errors import SettingsError
from training.settings.load import check_names, read_yaml


@dataclass(frozen=True)
class Task:
    """One run of a comparison: a row at a seed.

    Attributes
    ----------
    name : str
        ``ROW-seedN``, of the run and its files.
    row : str
    seed : int
    tree : dict
        The run's settings.
    """

    name: str
    row: str
    seed: int
    tree: dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A comparison, as its YAML file says.

    Attributes
    ----------
    name : str
        Its folder under ``runs``.
    base : dict
        Settings of a run, as a tree or as the path of a YAML file beside this one.
    rows : dict
        By name, what each row sets: dotted key → value, which takes the place of the base's.
    seeds : tuple of int
        Every row is trained once with each.
    test_seeds : tuple of int
        Simulated fragments, never learned from, that every network is scored on.
    test_strengths : tuple of float
        At which ink strengths; all pixels are pooled.
    limit_seeds : tuple of int
        Measure the detection limit on these too; empty: leave it out.
    limit_strengths : tuple of float
        At these strengths.
    runs : str
        Folder of all runs.
    """

    name: str
    base: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    seeds: tuple[int, ...] = (1, 2, 3)
    test_seeds: tuple[int, ...] = (4001, 4002)
    test_strengths: tuple[float, ...] = (1.0,)
    limit_seeds: tuple[int, ...] = ()
    limit_strengths: tuple[float, ...] = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2)
    runs: str = "runs"

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return Path(self.runs) / self.name

    def to_tree(self) -> dict[str, Any]:
        """Of plain values, for a YAML file that :func:`load_comparison` reads again."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
        }

    def tasks(self) -> Iterator[Task]:
        """All runs, seed by seed, so that a table of all rows is there early."""
        for seed in self.seeds:
            for row, changes in self.rows.items():
                tree = copy.deepcopy(self.base)
                for key, value in changes.items():
                    _set(tree, key, value)
                name = f"{row}-seed{seed}"
                tree |= {"name": name, "seed": seed, "runs": str(self.folder)}
                yield Task(name, row, seed, tree)

    def digest(self, task: Task) -> str:
        """What a result depends on, as a short hash."""
        parts = [task.tree, self.test_seeds, self.test_strengths, self.limit_seeds]
        if self.limit_seeds:
            parts.append(self.limit_strengths)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def load_comparison(path: str | Path) -> Comparison:
    """Read a comparison and check every row's settings.

    Raises
    ------
    SettingsError
        In one line, naming the file and the row.
    """
    path = Path(path)
    tree = read_yaml(path)
    known = {item.name for item in fields(Comparison)}
    unknown = sorted(map(str, set(tree) - known))
    if unknown:
        raise SettingsError(
            f"{path}: unknown {', '.join(unknown)}", f"known are {', '.join(sorted(known))}"
        )
    for key in ("name", "base", "rows"):
        if key not in tree:
            raise SettingsError(f"{path} lacks {key!r}", "see training/configs/compare_report.yaml")
    if isinstance(tree["base"], str):
        tree["base"] = read_yaml(path.parent / tree["base"])
    if not isinstance(tree["base"], Mapping) or not isinstance(tree["rows"], Mapping):
        raise SettingsError(f"{path}: base and rows", "give mappings")
    rows = {}
    for name, changes in tree["rows"].items():
        changes = {} if changes is None else changes
        if not re.fullmatch(r"\w[\w.+-]*", str(name)) or str(name) in rows:
            raise SettingsError(
                f"{path}: a row called {name!r}",
                "use letters, digits and . _ + - only, a letter or digit first, each name once",
            )
        if not isinstance(changes, Mapping) or not all(isinstance(key, str) for key in changes):
            raise SettingsError(f"{path}: row {name}", "give dotted keys and values")
        for key in ("name", "seed", "runs"):
            if key in changes:
                raise SettingsError(
                    f"{path}: row {name} sets {key}", "that is the comparison's: leave it out"
                )
        rows[str(name)] = dict(changes)
    if not rows:
        raise SettingsError(f"{path} has no rows", "give one or more")
    tree = tree | {"rows": rows, "base": dict(tree["base"])}
    for key in ("seeds", "test_seeds", "limit_seeds", "test_strengths", "limit_strengths"):
        if key in tree:
            tree[key] = _numbers(path, key, tree[key])
    comparison = Comparison(**tree)
    check_names(path, comparison.name, comparison.runs)
    if comparison.limit_seeds and not comparison.limit_strengths:
        raise SettingsError(f"{path}: limit_strengths is empty", "give one or more")
    if not comparison.seeds or not comparison.test_seeds or not comparison.test_strengths:
        raise SettingsError(f"{path}: seeds, test_seeds, test_strengths", "give one or more each")
    return comparison


def _numbers(path: Path, key: str, values: Any) -> tuple:
    seeds = key.endswith("seeds")

    def fits(value: Any) -> bool:
        if seeds:
            return type(value) is int and 0 <= value < 2**32
        return type(value) in (int, float) and 0 < value <= 10

    if not isinstance(values, list) or not all(map(fits, values)) or len({*values}) < len(values):
        what = "whole numbers from 0 to 2^32 - 1" if seeds else "numbers above 0, up to 10"
        raise SettingsError(f"{path}: {key} is {values!r}", f"give a list of {what}, each once")
    return tuple(values)


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key, making the groups on the way."""
    *groups, last = key.split(".")
    for group in groups:
        if not isinstance(tree.get(group), dict):
            tree[group] = {}
        tree = tree[group]
    tree[last] = copy.deepcopy(value)
