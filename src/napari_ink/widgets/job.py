"""One prediction in a worker thread: the core's generator on one side, signals on the other."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, get_native_id
from typing import TYPE_CHECKING

from psygnal import Signal
from superqt.utils import GeneratorWorker

from napari_ink.errors import CheckpointError, InkError, PredictionError
from napari_ink.inference.settings import MONTE_CARLO, PredictionSettings, TileDone
from napari_ink.widgets.folders import file_name
from napari_ink.widgets.warm_up import keep_triton_out

if TYPE_CHECKING:
    from napari_ink.inference.plan import PredictionPlan
    from napari_ink.inference.store import PredictionStore
    from napari_ink.models.info import CheckpointInfo
    from napari_ink.volumes.fragment import Fragment


_NICE = 10  # of 19: yields to the window, not to everything


@dataclass(frozen=True)
class PredictionRequest:
    """What to predict, with what, and the folder that keeps the result.

    Attributes
    ----------
    fragment : Fragment
    checkpoint : Path
    settings : PredictionSettings
    folder : Path
    chosen : CheckpointInfo, optional
        What the checkpoint was when task and layers were chosen for it.
    others : tuple of (Path, CheckpointInfo)
        Further checkpoints, and what they were when they were chosen.
    """

    fragment: Fragment
    checkpoint: Path
    settings: PredictionSettings
    folder: Path
    chosen: CheckpointInfo | None = None
    others: tuple[tuple[Path, CheckpointInfo], ...] = ()


@dataclass(frozen=True)
class PredictionStarted:
    """The resolved plan, before the first block.

    Attributes
    ----------
    plan : PredictionPlan
    store : Path
        Where the result is kept.
    kept : int
        Blocks that an earlier run finished, or took samples of; they come first.
    """

    plan: PredictionPlan
    store: Path
    kept: int


@dataclass(frozen=True)
class PredictionNotice:
    """One line that the user should know while the run goes on."""

    text: str


@dataclass(frozen=True)
class SamplesChosen:
    """How many samples are enough, once they are chosen."""

    needed: int


Record = PredictionStarted | PredictionNotice | SamplesChosen | TileDone


def store_path(request: PredictionRequest, checkpoint: str) -> Path:
    """Where this prediction is kept: the same question always leads to the same place.

    The question is what was asked, not what the plan makes of it: a tile chosen from today's free
    memory is no part of it. So a second Predict goes on where the first one stopped.

    Parameters
    ----------
    request : PredictionRequest
    checkpoint : str
        Fingerprint of the checkpoint; those of the others are in the request.
    """
    fragment, asked = request.fragment, asdict(request.settings)
    del asked["focus"]
    for name in MONTE_CARLO if asked["samples"] == 1 else ("samples", "tolerance"):
        del asked[name]  # more samples go on where fewer stopped
    for name, usual in (("depth_sweep", None), ("symmetries", "none")):
        if asked[name] == usual:  # the question as it was before there was a choice
            del asked[name]
    if not asked["experts_off"]:  # the question as it was before there was a choice
        del asked["experts_off"]
    mask = getattr(fragment.mask, "path", None)
    edited = os.stat(mask).st_mtime_ns if mask and os.path.exists(mask) else None
    others = [info.fingerprint for _, info in request.others]
    checkpoint = [checkpoint, *others] if others else checkpoint  # else the question as it was
    question = json.dumps([fragment.fingerprint(), edited, checkpoint, asked], default=str)
    key = hashlib.sha256(question.encode()).hexdigest()[:8]
    names = file_name(fragment.name), file_name(request.checkpoint.stem)
    return request.folder / f"{names[0]}-{names[1]}-{key}.ink.zarr"


def prediction_steps(request: PredictionRequest, stop: Event) -> Iterator[Record]:
    """Predict, telling the plan first and then every block.

    Runs in a worker thread; touches no Qt. Leaves at the next block once ``stop`` is set; what is
    finished by then stays in the store.

    Raises
    ------
    InkError
        For everything the core reports, and in place of any RuntimeError, which a generator
        worker would swallow together with its own end.
    """
    keep_triton_out()
    step_back()
    try:
        yield from _steps(request, stop)
    except RuntimeError as error:
        raise PredictionError(
            f"the prediction broke off ({error})",
            "try a smaller tile or the CPU; Predict goes on from the last finished block",
        ) from error


def step_back() -> None:
    """Let the window go first where all cores are busy: this thread and those it starts wait.

    Only Linux has priorities of threads; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICE)


def _steps(request: PredictionRequest, stop: Event) -> Iterator[Record]:
    from napari_ink.inference.ensemble import Ensemble, plan_ensemble
    from napari_ink.inference.plan import plan_prediction
    from napari_ink.inference.predict import as_recorded, run_plan
    from napari_ink.inference.store import PredictionStore
    from napari_ink.models.checkpoint import load_checkpoint, read_info

    if stop.is_set():
        return
    fragment, model = request.fragment, load_checkpoint(request.checkpoint)
    if request.chosen is not None and request.chosen != model.info:
        raise _changed(request.checkpoint)
    for other, info in request.others:
        if read_info(other) != info:
            raise _changed(other)
    path = store_path(request, model.info.fingerprint)
    settings = as_recorded(path, request.settings)
    if request.others:
        model = Ensemble([request.checkpoint, *(other for other, _ in request.others)])
        plan = plan_ensemble(fragment, model, settings)
    else:
        plan = plan_prediction(fragment, model, settings)
    kept = blocks_kept(PredictionStore.open(path), plan) if path.exists() else 0
    if stop.is_set():
        return
    yield PredictionStarted(plan, path, kept)
    notices: deque[str] = deque()
    with closing(run_plan(plan, fragment, model, store=path, notice=notices.append)) as blocks:
        turn = 0
        for tile in blocks:
            while notices:
                yield PredictionNotice(notices.popleft())
            if tile.samples != turn and plan.monte_carlo is not None and plan.monte_carlo.chosen:
                turn = tile.samples
                if turn > 1:  # while the first is under way the others are chosen
                    yield SamplesChosen(len(PredictionStore.open(path).order))
            yield tile
            if stop.is_set():
                return
    while notices:
        yield PredictionNotice(notices.popleft())


def _changed(path: Path) -> CheckpointError:
    return CheckpointError(f"{path.name} changed since it was chosen", "choose it again")


def blocks_kept(store: PredictionStore, plan: PredictionPlan) -> int:
    """Of how many of the plan's blocks a store has something."""
    if store.samples is None:
        return sum(store.holds(block) for block in plan.blocks)
    return sum(store.samples.counts[block] > 0 for block in plan.blocks)


class StoppingWorker(GeneratorWorker):
    """A worker that is stopped from within its generator, not by abandoning it.

    Stock workers leave their generator suspended when they are told to quit, and with it the
    store's lock and the device. napari tells them so on cancel and when its window closes.
    """

    def __init__(self, steps, request: PredictionRequest, stop: Event) -> None:
        super().__init__(steps, request, stop)
        self._stop = stop

    def quit(self) -> None:
        """Ask the generator to leave at the next block."""
        self._stop.set()


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
