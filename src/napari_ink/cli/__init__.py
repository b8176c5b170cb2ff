"""The command line: ``napari-ink COMMAND …``, one module a command.

A command module has ``add_arguments(parser)`` and ``run(args) -> int | None``; its docstring's
first line is the help text. Heavy imports belong inside ``run``, so that ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from importlib import import_module

from napari_ink import __version__
from napari_ink.errors import InkError

COMMANDS = (
    "info",
    "convert",
    "synth",
    "sweep",
    "probe",
    "predict",
    "evaluate",
    "export",
    "thresholds",
    "uncertain",
    "review",
    "gates",
    "import-checkpoint",
)

_READER_LEFT = 141  # what a shell reports of a program that SIGPIPE ended: 128 + 13


def _module(command: str):
    return import_module(f"{__name__}.{command.replace('-', '_')}")


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command's arguments."""
    parser = argparse.ArgumentParser(
        prog="napari-ink",
        description="See, trust and tune the ink of carbonised papyri.",
        epilog="napari-ink COMMAND --help tells more. Exit codes: 0 done; 2 refused, with one line "
        "that says what is wrong and what to do; 130 stopped by Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        module = _module(command)
        summary = (module.__doc__ or "").strip().splitlines()[0]
        module.add_arguments(subparsers.add_parser(command, help=summary, description=summary))
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; exit code 2 and one line on an error the user can mend."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names and signs that it cannot encode
            stream.reconfigure(errors="backslashreplace")
    args = None
    try:
        try:
            args = build_parser().parse_args(argv)
            return _module(args.command).run(args) or 0
        finally:
            if sys.stdout is not None:  # closed by the shell
                sys.stdout.flush()
    except InkError as error:
        print(f"napari-ink: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("napari-ink: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as in `napari-ink info FRAGMENT | head -1`
        _drop_output()
        return 0 if args is None else _READER_LEFT  # help was read as far as wanted


def _drop_output() -> None:
    """Nobody reads on: what is still to be written, also at exit, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
