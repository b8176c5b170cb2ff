"""The table's windows as batches: which ones a step holds, and how they leave their fragments.

What a step holds follows from the seed, the step and the table alone: a run that starts again at
a step sees what it would have seen, however many processes read for it, and two devices with
batches of B see together what one with 2 B does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from napari_ink.errors import SettingsError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Normaliser
from training.dataset.batch import Batch
from training.dataset.cache import WindowCache, WindowKind

if TYPE_CHECKING:
    from training.dataset.sources import Source
    from training.dataset.table import WindowTable

# These keep the draws apart from others by (seed, number).
_ORDER, _STAND_IN = 0x6F72646572, 0x7374616E64


@dataclass(frozen=True)
class Order:
    """Which rows of a table a step learns from.

    Rows come in an endless sequence of permutations, one an epoch, each drawn from
    ``(seed, epoch)``. A global step takes the next ``batch · world`` of them, of which a rank gets
    one contiguous part.

    Attributes
    ----------
    rows : int
        Rows of the table.
    batch : int
        Windows a step and rank.
    seed : int
    rank, world : int
        Which of how many processes that learn together.
    waits : numpy.ndarray or None
        Of each row, before which place in the sequence it is not learned from, int64: another row,
        drawn from those that wait no longer, stands in for it. ``None``: none waits.
    """

    rows: int
    batch: int
    seed: int
    rank: int = 0
    world: int = 1
    waits: np.ndarray | None = field(default=None, compare=False)

    def samples(self, step: int) -> np.ndarray:
        """Places of a step's windows in the run's sequence of samples, int64."""
        first = (step * self.world + self.rank) * self.batch
        return np.arange(first, first + self.batch)

    def rows_of(self, step: int) -> np.ndarray:
        """Row of the table of each window of a step."""
        samples = self.samples(step)
        epochs, places = np.divmod(samples, self.rows)
        rows = np.array(
            [
                _permutation(self.rows, self.seed, int(epoch))[place]
                for epoch, place in zip(epochs, places, strict=True)
            ]
        )
        if self.waits is not None:
            for i in np.flatnonzero(self.waits[rows] > samples):
                ready = np.flatnonzero(self.waits <= samples[i])
                random = np.random.default_rng((self.seed, int(samples[i]), _STAND_IN))
                rows[i] = ready[random.integers(len(ready))]
        return rows


@lru_cache(maxsize=4)  # a batch lies in two epochs at most, unless it is larger than the table
def _permutation(rows: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, _ORDER)).permutation(rows)


@dataclass(frozen=True, eq=False)
class Stack:
    """The volume of a source and how its windows are to be read: what reading processes need.

    Attributes
    ----------
    fragment : Fragment
        Without planes.
    layers : slice
    reverse : bool
    normaliser : Normaliser
    """

    fragment: Fragment
    layers: slice
    reverse: bool
    normaliser: Normaliser

    @classmethod
    def of(cls, source: Source) -> Stack:
        """Of a source. Its label and masks stay where they are."""
        fragment = source.fragment
        bare = Fragment(fragment.name, fragment.path, fragment.layout, fragment.volume)
        return cls(bare, source.layers, source.reverse, source.normaliser)


class Windows:
    """The windows of a table, without labels; cheap to send to another process.

    Parameters
    ----------
    stacks : sequence of Stack
    source, y, x : numpy.ndarray
        Of each window: which stack, and its upper left pixel.
    side : int
        In pixels.
    cache : WindowCache, optional
        Where raw windows are kept.
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        source: np.ndarray,
        y: np.ndarray,
        x: np.ndarray,
        side: int,
        cache: WindowCache | None = None,
    ) -> None:
        self.stacks = tuple(stacks)
        self.source, self.y, self.x, self.side = source, y, x, side
        self.cache = cache

    @property
    def depth(self) -> int:
        """Layers of a window."""
        return self.stacks[0].normaliser.depth

    def place(self, row: int) -> tuple[slice, slice]:
        """Rows and columns of a window."""
        y, x = int(self.y[row]), int(self.x[row])
        return slice(y, y + self.side), slice(x, x + self.side)

    def raw(self, row: int) -> np.ndarray:
        """One window as stored, from the cache or its fragment."""
        window = None if self.cache is None else self.cache.get(row)
        if window is None:
            stack = self.stacks[self.source[row]]
            window = stack.fragment.read(stack.layers, *self.place(row))
            if self.cache is not None:
                self.cache.put(row, window)
        return window

    def read(self, rows: np.ndarray, out: Tensor) -> Tensor:
        """Fill ``out``, ``(batch, 1, z, y, x)`` float32, with windows as the network sees them."""
        for slot, row in zip(out.numpy(), rows, strict=True):
            stack = self.stacks[self.source[row]]
            stack.normaliser.fill(slot[0], self.raw(row), flip=stack.reverse)
        return out

    def shape(self, batch: int) -> tuple[int, int, int, int, int]:
        """Of a batch of volumes."""
        return batch, 1, self.depth, self.side, self.side

    def notes(self) -> dict[str, str]:
        """What went wrong with the cache so far, a sentence a kind of trouble."""
        return {} if self.cache is None else dict(self.cache.notes)


class WindowBatches(Dataset):
    """Batch ``step`` of a run.

    Parameters
    ----------
    sources : list of Source
    table : WindowTable
        Its training rows are what is learned from.
    side : int
        Of a window, pixels.
    batch : int
        Windows a step and rank.
    steps : int
        Of the whole run, those before ``first_step`` included; so is ``len``.
    seed : int
        Of the order.
    first_step : int
        Where to begin; earlier steps can be asked for all the same.
    rank, world : int
        Which of how many processes that learn together.
    tasks : sequence of str
        The network's, in order. Empty: there is one.
    cache : str or path-like, optional
        Folder in which raw windows are kept, see :class:`WindowCache`; none: nowhere.

    Raises
    ------
    SettingsError
        When the table does not fit the sources, or the disk has no room for the cache.
    """

    def __init__(
        self,
        sources: list[Source],
        table: WindowTable,
        side: int,
        batch: int,
        steps: int,
        seed: int,
        first_step: int = 0,
        rank: int = 0,
        world: int = 1,
        *,
        tasks: Sequence[str] = (),
        cache: str | os.PathLike | None = None,
    ) -> None:
        rows = np.flatnonzero(np.asarray(table.split) == "train")
        names = np.asarray(table.source)[rows]
        y, x = (np.asarray(axis, np.int32)[rows] for axis in (table.y, table.x))
        by_name = {source.name: source for source in sources if not source.validation}
        used = sorted(set(names.tolist()))
        for name in used:
            if name not in by_name:
                raise SettingsError(
                    f"the table has windows of {name!r}, which is not learned from here",
                    "select the windows anew",
                )
            height, width = by_name[name].label.shape
            own = names == name
            if min(y[own].min(), x[own].min()) < 0 or (
                y[own].max() + side > height or x[own].max() + side > width
            ):
                raise SettingsError(
                    f"the table has windows of {side} px that leave {name}, {height}×{width} px",
                    "select the windows anew",
                )
        if not used:
            raise SettingsError("the table has no windows to learn from", "select more windows")
        self.sources = [by_name[name] for name in used]
        self.task = np.array([_task_index(source.task, tasks) for source in self.sources])
        if not tasks and len({source.task for source in self.sources}) > 1:
            raise SettingsError("the sources have several tasks", "name them in the network")
        source = np.searchsorted(used, names).astype(np.int32)
        stacks = [Stack.of(one) for one in self.sources]
        kept = None
        if cache:
            kept = WindowCache(cache, [_kind(one) for one in self.sources], source, y, x, side)
        self.windows = Windows(stacks, source, y, x, side, kept)
        joins = np.array([one.joins for one in self.sources])
        joins[joins == joins.min()] = 0  # whoever is first begins
        waits = np.rint(joins * steps * batch * world).astype(np.int64)[source]
        self.order = Order(len(rows), batch, seed, rank, world, waits if waits.any() else None)
        self.steps, self.first_step = steps, first_step

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        """All of a step's batch, read in this process."""
        if not 0 <= step < self.steps:
            raise IndexError(step)
        volume = torch.empty(self.windows.shape(self.order.batch))
        return self.with_labels(step, self.windows.read(self.order.rows_of(step), volume))

    def with_labels(self, step: int, volume: Tensor) -> Batch:
        """The batch of a step whose volumes were read already, by whichever process."""
        rows = self.order.rows_of(step)
        label = np.empty((len(rows), 1, self.windows.side, self.windows.side), np.float32)
        weight = np.empty_like(label)
        for i, row in enumerate(rows):
            source, place = self.sources[self.windows.source[row]], self.windows.place(row)
            label[i, 0] = source.label[place]
            weight[i, 0] = source.counts[place]
        label /= np.float32(255)
        return Batch(
            volume,
            torch.from_numpy(label),
            torch.from_numpy(weight),
            torch.from_numpy(self.task[self.windows.source[rows]].astype(np.int64)),
            torch.from_numpy(self.order.samples(step)),
        )


def _kind(source: Source) -> WindowKind:
    fragment, layers = source.fragment, (source.layers.start, source.layers.stop)
    return WindowKind(fragment.fingerprint(), fragment.dtype.name, layers)


def _task_index(task: str, tasks: Sequence[str]) -> int:
    if not tasks:
        return 0
    if task not in tasks:
        raise SettingsError(
            f"the network has no task {task!r}", f"choose one of {', '.join(tasks)}"
        )
    return list(tasks).index(task)
