"""One prediction in a worker thread: the core's generator, as records that the window shows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from napari_ink.errors import CheckpointError, PredictionError
from napari_ink.inference.settings import TileDone
from napari_ink.widgets.predict.request import PredictionRequest, file_fingerprint, store_path
from napari_ink.widgets.warm_up import keep_triton_out
from napari_ink.widgets.worker_thread import step_back

if TYPE_CHECKING:
    from napari_ink.inference.plan import PredictionPlan
    from napari_ink.inference.store import PredictionStore


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
    others = [file_fingerprint(other) for other, _ in request.others]
    path = store_path(request, model.info.fingerprint, others)
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
