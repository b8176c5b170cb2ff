"""The prediction on disk: ``NAME.ink.zarr``, readable anywhere, resumable after any kind of stop.

A zarr v3 group. ``ink`` is an OME-Zarr 0.5 multiscale image of float16 probabilities, NaN where
nothing was predicted, one chunk a block; ``mask`` is the papyrus mask that was used. All else is
in the group's attributes under ``napari_ink``, ``finished`` among it: the blocks that are done.

How it is read is here; how it is written, in :mod:`~napari_ink.inference.store_writing`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import numpy as np
import zarr

from napari_ink.errors import StoreError
from napari_ink.inference.chosen_order import SampleOrder
from napari_ink.inference.settings import Box
from napari_ink.inference.store_files import KEY, opened, unpacked
from napari_ink.inference.store_samples import GROUP, IMAGES, StoredSamples

SUFFIX = ".ink.zarr"


class PredictionStore:
    """One prediction on disk, finished or not, to read: made by :meth:`open`.

    Attributes
    ----------
    path : pathlib.Path
    attributes : dict
        All that is recorded, as JSON: see :meth:`provenance` for what of it describes the result.
    """

    def __init__(self, path: Path, group: zarr.Group) -> None:
        self.path = path
        self.attributes: dict = dict(group.attrs[KEY])
        self._group = group
        self._finished = unpacked(self.attributes["finished"], self.attributes["blocks"]["shape"])
        part = group.get(GROUP)
        #: What the Monte Carlo samples of each block add up to; ``None``: a single pass.
        self.samples = None if part is None else StoredSamples(part)

    @classmethod
    def open(cls, path: str | os.PathLike) -> Self:
        """Open a store to read, finished or not, also while another process writes it.

        Raises
        ------
        StoreError
            When there is none, or it is something else, damaged, or of a later version.
        """
        return cls(Path(path), opened(Path(path), "r"))

    @property
    def ink(self) -> zarr.Array:
        """Probability at full resolution: ``(y, x)`` or ``(z, y, x)`` float16, NaN: none."""
        return self._group["ink/0"]

    @property
    def levels(self) -> list[zarr.Array]:
        """:attr:`ink` and its coarser levels; one level until the prediction is finished."""
        return self.images["ink"]

    @property
    def images(self) -> dict[str, list[zarr.Array]]:
        """Every multiscale image by name: ``ink``; of samples also ``spread``, ``information``."""
        found = {}
        for name in self._image_names:
            listed = self._group[name].attrs["ome"]["multiscales"][0]["datasets"]
            found[name] = [self._group[f"{name}/{entry['path']}"] for entry in listed]
        return found

    @property
    def _image_names(self) -> tuple[str, ...]:
        return ("ink",) if self.samples is None else ("ink", *IMAGES)

    @property
    def mask(self) -> zarr.Array | None:
        """The papyrus mask that was used, ``(y, x)`` bool; ``None``: papyrus everywhere."""
        return self._group.get("mask")

    @property
    def provenance(self) -> dict:
        """How the result came about: fragment, checkpoint, settings, recipe, versions, …"""
        hidden = ("finished", "identity", "blocks")
        return {key: value for key, value in self.attributes.items() if key not in hidden}

    @property
    def threshold(self) -> float:
        """The checkpoint's ink threshold for the task."""
        return float(self.attributes["threshold"])

    @property
    def kept_thresholds(self) -> dict | None:
        """What was last chosen with ``napari-ink thresholds --save`` or in the dock, and how."""
        return self.attributes.get("thresholds")

    @property
    def cuts(self) -> np.ndarray | float:
        """Where ink begins: ``(layers,)`` as kept, infinite for none; else :attr:`threshold`."""
        kept = self.kept_thresholds
        if kept is None:
            return self.threshold
        return np.array([np.inf if cut is None else cut for cut in kept["thresholds"]], float)

    @property
    def voxel_size(self) -> tuple[float, float, float] | None:
        """Micrometres along ``(z, y, x)``, if known."""
        size = self.attributes["fragment"]["voxel_size"]
        return None if size is None else tuple(size)

    @property
    def finished(self) -> float:
        """Share of the blocks that are done, in [0, 1]."""
        return float(self._finished.sum() / max(1, self.attributes["blocks"]["total"]))

    @property
    def is_complete(self) -> bool:
        """Whether every block and every level is there."""
        return self.attributes["state"] == "finished"

    def holds(self, block: tuple[int, int]) -> bool:
        """Whether a block, by its row and column, is finished."""
        return bool(self._finished[block])

    def read(self, box: Box) -> np.ndarray:
        """Probability in a box, float32.

        Raises
        ------
        StoreError
            When a chunk is damaged.
        """
        try:
            return np.asarray(self.ink[(..., *box.slices)], np.float32)
        except (OSError, ValueError, RuntimeError) as error:
            raise StoreError(
                f"{self.path} is damaged at rows {box.y0}:{box.y1}, columns {box.x0}:{box.x1} "
                f"({error})",
                "delete it and predict again",
            ) from error

    def sampled(self) -> dict[str, float | int]:
        """How many samples the blocks took, ``least``, ``most``, ``mean``, and how sure they are.

        ``standard_error`` is that of the mean, the root mean square over the blocks.
        """
        counts, deviations = self.samples.counts, self.samples.deviations
        sampled = counts > 0
        factors = np.array([self.order.factor(int(count)) for count in counts[sampled]])
        error = float(np.sqrt(np.mean(factors * deviations[sampled] ** 2))) if len(factors) else 0.0
        return {
            "least": int(min(counts[sampled], default=0)),
            "most": int(max(counts[sampled], default=0)),
            "mean": round(float(counts[sampled].mean()), 3) if len(factors) else 0.0,
            "standard_error": error,
        }

    @property
    def order(self) -> SampleOrder:
        """Which samples are run, and how sure their mean is after each."""
        kept = self.attributes.get("sample_order")
        if kept is None:
            asked = self.attributes["settings"].get("samples", 1)  # stores of old tell no passes
            asked = self.attributes.get("passes", asked)  # some may have more, asked for before
            return SampleOrder.plain(max(asked, int(self.samples.counts.max())))
        return SampleOrder(tuple(kept["indices"]), tuple(kept["factors"]))
