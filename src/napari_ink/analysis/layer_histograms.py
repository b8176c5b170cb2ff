"""One exact histogram a layer, and every score at any cuts in one look-up.

A layer is a z layer of a labelled volume, a window of a depth sweep, or one of several ink maps of
the same fragment. Pixels are counted by label (no ink, ink, not labelled) and float16 probability;
those that nobody labelled take no part in a score, but in what a percentile is.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from napari_ink.analysis.metrics import BIN_VALUES, Histogram, scores_of

#: The cut of a layer that is left without ink, above every probability.
NONE = float("inf")

_BINS = BIN_VALUES.size
_PATTERNS = 1 << 16
_NEGATIVE, _INFINITY = 0x8000, 0x7C00
_CLEAN, _INK, _UNLABELLED, _OUTSIDE = range(4)


class LayerHistograms:
    """Pixels counted by layer, label and float16 probability.

    Parameters
    ----------
    layers : int
        How many there are.
    counts : numpy.ndarray, optional
        ``(layers, 3, 15361)`` integers: without ink, with ink, not labelled; ``None``: empty.
    """

    def __init__(self, layers: int, counts: np.ndarray | None = None) -> None:
        shape = (layers, 3, _BINS)
        if counts is None:
            counts = np.zeros(shape, np.int64)
        elif counts.shape != shape:
            raise ValueError(f"counts have shape {counts.shape}, not {shape}")
        self.counts = counts.astype(np.int64)

    @classmethod
    def of(
        cls,
        probability: np.ndarray,
        label: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        supervision: np.ndarray | None = None,
    ) -> LayerHistograms:
        """The histograms of layers in memory; see :meth:`add`."""
        return cls(len(probability)).add(probability, label, mask, supervision)

    def add(
        self,
        probability: np.ndarray,
        label: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        supervision: np.ndarray | None = None,
    ) -> LayerHistograms:
        """Count one block and return the histograms themselves.

        Parameters
        ----------
        probability : numpy.ndarray
            ``(z, y, x)`` in [0, 1], rounded to float16 as the store does; NaN is left out.
        label : numpy.ndarray, optional
            ``(y, x)``, the same for all layers, or ``(z, y, x)``; one half and more is ink.
            ``None``: nothing is labelled.
        mask, supervision : numpy.ndarray, optional
            ``(y, x)`` or ``(z, y, x)``. Pixels that are zero in the mask are left out; those that
            are zero in the supervision count as not labelled.

        Raises
        ------
        ValueError
            If shapes differ, a probability lies outside [0, 1] or a label that counts is NaN.
        """
        if len(probability) != len(self.counts):
            raise ValueError(f"{len(probability)} layers given, {len(self.counts)} counted so far")
        kind = _kinds(probability.shape, label, mask, supervision)
        bins = np.asarray(probability).astype(np.float16, copy=False).view(np.uint16)
        for layer, patterns in enumerate(bins):
            flat = (kind if kind.ndim == 2 else kind[layer]) + patterns
            found = np.bincount(flat.ravel(), minlength=4 * _PATTERNS).reshape(4, _PATTERNS)
            found = found[:_OUTSIDE]
            found[:, 0] += found[:, _NEGATIVE]  # −0
            above = found[:, _BINS : _INFINITY + 1]
            below = found[:, _NEGATIVE + 1 : _NEGATIVE + _INFINITY + 1]
            if above.any() or below.any():
                raise ValueError("a probability lies outside [0, 1]")
            self.counts[layer] += found[:, :_BINS]
        for sums in ("at_or_above", "_up_to"):
            self.__dict__.pop(sums, None)
        return self

    def __len__(self) -> int:
        return len(self.counts)

    def __add__(self, other: LayerHistograms) -> LayerHistograms:
        return LayerHistograms(len(self), self.counts + other.counts)

    def layer(self, index: int) -> Histogram:
        """The labelled pixels of one layer."""
        return Histogram(self.counts[index, :_UNLABELLED])

    @property
    def pooled(self) -> LayerHistograms:
        """All layers as one."""
        return LayerHistograms(1, self.counts.sum(axis=0, keepdims=True))

    @property
    def pixels(self) -> np.ndarray:
        """How many labelled pixels each layer has, ``(layers,)``."""
        return self.counts[:, :_UNLABELLED].sum(axis=(1, 2))

    @property
    def ink_pixels(self) -> np.ndarray:
        """How many of them are ink in the label, ``(layers,)``."""
        return self.at_or_above[:, _INK, 0]

    @cached_property
    def at_or_above(self) -> np.ndarray:
        """Counts at or above each bin, ``(layers, 3, 15362)``; the last column is 0."""
        sums = np.zeros((*self.counts.shape[:2], _BINS + 1), np.int64)
        np.cumsum(self.counts[..., ::-1], axis=-1, out=sums[..., -2::-1])
        return sums

    def confusion(self, cuts: float | np.ndarray) -> np.ndarray:
        """``(layers, 3)`` true positives, false positives, false negatives; ``>= cut`` is ink.

        Parameters
        ----------
        cuts : float or numpy.ndarray
            One for all layers, or ``(layers,)``; :data:`NONE` leaves a layer without ink.
        """
        columns = np.searchsorted(BIN_VALUES, np.broadcast_to(cuts, len(self)), side="left")
        clean, ink, _ = self.at_or_above[np.arange(len(self)), :, columns].T
        return np.stack([ink, clean, self.ink_pixels - ink], axis=1)

    def scores(self, cuts: float | np.ndarray) -> dict[str, float]:
        """``iou f05 f1 precision recall`` over the pixels of all layers together."""
        return scores_of(*map(int, self.confusion(cuts).sum(axis=0)))

    def layer_scores(self, cuts: float | np.ndarray) -> list[dict[str, float]]:
        """The same of each layer by itself."""
        return [scores_of(*map(int, row)) for row in self.confusion(cuts)]

    def cuts_at(self, percentile: float | np.ndarray) -> np.ndarray:
        """Cuts below which lies that share of each layer's own pixels, labelled or not.

        Parameters
        ----------
        percentile : float or numpy.ndarray
            In [0, 100], one for all or ``(layers,)``; :data:`NONE` stays.

        Returns
        -------
        numpy.ndarray
            ``(layers,)`` probabilities that occur (numpy's ``inverted_cdf``); :data:`NONE` for a
            layer without pixels.
        """
        shares = np.broadcast_to(np.asarray(percentile, float), len(self))
        return np.array([self.cuts_of(layer, share) for layer, share in enumerate(shares)])

    def cuts_of(self, layer: int, percentile: float | np.ndarray) -> np.ndarray:
        """The same of one layer, for any number of percentiles."""
        up_to, percentile = self._up_to[layer], np.asarray(percentile, float)
        if not up_to[-1]:
            return np.full(percentile.shape, NONE)
        # Rounded: 29 % of 100 pixels are 29, whatever 100 · .29 is in binary.
        share = np.where(np.isfinite(percentile), percentile, 0) / 100
        ranks = np.maximum(1, np.ceil(np.round(up_to[-1] * share, 6)))
        cuts = BIN_VALUES[np.searchsorted(up_to, ranks)]
        return np.where(np.isfinite(percentile), cuts, NONE)

    def percentiles_of(self, cuts: float | np.ndarray) -> np.ndarray:
        """The share of each layer's own pixels below its cut, in percent; 100 without pixels."""
        columns = np.searchsorted(BIN_VALUES, np.broadcast_to(cuts, len(self)), side="left")
        layers = np.arange(len(self))
        below = np.where(columns > 0, self._up_to[layers, columns - 1], 0)
        total = self._up_to[:, -1]
        return 100 * np.divide(below, total, out=np.ones(len(self)), where=total > 0)

    @cached_property
    def _up_to(self) -> np.ndarray:
        """Pixels up to each bin, labelled or not, ``(layers, 15361)``."""
        return np.cumsum(self.counts.sum(axis=1), axis=1)


def _kinds(
    shape: tuple[int, ...],
    label: np.ndarray | None,
    mask: np.ndarray | None,
    supervision: np.ndarray | None,
) -> np.ndarray:
    """Where each pixel's counts begin, by its label; ``(y, x)`` if that serves all layers."""
    given = {"label": label, "mask": mask, "supervision": supervision}
    planes = {name: np.asarray(plane) for name, plane in given.items() if plane is not None}
    for name, plane in planes.items():
        if plane.shape not in (shape, shape[1:]):
            raise ValueError(f"{name} is {plane.shape}, probability {shape}")
    volume = any(plane.ndim == 3 for plane in planes.values())
    kind = np.full(shape if volume else shape[1:], _UNLABELLED, np.int64)
    labelled = np.zeros(kind.shape, bool)
    if "label" in planes:
        kind[...] = np.where(planes["label"] >= 0.5, _INK, _CLEAN)
        labelled[...] = True
    if "supervision" in planes:
        labelled &= planes["supervision"] != 0
    kind[~labelled] = _UNLABELLED
    if "mask" in planes:
        kind[np.broadcast_to(planes["mask"] == 0, kind.shape)] = _OUTSIDE
    if "label" in planes and planes["label"].dtype.kind == "f":
        counts = labelled & (kind != _OUTSIDE)
        if (np.isnan(np.broadcast_to(planes["label"], kind.shape)) & counts).any():
            raise ValueError("the label has NaNs inside the mask")
    return kind << 16
