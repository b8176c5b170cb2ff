"""One task at a time in a thread, while its caller goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Behind:
    """Does tasks in their order, at most one of them unfinished; a context manager.

    Leaving the context waits for the last one. What a task raises is raised by the next call, or on
    leaving.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._pending: Future | None = None

    def __enter__(self) -> Behind:
        return self

    def __exit__(self, kind, *exception) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown()

    def do(self, task: Callable, *arguments, **options) -> None:
        """Begin a task, once the one before is finished."""
        self.wait()
        self._pending = self._pool.submit(task, *arguments, **options)

    def wait(self) -> None:
        """Until nothing is left to do."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
