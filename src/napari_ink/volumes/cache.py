"""A process-wide store of decoded images that can only be decoded whole, bounded in bytes."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

_DEFAULT_BYTES = 1 << 30


class DecodedCache:
    """Least recently used arrays go first; an image wanted by two threads is decoded once.

    Parameters
    ----------
    limit : int
        Bytes held at most; an array larger than that is handed out but not kept.
    """

    def __init__(self, limit: int = _DEFAULT_BYTES) -> None:
        self.limit = limit
        self.clear()
        if hasattr(os, "register_at_fork"):  # a child must not inherit a lock held elsewhere
            os.register_at_fork(after_in_child=self.clear)

    def clear(self) -> None:
        """Forget everything."""
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._busy: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()
        self.bytes = 0

    def get(self, key: Hashable, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of ``key``, decoded now if need be; nobody may write into it."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
            busy = self._busy.setdefault(key, threading.Lock())
        with busy:
            with self._lock:
                if key in self._arrays:
                    return self._arrays[key]
            try:
                array = decode()
                array.flags.writeable = False
                self._keep(key, array)
            finally:
                with self._lock:
                    self._busy.pop(key, None)
        return array

    def _keep(self, key: Hashable, array: np.ndarray) -> None:
        with self._lock:
            if array.nbytes > self.limit:
                return
            while self._arrays and self.bytes + array.nbytes > self.limit:
                self.bytes -= self._arrays.popitem(last=False)[1].nbytes
            self._arrays[key] = array
            self.bytes += array.nbytes


DECODED = DecodedCache()
