"""A prediction in the formats of others: PNG, TIFF, Kaggle's run lengths; a band at a time."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference.settings import Box
from napari_ink.inference.store import PredictionStore

_TIFF_TILE = 256


#: Where ink begins: one probability, or ``(layers,)`` of them, infinite for a layer without.
Cuts = "float | np.ndarray"


def write_png(
    store: PredictionStore,
    path: str | os.PathLike,
    threshold: Cuts | None = None,
    layer: int | None = None,
) -> None:
    """Write 8-bit grey levels: probability × 255, or 0 and 255 with a threshold; unknown is 0.

    Rows are compressed as they are read, so memory does not grow with the map.

    Parameters
    ----------
    store : PredictionStore
    path : path
    threshold : float or numpy.ndarray, optional
        Where ink begins, of all layers or ``(layers,)``.
    layer : int, optional
        Which one of a prediction of many layers, from 0.

    Raises
    ------
    StoreError
        For a prediction of many layers of which none is chosen, or where the file cannot be
        written.
    SettingsError
        For a layer that is not there.
    """
    (layer,) = _layers_of(store, layer)
    if layer is None:
        raise StoreError(
            f"{store.path} has {store.ink.shape[0]} layers, {path} would hold one",
            "export it as --tiff, or one --layer of it",
        )
    height, width = store.ink.shape[-2:]
    threshold = None if threshold is None else cut_of(threshold, layer)
    with _beside(path) as partial, open(partial, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)))
        if store.voxel_size is not None:
            per_metre = [round(1e6 / size) for size in store.voxel_size[:0:-1]]
            file.write(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
        compressor = zlib.compressobj(6)
        for band in _bands(store, layer):
            grey = np.rint(_mapped(band, threshold) * 255).astype(np.uint8)
            rows = np.zeros((len(grey), width + 1), np.uint8)  # a filter byte before each row
            rows[:, 1:] = grey
            if data := compressor.compress(rows.tobytes()):
                file.write(_chunk(b"IDAT", data))
        file.write(_chunk(b"IDAT", compressor.flush()))
        file.write(_chunk(b"IEND", b""))


def write_tiff(
    store: PredictionStore,
    path: str | os.PathLike,
    threshold: Cuts | None = None,
    dtype: str = "float32",
) -> None:
    """Write a tiled, compressed TIFF with the resolution of the scan; a page a layer.

    Parameters
    ----------
    store : PredictionStore
    path : path
    threshold : float or numpy.ndarray, optional
        Write 0 and 1 (65535) instead of probabilities; where ink begins, of all layers or
        ``(layers,)``.
    dtype : str
        ``float32`` (NaN where nothing was predicted) or ``uint16`` (0 there; full scale is 1).

    Raises
    ------
    StoreError
        Where the file cannot be written.
    """
    import tifffile

    shape = store.ink.shape
    options = {}
    if store.voxel_size is not None:
        options["resolution"] = tuple(1e4 / size for size in store.voxel_size[:0:-1])
        options["resolutionunit"] = "CENTIMETER"
    size = np.dtype(dtype).itemsize * np.prod(shape, dtype=float)
    with _beside(path) as partial:
        tifffile.imwrite(
            partial,
            _tiff_tiles(store, threshold, dtype),
            shape=shape,
            dtype=dtype,
            tile=(_TIFF_TILE, _TIFF_TILE),
            compression="zlib",
            photometric="minisblack",
            bigtiff=bool(size > 3.9e9),
            **options,
        )


def write_rle(
    store: PredictionStore, path: str | os.PathLike, threshold: Cuts, layer: int | None = None
) -> None:
    """Write Kaggle's CSV: start and length of each run of ink, pixels counted from 1 by rows.

    A prediction of many layers gets a row a layer, ``NAME_0``, ``NAME_1`` …

    Parameters
    ----------
    store : PredictionStore
    path : path
    threshold : float or numpy.ndarray
        Where ink begins, of all layers or ``(layers,)``.
    layer : int, optional
        Only this one of a prediction of many layers, from 0.

    Raises
    ------
    StoreError
        Where the file cannot be written.
    SettingsError
        For a layer that is not there.
    """
    name = store.attributes["fragment"]["name"]
    layers = _layers_of(store, layer)
    if layers == [None]:
        layers = list(range(store.ink.shape[0]))
    with _beside(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write("Id,Predicted\n")
        for at in layers:
            file.write(f"{_quoted(name if len(store.ink.shape) == 2 else f'{name}_{at}')},")
            _write_runs(file, _bands(store, at), cut_of(threshold, at))
            file.write("\n")


def _write_runs(file: TextIO, bands: Iterable[np.ndarray], threshold: float) -> None:
    before, separator, open_run = 0, "", 0
    for band in bands:
        ink = np.concatenate(([open_run > 0], np.ravel(band >= threshold)))
        changes = np.flatnonzero(ink[1:] != ink[:-1]) + before + 1
        if open_run:
            changes = np.concatenate(([open_run], changes))
        before += len(ink) - 1
        runs = changes[: len(changes) // 2 * 2].reshape(-1, 2)
        open_run = int(changes[-1]) if len(changes) % 2 else 0
        if len(runs):
            text = " ".join(f"{start} {end - start}" for start, end in runs)
            file.write(separator + text)
            separator = " "
    if open_run:
        file.write(f"{separator}{open_run} {before + 1 - open_run}")


def cut_of(threshold: Cuts, layer: int) -> float:
    """The cut of one layer, of one for all or of one each."""
    return float(threshold if np.ndim(threshold) == 0 else threshold[layer])


def _layers_of(store: PredictionStore, layer: int | None) -> list[int | None]:
    """The chosen layer, ``[0]`` of an ink map; ``[None]``: there are many and none is chosen."""
    count = 1 if store.ink.ndim == 2 else store.ink.shape[0]
    if layer is None:
        return [0] if store.ink.ndim == 2 else [None]
    if not 0 <= layer < count:
        raise SettingsError(
            f"layer {layer} of {store.path}", f"it has {count}: give one from 0 to {count - 1}"
        )
    return [layer]


def _quoted(field: str) -> str:
    """A CSV field, in quotes where it needs them (RFC 4180)."""
    if any(mark in field for mark in ',"\r\n'):
        return '"' + field.replace('"', '""') + '"'
    return field


def _mapped(values: np.ndarray, threshold: float | None) -> np.ndarray:
    """Probability, or 0 and 1; 0 where nothing was predicted."""
    if threshold is None:
        return np.nan_to_num(values, nan=0.0)
    return (values >= threshold).astype(np.float32)


def _bands(store: PredictionStore, layer: int) -> Iterator[np.ndarray]:
    """Rows of blocks of one layer from top to bottom, ``(rows, x)`` float32."""
    height, width = store.ink.shape[-2:]
    step = store.ink.chunks[-2]
    for y in range(0, height, step):
        band = store.read(Box(y, min(y + step, height), 0, width))
        yield band if band.ndim == 2 else band[layer]


def _tiff_tiles(store: PredictionStore, threshold: Cuts | None, dtype: str) -> Iterator[np.ndarray]:
    """Tiles in the order of the file; a band of them is read at once."""
    height, width = store.ink.shape[-2:]
    layers = store.ink.shape[0] if store.ink.ndim == 3 else 1
    for layer in range(layers):
        cut = None if threshold is None else cut_of(threshold, layer)
        for y in range(0, height, _TIFF_TILE):
            band = store.read(Box(y, min(y + _TIFF_TILE, height), 0, width))
            band = band[layer] if store.ink.ndim == 3 else band
            if dtype == "uint16":
                band = np.rint(_mapped(band, cut) * 65535)
            elif cut is not None:
                band = np.where(np.isnan(band), np.nan, band >= cut)
            band = band.astype(dtype)
            for x in range(0, width, _TIFF_TILE):
                yield np.ascontiguousarray(band[:, x : x + _TIFF_TILE])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@contextmanager
def _beside(path: str | os.PathLike) -> Iterator[Path]:
    """A name to write under, renamed to ``path`` at the end and gone after a failure."""
    path = Path(path)
    partial = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        partial = Path(name)
        yield partial
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error})", "choose another place"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
