"""Candidates on trial: the maps of many samples on a few small windows of the fragment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_ink.inference.chosen_order import (
    WINDOWS,
    SampleOrder,
    candidates_for,
    chosen_order,
    probe_side,
)
from napari_ink.inference.engine import network_of
from napari_ink.inference.plan import PredictionPlan
from napari_ink.inference.runtimes import TorchRuntime
from napari_ink.inference.settings import Box
from napari_ink.inference.work import TileReader
from napari_ink.models.contract import InkNetwork


class Trial:
    """Candidates on small windows of the fragment, a few at a time.

    Parameters
    ----------
    plan : PredictionPlan
    reader : TileReader
    model : InkNetwork

    Attributes
    ----------
    seconds : float
        Spent in networks.
    """

    def __init__(self, plan: PredictionPlan, reader: TileReader, model: InkNetwork) -> None:
        self._plan, self._model = plan, model
        self._side = probe_side(plan.multiple_of, plan.normaliser.window)
        boxes = probe_boxes(plan, reader, self._side)
        self._volume = np.empty((len(boxes), 1, plan.depth, self._side, self._side), np.float32)
        for slot, box in zip(self._volume, boxes, strict=True):
            reader.volume(box, slot[0])
        self._maps: list[np.ndarray] = []
        self.candidates = candidates_for(plan.monte_carlo.samples)
        self.seconds = 0.0

    def advance(self, share: float) -> None:
        """Try so many candidates that this share of all has been tried; 1: the rest of them."""
        settings = self._plan.settings
        while len(self._maps) < min(self.candidates, round(share * self.candidates)):
            network = network_of(self._plan, self._model, len(self._maps))
            runtime = TorchRuntime(network, settings.device, settings.precision)
            self._maps.append(runtime(self._volume).astype(np.float16))
            self.seconds += runtime.seconds

    def order(self, begun: Sequence[int]) -> SampleOrder:
        """The samples to run after those that were, until they are as sure as asked."""
        maps = np.stack(self._maps).reshape(len(self._maps), len(self._volume), -1)
        return chosen_order(maps.astype(np.float32), self._plan.monte_carlo, begun)


def probe_boxes(plan: PredictionPlan, reader: TileReader, side: int) -> list[Box]:
    """Windows on papyrus, spread over the whole fragment whatever the region.

    Points of a plastic-number sequence (Roberts, *The unreasonable effectiveness of quasirandom
    sequences*, 2018), in turn; those whose window lies on papyrus for the most part are taken.
    """
    plastic = 1.32471795724474602596
    height, width = plan.grid.shape
    rows, columns = max(1, height - side), max(1, width - side)
    found: list[Box] = []
    for turn in range(1, 100 * WINDOWS):
        y = int(turn / plastic % 1 * rows) // plan.multiple_of * plan.multiple_of
        x = int(turn / plastic**2 % 1 * columns) // plan.multiple_of * plan.multiple_of
        box = Box(y, y + side, x, x + side)
        if box not in found and reader.papyrus_share(box) >= 0.5:
            found.append(box)
            if len(found) == WINDOWS:
                break
    return found
