"""What every long run does in its thread: it lets the window go first, and stops from within."""

from __future__ import annotations

import os
import sys
from threading import Event, get_native_id
from typing import TYPE_CHECKING

from superqt.utils import GeneratorWorker

if TYPE_CHECKING:
    from napari_ink.widgets.predict.request import PredictionRequest

_NICE = 10  # of 19: yields to the window, not to everything


def step_back() -> None:
    """Let the window go first where all cores are busy: this thread and those it starts wait.

    Only Linux has priorities of threads; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICE)


class StoppingWorker(GeneratorWorker):
    """A worker that is stopped from within its generator, not by abandoning it.

    Stock workers leave their generator suspended when they are told to quit, and with it the
    store's lock and the device. napari tells them so on cancel and when its window closes.
    """

    def __init__(self, steps, request: PredictionRequest, stop: Event) -> None:
        super().__init__(steps, request, stop)
        self._stop = stop

    def quit(self) -> None:
        """Ask the generator to leave at the next block."""
        self._stop.set()
