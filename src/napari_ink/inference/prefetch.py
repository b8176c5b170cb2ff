"""Read ahead: an iterator that runs in its own thread, a few items in front."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")
_POLL = 0.05  # s: how long a waiting thread may take to see that it should stop


class Prefetch(Generic[Item]):
    """Iterate over ``source`` while a thread works ahead; a context manager.

    Leaving the context stops the thread at its next item and waits for it, so that nothing reads
    the fragment after a prediction was closed. An error in the thread is raised in the reader.

    Parameters
    ----------
    source : iterator
        Consumed in the thread.
    ahead : int
        Finished items that may wait.
    """

    def __init__(self, source: Iterator[Item], ahead: int = 2) -> None:
        self._source = source
        self._ready: Queue = Queue(maxsize=ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ink-prefetch", daemon=True)

    def __enter__(self) -> Prefetch[Item]:
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=_POLL)  # make room, should it be waiting for some
            except Empty:
                continue
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        while True:
            item, error = self._ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item

    def _work(self) -> None:
        try:
            for item in self._source:
                if not self._put(item):
                    return
            self._put(_END)
        except BaseException as error:  # whatever it is, the reader raises it
            self._put(None, error)

    def _put(self, item, error: BaseException | None = None) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put((item, error), timeout=_POLL)
                return True
            except Full:
                continue
        return False


_END = object()
