"""How the trainer's programs end, and the settings of a run as help."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import get_args, get_type_hints

from napari_ink.errors import InkError
from training.settings.config import RunConfig, to_tree


def ended(
    program: str,
    work: Callable[[], int | None],
    *,
    stopped: str = "stopped",
    speaks: Callable[[], bool] = lambda: True,
) -> int:
    """Do the work of a program and return the code that it ends with.

    Parameters
    ----------
    program : str
        Whose name begins the line on standard error.
    work : callable
        May return the code; ``None``: 0.
    stopped : str
        What is said at Ctrl-C, code 130.
    speaks : callable
        Whether this process is the one that says it.

    Returns
    -------
    int
        2 after one line for an error that the user can mend.
    """
    try:
        return work() or 0
    except InkError as error:
        line, code = str(error), 2
    except KeyboardInterrupt:
        line, code = stopped, 130
    if speaks():
        print(f"{program}: {line}", file=sys.stderr)
    return code


def print_help(usage: str, settings: bool) -> None:
    """The usage and, if asked for, all groups and keys with their defaults and meanings."""
    try:
        print(usage)
        if settings:
            print("settings, in CONFIG.yaml or as --key value:", *_described(RunConfig), sep="\n")
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _described(cls: type, prefix: str = "") -> Iterator[str]:
    from docstring_parser import parse

    meaning = {
        name: " ".join((entry.description or "").replace("``", "").split())
        for entry in parse(cls.__doc__).params
        for name in entry.arg_name.split(", ")
    }
    hints = get_type_hints(cls)
    groups = []
    for part in fields(cls):
        kind = hints[part.name]
        if is_dataclass(kind):
            groups.append((kind, f"{prefix}{part.name}."))
            continue
        default = part.default
        if part.default_factory is not MISSING:
            default = part.default_factory()
        shown = "" if default is MISSING else f" = {to_tree(default)!r}"
        yield f"  --{prefix}{part.name}{shown}"
        if meaning.get(part.name):
            yield f"      {meaning[part.name]}"
        for element in get_args(kind):
            if is_dataclass(element):
                groups.append((element, f"{prefix}{part.name}[]."))
    for kind, group in groups:
        summary = (kind.__doc__ or "").partition("\n")[0]
        yield f"\n{group[:-1]}: {summary}"
        yield from _described(kind, group)
