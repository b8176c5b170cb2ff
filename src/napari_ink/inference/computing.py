"""Blocks computed: one window of layers, or all windows of a depth sweep one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from napari_ink.inference.engine import Engine
from napari_ink.inference.plan import PredictionPlan
from napari_ink.inference.prefetch import Prefetch
from napari_ink.inference.work import Batch, Block, TileReader, schedule

#: Results of blended tiles that may wait for other blocks.
KEPT_BYTES = 256 << 20


def computed(
    plan: PredictionPlan, reader: TileReader, engine: Engine, blocks: Iterable[tuple[int, int]]
) -> Iterator[tuple[Block, np.ndarray]]:
    """Blocks as the network at hand finds them, in their order, read ahead in a thread.

    Yields
    ------
    block : Block
    probability : numpy.ndarray
        As :meth:`Engine.finish` gives it; of a depth sweep ``(windows, y, x)``.
    """
    blocks = list(blocks)
    plans = [_of_window(plan, window) for window in plan.windows] or [plan]
    readers = [reader.over(part) for part in plans]
    engines = [engine.over(*pair) for pair in zip(plans, readers, strict=True)]
    schedules = [
        schedule(part, own, blocks, engine.runtime.buffer, KEPT_BYTES // len(plans))
        for part, own in zip(plans, readers, strict=True)
    ]
    found: list[np.ndarray] = []
    with Prefetch(_in_turn(schedules)) as work:
        for at, item in work:
            if isinstance(item, Batch):
                engines[at].run(item)
                continue
            found.append(engines[at].finish(item))
            if len(found) == len(plans):
                yield item, np.stack(found) if plan.windows else found[0]
                found.clear()


def _of_window(plan: PredictionPlan, window) -> PredictionPlan:
    """The plan of one window's ink layer."""
    return replace(
        plan,
        z=window.z,
        normaliser=window.normaliser,
        output_shape=plan.output_shape[-2:],
        windows=(),
    )


def _in_turn(schedules: list[Iterator[Batch | Block]]) -> Iterator[tuple[int, Batch | Block]]:
    """The next block of each schedule, in turn, until they end; with whose it is."""
    while True:
        for at, items in enumerate(schedules):
            item = None
            for item in items:
                yield at, item
                if isinstance(item, Block):
                    break
            if item is None:
                return
