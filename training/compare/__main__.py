"""Compare recipes: ``python -m training.compare CONFIG.yaml [--only ROW …] [--jobs N]``.

Trains every row with every seed on the same simulated fragments, scores each network on fragments
that none has seen, and writes runs/NAME/table.{md,csv,json,png}. Called again, it goes on where it
stopped; a row that failed is said, and tried again then.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from napari_ink.errors import SettingsError
from training.command_line import ended
from training.compare.one import settings_file, write_whole
from training.compare.queue import Result, finished, work
from training.compare.settings import Comparison, Task, load_comparison
from training.compare.table import Results, write_tables


def compare(path: Path, only: Sequence[str] = (), jobs: int = 1) -> tuple[Results, str]:
    """Run a comparison, or what is left of it.

    Returns
    -------
    results : dict
        By row and seed; of all rows that are finished, also those not asked for now.
    text : str
        The table, Markdown.

    Raises
    ------
    SettingsError
        Before any work, also if one row's settings make no run.
    """
    comparison = load_comparison(path)
    check(comparison)
    unknown = sorted(set(only) - set(comparison.rows))
    if unknown:
        raise SettingsError(
            f"{path} has no row {', '.join(unknown)}", f"rows are {', '.join(comparison.rows)}"
        )
    wanted = [task for task in comparison.tasks() if not only or task.row in only]
    results: Results = {row: {} for row in comparison.rows}
    for task in comparison.tasks():
        result = finished(comparison, task)
        if result is not None:
            results[task.row][task.seed] = result
    started, left = time.perf_counter(), sum(t.seed not in results[t.row] for t in wanted)
    print(f"{comparison.folder}: {len(wanted)} runs, {left} to do", flush=True)

    number = 0

    def done(task: Task, result: Result) -> None:
        nonlocal number
        number += 1
        results[task.row][task.seed] = result
        write_tables(comparison, results)
        what = result.get("failed") or (
            f"loss {result['loss']:.3f}, F0.5 {result['f05']:.3f}, AUC {result['auc']:.3f}"
        )
        minutes = (time.perf_counter() - started) / 60
        print(
            f"{number}/{left} {task.name}: {'failed: ' if 'failed' in result else ''}{what} "
            f"({minutes:.1f} minutes, about {minutes / number * (left - number):.1f} to go)",
            flush=True,
        )

    lock = FileLock(comparison.folder / ".lock", timeout=0)
    try:
        with lock:
            work(path, comparison, wanted, jobs, done)
            text = write_tables(comparison, {row: runs for row, runs in results.items() if runs})
    except Timeout as error:
        raise SettingsError(
            f"{comparison.folder} is at work in another process", "wait for it"
        ) from error
    return results, text


def check(comparison: Comparison) -> None:
    """Write every run's settings and read them back.

    Raises
    ------
    SettingsError
        Naming the row whose settings make no run, or that learns from what it is tested on.
    """
    from training.settings.load import load_config

    unseen = {*comparison.test_seeds, *comparison.limit_seeds}
    for task in comparison.tasks():
        file = settings_file(comparison, task)
        try:
            write_whole(file, yaml.safe_dump(task.tree, sort_keys=False))
        except OSError as error:
            raise SettingsError(
                f"cannot write {file} ({error.strerror})", "choose another runs folder"
            ) from error
        synthetic = load_config(file).data.synthetic
        first = synthetic.first_seed
        seen = {*range(first, first + synthetic.fragments), synthetic.validation_seed} & unseen
        if seen:
            raise SettingsError(
                f"row {task.row} learns from {', '.join(map(str, sorted(seen)))}, on which it is "
                "tested",
                "choose other test_seeds and limit_seeds",
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 1 if a run failed, 2 and one line on an error the user can mend."""
    parser = argparse.ArgumentParser(
        prog="training.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--only", nargs="+", default=(), metavar="ROW", help="these rows")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    given = parser.parse_args(arguments)

    def compared() -> int:
        if given.jobs < 1:
            raise SettingsError(f"--jobs {given.jobs}", "give 1 or more")
        results, text = compare(given.config, given.only, given.jobs)
        print(text)
        return int(any("failed" in run for runs in results.values() for run in runs.values()))

    return ended(
        "training.compare", compared, stopped="stopped; the same command goes on from here"
    )


if __name__ == "__main__":
    # What ends a job on a cluster ends it like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    raise SystemExit(main())
