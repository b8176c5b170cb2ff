"""How long a prediction took, all its sessions together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_ink.inference.store_writing import StoreWriter


class Clock:
    """Seconds of all sessions that worked on a store."""

    def __init__(self, store: StoreWriter | None) -> None:
        self._start = time.perf_counter()
        self._before = {} if store is None else store.attributes.get("timing", {})

    def read(self, network_seconds: float) -> dict[str, float]:
        """In all, and in the network."""
        now = {"seconds": time.perf_counter() - self._start, "network_seconds": network_seconds}
        return {key: round(value + self._before.get(key, 0.0), 3) for key, value in now.items()}
