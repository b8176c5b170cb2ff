"""Grey levels with and without ink, layer by layer, from a sample of the training windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.dataset.sources import Source
from training.dataset.table import WindowTable
from training.whole_files import written_whole

NAME = "intensity.npz"
WINDOWS = 32  # a source
BINS = 128


def keep_intensities(
    folder: Path, sources: Sequence[Source], table: WindowTable, seed: int
) -> None:
    """Write ``intensity.npz`` into the folder of a run.

    ``edges (bins + 1)``, ``ink`` and ``bare (layers, bins)``: normalised intensities of pixels
    that count, of all training sources; ``first_layer``. The same by source, ``names (sources)``,
    ``ink_by_source`` and so on ``(sources, layers, bins)``; and as stored, ``raw_edges``,
    ``raw_ink_by_source``, ``raw_bare_by_source``. Values beyond the edges lie in the last bins.
    """
    random = np.random.default_rng((seed, 0x67726579))
    names, found = [], []
    for source in sources:
        rows = np.flatnonzero((table.source == source.name) & (table.split == "train"))
        if source.validation or not len(rows):
            continue
        rows = random.choice(rows, min(WINDOWS, len(rows)), replace=False)
        names.append(source.name)
        found.append(_values(source, table, np.sort(rows)))
    normalised = np.concatenate([v.ravel() for values in found for v in values[:2]])
    raw = np.concatenate([v.ravel() for values in found for v in values[2:]])
    edges, raw_edges = _edges(normalised), _edges(raw)
    ink, bare, raw_ink, raw_bare = (
        np.stack([_histograms(values[i], e) for values in found])
        for i, e in enumerate((edges, edges, raw_edges, raw_edges))
    )
    with written_whole(folder / NAME) as beside, beside.open("wb") as file:
        np.savez_compressed(
            file,
            edges=edges,
            ink=ink.sum(0),
            bare=bare.sum(0),
            first_layer=sources[0].stored_layers[0],
            names=np.array(names),
            ink_by_source=ink,
            bare_by_source=bare,
            raw_edges=raw_edges,
            raw_ink_by_source=raw_ink,
            raw_bare_by_source=raw_bare,
        )


def _values(source: Source, table: WindowTable, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """``(layers, pixels)``: normalised with ink and without, as stored with ink and without."""
    parts: tuple[list[np.ndarray], ...] = ([], [], [], [])
    for row in rows:
        y, x = int(table.y[row]), int(table.x[row])
        place = slice(y, y + table.side), slice(x, x + table.side)
        raw = source.fragment.read(source.layers, *place)
        volume = np.empty(raw.shape, np.float32)
        source.normaliser.fill(volume, raw, flip=source.reverse)
        raw = raw[::-1].astype(np.float32) if source.reverse else raw.astype(np.float32)
        ink, counts = source.label[place] >= 127.5, source.counts[place]
        for i, where in enumerate((counts & ink, counts & ~ink)):
            parts[i].append(volume[:, where])
            parts[i + 2].append(raw[:, where])
    return tuple(np.concatenate(part, axis=1) for part in parts)


def _edges(values: np.ndarray) -> np.ndarray:
    """Equal bins over all but one in two thousand values."""
    low, high = np.quantile(values, (0.00025, 0.99975)) if values.size else (0.0, 1.0)
    return np.linspace(low, max(high, low + 1e-6), BINS + 1)


def _histograms(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    clipped = np.clip(values, edges[0], edges[-1])
    return np.stack([np.histogram(layer, edges)[0] for layer in clipped])
