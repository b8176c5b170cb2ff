"""The files of a run's folder, each read when a section asks for it.

=================================  ==============================================================
``config.yaml``                    settings as run
``versions.json``                  name → version
``metrics.csv``                    ``step`` and any of ``loss``, ``val_loss``, ``lr-*``, ``auc``,
                                   ``f05``, ``iou``, ``ece``, ``threshold``,
                                   ``samples_per_second``, ``seconds``; empty where a row does
                                   not say
``windows.parquet``, ``.png``      the windows that were learned from, and their picture
``validation/NAME.npz``            ``probability`` float16, ``label`` uint8 (255 is ink), ``counts``
                                   bool, all ``(y, x)``: the last look at one fragment
``intensity.npz``                  ``edges (bins + 1)``, normalised intensities, and pixel counts
                                   ``ink`` and ``bare``, ``(layers, bins)``; ``first_layer``; by
                                   source, see :func:`training.keeping.intensities.keep_intensities`
``*.safetensors``                  the checkpoint
=================================  ==============================================================
"""

from __future__ import annotations

import csv
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from napari_ink.analysis import metrics
from napari_ink.analysis.metrics import Histogram
from napari_ink.analysis.similarity import ssim
from napari_ink.errors import InkError
from napari_ink.models.contract import InkNetwork


class Absent(Exception):
    """A piece of the report that cannot be shown; the text says why, for the reader."""


@dataclass(frozen=True, eq=False)
class ValidationMap:
    """The last look at one fragment, or one part of one.

    Attributes
    ----------
    name : str
        Of the fragment.
    probability : numpy.ndarray
        ``(y, x)`` float16.
    label : numpy.ndarray
        ``(y, x)`` float32 in [0, 1].
    counts : numpy.ndarray
        ``(y, x)`` bool, where the label counts.
    """

    name: str
    probability: np.ndarray
    label: np.ndarray
    counts: np.ndarray

    @cached_property
    def histogram(self) -> Histogram:
        """Probability by label."""
        return Histogram.of(self.probability, self.label, self.counts)

    @cached_property
    def similarity(self) -> float:
        """Structural similarity of map and label, where the label counts."""
        return ssim(self.probability, self.label, self.counts)


@dataclass(frozen=True, eq=False)
class Intensities:
    """Normalised intensities of the pixels that count, by layer, with and without ink."""

    edges: np.ndarray
    ink: np.ndarray
    bare: np.ndarray
    first_layer: int


@dataclass(frozen=True, eq=False)
class SourceIntensities:
    """Intensities of the pixels that count, of all layers, by source, with and without ink.

    Attributes
    ----------
    edges : numpy.ndarray
        ``(bins + 1,)``.
    ink, bare : numpy.ndarray
        ``(sources, bins)``, pixels.
    """

    edges: np.ndarray
    ink: np.ndarray
    bare: np.ndarray


class RunFolder:
    """What a run left behind; every property raises :class:`Absent` for what is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def config(self) -> dict[str, Any]:
        """Settings as run."""
        tree = _read(self.path / "config.yaml", lambda file: yaml.safe_load(file.read_text()))
        if not isinstance(tree, dict):
            raise Absent("config.yaml holds no settings.")
        return tree

    @property
    def name(self) -> str:
        """Of the run: its settings know it, or its folder."""
        try:
            return str(self.config.get("name", self.path.name))
        except Absent:
            return self.path.name

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of the software."""
        return _read(
            self.path / "versions.json",
            lambda file: {str(k): str(v) for k, v in json.loads(file.read_text()).items()},
        )

    @cached_property
    def log(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Columns of the log that have numbers: name → (steps, values)."""
        return _read(self.path / "metrics.csv", _columns)

    @cached_property
    def maps(self) -> list[ValidationMap]:
        """The last look at each validation fragment, by name."""
        files = sorted((self.path / "validation").glob("*.npz"))
        if not files:
            raise Absent("No validation map is there: the run has not looked yet.")
        return [_read(file, _map) for file in files]

    @cached_property
    def histogram(self) -> Histogram:
        """Probability by label over all validation maps."""
        return sum((one.histogram for one in self.maps), Histogram())

    @cached_property
    def threshold(self) -> float:
        """The checkpoint's cut; while there is no checkpoint, the best one of the maps."""
        try:
            info = self.network.info
            return info.threshold(self.network.tasks[0])
        except Absent:
            if not self.histogram.ink_pixels:
                raise Absent("No ink counts in the validation labels.") from None
            return metrics.best_threshold(self.histogram)

    @cached_property
    def intensities(self) -> Intensities:
        """Intensities by layer."""

        def read(file: Path) -> Intensities:
            with np.load(file, allow_pickle=False) as parts:
                found = Intensities(
                    parts["edges"].astype(float),
                    parts["ink"].astype(np.int64),
                    parts["bare"].astype(np.int64),
                    int(parts["first_layer"]) if "first_layer" in parts else 0,
                )
            if found.ink.shape != found.bare.shape or found.ink.shape[1:] != (
                len(found.edges) - 1,
            ):
                raise ValueError("its arrays do not fit one another")
            return found

        return _read(self.path / "intensity.npz", read)

    @cached_property
    def intensities_by_source(self) -> tuple[list[str], SourceIntensities, SourceIntensities]:
        """Names of the sources, their intensities as stored, and normalised."""

        def read(file: Path) -> tuple[list[str], SourceIntensities, SourceIntensities]:
            with np.load(file, allow_pickle=False) as parts:
                names = [str(name) for name in parts["names"]]
                found = [
                    SourceIntensities(
                        parts[f"{prefix}edges"].astype(float),
                        parts[f"{prefix}ink_by_source"].sum(axis=1, dtype=np.int64),
                        parts[f"{prefix}bare_by_source"].sum(axis=1, dtype=np.int64),
                    )
                    for prefix in ("raw_", "")
                ]
            for one in found:
                shape = (len(names), len(one.edges) - 1)
                if not one.ink.shape == one.bare.shape == shape:
                    raise ValueError("its arrays do not fit one another")
            return names, *found

        return _read(self.path / "intensity.npz", read)

    @property
    def seconds(self) -> float:
        """Time at work up to the last row of the log, looks included, lost work left out.

        Of a run without it in the log, what its checkpoint says.
        """
        try:
            column = self.log.get("seconds")
        except Absent:
            column = None
        found = self.network.info.training.get("seconds") if column is None else column[1][-1]
        if not found:
            raise Absent("Neither log nor checkpoint says how long the run took.")
        return float(found)

    @cached_property
    def windows(self) -> dict[str, np.ndarray]:
        """Columns of the table of windows."""

        def read(file: Path) -> dict[str, np.ndarray]:
            from pyarrow import parquet

            table = parquet.read_table(file)
            return {name: table[name].to_numpy() for name in table.column_names}

        return _read(self.path / "windows.parquet", read)

    @cached_property
    def windows_picture(self) -> bytes:
        """The picture of the windows, PNG."""
        return _read(self.path / "windows.png", Path.read_bytes)

    @cached_property
    def network(self) -> InkNetwork:
        """The checkpoint of the run."""
        files = [
            self.path / f"{self.name}.safetensors",
            *sorted(self.path.glob("*.safetensors")),
        ]
        found = next((file for file in files if file.exists()), None)
        if found is None:
            raise Absent("No checkpoint (.safetensors) is there: the run has not finished.")
        from napari_ink.models.checkpoint import load_checkpoint

        return _read(found, load_checkpoint)


def _read(file: Path, reader) -> Any:
    """What the reader makes of the file; Absent, in words, where it cannot."""
    if not file.exists():
        raise Absent(f"{file.name} is not there.")
    try:
        return reader(file)
    except InkError as error:
        raise Absent(f"{error}.") from error
    except KeyError as error:
        raise Absent(f"{file.name} lacks {error}.") from error
    # what csv, json, yaml, numpy, zip and parquet readers raise on damaged files
    except (
        OSError,
        EOFError,
        ValueError,
        AttributeError,
        TypeError,
        yaml.YAMLError,
        zipfile.BadZipFile,
    ) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise Absent(f"{file.name} cannot be read ({text[:200]}).") from error


def _columns(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = {}
    for name in rows[0] if rows else ():
        if name in (None, "step", "epoch"):
            continue
        pairs = [
            (float(row["step"]), float(row[name])) for row in rows if row[name] and row["step"]
        ]
        if pairs:
            columns[name] = tuple(np.array(pairs).T)
    if not columns:
        raise ValueError("no rows")
    return columns


def _map(file: Path) -> ValidationMap:
    with np.load(file, allow_pickle=False) as parts:
        probability, label = parts["probability"], parts["label"]
        counts = parts["counts"] != 0
    if probability.ndim == 3:
        raise ValueError("a labelled volume, not an ink layer")
    if not probability.shape == label.shape == counts.shape:
        raise ValueError("map, label and mask differ in size")
    if label.dtype == np.uint8:
        label = label.astype(np.float32) / 255
    return ValidationMap(file.stem, probability, label.astype(np.float32), counts)
