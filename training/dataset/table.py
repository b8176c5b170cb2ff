"""The windows of a run as a table: chosen by seed, kept as Parquet for whoever wants to look."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from napari_ink.errors import SettingsError
from training.dataset.buckets import bucket_of, choose
from training.dataset.candidates import (
    bands,
    border_candidates,
    ink_shares,
    places_at_random,
)
from training.dataset.config import SelectionConfig
from training.dataset.edges import border_points
from training.dataset.sources import Source
from training.whole_files import written_whole

VOID = "void"
_ANYWHERE = "anywhere"
_COLUMNS = {
    "source": pa.string(),
    "fragment": pa.string(),
    "y": pa.int32(),
    "x": pa.int32(),
    "ink": pa.float32(),
    "kind": pa.string(),
    "split": pa.string(),
}
_METADATA = b"napari_ink.windows"


@dataclass(frozen=True)
class Shortfall:
    """A quota that a source could not meet.

    Attributes
    ----------
    source : str
        Name of the source.
    kind : str
        ``ink``, ``void`` or ``anywhere``.
    wanted, found : int
        Windows.
    reason : str
        Why, and what can be done.
    """

    source: str
    kind: str
    wanted: int
    found: int
    reason: str

    def __str__(self) -> str:
        what = {"ink": "with ink", VOID: "without ink", _ANYWHERE: "from anywhere"}[self.kind]
        return f"{self.source}: {self.found} of {self.wanted} windows {what}: {self.reason}"


@dataclass(frozen=True, eq=False)
class WindowTable:
    """Windows of a run, one a row; columns are arrays of the same length.

    Attributes
    ----------
    source, fragment : numpy.ndarray
        Names, str.
    y, x : numpy.ndarray
        First pixel, int32.
    ink : numpy.ndarray
        Share of ink of the pixels that count, float32.
    kind : numpy.ndarray
        ``bucket 0`` (least ink) and so on, or ``void``, str; by what they hold, also of windows
        from anywhere.
    split : numpy.ndarray
        ``train`` or ``validation``, str.
    side : int
        Of a window, pixels.
    buckets : int
        How many there are.
    seed : int
        Of the choice.
    shortfalls : tuple of Shortfall
        Quotas that were not met.
    """

    source: np.ndarray
    fragment: np.ndarray
    y: np.ndarray
    x: np.ndarray
    ink: np.ndarray
    kind: np.ndarray
    split: np.ndarray
    side: int
    buckets: int
    seed: int
    shortfalls: tuple[Shortfall, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    def write(self, path: str | os.PathLike) -> None:
        """Write the table as Parquet."""
        path = Path(path)
        about = {"side": self.side, "buckets": self.buckets, "seed": self.seed}
        about["shortfalls"] = [asdict(shortfall) for shortfall in self.shortfalls]
        schema = pa.schema(_COLUMNS.items(), {_METADATA: json.dumps(about).encode()})
        columns = [pa.array(getattr(self, name), kind) for name, kind in _COLUMNS.items()]
        try:
            with written_whole(path) as beside:
                pq.write_table(pa.table(columns, schema=schema), beside)
        except OSError as error:
            message = " ".join(str(error).split())
            raise SettingsError(f"{path} cannot be written ({message})", "free the disk") from error

    @classmethod
    def read(cls, path: str | os.PathLike) -> WindowTable:
        """The table that :meth:`write` wrote.

        Raises
        ------
        SettingsError
            If the file is not there, damaged, or no table of windows.
        """
        remedy = "remove it, and the windows are chosen again"
        try:
            with pq.ParquetFile(path) as file:
                table = file.read()
        except (OSError, pa.ArrowException) as error:
            message = " ".join(str(error).split())
            raise SettingsError(f"{path} cannot be read ({message})", remedy) from error
        for name, kind in _COLUMNS.items():
            if name not in table.column_names:
                raise SettingsError(f"{path} has no column {name!r}", remedy)
            column = table.column(name)
            if column.type != kind or column.null_count:
                raise SettingsError(f"{path}: {name} is not all {kind}", remedy)
        try:
            about = json.loads((table.schema.metadata or {})[_METADATA])
            about["shortfalls"] = tuple(Shortfall(**one) for one in about["shortfalls"])
            found = cls(**{name: _array(table.column(name)) for name in _COLUMNS}, **about)
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError(f"{path} does not say how it was made", remedy) from error
        splits, kinds = set(found.split.tolist()), set(found.kind.tolist())
        unknown = splits - {"train", "validation"}
        unknown |= kinds - {VOID, *(f"bucket {b}" for b in range(found.buckets))}
        if unknown:
            raise SettingsError(f"{path} holds windows of {min(unknown)!r}", remedy)
        return found


def select_windows(
    sources: Sequence[Source], side: int, selection: SelectionConfig, seed: int
) -> WindowTable:
    """Choose the windows of a run.

    The choice in a source depends on its name, the fragment, side, selection and seed, and on what
    is validated on in the same fragment; never on the other sources.

    Parameters
    ----------
    sources : sequence of Source
        From :func:`training.dataset.opening.open_sources`.
    side : int
        Of a window, pixels.
    selection : SelectionConfig
        How many windows, and which.
    seed : int
        Of all that is random in it.

    Returns
    -------
    WindowTable
        By source, then by kind and place. Quotas that were not met are in ``shortfalls``.

    Raises
    ------
    SettingsError
        If windows do not fit a source, or there is none to learn from.
    """
    for source in sources:
        _check_side(source, side)
    borders: dict[int, np.ndarray] = {}
    rows: list[dict[str, np.ndarray]] = []
    shortfalls: list[Shortfall] = []
    for source in sources:
        windows = selection.windows if source.windows is None else source.windows
        if windows and id(source.label) not in borders:
            borders[id(source.label)] = border_points(source.label)
        points = borders[id(source.label)] if windows else np.empty(0, np.int64)
        found, missed = _of_source(source, side, selection, windows, points, seed)
        rows.append(found)
        shortfalls += missed
    learned = [s for s, found in zip(sources, rows, strict=True) if len(found["y"])]
    if not any(not source.validation for source in learned):
        raise SettingsError(
            "there is no window to learn from"
            + "".join(f"; {shortfall}" for shortfall in shortfalls[:1]),
            "look at labels, masks and quotas",
        )
    joined = {name: np.concatenate([found[name] for found in rows]) for name in _COLUMNS}
    return WindowTable(
        **joined,
        side=side,
        buckets=selection.buckets,
        seed=seed,
        shortfalls=tuple(shortfalls),
    )


def _check_side(source: Source, side: int) -> None:
    """Refuse windows that cannot lie in a source."""
    shape = source.label.shape if source.validation else source.box.shape
    if side > min(shape):
        raise SettingsError(
            f"a window of {side} px does not fit {source.name}, {shape[0]}×{shape[1]} px",
            "choose a smaller data.window",
        )


def _of_source(
    source: Source,
    side: int,
    selection: SelectionConfig,
    windows: int,
    points: np.ndarray,
    seed: int,
) -> tuple[dict[str, np.ndarray], list[Shortfall]]:
    """The rows of one source, and what is missing of its quotas."""
    void = selection.void if source.void is None else source.void
    anywhere = selection.anywhere if source.anywhere is None else source.anywhere
    least = selection.counted
    ink = border_candidates(source, points, side, least, windows, _random(seed, source.name, "ink"))
    bucket = bucket_of(ink.ink, selection.buckets)
    taken = choose(bucket, windows, selection.buckets, selection.cap)
    void_y, void_x = places_at_random(
        source, side, least, void, _random(seed, source.name, VOID), void=True
    )
    any_y, any_x = places_at_random(
        source, side, least, anywhere, _random(seed, source.name, _ANYWHERE), void=False
    )
    shortfalls = []
    if len(taken) < windows:
        if len(ink.y) >= windows:
            reason = f"at most {selection.cap} a bucket, raise the cap or lower windows"
        elif len(ink.y):
            reason = "the border of its ink has no more places, lower windows"
        else:
            reason = "no window that fits holds a border of ink, look at label and masks"
        shortfalls.append(Shortfall(source.name, "ink", windows, len(taken), reason))
    if len(void_y) < void:
        reason = "no more places without any ink, lower void"
        shortfalls.append(Shortfall(source.name, VOID, void, len(void_y), reason))
    if len(any_y) < anywhere:
        reason = "no more places that fit, lower anywhere"
        shortfalls.append(Shortfall(source.name, _ANYWHERE, anywhere, len(any_y), reason))
    y = np.concatenate([ink.y[taken], void_y, any_y]).astype(np.int32)
    x = np.concatenate([ink.x[taken], void_x, any_x]).astype(np.int32)
    none = np.zeros(len(void_y), np.float32)
    share = np.concatenate([ink.ink[taken], none, _shares(source, side, least, any_y, any_x)])
    bucket = np.where(share > 0, bucket_of(share, selection.buckets), selection.buckets)
    kinds = np.array([f"bucket {b}" for b in range(selection.buckets)] + [VOID])
    order = np.lexsort((x, y, bucket))
    rows = {
        "source": np.full(len(y), source.name),
        "fragment": np.full(len(y), source.fragment.name),
        "y": y[order],
        "x": x[order],
        "ink": share[order],
        "kind": kinds[bucket[order]],
        "split": np.full(len(y), "validation" if source.validation else "train"),
    }
    return rows, shortfalls


def _shares(source: Source, side: int, least: float, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Shares of ink; a fragment is only measured for windows that there are."""
    if not len(y):
        return np.empty(0, np.float32)
    return ink_shares(bands(source, side, least), y, x)


def _random(seed: int, source: str, purpose: str) -> np.random.Generator:
    """Random numbers of one purpose in one source, whatever other sources there are."""
    digest = hashlib.sha256(f"{source}/{purpose}".encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])


def _array(column: pa.ChunkedArray) -> np.ndarray:
    values = column.to_numpy()
    return values.astype(str) if values.dtype == object else np.array(values)
