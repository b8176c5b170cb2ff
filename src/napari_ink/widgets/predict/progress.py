"""How far a prediction is, in words, without Qt."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from napari_ink.inference.settings import TileDone

_SPAN = 15.0  # seconds that the rate is taken over


@dataclass
class RunProgress:
    """Counts finished blocks and tells rate and time left.

    Attributes
    ----------
    total : int
        Blocks in all.
    device : str
        Where the network runs.
    clock : callable
        Seconds; tests bring their own.
    """

    total: int
    device: str
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    kept: int = 0
    _times: deque[tuple[float, int, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self._times.append((self.started, 0, 0))

    def add(self, tile: TileDone, *, from_store: bool = False) -> None:
        """One more block; those that an earlier run left in the store say nothing of the rate."""
        self.done, self.total = tile.index, tile.total
        now = self.clock()
        if from_store:
            self.kept += 1
            self._times.clear()
            self._times.append((now, 0, 0))
            return
        _, pixels, blocks = self._times[-1]
        height, width = tile.box.shape
        self._times.append((now, pixels + height * width, blocks + 1))
        while len(self._times) > 2 and now - self._times[0][0] > _SPAN:
            self._times.popleft()

    @property
    def bar(self) -> tuple[int, int]:
        """How far the bar is, and its length."""
        return self.done, self.total

    @property
    def left(self) -> float:
        """Blocks to compute still."""
        return self.total - self.done

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self.clock() - self.started

    def line(self) -> str:
        """``blocks 34/120 · 1.2 Mpx/s · 41 s left · cpu``."""
        return " · ".join([f"blocks {self.done}/{self.total}", *self._speed(), self.device])

    def _speed(self, at_most: str = "") -> list[str]:
        """Rate and time left, once they are known."""
        (before, pixels0, blocks0), (now, pixels, blocks) = self._times[0], self._times[-1]
        if now <= before or blocks <= blocks0:
            return []
        left = self.left * (now - before) / (blocks - blocks0)
        return [
            f"{(pixels - pixels0) / (now - before) / 1e6:.2g} Mpx/s",
            f"{at_most}{duration(left)} left",
        ]


def duration(seconds: float) -> str:
    """``41 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
