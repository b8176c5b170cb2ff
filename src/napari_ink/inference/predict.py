"""The one way to predict: a generator of finished blocks, for every driver."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.errors import DeviceMemoryError, InkError, PredictionError
from napari_ink.inference.averaging import run_passes
from napari_ink.inference.clock import Clock
from napari_ink.inference.computing import computed
from napari_ink.inference.device import is_out_of_memory
from napari_ink.inference.engine import Engine, network_of
from napari_ink.inference.ensemble import Ensemble, plan_ensemble
from napari_ink.inference.plan import PredictionPlan
from napari_ink.inference.settings import Box, PredictionSettings, TileDone
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.store_files import there
from napari_ink.inference.store_writing import StoreWriter
from napari_ink.inference.work import reader_of

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment

#: Settings that a store answers where a call leaves them open.
_RECORDED = ("layers", "depth_sweep", "task", "tile", "batch", "device", "precision")
_RECORDED_SAMPLES = ("dropout", "gate_noise", "sampling")

_log = logging.getLogger(__name__)
Notice = Callable[[str], None]


def predict(
    fragment: Fragment,
    model: InkNetwork | Sequence[InkNetwork | str | os.PathLike],
    settings: PredictionSettings = PredictionSettings(),  # noqa: B008 (frozen)
    *,
    store: str | os.PathLike | None = None,
    notice: Notice | None = None,
) -> Iterator[TileDone]:
    """Predict ink, block by block.

    Only blocks with papyrus are computed, those nearest to ``settings.focus`` first. Closing the
    generator, at any time, stops the reading thread and frees the device. With a store, finished
    blocks are on disk before they are yielded; called again with the same store, those come
    first, read from disk, and the others are computed to the same bits.

    Runs in the caller's thread (any), touches no Qt.

    Parameters
    ----------
    fragment : Fragment
    model : InkNetwork, or a sequence of networks or paths
        With metadata, as :func:`napari_ink.load_checkpoint` gives it. Its weights are not changed.
        Of several, checkpoints or their paths, the mean (:mod:`napari_ink.inference.ensemble`).
    settings : PredictionSettings
    store : path, optional
        ``NAME.ink.zarr``, made if it does not exist.
    notice : callable, optional
        Told, in one line each, what the user should know: the plan's warnings, less memory than
        hoped for, what int8 changes. The default logs them.

    Yields
    ------
    TileDone

    Raises
    ------
    InkError
        And nothing else: also what a runtime raises becomes one, because a ``RuntimeError`` out
        of a generator worker would leave napari waiting for ever.
    """
    try:
        if store is not None:
            settings = as_recorded(store, settings)
        ensemble = Ensemble.of(model)
        plan = plan_ensemble(fragment, ensemble, settings)
        yield from run_plan(plan, fragment, ensemble, store=store, notice=notice)
    except (RuntimeError, MemoryError) as error:
        raise _as_ink_error(error) from error


def run_plan(
    plan: PredictionPlan,
    fragment: Fragment,
    model: InkNetwork | Ensemble,
    *,
    store: str | os.PathLike | None = None,
    notice: Notice | None = None,
) -> Iterator[TileDone]:
    """:func:`predict` for drivers that want to show the plan first; same terms."""
    notice = notice or _log.warning
    for warning in plan.warnings:
        notice(warning)
    try:
        with ExitStack() as stack:
            target = None
            if store is not None:
                target = stack.enter_context(StoreWriter.create_or_resume(store, plan))
            way = _run if plan.passes.is_single else run_passes
            ensemble = model if isinstance(model, Ensemble) else Ensemble.of(model)
            yield from way(plan, fragment, ensemble, target, notice)
            if target is not None and not target.is_complete:
                target.finish()
    except (RuntimeError, MemoryError) as error:
        raise _as_ink_error(error) from error


def as_recorded(store: str | os.PathLike, settings: PredictionSettings) -> PredictionSettings:
    """Settings with everything left open taken from a store, if there is one to go on with.

    Otherwise a machine with less free memory than yesterday would choose another tile, and be
    refused.
    """
    if not there(Path(store)):
        return settings
    attributes = PredictionStore.open(store).attributes
    recorded = attributes["settings"]
    wanted = _RECORDED + (_RECORDED_SAMPLES if settings.samples > 1 else ())
    left_open = {
        name: recorded[name]
        for name in wanted
        if getattr(settings, name) in (None, "auto") and name in recorded
    }
    if "members" in attributes:  # each checkpoint has its own, unless all were given the same
        members = attributes["identity"]["members"]
        first, *others = [(one["monte_carlo"] or {}) | {"layers": one["layers"]} for one in members]
        for name in ("layers", "dropout", "gate_noise"):
            if any(other.get(name) != first.get(name) for other in others):
                left_open.pop(name, None)
    if "layers" in left_open:
        left_open["layers"] = tuple(left_open["layers"])
    return replace(settings, **left_open)


def _run(
    plan: PredictionPlan,
    fragment: Fragment,
    ensemble: Ensemble,
    store: StoreWriter | None,
    notice: Notice,
) -> Iterator[TileDone]:
    done = 0
    if store is not None:
        for index in plan.blocks:
            if store.holds(index):
                box = plan.grid.block_box(*index)
                probability = _reread(store, index, box)
                if probability is not None:
                    done += 1
                    yield TileDone(done, plan.total, box, probability)
    left = [index for index in plan.blocks if store is None or not store.holds(index)]
    if not left:
        return
    clock, before = Clock(store), {} if store is None else store.attributes
    reader = reader_of(fragment, plan, store)
    symmetry = plan.passes.of(0).symmetry
    network = network_of(plan, ensemble[0])
    with Engine(plan, network, reader, before, notice, symmetry) as engine:
        for block, probability in computed(plan, reader, engine, left):
            if store is not None:
                records = engine.records | {"timing": clock.read(engine.runtime.seconds)}
                store.write(block.index, block.box, probability, **records)
            done += 1
            yield TileDone(done, plan.total, block.box, probability)


def _reread(store: StoreWriter, index: tuple[int, int], box: Box) -> np.ndarray | None:
    """A finished block from the store; ``None``, and unfinished, if its chunk was lost."""
    try:
        probability = store.read(box)
    except InkError:
        probability = None
    if probability is None or np.isnan(probability).all():
        store.forget(index)
        return None
    return probability


def _as_ink_error(error: Exception) -> InkError:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if is_out_of_memory(error):
        return DeviceMemoryError(
            f"memory ran out ({text})", "close other programs, or choose a smaller tile"
        )
    return PredictionError(
        f"the prediction failed ({text})", "try --device cpu --precision fp32, and report this"
    )
