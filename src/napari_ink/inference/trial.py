"""Candidates on trial: the maps of many samples on a few small windows of the fragment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_ink.inference.chosen_order import SampleOrder, chosen_order
from napari_ink.inference.engine import network_of
from napari_ink.inference.plan import PredictionPlan
from napari_ink.inference.runtimes import TorchRuntime
from napari_ink.inference.settings import Box
from napari_ink.inference.symmetries import turned, turned_back
from napari_ink.inference.trial_windows import candidates_for, trial_boxes, trial_windows
from napari_ink.inference.work import TileReader
from napari_ink.models.contract import InkNetwork

#: Of a candidate's map of a window so many values are kept: there may be 4,096 candidates, and
#: neighbours say much the same.
_MOST_PIXELS = 1 << 12


class Trial:
    """Candidates on small windows of the fragment, a few at a time.

    Parameters
    ----------
    plan : PredictionPlan
    reader : TileReader
    model : InkNetwork
    begun : sequence of int
        Samples that have been run already.

    Attributes
    ----------
    seconds : float
        Spent in networks.
    """

    def __init__(
        self, plan: PredictionPlan, reader: TileReader, model: InkNetwork, begun: Sequence[int] = ()
    ) -> None:
        self._plan, self._model, self._reader = plan, model, reader
        windows = trial_windows(plan.multiple_of, plan.identity["halo"], plan.normaliser.window)
        self._rim = windows.rim
        self._volume = self._read(trial_boxes(plan, reader, windows))
        self._maps: list[np.ndarray] = []
        area = plan.total * plan.grid.block[0] * plan.grid.block[1]
        self.candidates = candidates_for(plan.monte_carlo.samples, area, windows, begun)
        self.seconds = 0.0

    def _read(self, boxes: Sequence[Box]) -> np.ndarray:
        volume = np.empty((len(boxes), 1, self._plan.depth, *boxes[0].shape), np.float32)
        for slot, box in zip(volume, boxes, strict=True):
            self._reader.volume(box, slot[0])
        return volume

    def advance(self, share: float) -> None:
        """Try so many candidates that this share of all has been tried; 1: the rest of them."""
        settings = self._plan.settings
        inside = (..., *2 * (slice(self._rim, -self._rim or None),))
        while len(self._maps) < min(self.candidates, round(share * self.candidates)):
            now = self._plan.passes.of(len(self._maps))
            network = network_of(self._plan, self._model, now.sample)
            runtime = TorchRuntime(network, settings.device, settings.precision)
            how = now.symmetry or 0
            found = runtime(np.ascontiguousarray(turned(self._volume, how)))
            self._maps.append(_thinned(turned_back(found, how)[inside]))
            self.seconds += runtime.seconds

    def order(self, begun: Sequence[int]) -> SampleOrder:
        """The samples to run after those that were, until they are as sure as asked."""
        return chosen_order(np.stack(self._maps), self._plan.monte_carlo, begun)


def _thinned(maps: np.ndarray) -> np.ndarray:
    """Some values of each window's map, from all over it: ``(windows, values)`` float16."""
    flat = maps.reshape(len(maps), -1)
    step = -(-flat.shape[1] // _MOST_PIXELS)
    return flat[:, :: step | 1].astype(np.float16)  # odd: not the same columns in every row
