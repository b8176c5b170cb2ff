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

from napari_ink.errors import InkError, SettingsError
from training.command_line import ended
from training.compare.one import comparison_file, settings_file, write_whole
from training.compare.queue import Result, finished, work
from training.compare.settings import Comparison, Task, load_comparison
from training.compare.table import Results, in_words, write_tables


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
    unknown = sorted(set(only) - set(comparison.rows))
    if unknown:
        raise SettingsError(
            f"{path} has no row {', '.join(unknown)}", f"rows are {', '.join(comparison.rows)}"
        )
    lock = FileLock(comparison.folder / ".lock", timeout=0)
    try:
        comparison.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise SettingsError(
            f"{comparison.folder} is at work in another process", "wait for it"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"cannot write to {comparison.folder} ({error.strerror})",
            "choose another runs folder",
        ) from error
    try:
        return compare_alone(comparison, only, jobs)
    finally:
        lock.release()


def compare_alone(comparison: Comparison, only: Sequence[str], jobs: int) -> tuple[Results, str]:
    """As :func:`compare`, by the process that holds the folder's lock."""
    check(comparison)
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
        minutes = (time.perf_counter() - started) / 60
        print(
            f"{number}/{left} {task.name}: {in_words(result)} "
            f"({minutes:.1f} minutes, about {minutes / number * (left - number):.1f} to go)",
            flush=True,
        )

    work(comparison, wanted, jobs, done)
    return results, write_tables(comparison, {row: runs for row, runs in results.items() if runs})


def check(comparison: Comparison) -> None:
    """Write down the comparison and every run's settings, and read them back.

    Raises
    ------
    SettingsError
        Naming the row whose settings make no run, or that learns from what it is tested on.
    """
    import torch

    from napari_ink.volumes.intensity import Recipe
    from training.learning.start import build_network
    from training.losses import WeightedLoss
    from training.settings.load import load_config

    tree = yaml.safe_dump(comparison.to_tree(), sort_keys=False)
    write_whole(comparison_file(comparison.folder), tree)
    unseen = {*comparison.test_seeds, *comparison.limit_seeds}
    for task in comparison.tasks():
        file = settings_file(comparison, task)
        write_whole(file, yaml.safe_dump(task.tree, sort_keys=False))
        config = load_config(file)
        try:
            with torch.device("cpu" if config.extend else "meta"):
                build_network(config)
            WeightedLoss(config.learning.losses)
            Recipe.from_dict(config.data.recipe)
        except InkError as error:
            raise SettingsError(f"row {task.row}: {error.problem}", error.remedy) from error
        synthetic = config.data.synthetic
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
