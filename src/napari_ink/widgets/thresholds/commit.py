"""What becomes of chosen cuts: a Labels layer, a file, a record in the prediction."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.filesize import decimal

from napari_ink._layers import KEY, carried, ink_metadata
from napari_ink.analysis.layer_counting import blocks
from napari_ink.analysis.layer_histograms import NONE
from napari_ink.errors import SettingsError
from napari_ink.inference.layer_places import layer_names
from napari_ink.widgets.thresholds.counting import open_layers
from napari_ink.widgets.thresholds.words import cut_text

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_ink.analysis.fitting import Fitted

_MOST = 4 << 30  # bytes that labels may take in memory

#: Files that can be written, as a dialog offers them.
FILTERS = "PNG, the layer shown (*.png);;TIFF, all layers (*.tif);;Kaggle run lengths (*.csv)"


def label_steps(stores: Sequence[str], cuts: Sequence[float]) -> Generator[float, None, np.ndarray]:
    """Ink or no ink, ``(z, y, x)`` uint8, block by block. Runs in a worker; touches no layer.

    Raises
    ------
    SettingsError
        When it would not fit into memory comfortably.
    """
    layers = open_layers(stores)
    size = int(np.prod(layers.shape))
    if size > _MOST:
        raise SettingsError(
            f"these labels would take {decimal(size)} of memory", "export them as TIFF instead"
        )
    made = np.zeros(layers.shape, np.uint8)
    limits = np.asarray(cuts)[:, None, None]
    boxes = blocks(layers.shape, layers.chunks)
    for done, box in enumerate(boxes, start=1):
        made[(..., *box.slices)] = layers.read(box) >= limits
        yield done / len(boxes)
    return made


def add_labels(
    viewer: Viewer, inks: Sequence[Image], cuts: Sequence[float], made: np.ndarray
) -> list[Labels]:
    """Labels over the ink that they were cut from, wherever that lies."""
    added = []
    for k, ink in enumerate(inks):
        mine = made if ink.ndim == 3 else made[k]
        own = cuts if ink.ndim == 3 else cuts[k : k + 1]
        name = f"{ink.name} ≥ {cut_text(own[0])}" if len(set(own)) == 1 else f"{ink.name} cut"
        place = {name: getattr(ink, name) for name in ("scale", "translate", "rotate", "units")}
        added.append(
            viewer.add_labels(
                mine,
                name=name,
                affine=np.asarray(ink.affine.affine_matrix),
                axis_labels=tuple(ink.axis_labels),
                metadata={KEY: {"role": "cut", "fragment": carried(ink).get("fragment")}},
                **place,
            )
        )
    return added


def export_steps(
    path: Path, stores: Sequence[str], cuts: Sequence[float], layer: int
) -> Generator[float, None, Path]:
    """Write a prediction cut, in the format of the file's name. Runs in a worker.

    Several ink maps go into files of their own, ``NAME-1.png``, ``NAME-2.png`` …

    Raises
    ------
    InkError
        When the format is unknown or the file cannot be written.
    """
    from napari_ink.inference import export
    from napari_ink.inference.store import PredictionStore

    if path.suffix.lower() not in (".png", ".tif", ".tiff", ".csv"):
        raise SettingsError(f"{path.name} has no known ending", "end it in .png, .tif or .csv")
    for k, store in enumerate(stores):
        yield k / len(stores)
        opened, limits = PredictionStore.open(store), np.asarray(cuts)
        target = path
        if len(stores) > 1:
            limits = limits[k : k + 1]
            target = path.with_name(f"{path.stem}-{k + 1}{path.suffix}")
        if path.suffix.lower() == ".png":
            export.write_png(opened, target, limits, layer)
        elif path.suffix.lower() == ".csv":
            export.write_rle(opened, target, limits)
        else:
            export.write_tiff(opened, target, limits)
    return path


def keep(inks: Sequence[Image], fitted: Fitted, label: str) -> None:
    """Write the cuts into their predictions, and into what the layers carry.

    Raises
    ------
    StoreError
        When a prediction cannot be written.
    """
    from napari_ink.inference.store import PredictionStore
    from napari_ink.inference.store_writing import keep_thresholds

    for k, ink in enumerate(inks):
        mine = fitted if len(inks) == 1 else _of_one(fitted, k)
        path = carried(ink)["store"]
        keep_thresholds(path, mine.dated(labels=[label] if label else None))
        record = PredictionStore.open(path).provenance
        ink.metadata = {**ink.metadata, **ink_metadata(carried(ink)["fragment"], path, record)}


def kept_cuts(inks: Sequence[Image]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names of the layers, and the cuts kept in their predictions, or the checkpoints' own.

    They are read from what the layers carry: no file is touched.
    """
    names, cuts = [], []
    for ink in inks:
        record = carried(ink)["provenance"]
        if not record:  # a run has just begun it
            return (), ()
        depth = 1 if ink.ndim == 2 else (ink.data[0] if ink.multiscale else ink.data).shape[0]
        names += [ink.name] if ink.ndim == 2 else layer_names(record, depth)
        kept = record.get("thresholds")
        own = [record["threshold"]] * depth if kept is None else kept["thresholds"]
        cuts += [NONE if cut is None else float(cut) for cut in own]
    return tuple(names), tuple(cuts)


def _of_one(fitted: Fitted, layer: int) -> Fitted:
    """The record of one of several ink maps that were fitted together."""
    one = slice(layer, layer + 1)
    return replace(fitted, cuts=fitted.cuts[one], names=fitted.names[one])
