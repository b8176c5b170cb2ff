"""Runs the rows of a comparison, each in a process of its own; what is finished is not repeated."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from training.compare.one import result_file
from training.compare.settings import Comparison, Task

Result = dict[str, Any]


def finished(comparison: Comparison, task: Task) -> Result | None:
    """The result of a run with these very settings, if it is there and whole."""
    try:
        result = json.loads(result_file(comparison, task).read_text())
    except (OSError, ValueError):
        return None
    same = isinstance(result, dict) and result.get("digest") == comparison.digest(task)
    return result if same else None


def work(
    path: Path,
    comparison: Comparison,
    tasks: Iterable[Task],
    jobs: int,
    done: Callable[[Task, Result], None],
) -> None:
    """Run what is not finished; each result is handed on as it comes.

    A run that fails gives ``{"failed": its last line}`` and stops no other. No run outlives an
    interruption.
    """
    left = [task for task in tasks if finished(comparison, task) is None]
    running: set[subprocess.Popen] = set()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_start, path, comparison, task, running): task for task in left}
        try:
            for future in as_completed(waiting):
                done(waiting[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in tuple(running):
                process.terminate()
            raise


def _start(
    path: Path, comparison: Comparison, task: Task, running: set[subprocess.Popen]
) -> Result:
    log = comparison.folder / "logs" / f"{task.name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "training.compare.one", str(path), task.row, str(task.seed)]
    with log.open("w") as stream:
        process = subprocess.Popen(words, stdout=stream, stderr=subprocess.STDOUT)
        running.add(process)
        code = process.wait()
        running.discard(process)
    result = finished(comparison, task) if code == 0 else None
    if result is not None:
        return result
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return {"failed": (lines[-1] if lines else f"ended with {code}")[:300], "log": str(log)}
