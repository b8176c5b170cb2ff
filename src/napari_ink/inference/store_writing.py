"""Writing a prediction, so that any kind of stop loses nothing.

What survives a ``kill -9`` at any byte: a chunk is written under another name and renamed, then
the attributes likewise. A block therefore counts as finished only if its chunk is whole, and an
unfinished one is simply computed again, to the same bytes. The lock is the operating system's
and dies with the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr
from filelock import FileLock

from napari_ink.errors import StoreError
from napari_ink.inference.chosen_order import SampleOrder
from napari_ink.inference.layer_places import layer_places
from napari_ink.inference.pyramid import build_levels, multiscales
from napari_ink.inference.settings import Box
from napari_ink.inference.store import SUFFIX, PredictionStore
from napari_ink.inference.store_files import (
    COMPRESSOR,
    KEY,
    check_space,
    clear_lock,
    create,
    disk_errors,
    locked,
    opened,
    packed,
    removed,
    there,
)
from napari_ink.inference.store_samples import IMAGES

if TYPE_CHECKING:
    from napari_ink.inference.moments import Moments
    from napari_ink.inference.plan import PredictionPlan


class StoreWriter(PredictionStore):
    """One prediction on disk, and the only one to write it until it is closed.

    Made by :meth:`create_or_resume`; a context manager.
    """

    def __init__(self, path: Path, group: zarr.Group, lock: FileLock | None = None) -> None:
        super().__init__(path, group)
        self._lock = lock

    @classmethod
    def create_or_resume(cls, path: str | os.PathLike, plan: PredictionPlan) -> StoreWriter:
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
            clear_lock(path)
            raise
        return store

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lock; more than once does no harm."""
        if self._lock is not None:
            self._lock.release()

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
            for name, values in _images(moments).items():
                self._group[f"{name}/0"][(..., *box.slices)] = values
            self.samples.write(block, box, moments)
            if last:
                self._finished[block] = True
            self.check_there()
            self.record(finished=packed(self._finished), **records)

    def restore(self, box: Box, moments: Moments) -> None:
        """Write a block's images again where a chunk was lost, as after a power failure."""
        with disk_errors(self.path), self._there():
            for name, values in _images(moments).items():
                image = self._group[f"{name}/0"]
                try:
                    found = np.asarray(image[(..., *box.slices)])
                except (OSError, ValueError, RuntimeError):
                    found = np.empty(0)
                if not np.array_equal(found, values, equal_nan=True):
                    image[(..., *box.slices)] = values

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
        differing = [key for key in wanted | theirs if theirs.get(key) != wanted.get(key)]
        if "region" in differing and "mask" in differing:
            differing.remove("mask")  # what is recorded of it is the region's part
        if differing:
            key = differing[0]
            raise StoreError(
                f"{self.path} holds a prediction with another {', '.join(differing)} "
                f"({_difference(key, theirs.get(key), wanted.get(key))})",
                "choose another name, or ask for the same again",
            )


def _images(moments: Moments) -> dict[str, np.ndarray]:
    """What a store shows of a block's moments, by the name of the image."""
    shown = {"ink": moments.mean} | {name: getattr(moments, name) for name in IMAGES}
    return {name: values.astype(np.float16) for name, values in shown.items()}


def keep_thresholds(path: str | os.PathLike, record: dict) -> None:
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
            StoreWriter(path, opened(path, "r+")).record(thresholds=record)
        finally:
            lock.release()


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


def _difference(name: str, theirs: object, wanted: object) -> str:
    """Where two values differ: ``monte_carlo seed: 5 there, 0 now``."""
    pair = theirs, wanted
    if all(_is_table(value) for value in pair) and len(theirs) == len(wanted):
        theirs, wanted = (dict(enumerate(value, start=1)) for value in pair)
    if isinstance(theirs, dict) and isinstance(wanted, dict):
        key = next(key for key in wanted | theirs if theirs.get(key) != wanted.get(key))
        return _difference(f"{name} {key}", theirs.get(key), wanted.get(key))
    return f"{name}: {_short(theirs)} there, {_short(wanted)} now"


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _short(value: object) -> str:
    text = str(len(value) if _is_table(value) else value)
    return text if len(text) <= 40 else f"{text[:37]}…"
