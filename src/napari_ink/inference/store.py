"""The prediction on disk: ``NAME.ink.zarr``, readable anywhere, resumable after any kind of stop.

A zarr v3 group. ``ink`` is an OME-Zarr 0.5 multiscale image of float16 probabilities, NaN where
nothing was predicted, one chunk a block; ``mask`` is the papyrus mask that was used. All else is
in the group's attributes under ``napari_ink``, ``finished`` among it: the blocks that are done.

What survives a ``kill -9`` at any byte: a chunk is written under another name and renamed, then
the attributes likewise. A block therefore counts as finished only if its chunk is whole, and an
unfinished one is simply computed again, to the same bytes. The lock is the operating system's
and dies with the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr
from filelock import FileLock, Timeout

from napari_ink.errors import StoreError
from napari_ink.inference.chosen_order import SampleOrder
from napari_ink.inference.layer_places import layer_places
from napari_ink.inference.pyramid import build_levels, multiscales
from napari_ink.inference.settings import Box
from napari_ink.inference.store_files import (
    COMPRESSOR,
    KEY,
    check_space,
    create,
    disk_errors,
    opened,
    packed,
    removed,
    there,
    unpacked,
)
from napari_ink.inference.store_samples import GROUP, IMAGES, StoredSamples

if TYPE_CHECKING:
    from napari_ink.inference.moments import Moments
    from napari_ink.inference.plan import PredictionPlan

SUFFIX = ".ink.zarr"


class PredictionStore:
    """One prediction on disk.

    Made by :meth:`open` (to read) or :meth:`create_or_resume` (to write; close it, or use it as a
    context manager).

    Attributes
    ----------
    path : pathlib.Path
    attributes : dict
        All that is recorded, as JSON: see :meth:`provenance` for what of it describes the result.
    """

    def __init__(self, path: Path, group: zarr.Group, lock: FileLock | None = None) -> None:
        self.path = path
        self.attributes: dict = dict(group.attrs[KEY])
        self._group = group
        self._lock = lock
        self._finished = unpacked(self.attributes["finished"], self.attributes["blocks"]["shape"])
        part = group.get(GROUP)
        #: What the Monte Carlo samples of each block add up to; ``None``: a single pass.
        self.samples = None if part is None else StoredSamples(part)

    @classmethod
    def open(cls, path: str | os.PathLike) -> PredictionStore:
        """Open a store to read, finished or not, also while another process writes it.

        Raises
        ------
        StoreError
            When there is none, or it is something else, damaged, or of a later version.
        """
        return cls(Path(path), opened(Path(path), "r"))

    @classmethod
    def create_or_resume(cls, path: str | os.PathLike, plan: PredictionPlan) -> PredictionStore:
        """Open a store to write what the plan asks for.

        Raises
        ------
        StoreError
            When another process writes it; when it holds another fragment's, checkpoint's or
            setting's prediction; when the disk is too full for the result.
        """
        path = Path(path)
        check_name(path)
        if not path.exists():
            check_space(path, plan.result_bytes)
            with disk_errors(path):
                create(path, plan)
            if not path.exists():
                raise removed(path)
        group = opened(path, "r+")
        lock = locked(path)
        try:
            if not (path / "zarr.json").exists():
                raise removed(path)
            group = opened(path, "r+")  # again: what the last owner wrote before it let go
            store = cls(path, group, lock)
            store.check_same(plan.identity)
            store._take_voxel_size(plan)
            left = 1 - store._finished.sum() / max(1, plan.total)
            check_space(path, int(plan.result_bytes * left))
            for leftover in path.rglob("*.partial"):
                leftover.unlink()
        except BaseException:
            lock.release()
            _clear_lock(path)
            raise
        return store

    @classmethod
    def keep_thresholds(cls, path: str | os.PathLike, record: dict) -> None:
        """Write down chosen cuts, in place of earlier ones; what is predicted is left alone.

        Parameters
        ----------
        path : str or path-like
        record : dict
            ``thresholds``, the cut of every layer, ``None``: none; and how they were chosen.

        Raises
        ------
        StoreError
            When there is no such store, or another process writes it.
        """
        path = Path(path)
        opened(path, "r")
        with disk_errors(path):
            lock = locked(path)
            try:
                cls(path, opened(path, "r+")).record(thresholds=record)
            finally:
                lock.release()

    def __enter__(self) -> PredictionStore:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lock; more than once does no harm."""
        if self._lock is not None:
            self._lock.release()

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

    def write(self, block: tuple[int, int], box: Box, probability: np.ndarray, **records) -> None:
        """Commit one block: its chunk, then that it is finished.

        Parameters
        ----------
        block : tuple of int
            Row and column.
        box : Box
            Its pixels.
        probability : numpy.ndarray
            ``(y, x)`` or ``(z, y, x)``.
        **records
            Attributes to replace in the same commit.

        Raises
        ------
        StoreError
            When the disk is full; what was finished before stays. When the store was removed.
        """
        with disk_errors(self.path), self._there():
            self.ink[(..., *box.slices)] = probability.astype(np.float16)
            self._finished[block] = True
            self.check_there()
            self.record(finished=packed(self._finished), **records)

    def write_sample(
        self, block: tuple[int, int], box: Box, moments: Moments, *, last: bool, **records
    ) -> None:
        """Commit one more sample of a block: the images, its moments, then that it is so far.

        Parameters
        ----------
        block, box, **records
            As in :meth:`write`.
        moments : Moments
            With the sample.
        last : bool
            Whether the block needs no more.

        Raises
        ------
        StoreError
            As :meth:`write` does.
        """
        with disk_errors(self.path), self._there():
            where = (..., *box.slices)
            self.ink[where] = moments.mean.astype(np.float16)
            for name in IMAGES:
                self._group[f"{name}/0"][where] = getattr(moments, name).astype(np.float16)
            self.samples.write(block, box, moments)
            if last:
                self._finished[block] = True
            self.check_there()
            self.record(finished=packed(self._finished), **records)

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
            return SampleOrder.plain(self.attributes.get("passes", asked))
        return SampleOrder(tuple(kept["indices"]), tuple(kept["factors"]))

    def take_order(self, order: SampleOrder) -> None:
        """Keep an order that was chosen: whoever goes on shall not choose another."""
        kept = {"indices": list(order.indices), "factors": list(order.factors)}
        with disk_errors(self.path):
            self.record(sample_order=kept)

    def ask_for(self, plan: PredictionPlan, done: Mapping[tuple[int, int], bool]) -> None:
        """Reopen what was finished, for more samples or a finer tolerance.

        Parameters
        ----------
        plan : PredictionPlan
            What is asked for.
        done : mapping
            Whether each of its blocks needs no more.
        """
        for block, is_done in done.items():
            self._finished[block] = is_done
        if all(done.values()) and self.is_complete:
            return
        with disk_errors(self.path):
            settings = plan.provenance["settings"]
            self.record(
                state="running",
                finished=packed(self._finished),
                settings=settings,
                passes=plan.passes.count,
            )

    def record(self, **attributes) -> None:
        """Replace attributes, atomically."""
        self.attributes.update(attributes)
        self._group.update_attributes({KEY: self.attributes})

    @contextmanager
    def _there(self) -> Iterator[None]:
        """Refuse to write into a store that was removed, of which zarr would make half again."""
        self.check_there()
        try:
            yield
        except FileNotFoundError:  # removed since
            self.check_there()
            raise

    def check_there(self) -> None:
        """Whether the store is still where it was.

        Raises
        ------
        StoreError
            When it was removed.
        """
        if not all((self.path / part / "zarr.json").exists() for part in (".", "ink", "ink/0")):
            raise removed(self.path)

    def forget(self, block: tuple[int, int]) -> None:
        """Take a block for unfinished, as after a power failure that lost its chunk."""
        self._finished[block] = False

    def finish(self, **records) -> None:
        """Build the coarser levels and call the store finished."""
        with disk_errors(self.path), self._there():
            for name in self._image_names:
                levels = build_levels(self._group[name], self._finished, COMPRESSOR)
            self._describe(levels)
            self.record(state="finished", **records)

    def _take_voxel_size(self, plan: PredictionPlan) -> None:
        """A size told after the first blocks changes none of them: it is written down."""
        if plan.voxel_size is None or plan.voxel_size == self.voxel_size:
            return
        with disk_errors(self.path):
            new = {key: plan.provenance[key] for key in ("fragment", "warnings")}
            self.record(**new)
            self._describe(len(self.levels))

    def _describe(self, levels: int) -> None:
        """What other readers of OME-Zarr are told of the images."""
        for name in self._image_names:
            ome = multiscales(
                name, self.voxel_size, self.ink.ndim, levels, *layer_places(self.attributes)
            )
            self._group[name].update_attributes({"ome": ome})

    def check_same(self, wanted: dict) -> None:
        """Refuse a prediction of another fragment, checkpoint or setting.

        Raises
        ------
        StoreError
            Naming what differs from ``wanted``, a plan's ``identity``.
        """
        theirs = self.attributes["identity"]
        differing = [key for key in wanted if theirs.get(key) != wanted[key]]
        if "region" in differing and "mask" in differing:
            differing.remove("mask")  # what is recorded of it is the region's part
        if differing:
            key = differing[0]
            raise StoreError(
                f"{self.path} holds a prediction with another {', '.join(differing)} "
                f"({key}: {_short(theirs.get(key))} there, {_short(wanted[key])} now)",
                "choose another name, or ask for the same again",
            )


def locked(path: Path) -> FileLock:
    """The lock of a store, taken.

    Raises
    ------
    StoreError
        When another process has it.
    """
    lock = FileLock(path / "ink" / "0" / ".lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise StoreError(
            f"{path} is being written by another process", "wait for it, or choose another name"
        ) from None
    return lock


def _clear_lock(path: Path) -> None:
    """Of a store that was removed before it was locked, leave nothing: locks make their folder."""
    if not (path / "zarr.json").exists():
        (path / "ink" / "0" / ".lock").unlink(missing_ok=True)
        with suppress(OSError):  # not empty: somebody else's
            for folder in (path / "ink" / "0", path / "ink", path):
                folder.rmdir()


def check_name(path: str | os.PathLike) -> None:
    """Refuse a path that no prediction can have, before anything is computed or written.

    Raises
    ------
    StoreError
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
        raise StoreError(f"{path} is no name for a prediction", f"call it NAME{SUFFIX}")
    there(path)  # also raises for names longer than the disk takes


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
