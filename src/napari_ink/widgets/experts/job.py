"""A region with and without experts, in a worker thread."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_ink.errors import CheckpointError, InkError, PredictionError
from napari_ink.widgets.predict.request import PredictionRequest, store_path
from napari_ink.widgets.warm_up import keep_triton_out
from napari_ink.widgets.worker_thread import StoppingWorker, step_back

if TYPE_CHECKING:
    from napari_ink.analysis.experts import ExpertsEffect


@dataclass(frozen=True, eq=False)
class EffectDone:
    """What came of it, and where both maps are kept: with all experts, and without some."""

    effect: ExpertsEffect
    stores: tuple[Path, Path]


def run_steps(request: PredictionRequest, stop: Event) -> Generator[float, None, EffectDone | None]:
    """Predict the region twice, yielding the share that is done; ``None`` if stopped.

    Runs in a worker thread; touches no Qt.

    Raises
    ------
    InkError
        Also in place of any RuntimeError, of which a generator worker tells nobody.
    """
    keep_triton_out()
    step_back()
    try:
        return (yield from _steps(request, stop))
    except RuntimeError as error:
        raise PredictionError(
            f"the prediction broke off ({error})", "try a smaller region or tile, or the CPU"
        ) from error


def _steps(request: PredictionRequest, stop: Event) -> Generator[float, None, EffectDone | None]:
    from napari_ink.analysis.experts import effect_steps
    from napari_ink.models.checkpoint import load_checkpoint

    model = load_checkpoint(request.checkpoint)
    if request.chosen != model.info:
        raise CheckpointError(
            f"{request.checkpoint.name} changed since it was chosen", "choose it again"
        )
    whole = replace(request, settings=replace(request.settings, experts_off=()))
    stores = tuple(store_path(each, model.info.fingerprint) for each in (whole, request))
    steps = effect_steps(request.fragment, model, request.settings, stores=stores, notice=_quiet)
    with closing(steps):
        while not stop.is_set():
            try:
                share = next(steps)
            except StopIteration as end:
                return EffectDone(end.value, stores)
            yield share
    return None


def _quiet(_line: str) -> None:
    """What to know of the prediction as such is told where one predicts."""


class EffectJob:
    """Runs :func:`run_steps` in a thread; signals come in the main thread.

    Signals
    -------
    progress : float
    done : EffectDone
    failed : str
        Already shown to the user.
    finished
        Always the last.
    """

    progress = Signal(float)
    done = Signal(EffectDone)
    failed = Signal(str)
    finished = Signal()

    def __init__(self, request: PredictionRequest) -> None:
        self._request, self._stop = request, Event()

    def start(self) -> None:
        """Begin; once only."""
        from superqt.utils import create_worker

        worker = create_worker(
            run_steps,
            self._request,
            self._stop,
            _start_thread=False,
            _worker_class=StoppingWorker,
            _ignore_errors=True,  # shown by _on_errored, once
        )
        worker.yielded.connect(self.progress.emit)
        worker.returned.connect(self._on_returned)
        worker.errored.connect(self._on_errored)
        worker.finished.connect(self.finished.emit)
        self._worker = worker
        worker.start()

    def cancel(self) -> None:
        """Ask it to stop at the next block; does no harm at any time."""
        self._stop.set()

    def _on_returned(self, result: EffectDone | None) -> None:
        if result is not None and not self._stop.is_set():
            self.done.emit(result)

    def _on_errored(self, error: Exception) -> None:
        from napari.utils.notifications import notification_manager, show_error

        if isinstance(error, InkError):
            show_error(str(error))
        else:  # a defect: with its traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.failed.emit(str(error))
