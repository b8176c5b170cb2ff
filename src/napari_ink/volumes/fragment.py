"""The fragment: one volume with everything known about it, read lazily."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np

from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes.planes import ArrayPlane, LabelPlane, MaskPlane, bounds

_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")


@runtime_checkable
class Volume(Protocol):
    """Anything that reads windows of a ``(z, y, x)`` volume; safe to call from many threads."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""

    @property
    def dtype(self) -> np.dtype:
        """Of what :meth:`read` returns."""

    def read(self, z: slice, y: slice, x: slice) -> np.ndarray:
        """The window; bounds are resolved, ``0 <= start <= stop <= size``, step 1."""


@runtime_checkable
class Plane(Protocol):
    """Anything that reads windows of a ``(y, x)`` image; ``np.asarray(plane)`` reads it whole."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(y, x)``."""

    @property
    def dtype(self) -> np.dtype:
        """Of what :meth:`read` returns."""

    def read(self, y: slice = slice(None), x: slice = slice(None)) -> np.ndarray:
        """The window, numpy slice semantics, step 1."""

    def __array__(self, dtype=None, copy=None) -> np.ndarray: ...


@dataclass(frozen=True)
class ArrayVolume:
    """A volume held by anything that slices like an array: numpy, zarr, dask, a memory map."""

    array: object

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""
        return tuple(int(size) for size in self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of the array."""
        return np.dtype(self.array.dtype)

    def read(self, z: slice, y: slice, x: slice) -> np.ndarray:
        """A copy of the window, so that no caller changes the volume."""
        return np.array(self.array[z, y, x])


@dataclass(frozen=True, eq=False)
class Fragment:
    """A papyrus fragment or segment: its CT stack, what is known of it, and how to read it.

    Attributes
    ----------
    name : str
        For people: the folder's or the file's name.
    path : str
        What was opened, a path or a URL; empty for arrays.
    layout : str
        ``kaggle``, ``segment``, ``tiff``, ``zarr2``, ``zarr3``, ``ome-zarr``, ``muon`` or
        ``array``.
    volume : Volume
        The stack, ``(z, y, x)``, as stored.
    voxel_size : tuple of float or None
        Micrometres along ``(z, y, x)``; ``None`` where nothing recorded it.
    mask : Plane or None
        Where there is papyrus, ``(y, x)`` bool; ``None``: everywhere.
    label : Plane or Volume or None
        Ink in [0, 1], float32, ``(y, x)``; a ``(z, y, x)`` volume for muon targets.
    infrared : Plane or None
        Infrared photograph, ``(y, x)``, its own grey levels.
    supervision : Plane or None
        Where the label is to be believed, bool; unlabelled is not negative.
    validation : Plane or None
        What was held out from training, bool.
    first_layer : int
        The number of the first stored layer (files may start anywhere).
    levels : tuple of Volume
        Coarser levels of a pyramid, where the layout has one: for viewing only.
    simulated : bool
        Whether ``meta.json`` says that no scanner ever saw it.

    Raises
    ------
    FragmentError
        When parts do not fit one another or cannot be used.
    """

    name: str
    path: str
    layout: str
    volume: Volume
    voxel_size: tuple[float, float, float] | None = None
    mask: Plane | None = None
    label: Plane | Volume | None = None
    infrared: Plane | None = None
    supervision: Plane | None = None
    validation: Plane | None = None
    first_layer: int = 0
    levels: tuple[Volume, ...] = ()
    simulated: bool = False

    def __post_init__(self) -> None:
        where = self.path or self.name
        if len(self.volume.shape) != 3 or 0 in self.volume.shape:
            raise FragmentError(
                f"{where} has the shape {_times(self.volume.shape)}",
                "give a volume of layers, rows and columns (z, y, x)",
            )
        if self.dtype.name not in _DTYPES:
            raise FragmentError(
                f"{where} holds {self.dtype.name} values", "convert it to uint8, uint16 or float32"
            )
        for what in ("mask", "label", "infrared", "supervision", "validation"):
            plane = getattr(self, what)
            if plane is not None and tuple(plane.shape)[-2:] != self.shape[1:]:
                raise FragmentError(
                    f"{getattr(plane, 'path', None) or f'the {what} of {self.name}'} has "
                    f"{_times(plane.shape[-2:])} pixels, the layers have {_times(self.shape[1:])}",
                    f"give a {what} of the layers' size, or move it away",
                )

    @classmethod
    def from_array(
        cls,
        volume,
        *,
        name: str = "array",
        voxel_size: float | Iterable[float] | None = None,
        mask=None,
        label=None,
        infrared=None,
        supervision=None,
        validation=None,
        first_layer: int = 0,
        simulated: bool = False,
    ) -> Fragment:
        """A fragment of arrays in memory (or of anything that slices like one).

        Parameters
        ----------
        volume : array_like
            ``(z, y, x)``; never copied as a whole.
        voxel_size : float or tuple of float, optional
            Micrometres, one for all or ``(z, y, x)``.
        mask, supervision, validation : array_like, optional
            ``(y, x)``; above zero is yes.
        label : array_like, optional
            ``(y, x)``: bool, [0, 1] in floats or 0/1-valued integers, or grey levels of 255.
        infrared : array_like, optional
            ``(y, x)``.

        Returns
        -------
        Fragment

        Raises
        ------
        FragmentError
            When sizes differ, or the label is NaN or outside [0, 1].
        """
        if isinstance(volume, list | tuple):
            volume = np.asarray(volume)

        def mask_plane(array):
            return None if array is None else MaskPlane(ArrayPlane(np.asarray(array)))

        plane = None
        if label is not None:
            plane = LabelPlane(ArrayPlane(np.asarray(label)), f"the label of {name}")
            plane.check()
        return cls(
            name=name,
            path="",
            layout="array",
            volume=ArrayVolume(volume),
            voxel_size=isotropic(voxel_size),
            mask=mask_plane(mask),
            label=plane,
            infrared=None if infrared is None else ArrayPlane(np.asarray(infrared)),
            supervision=mask_plane(supervision),
            validation=mask_plane(validation),
            first_layer=int(first_layer),
            simulated=simulated,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)`` of the stack."""
        return tuple(self.volume.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of the stack, as stored."""
        return np.dtype(self.volume.dtype)

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    def read(
        self,
        z: slice | None = None,
        y: slice | None = None,
        x: slice | None = None,
    ) -> np.ndarray:
        """Read one window, touching only the bytes it needs.

        Safe to call from many threads.

        Parameters
        ----------
        z, y, x : slice, optional
            Half-open, counted from 0 whatever the layers' numbers, step 1; ``None`` and negative
            bounds as in numpy.

        Returns
        -------
        numpy.ndarray
            ``(z, y, x)``, the stack's dtype, the caller's to change.

        Raises
        ------
        FragmentError
            When the bytes cannot be read or decoded; names the file or chunk.
        """
        window = tuple(bounds(part, size) for part, size in zip((z, y, x), self.shape, strict=True))
        shape = tuple(part.stop - part.start for part in window)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        return self.volume.read(*window)

    def layer_range(self, first: int, end: int) -> slice:
        """The z slice of the layers ``first:end`` in stored numbering.

        Raises
        ------
        SettingsError
            When the range is empty or reaches outside the stored layers.
        """
        stop = self.first_layer + self.shape[0]
        if not self.first_layer <= first < end <= stop:
            raise SettingsError(
                f"{self.name} has the layers {self.first_layer}:{stop}, not {first}:{end}",
                "choose a range inside",
            )
        return slice(first - self.first_layer, end - self.first_layer)

    def at_voxel_size(self, voxel_size: float | Iterable[float] | None) -> Fragment:
        """The same pixels with another voxel size in µm, as somebody told it.

        Raises
        ------
        FragmentError
            When it is not one or three positive numbers.
        """
        told = replace(self, voxel_size=isotropic(voxel_size))
        if "_fingerprint" in self.__dict__:  # it does not depend on the size: not read again
            told.__dict__["_fingerprint"] = self._fingerprint
        return told

    def fingerprint(self) -> str:
        """A cheap, stable hash of the pixels; the same for a copy, also in another layout.

        Shape, dtype and up to eight layers at 36 places of 32 × 32 pixels count: letters are
        hardly written between them. Name, path, dates, compression and voxel size do not: a
        fragment converted or given its voxel size later is still the fragment that a network was
        trained on.

        Returns
        -------
        str
            32 hexadecimal digits.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        depth, height, width = self.shape
        digest = hashlib.sha256(repr((self.shape, self.dtype.name)).encode())
        layers = sorted({round(part * (depth - 1) / 7) for part in range(8)})
        for z in layers:
            for down, right in product((1, 3, 5, 7, 9, 11), repeat=2):
                y, x = height * down // 12, width * right // 12
                window = self.read(slice(z, z + 1), slice(y, y + 32), slice(x, x + 32))
                digest.update(np.ascontiguousarray(window).tobytes())
        return digest.hexdigest()[:32]


def isotropic(voxel_size: float | Iterable[float] | None) -> tuple[float, float, float] | None:
    """Voxel size as ``(z, y, x)`` in µm; one number stands for all three.

    Raises
    ------
    FragmentError
        When it is not one or three positive numbers.
    """
    if voxel_size is None:
        return None
    sizes = np.atleast_1d(np.asarray(voxel_size, float))
    if sizes.shape not in ((1,), (3,)) or not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise FragmentError(
            f"the voxel size {voxel_size} is not usable", "give one or three positive numbers in µm"
        )
    return tuple(float(size) for size in np.broadcast_to(sizes, 3))


def _times(shape: Iterable[int]) -> str:
    return " × ".join(str(size) for size in shape)
