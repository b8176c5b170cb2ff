"""A prediction in the background: its records come as signals in the main thread."""

from __future__ import annotations

from threading import Event

from psygnal import Signal

from napari_ink.errors import InkError
from napari_ink.inference.settings import TileDone
from napari_ink.widgets.predict.request import PredictionRequest
from napari_ink.widgets.predict.steps import (
    PredictionNotice,
    PredictionStarted,
    Record,
    SamplesChosen,
    prediction_steps,
)
from napari_ink.widgets.worker_thread import StoppingWorker


class PredictionJob:
    """Runs :func:`prediction_steps` in a thread; signals come in the main thread.

    Signals
    -------
    started : PredictionStarted
    tile : TileDone
    chosen : int
        So many samples are enough.
    notice : str
    failed : Exception
        Already shown to the user.
    finished : bool
        Always the last; whether every block is done.
    """

    started = Signal(PredictionStarted)
    tile = Signal(TileDone)
    chosen = Signal(int)
    notice = Signal(str)
    failed = Signal(Exception)
    finished = Signal(bool)

    def __init__(self, request: PredictionRequest) -> None:
        self.request = request
        self._stop = Event()
        self._worker: StoppingWorker | None = None
        self._complete = False
        self._done = 0

    @property
    def running(self) -> bool:
        """From :meth:`start` until ``finished``."""
        return self._worker is not None

    def start(self) -> None:
        """Begin; once only."""
        from napari.qt.threading import create_worker

        self._worker = create_worker(
            prediction_steps,
            self.request,
            self._stop,
            _start_thread=False,
            _progress={"desc": f"ink of {self.request.fragment.name}"},
            # Errors are shown by _on_errored, once, and by nobody else.
            _worker_class=StoppingWorker,
            _ignore_errors=True,
        )
        self._worker.yielded.connect(self._on_yielded)
        self._worker.errored.connect(self._on_errored)
        self._worker.returned.connect(self._on_returned)
        self._worker.finished.connect(self._on_finished)
        self._worker.start()

    def cancel(self) -> None:
        """Ask it to stop at the next block; does no harm at any time."""
        self._stop.set()

    def _on_yielded(self, record: Record) -> None:
        # napari's bar lets other events in: it comes last, when this record has been dealt with.
        if isinstance(record, PredictionStarted):
            self.started.emit(record)
            if self.running:
                self._worker.pbar.total = record.plan.steps
        elif isinstance(record, PredictionNotice):
            self.notice.emit(record.text)
        elif isinstance(record, SamplesChosen):
            self.chosen.emit(record.needed)
        else:
            news, self._done = record.index - self._done, record.index
            self.tile.emit(record)
            if self.running and news > 0:
                self._worker.pbar.update(news)

    def _on_errored(self, error: Exception) -> None:
        from napari.utils.notifications import notification_manager, show_error

        if isinstance(error, InkError):
            show_error(str(error))
        else:  # a defect: with its traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.failed.emit(error)

    def _on_returned(self, _result: object) -> None:
        self._complete = not self._stop.is_set()

    def _on_finished(self) -> None:
        self._worker = None
        self.finished.emit(self._complete)
