"""Runs the rows of a comparison, each in a process of its own; what is finished is not repeated."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from training.compare.one import result_file
from training.compare.processes import Running
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
    comparison: Comparison,
    tasks: Iterable[Task],
    jobs: int,
    done: Callable[[Task, Result], None],
) -> None:
    """Run what is not finished; each result is handed on as it comes.

    A run that fails gives ``{"failed": why}`` and stops no other. No run outlives an
    interruption, nor the end of this process.
    """
    left = [task for task in tasks if finished(comparison, task) is None]
    running = Running()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(train, comparison, task, running): task for task in left}
        try:
            for future in as_completed(waiting):
                done(waiting[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            running.end()
            raise


def train(comparison: Comparison, task: Task, running: Running) -> Result:
    """The result of one run, in a process of its own."""
    log = comparison.folder / "logs" / f"{task.name}.txt"
    words = [sys.executable, "-m", "training.compare.one"]
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        code = running.call([*words, str(comparison.folder), task.row, str(task.seed)], log)
    except OSError as error:
        return {"failed": f"cannot be started ({error})"}
    result = finished(comparison, task) if code == 0 else None
    return result or {"failed": reason(code, log), "log": str(log)}


def reason(code: int | None, log: Path) -> str:
    """Why a run failed: the signal that ended it, or the last line that it wrote."""
    if code is None:
        return "not started"
    if code < 0:
        name = signal.Signals(-code).name
        why = ", as by a lack of memory" if name == "SIGKILL" else ""
        return f"ended from outside by {name}{why}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return (lines[-1] if lines else f"ended with {code}")[:300]
