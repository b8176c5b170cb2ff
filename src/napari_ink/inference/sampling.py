"""Monte Carlo at work: one sub-network after the other over all blocks that need more samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from napari_ink.errors import StoreError
from napari_ink.inference.clock import Clock
from napari_ink.inference.engine import Engine, computed, network_of
from napari_ink.inference.moments import Moments
from napari_ink.inference.plan import PredictionPlan
from napari_ink.inference.settings import Box, TileDone
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.store_samples import KeptSamples, StoredSamples
from napari_ink.inference.work import reader_of

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment


def run_samples(
    plan: PredictionPlan,
    fragment: Fragment,
    model: InkNetwork,
    store: PredictionStore | None,
    notice: Callable[[str], None],
) -> Iterator[TileDone]:
    """Yield every block once a sample, its mean and spread so far.

    Only one sub-network is held at a time, and no map of a single sample is kept: what a block's
    samples add up to lies in the store, or in memory where there is none. Blocks that an earlier
    session sampled come first, as they are.
    """
    samples = KeptSamples(plan) if store is None or store.samples is None else store.samples
    progress = _Progress(plan, samples)
    for block in plan.blocks:
        if samples.counts[block]:
            moments = _reread(store, samples, block, plan.grid.block_box(*block))
            if moments is not None:
                yield progress.of(plan.grid.block_box(*block), moments)
    if not progress.left:
        return
    clock, seconds, sample = Clock(store), 0.0, 0
    records = {} if store is None else store.attributes
    reader = reader_of(fragment, plan, store)
    while progress.left:
        blocks = [block for block in progress.left if samples.counts[block] == sample]
        if not blocks:
            sample += 1
            continue
        with Engine(plan, network_of(plan, model, sample), reader, records, notice) as engine:
            for block, probability in computed(plan, reader, engine, blocks):
                moments = samples.read(block.box)
                if moments.count == sample:  # else it was kept, but not that it was
                    moments.add(probability)
                last = plan.monte_carlo.is_enough(moments.count, moments.deviation)
                if store is None:
                    samples.write(block.index, block.box, moments)
                else:
                    timing = {"timing": clock.read(seconds + engine.runtime.seconds)}
                    found = engine.records | timing
                    store.write_sample(block.index, block.box, moments, last=last, **found)
                yield progress.of(block.box, moments)
            seconds += engine.runtime.seconds
            records = engine.records
        sample += 1


class _Progress:
    """Blocks times samples: how many are done, counting those that nobody needs any more."""

    def __init__(self, plan: PredictionPlan, samples: StoredSamples | KeptSamples) -> None:
        self._plan = plan
        self._samples = samples

    @property
    def left(self) -> list[tuple[int, int]]:
        """Blocks that need more samples, in the order of work."""
        return [block for block in self._plan.blocks if not self._is_enough(block)]

    def of(self, box: Box, moments: Moments) -> TileDone:
        """The record of a block that has just changed."""
        most = self._plan.monte_carlo.samples
        done = sum(
            most if self._is_enough(block) else int(self._samples.counts[block])
            for block in self._plan.blocks
        )
        return TileDone(
            index=done,
            total=self._plan.steps,
            box=box,
            probability=moments.mean.copy(),
            spread=moments.spread,
            samples=moments.count,
        )

    def _is_enough(self, block: tuple[int, int]) -> bool:
        counts, deviations = self._samples.counts[block], self._samples.deviations[block]
        return self._plan.monte_carlo.is_enough(int(counts), float(deviations))


def _reread(
    store: PredictionStore, samples: StoredSamples, block: tuple[int, int], box: Box
) -> Moments | None:
    """Moments of a block from the store; ``None``, and no sample, if its chunk was lost."""
    try:
        moments = samples.read(box)
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(
            f"{store.path} is damaged at rows {box.y0}:{box.y1}, columns {box.x0}:{box.x1} "
            f"({error})",
            "delete it and predict again",
        ) from error
    if moments.count == 0:
        samples.note(block, moments)
        store.forget(block)
        return None
    return moments
