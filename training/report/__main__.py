"""``python -m training.report runs/NAME``: write the report of a run, also of a running one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.command_line import ended
from training.report.write import write_report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 and one line on an error the user can mend."""
    parser = argparse.ArgumentParser(prog="training.report", description=__doc__)
    parser.add_argument("folder", type=Path, help="runs/NAME")
    folder = parser.parse_args(arguments).folder
    return ended("training.report", lambda: print(write_report(folder)))


if __name__ == "__main__":
    raise SystemExit(main())
