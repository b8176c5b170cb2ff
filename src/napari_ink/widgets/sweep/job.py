"""A look at a small region, in a worker thread: a sweep or a probe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Event

from psygnal import Signal

from napari_ink.errors import CheckpointError, InkError, PredictionError
from napari_ink.widgets.predict.request import PredictionRequest
from napari_ink.widgets.warm_up import keep_triton_out
from napari_ink.widgets.worker_thread import StoppingWorker, step_back

Steps = Callable[[PredictionRequest, Event], Iterator[object]]


def sweep_steps(request: PredictionRequest, stop: Event) -> Iterator[object]:
    """Candidates, and lines of text that the user should know.

    Runs in a worker thread; touches no Qt. Leaves after the candidate under way once ``stop`` is
    set.

    Raises
    ------
    InkError
        Also in place of any RuntimeError, of which a generator worker tells nobody.
    """

    def begin(model, notice):
        from napari_ink.analysis.sweep import plan_sweep, sweep

        plan = plan_sweep(request.fragment, model, request.settings)
        return plan.total, sweep(request.fragment, model, plan, notice=notice)

    yield from _steps(request, stop, begin)


def probe_steps(request: PredictionRequest, stop: Event) -> Iterator[object]:
    """Planted places, and lines of text; otherwise as :func:`sweep_steps`."""

    def begin(model, notice):
        from napari_ink.analysis.probe import plan_probe, probe

        plan = plan_probe(request.fragment, model, request.settings, seeds=1)
        return plan.total, probe(request.fragment, model, plan, notice=notice)

    yield from _steps(request, stop, begin)


def _steps(request: PredictionRequest, stop: Event, begin: Callable) -> Iterator[object]:
    from napari_ink.models.checkpoint import load_checkpoint

    keep_triton_out()
    step_back()
    try:
        model = load_checkpoint(request.checkpoint)
        if request.chosen is not None and request.chosen != model.info:
            raise CheckpointError(
                f"{request.checkpoint.name} changed since it was chosen", "choose it again"
            )
        notices: deque[str] = deque()
        total, steps = begin(model, notices.append)
        yield total
        with closing(steps):
            for one in steps:
                while notices:
                    yield notices.popleft()
                yield one
                if stop.is_set():
                    return
    except (RuntimeError, MemoryError) as error:
        raise PredictionError(
            f"the look broke off ({error})", "try a smaller region, or the CPU"
        ) from error


class LookJob:
    """Runs steps in a thread; signals come in the main thread.

    Signals
    -------
    total : int
        How many there will be.
    one : object
        A candidate, or a planted place.
    notice : str
    failed : str
        What went wrong, and what to do.
    finished : bool
        Always the last; whether all are there.
    """

    total = Signal(int)
    one = Signal(object)
    notice = Signal(str)
    failed = Signal(str)
    finished = Signal(bool)

    def __init__(self, steps: Steps, request: PredictionRequest) -> None:
        self._steps, self._request, self._stop = steps, request, Event()
        self._complete = False

    def start(self) -> None:
        """Begin; once only."""
        from superqt.utils import create_worker

        worker = create_worker(
            self._steps,
            self._request,
            self._stop,
            _start_thread=False,
            _worker_class=StoppingWorker,
            _ignore_errors=True,  # told by _on_errored
        )
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        worker.errored.connect(self._on_errored)
        worker.finished.connect(self._on_finished)
        self._worker = worker
        worker.start()

    def cancel(self) -> None:
        """Ask it to stop after the map under way; does no harm at any time."""
        self._stop.set()

    def _on_yielded(self, record: object) -> None:
        if isinstance(record, int):
            self.total.emit(record)
        elif isinstance(record, str):
            self.notice.emit(record)
        else:
            self.one.emit(record)

    def _on_returned(self, _result: object) -> None:
        self._complete = not self._stop.is_set()

    def _on_errored(self, error: Exception) -> None:
        if not isinstance(error, InkError):  # a defect: with its traceback
            from napari.utils.notifications import notification_manager

            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.failed.emit(str(error))

    def _on_finished(self) -> None:
        self.finished.emit(self._complete)
