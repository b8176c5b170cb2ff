"""Batches read ahead by processes of their own.

Processes read and normalise volumes; labels are cut here, so no process needs a copy of them. They
come from a server that was started afresh (``forkserver``; ``spawn`` where there is none): a plain
fork would copy the locks of zarr's and torch's threads in whatever state they are.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from napari_ink.errors import InkError, SettingsError
from napari_ink.volumes.cache import DECODED
from napari_ink.volumes.fragment import ArrayVolume
from training.dataset.batch import Batch
from training.dataset.windows import Order, Stack, WindowBatches, Windows

_AHEAD = 2  # batches that each process may have read before they are asked for


def build_loader(
    batches: WindowBatches,
    *,
    workers: int = 0,
    device: str = "cpu",
    notice: Callable[[str], None] = print,
) -> Loader:
    """Iterate over a run's batches, from its first step on.

    Parameters
    ----------
    batches : WindowBatches
    workers : int
        Processes that read; 0: this one, which is best where all fragments are in memory.
    device : str
        What the batches are for: on the way to ``cuda`` they lie in pinned memory.
    notice : callable
        Is told, once each, of what went wrong and did not stop the run.

    Returns
    -------
    Loader
    """
    return Loader(batches, workers, device.startswith("cuda"), notice)


class Loader:
    """What :func:`build_loader` gives: iterable, any number of times.

    ``len`` is that of the whole run, the steps before the first one included: Lightning counts
    from the start of a run also where it takes one up again.

    An error that a user can mend is raised as the :class:`InkError` that it is, and the death of a
    process as one.
    """

    def __init__(
        self,
        batches: WindowBatches,
        workers: int,
        pinned: bool,
        notice: Callable[[str], None],
    ) -> None:
        self.batches = batches
        self._workers, self._pinned = workers, pinned
        self._notice = notice
        self._said: set[str] = set()

    def __len__(self) -> int:
        return self.batches.steps

    def __iter__(self) -> Iterator[Batch]:
        steps = range(self.batches.first_step, self.batches.steps)
        if not self._workers:
            for step in steps:
                batch = self.batches[step]
                self._tell(self.batches.windows.notes())
                yield self._pin(batch)
            return
        volumes = iter(self._volumes(steps))
        try:
            for step in steps:
                item = next_read(volumes)
                self._tell(item.notes)
                yield self._pin(self.batches.with_labels(step, item.volume))
        finally:
            del volumes  # ends the processes, also where a traceback keeps this frame

    def _volumes(self, steps: range) -> DataLoader:
        return DataLoader(
            _Volumes(_shared(self.batches.windows), self.batches.order),
            batch_size=None,
            sampler=steps,
            num_workers=self._workers,
            prefetch_factor=_AHEAD,
            pin_memory=self._pinned,
            multiprocessing_context=_context(),
            worker_init_fn=_begin,
            generator=torch.Generator(),  # the run's own is not touched
        )

    def _pin(self, batch: Batch) -> Batch:
        if not self._pinned:
            return batch
        return Batch(*(part if part.is_pinned() else part.pin_memory() for part in batch))

    def _tell(self, notes: dict[str, str]) -> None:
        for kind, sentence in notes.items():
            if kind not in self._said:
                self._said.add(kind)
                self._notice(sentence)


class _Read(NamedTuple):
    """What a process sends: volumes, and what went wrong with the cache so far."""

    volume: Tensor
    notes: dict[str, str]


def next_read(volumes: Iterator[_Read | _Failed]) -> _Read:
    """What comes next, or the one error that there is to raise."""
    try:
        item = next(volumes)
    except (RuntimeError, OSError, EOFError) as error:
        # torch notices the death itself, or fails to fetch what the dead process had announced.
        # An error from inside a process comes with the words that it was caught there.
        if str(error).startswith("Caught ") or (
            type(error) is RuntimeError and not str(error).startswith("DataLoader worker (pid")
        ):
            raise
        raise InkError(
            "a process that reads windows was ended from outside, as by a lack of memory",
            "start the run again, with fewer trainer.workers if it happens twice",
        ) from None
    if isinstance(item, _Failed):
        raise item.error
    return item


@dataclass(frozen=True)
class _Failed:
    """The error of a process, which torch would wrap into a page of text."""

    error: InkError


class _Volumes(Dataset):
    """Volumes of a step, in the process that reads them."""

    def __init__(self, windows: Windows, order: Order) -> None:
        self._windows: Windows | None = windows
        self._order = order
        self._packed = b""

    def __getstate__(self) -> dict:
        # Packed once more, and opened at the first step: opening files may fail, which then is an
        # answer like any other instead of a process that does not start.
        return {"_order": self._order, "_packed": bytes(ForkingPickler.dumps(self._windows))}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _windows=None)

    def __getitem__(self, step: int) -> _Read | _Failed:
        try:
            if self._windows is None:
                self._windows = pickle.loads(self._packed)
            # In shared memory from the start: it is not copied on its way.
            volume = torch.empty(self._windows.shape(self._order.batch)).share_memory_()
            self._windows.read(self._order.rows_of(step), volume)
        except InkError as error:
            return _Failed(error)
        return _Read(volume, self._windows.notes())


@dataclass(frozen=True)
class _SharedArray:
    """An array in memory that processes share: a slice of it is an array."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.tensor.numpy().dtype

    def __getitem__(self, window: tuple[slice, ...]) -> np.ndarray:
        return self.tensor.numpy()[window]


def _shared(windows: Windows) -> Windows:
    """The same windows, with every volume that is in memory laid where all processes see it."""
    laid: dict[int, ArrayVolume] = {}

    def share(stack: Stack) -> Stack:
        volume = stack.fragment.volume
        if not (isinstance(volume, ArrayVolume) and isinstance(volume.array, np.ndarray)):
            return stack
        if id(volume) not in laid:
            try:
                tensor = torch.from_numpy(_plain(volume.array)).share_memory_()
            except RuntimeError as error:
                raise SettingsError(
                    f"{stack.fragment.name} does not fit into shared memory",
                    "set trainer.workers to 0",
                ) from error
            laid[id(volume)] = ArrayVolume(_SharedArray(tensor))
        fragment = replace(stack.fragment, volume=laid[id(volume)])
        return replace(stack, fragment=fragment)

    stacks = [share(stack) for stack in windows.stacks]
    return Windows(stacks, windows.source, windows.y, windows.x, windows.side, windows.cache)


def _plain(array: np.ndarray) -> np.ndarray:
    """As torch takes it: in one piece and in native byte order."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _context():
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported once, before the processes part; with what the program imports, which each of them
    # imports too, but not the program: it would be there already where it is to be run.
    context.set_forkserver_preload([__name__, "training.learning.module"])
    return context


def _begin(worker: int) -> None:
    """A process that reads ends with the run, however that ends, and says nothing at Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    DECODED.limit //= get_worker_info().num_workers  # together they keep what one would

    def end() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end, daemon=True, name="end-with-run").start()
