"""The Monte Carlo part of a prediction store: what the samples of each block add up to.

A block's moments are one chunk, its count of samples among them, so that after a ``kill -9`` at
any byte a block has taken in a sample wholly or not at all. ``progress`` says the same of all
blocks at a glance; where it lags behind a chunk by the sample that was being written, the chunk
is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import zarr

from napari_ink.inference.moments import PLANES, Moments
from napari_ink.inference.settings import Box

if TYPE_CHECKING:
    from napari_ink.inference.plan import PredictionPlan

GROUP = "monte_carlo"
#: Images that a store has beside ``ink`` if it was sampled, and what they show of the moments.
IMAGES = ("spread", "information")


def create_samples(group: zarr.Group, plan: PredictionPlan, compressor) -> None:
    """Add the arrays for moments and progress to a new store."""
    part = group.create_group(GROUP)
    axes = ("z", "y", "x")[-len(plan.output_shape) :]
    part.create_array(
        "state",
        shape=(len(PLANES), *plan.output_shape),
        chunks=(len(PLANES), *plan.output_shape[:-2], *plan.grid.block),
        dtype="float32",
        fill_value=0.0,
        compressors=compressor,
        dimension_names=("moment", *axes),
        attributes={"moments": list(PLANES)},
    )
    rows = plan.grid.blocks_shape
    part.create_array(
        "progress",
        shape=(2, *rows),
        chunks=(2, *rows),
        dtype="float32",
        fill_value=0.0,
        compressors=compressor,
        attributes={"planes": ["samples", "deviation"]},
    )


class StoredSamples:
    """Moments of a store's blocks, and how far each block is.

    Attributes
    ----------
    counts : numpy.ndarray
        ``(rows, columns)``: samples that each block has taken in.
    deviations : numpy.ndarray
        ``(rows, columns)``: root mean square, over the block's papyrus, of the samples' standard
        deviation.
    """

    def __init__(self, group: zarr.Group) -> None:
        self._state: zarr.Array = group["state"]
        self._progress: zarr.Array = group["progress"]
        self._table = np.asarray(self._progress[:])
        self.counts, self.deviations = self._table

    def read(self, box: Box) -> Moments:
        """The moments of a block."""
        return Moments(np.asarray(self._state[(..., *box.slices)]))

    def write(self, block: tuple[int, int], box: Box, moments: Moments) -> None:
        """Keep a block's moments, then that it is so far."""
        self._state[(..., *box.slices)] = moments.state
        self.note(block, moments)

    def take(self, block: tuple[int, int], moments: Moments) -> None:
        """Know how far a block is, before that is kept."""
        self.counts[block], self.deviations[block] = moments.count, moments.deviation

    def note(self, block: tuple[int, int], moments: Moments) -> None:
        """Keep how far a block is."""
        self.take(block, moments)
        self._progress[:] = self._table


class KeptSamples:
    """The same in memory, for a prediction that is not kept."""

    def __init__(self, plan: PredictionPlan) -> None:
        self.counts, self.deviations = np.zeros((2, *plan.grid.blocks_shape), np.float32)
        self._layers = plan.output_shape[:-2]
        self._moments: dict[Box, Moments] = {}

    def read(self, box: Box) -> Moments:
        """The moments of a block."""
        return self._moments.get(box) or Moments.none_of((*self._layers, *box.shape))

    def write(self, block: tuple[int, int], box: Box, moments: Moments) -> None:
        """Keep a block's moments."""
        self._moments[box] = moments
        self.take(block, moments)

    def take(self, block: tuple[int, int], moments: Moments) -> None:
        """Know how far a block is."""
        self.counts[block], self.deviations[block] = moments.count, moments.deviation
