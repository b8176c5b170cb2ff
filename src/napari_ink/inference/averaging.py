"""Averaging at work: one pass after the other over all blocks that need more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from napari_ink.errors import StoreError
from napari_ink.inference.behind import Behind
from napari_ink.inference.chosen_order import SampleOrder
from napari_ink.inference.clock import Clock
from napari_ink.inference.computing import computed
from napari_ink.inference.engine import Engine, network_of
from napari_ink.inference.moments import Moments
from napari_ink.inference.passes import Pass
from napari_ink.inference.plan import PredictionPlan
from napari_ink.inference.settings import Box, TileDone
from napari_ink.inference.store_samples import KeptSamples, StoredSamples
from napari_ink.inference.store_writing import StoreWriter
from napari_ink.inference.trial import Trial
from napari_ink.inference.work import TileReader, reader_of

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
            box = plan.grid.block_box(*block)
            moments = _reread(store, samples, block, box)
            if moments is None:
                state.update(block)
                continue
            latest = state.record(block, box, moments)
            yield latest
    if store is not None:
        store.ask_for(plan, {block: state.is_done(block) for block in plan.blocks})
    if not state.left:
        return
    clock, turn, trial = Clock(store), 0, None
    reader = reader_of(fragment, plan, store)
    if plan.monte_carlo is not None and plan.monte_carlo.chosen and state.is_short:
        trial = Trial(plan, reader, ensemble[0], state.order.indices[: state.begun])
    records = {} if store is None else store.attributes
    with closing(_Networks(plan, ensemble, reader, records, notice)) as networks:
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
                networks.spent, trial = networks.spent + trial.seconds, None
                continue
            if not blocks:
                turn += 1
                continue
            member, own, engine = networks.of(plan.passes.of(state.order.indices[turn]))
            with Behind("ink-keeping") as behind:
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
                        said = engine.records | {"timing": clock.read(networks.seconds)}
                        last = state.is_done(block.index)
                        behind.do(
                            store.write_sample, block.index, block.box, moments, last=last, **said
                        )
                    latest = state.record(block.index, block.box, moments)
                    yield latest
                    # The first sample is the first candidate: there is something to see at once.
                    if trial is not None:
                        trial.advance(number / len(blocks))
            turn += 1


class _Networks:
    """One network at a time, made ready once for all passes in a row that only turn the fragment.

    Attributes
    ----------
    spent : float
        Seconds in networks before the one at hand.
    """

    def __init__(
        self,
        plan: PredictionPlan,
        ensemble: Ensemble,
        reader: TileReader,
        records: Mapping[str, Any],
        notice: Callable[[str], None],
    ) -> None:
        self._plan, self._ensemble, self._reader = plan, ensemble, reader
        self._records, self._notice = records, notice
        self._which: tuple[int, int | None] | None = None
        self._held: tuple[PredictionPlan, TileReader, Engine] | None = None
        self.spent = 0.0

    @property
    def seconds(self) -> float:
        """In networks so far."""
        return self.spent + (0.0 if self._held is None else self._held[-1].runtime.seconds)

    def of(self, now: Pass) -> tuple[PredictionPlan, TileReader, Engine]:
        """Plan, reader and engine of a pass."""
        if self._held is None or self._which != (now.member, now.sample):
            self.close()
            member = self._plan.members[now.member] if self._plan.members else self._plan
            network = network_of(member, self._ensemble[now.member], now.sample)
            own = self._reader.over(member)
            engine = Engine(member, network, own, self._records, self._notice)
            self._which, self._held = (now.member, now.sample), (member, own, engine)
        member, own, engine = self._held
        return member, own, engine.turned(now.symmetry)

    def close(self) -> None:
        """Let go of the network."""
        if self._held is not None:
            engine = self._held[-1]
            self.spent, self._records = self.seconds, engine.records
            self._held = None
            engine.close()


class _State:
    """How far the blocks are, and in which order their passes come."""

    def __init__(
        self, plan: PredictionPlan, samples: StoredSamples | KeptSamples, order: SampleOrder
    ) -> None:
        self._plan = plan
        self._samples = samples
        self.order = order

    @property
    def order(self) -> SampleOrder:
        """Which passes come one after the other."""
        return self._order

    @order.setter
    def order(self, order: SampleOrder) -> None:
        self._order = order
        self._shares = {block: self._share(block) for block in self._plan.blocks}
        self._done = sum(self._shares.values())

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

    def _share(self, block: tuple[int, int]) -> int:
        """Passes of a block that are done; those that nobody needs any more are."""
        most = self._plan.passes.count
        return most if self.is_done(block) else min(int(self._samples.counts[block]), most)

    def update(self, block: tuple[int, int]) -> None:
        """Count a block that has changed anew, and it alone: there may be tens of thousands."""
        share = self._share(block)
        self._done += share - self._shares[block]
        self._shares[block] = share

    def record(self, block: tuple[int, int], box: Box, moments: Moments) -> TileDone:
        """Of a block that has just changed."""
        self.update(block)
        return TileDone(
            index=self._done,
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
    store.restore(box, moments)
    return moments
