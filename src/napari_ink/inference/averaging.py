"""Averaging at work: one pass after the other over all blocks that need more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from napari_ink.errors import StoreError
from napari_ink.inference.behind import Behind
from napari_ink.inference.chosen_order import SampleOrder
from napari_ink.inference.clock import Clock
from napari_ink.inference.computing import computed
from napari_ink.inference.engine import Engine, network_of
from napari_ink.inference.moments import Moments
from napari_ink.inference.plan import PredictionPlan
from napari_ink.inference.settings import Box, TileDone
from napari_ink.inference.store_samples import KeptSamples, StoredSamples
from napari_ink.inference.store_writing import StoreWriter
from napari_ink.inference.trial import Trial
from napari_ink.inference.work import reader_of

if TYPE_CHECKING:
    from napari_ink.inference.ensemble import Ensemble
    from napari_ink.volumes.fragment import Fragment

_PAUSES = 64


def run_passes(
    plan: PredictionPlan,
    fragment: Fragment,
    ensemble: Ensemble,
    store: StoreWriter | None,
    notice: Callable[[str], None],
) -> Iterator[TileDone]:
    """Yield every block once a pass, its mean and spread so far.

    Only one network is held at a time, and no map of a single pass is kept: what a block's passes
    add up to lies in the store, or in memory where there is none; it is written while the next
    block is computed. Blocks that an earlier session began come first, as they are.
    """
    samples = KeptSamples(plan) if store is None else store.samples
    state = _State(plan, samples, SampleOrder.plain(plan.passes.count))
    if store is not None and "sample_order" in store.attributes:
        state.order = store.order
    latest = None
    for block in plan.blocks:
        if samples.counts[block]:
            moments = _reread(store, samples, block, plan.grid.block_box(*block))
            if moments is not None:
                latest = state.record(plan.grid.block_box(*block), moments)
                yield latest
    if store is not None:
        store.ask_for(plan, {block: state.is_done(block) for block in plan.blocks})
    if not state.left:
        return
    clock, seconds, turn = Clock(store), 0.0, 0
    records = {} if store is None else store.attributes
    reader = reader_of(fragment, plan, store)
    trial = None
    if plan.monte_carlo is not None and plan.monte_carlo.chosen and state.is_short:
        trial = Trial(plan, reader, ensemble[0], state.order.indices[: state.begun])
    while state.left:
        blocks = [block for block in state.left if samples.counts[block] == turn]
        if trial is not None and (turn > 0 or not blocks):
            for part in range(1, _PAUSES + 1):  # whoever wants to stop can do so in between
                trial.advance(part / _PAUSES)
                if latest is not None:
                    yield latest
            state.order = trial.order(state.order.indices[: state.begun])
            if store is not None:
                store.take_order(state.order)
            seconds, trial = seconds + trial.seconds, None
            continue
        if not blocks:
            turn += 1
            continue
        now = plan.passes.of(state.order.indices[turn])
        member = plan.members[now.member] if plan.members else plan
        network = network_of(member, ensemble[now.member], now.sample)
        own = reader.over(member)
        engine = Engine(member, network, own, records, notice, now.symmetry)
        with engine, Behind("ink-keeping") as behind:
            found = computed(member, own, engine, blocks)
            for number, (block, probability) in enumerate(found, start=1):
                behind.wait()
                moments = samples.read(block.box)
                if moments.count == turn:  # else it was kept, but not that it was
                    moments.add(probability)
                samples.take(block.index, moments)
                if store is None:
                    samples.write(block.index, block.box, moments)
                else:
                    timing = {"timing": clock.read(seconds + engine.runtime.seconds)}
                    said = engine.records | timing
                    last = state.is_done(block.index)
                    behind.do(
                        store.write_sample, block.index, block.box, moments, last=last, **said
                    )
                latest = state.record(block.box, moments)
                yield latest
                # The first sample is the first candidate: there is something to see at once.
                if trial is not None:
                    trial.advance(number / len(blocks))
            seconds += engine.runtime.seconds
            records = engine.records
        turn += 1


class _State:
    """How far the blocks are, and in which order their passes come."""

    def __init__(
        self, plan: PredictionPlan, samples: StoredSamples | KeptSamples, order: SampleOrder
    ) -> None:
        self._plan = plan
        self._samples = samples
        self.order = order

    @property
    def left(self) -> list[tuple[int, int]]:
        """Blocks that need more passes, in the order of work."""
        return [block for block in self._plan.blocks if not self.is_done(block)]

    @property
    def begun(self) -> int:
        """Passes that some block has taken in."""
        return int(max(self._samples.counts[block] for block in self._plan.blocks))

    @property
    def is_short(self) -> bool:
        """Whether the order has to be chosen still, or to go on."""
        wanted = self._plan.monte_carlo.samples
        plain = self.order.indices == SampleOrder.plain(len(self.order)).indices
        return plain or (len(self.order) < wanted and self.order.factors[-1] > 1 / wanted)

    def is_done(self, block: tuple[int, int]) -> bool:
        """Whether a block needs no more passes."""
        counts, deviations = self._samples.counts[block], self._samples.deviations[block]
        return self.is_enough(int(counts), float(deviations))

    def is_enough(self, count: int, deviation: float) -> bool:
        """Whether so many passes, of this spread, are."""
        factor = self.order.factor(count) if count else 1.0
        return self._plan.passes.is_enough(count, deviation, factor)

    def record(self, box: Box, moments: Moments) -> TileDone:
        """Of a block that has just changed; what nobody needs any more counts as done."""
        most = self._plan.passes.count
        done = sum(
            most if self.is_done(block) else int(self._samples.counts[block])
            for block in self._plan.blocks
        )
        return TileDone(
            index=done,
            total=self._plan.steps,
            box=box,
            probability=moments.mean.copy(),
            spread=moments.spread,
            information=moments.information,
            samples=moments.count,
        )


def _reread(
    store: StoreWriter, samples: StoredSamples, block: tuple[int, int], box: Box
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
    store.restore(box, moments)
