"""Work in a thread of which only what was asked for last matters."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from psygnal import Signal
from superqt.utils import GeneratorWorker

from napari_ink.errors import InkError, PredictionError


class Latest:
    """Runs one generator after another in worker threads; a new one supersedes the last.

    A superseded one is told to stop, and whatever still comes of it is dropped by its number.

    Signals
    -------
    progress : float
        What the generator yielded.
    done : object
        What it returned.
    failed : str
        What went wrong, and what to do.
    """

    progress = Signal(float)
    done = Signal(object)
    failed = Signal(str)

    def __init__(self) -> None:
        self._number = 0
        self._worker: GeneratorWorker | None = None

    @property
    def running(self) -> bool:
        """Whether something was asked for that has not come."""
        return self._worker is not None

    def start(self, steps: Generator[float, None, Any]) -> None:
        """Run a generator in a worker thread, in place of one that is running."""
        self.cancel()
        worker = GeneratorWorker(_numbered, steps, self._number)
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        self._worker = worker
        worker.start()

    def cancel(self) -> None:
        """Want nothing any more."""
        self._number += 1
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.quit()

    def _on_yielded(self, step: tuple[int, float]) -> None:
        number, share = step
        if number == self._number:
            self.progress.emit(share)

    def _on_returned(self, result: tuple[int, Any, str]) -> None:
        number, value, problem = result
        if number != self._number:
            return
        self._worker = None
        if problem:
            self.failed.emit(problem)
        else:
            self.done.emit(value)


def _numbered(
    steps: Generator[float, None, Any], number: int
) -> Generator[tuple[int, float], None, tuple[int, Any, str]]:
    """Steps with the number of what they belong to. Runs in a worker thread; touches no Qt.

    Errors are returned: of a RuntimeError a worker would tell nobody.
    """
    try:
        while True:
            yield number, next(steps)
    except StopIteration as end:
        return number, end.value, ""
    except InkError as error:
        return number, None, str(error)
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        return number, None, str(PredictionError(reason, "predict again, or choose another"))
