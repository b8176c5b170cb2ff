"""Processes that end with the one that started them, however it ends."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

import psutil

_PATIENCE = 5.0  # seconds between asking a process to end and ending it


class Running:
    """The processes at work; once ended, no other starts."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._over = False

    def call(self, words: list[str], log: Path) -> int | None:
        """Run a command to its end, its words in a log; its code, None if none may start.

        The process holds the far end of a pipe, its standard input, whose end tells it that
        this process is gone.
        """
        with log.open("w") as stream:
            with self._lock:
                if self._over:
                    return None
                process = subprocess.Popen(
                    words, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT
                )
                self._processes.add(process)
            code = process.wait()
            process.stdin.close()
            with self._lock:
                self._processes.discard(process)
        return code

    def end(self) -> None:
        """End all, and the processes that they started."""
        with self._lock:
            self._over = True
            processes = tuple(self._processes)
        end_trees([process.pid for process in processes])


def end_trees(roots: Iterable[int]) -> None:
    """End processes and all that they started: asked first, made to where that does not help."""
    found = []
    for root in roots:
        try:
            process = psutil.Process(root)
            found += [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in found:
            try:
                end(process)
            except psutil.NoSuchProcess:
                continue
        _, found = psutil.wait_procs(found, timeout=_PATIENCE)


def end_with_parent() -> None:
    """End this process, and what it started, once the holder of its standard input is gone."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        end_trees(child.pid for child in psutil.Process().children())
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
