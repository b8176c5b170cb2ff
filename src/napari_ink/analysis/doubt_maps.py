"""Windows of a sampled prediction on a coarse level: its ink, and how sure that is."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from napari_ink.errors import StoreError
from napari_ink.inference.pyramid import halved
from napari_ink.inference.store import PredictionStore


class DoubtMaps:
    """Reads from the store's own levels, or halves a finer one where they are not made yet.

    Parameters
    ----------
    store : PredictionStore
    level : int
        0: full resolution.

    Attributes
    ----------
    factor : int
        Pixels of the fragment along the side of a pixel.
    shape : tuple of int
        Rows and columns of the level.
    layers : int

    Raises
    ------
    StoreError
        For a prediction that says nothing of how sure it is.
    """

    def __init__(self, store: PredictionStore, level: int) -> None:
        check_sampled(store)
        self._store, self._level = store, level
        self._images = store.images
        self.is_volume = store.ink.ndim == 3
        self.layers = store.ink.shape[0] if self.is_volume else 1
        self.factor = 2**level
        self.shape = tuple(-(-side // self.factor) for side in store.ink.shape[-2:])

    def around(
        self, window: tuple[slice, slice], margin: int
    ) -> tuple[tuple[slice, slice], tuple[int, int]]:
        """A window with its surroundings, and where in them it begins."""
        wide = tuple(
            slice(max(0, part.start - margin), min(side, part.stop + margin))
            for part, side in zip(window, self.shape, strict=True)
        )
        begin = tuple(part.start - all_.start for part, all_ in zip(window, wide, strict=True))
        return wide, begin

    def read(self, name: str, window: tuple[slice, slice]) -> np.ndarray:
        """``(layers, y, x)`` float32 of an image of the store, or of ``decision``; NaN: unknown.

        Raises
        ------
        StoreError
            When a chunk is damaged.
        """
        if name != "decision":
            return self._read(name, window)
        cuts = np.broadcast_to(self._store.cuts, self.layers).astype(np.float32)
        return decision(
            self._read("ink", window), self._read("spread", window), cuts[:, None, None]
        )

    def _read(self, name: str, window: tuple[slice, slice]) -> np.ndarray:
        levels = self._images[name]
        stored = min(self._level, len(levels) - 1)
        finer = 2 ** (self._level - stored)
        fine = tuple(slice(part.start * finer, part.stop * finer) for part in window)
        try:
            values = np.asarray(levels[stored][(..., *fine)], np.float32)
        except (OSError, ValueError, RuntimeError) as error:
            rows, columns = (slice(p.start * self.factor, p.stop * self.factor) for p in window)
            raise StoreError(
                f"{self._store.path} is damaged at rows {rows.start}:{rows.stop}, columns "
                f"{columns.start}:{columns.stop} ({error})",
                "delete it and predict again",
            ) from error
        for _ in range(self._level - stored):
            values = halved(values)
        return values if self.is_volume else values[None]


def decision(ink: np.ndarray, spread: np.ndarray, cut: np.ndarray | float) -> np.ndarray:
    """The chance that a sample lies on the other side of the cut than the mean.

    Samples are taken for normally distributed; where they are all alike it is 0.

    Parameters
    ----------
    ink, spread : numpy.ndarray
        Mean and standard deviation of the samples; NaN stays NaN.
    cut : float or numpy.ndarray
        Where ink begins; infinite: nowhere.
    """
    alike = spread <= 0
    away = np.abs(ink - np.float32(cut)) / np.where(alike, np.float32(1), spread)
    return np.where(alike, np.float32(0), ndtr(-away).astype(np.float32))


def passes_word(store: PredictionStore) -> str:
    """What a map is the mean of: ``samples``, or ``passes`` of checkpoints and turned fragments."""
    return "passes" if store.attributes["identity"].get("monte_carlo") is None else "samples"


def check_sampled(store: PredictionStore) -> None:
    """Refuse a prediction that says nothing of how sure it is.

    Raises
    ------
    StoreError
        For a single pass, before the second sample, and where nothing tells samples apart.
    """
    if store.samples is None:
        raise StoreError(
            f"{store.path} is a single pass, which does not say how sure it is",
            "predict under another name with --samples 60",
        )
    if store.samples.counts.max() >= 2:
        return
    if store.is_complete:
        raise StoreError(
            f"{store.path} has samples that are all the same network",
            "predict under another name with --dropout .1 or --gate-noise .5",
        )
    raise StoreError(
        f"{store.path} has no two samples yet that could differ", "go on with the prediction"
    )
