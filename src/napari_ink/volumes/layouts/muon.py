"""Muon tomography sets: HDF5 with ``x0`` and ``targs``, ``(sample, z, x, y)``."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_ink.errors import FragmentError
from napari_ink.volumes.files import reading
from napari_ink.volumes.fragment import Fragment, isotropic

_LOCK = threading.Lock()  # one file handle at a time: HDF5 is not safe across threads


@dataclass(frozen=True)
class MuonVolume:
    """One sample of a data set in an HDF5 file, ``(z, y, x)``; stored as ``(sample, z, x, y)``."""

    path: str
    key: str
    sample: int
    shape: tuple[int, int, int]
    dtype: np.dtype

    def read(self, z: slice, y: slice, x: slice) -> np.ndarray:
        """The window."""
        try:
            with _LOCK, _opened(self.path) as file:
                window = file[self.key][self.sample, z, x, y]
        except (OSError, KeyError) as error:
            raise FragmentError(
                f"{self.path}: sample {self.sample} of {self.key} cannot be read ({error})",
                "copy or download it again",
            ) from None
        return np.ascontiguousarray(window.transpose(0, 2, 1)).astype(self.dtype, copy=False)


def open_sample(path: str, sample: int, voxel_size) -> Fragment:
    """Open one sample as a fragment; its label is the voxel-wise target, if there is one.

    Raises
    ------
    FragmentError
        When the file is no such set, damaged, or has fewer samples.
    """
    with _LOCK, _opened(path) as file:
        if "x0" not in file:
            raise FragmentError(f"{path} has no data set x0", "give a muon set with x0 and targs")
        for key in ("x0", "targs"):
            if key in file:
                _check(path, key, file[key])
        count, depth, width, height = file["x0"].shape
        if "targs" in file and file["targs"].shape != file["x0"].shape:
            raise FragmentError(
                f"{path}: x0 and targs have different shapes", "give sets that belong together"
            )
        if not 0 <= sample < count:
            raise FragmentError(
                f"{path} has the samples 0 … {count - 1}, not {sample}", "choose one of them"
            )
        labelled = "targs" in file
    shape = (depth, height, width)
    float32 = np.dtype(np.float32)
    return Fragment(
        name=f"{Path(path).stem}#{sample}",
        path=f"{os.path.abspath(path)}#{sample}",
        layout="muon",
        volume=MuonVolume(path, "x0", sample, shape, float32),
        voxel_size=isotropic(voxel_size),
        label=MuonVolume(path, "targs", sample, shape, float32) if labelled else None,
    )


def _check(path: str, key: str, data) -> None:
    import h5py

    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "buif":
        raise FragmentError(f"{path}: {key} is no data set of numbers", "give a muon set")
    if data.ndim != 4 or 0 in data.shape:
        raise FragmentError(
            f"{path}: {key} has the shape {data.shape}", "store samples as (sample, z, x, y)"
        )


def _opened(path: str):
    import h5py

    with reading(path), open(path, "rb"):  # tells missing and forbidden files apart
        pass
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise FragmentError(
            f"{path} is not a readable HDF5 file ({error})", "copy or download it again"
        ) from None
