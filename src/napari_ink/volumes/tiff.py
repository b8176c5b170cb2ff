"""One image of a TIFF file, read by window: mapped where it is plain, by strip or tile where not.

Only headers are held. A file is open while a window is read and closed again, so any number of
layers needs no more than one descriptor a thread.
"""

from __future__ import annotations

import io
import logging
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import tifffile

from napari_ink.errors import FragmentError
from napari_ink.volumes.cache import DECODED
from napari_ink.volumes.files import reading
from napari_ink.volumes.planes import BasePlane

# Its complaints about damaged files are raised here as one error that names the file.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_WHOLE = 1 << 20  # decoded bytes from which on a segment is worth keeping
_GAP = 1 << 16  # bytes between segments that are cheaper to read than to skip


@dataclass(frozen=True, eq=False)
class TiffImage:
    """One ``(y, x)`` image in a TIFF file.

    Attributes
    ----------
    path : str
    page : int
        Position in the file's chain of pages.
    shape : tuple of int
        ``(y, x)``.
    dtype : numpy.dtype
        In native byte order.
    samples : int
        Colour channels; reading gives their mean brightness.
    start : int or None
        Where the pixels begin, if they lie plainly one after the other.
    order : str
        Byte order of plain pixels.
    segment : tuple of int
        ``(y, x)`` of a strip or tile.
    offsets, counts : numpy.ndarray
        Where each segment lies, row by row; a count of 0 is a segment of zeros.
    stamp : tuple of int
        Size and date of the file when it was opened.
    """

    path: str
    page: int
    shape: tuple[int, int]
    dtype: np.dtype
    samples: int
    start: int | None
    order: str
    segment: tuple[int, int]
    offsets: np.ndarray
    counts: np.ndarray
    stamp: tuple[int, int]
    tables: bytes | None = None
    decode: Callable | None = None

    def __reduce__(self):
        return _reopen, (self.path, self.page, self.start)

    @classmethod
    def of_page(cls, path: str, page: tifffile.TiffPage, position: int, size: int) -> TiffImage:
        """The image of an open page.

        Raises
        ------
        FragmentError
            When pixels are missing at the end of the file, or it is no kind of image used here.
        """
        planar = page.planarconfig == 2 and page.samplesperpixel > 1
        if page.dtype is None or page.imagedepth > 1 or planar or not page.shape:
            raise FragmentError(
                f"{path} is no plain image of grey levels", "save it as 8-bit or 16-bit greyscale"
            )
        offsets = np.asarray(page.dataoffsets, np.int64)
        counts = np.asarray(page.databytecounts, np.int64)
        shape = (page.imagelength, page.imagewidth)
        segment = (
            (page.tilelength, page.tilewidth)
            if page.is_tiled
            else (min(page.rowsperstrip, shape[0]), shape[1])
        )
        wanted = -(-shape[0] // segment[0]) * -(-shape[1] // segment[1])
        itemsize = page.dtype.itemsize
        start = None
        # Some writers give one count for all strips; a plain image needs its offset alone.
        if page.is_final and page.samplesperpixel == 1 and offsets.size:
            start = int(offsets[0])
            end = start + shape[0] * shape[1] * itemsize
        else:
            end = int((offsets + counts).max(initial=0))
            if len(offsets) < wanted or len(counts) < wanted:
                end = size + 1
        if end > size:
            raise truncated(path, size, end)
        stat = os.stat(path)
        return cls(
            path=path,
            page=position,
            shape=shape,
            dtype=np.dtype(page.dtype).newbyteorder("="),
            samples=page.samplesperpixel,
            start=start,
            order=page.parent.byteorder,
            segment=segment,
            offsets=offsets,
            counts=counts,
            stamp=(stat.st_size, stat.st_mtime_ns),
            tables=page.jpegtables,
            decode=page.decode if start is None else None,
        )

    def read(self, y: slice, x: slice) -> np.ndarray:
        """The window, bounds resolved."""
        out = np.empty((y.stop - y.start, x.stop - x.start), self.dtype)
        self.read_into(out, y, x)
        return out

    def read_into(self, out: np.ndarray, y: slice, x: slice) -> None:
        """Read the window into ``out``.

        Raises
        ------
        FragmentError
            When the file changed, or a strip or tile cannot be decoded.
        """
        with reading(self.path), open(self.path, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size < self.stamp[0]:
                raise FragmentError(
                    f"{self.path} became shorter since it was opened", "restore it and open again"
                )
            if self.start is None:
                self._read_segments(file, out, y, x)
            else:
                self._read_plain(file, out, y, x)

    def _read_plain(self, file, out: np.ndarray, y: slice, x: slice) -> None:
        dtype = self.dtype.newbyteorder(self.order)
        if x == slice(0, self.shape[1]):
            file.seek(self.start + y.start * self.shape[1] * dtype.itemsize)
            rows = np.fromfile(file, dtype, out.size)
            if rows.size < out.size:
                raise truncated(self.path, self.stamp[0], None)
            out[...] = rows.reshape(out.shape)
            return
        # Row by row costs less than a memory map when the file is not in the page cache, and a
        # file cut short meanwhile is an error instead of a crash.
        plain = out if dtype == out.dtype else np.empty(out.shape, dtype)
        pitch = self.shape[1] * dtype.itemsize
        first = self.start + y.start * pitch + x.start * dtype.itemsize
        starts = range(first, first + len(plain) * pitch, pitch)
        if hasattr(os, "posix_fadvise"):  # the disk fetches all rows at once, not one a turn
            for start in starts:
                os.posix_fadvise(file.fileno(), start, plain[0].nbytes, os.POSIX_FADV_WILLNEED)
        for start, pixels in zip(starts, plain, strict=True):
            file.seek(start)
            if file.readinto(pixels) != pixels.nbytes:
                raise truncated(self.path, self.stamp[0], None)
        if plain is not out:
            out[...] = plain

    def _read_segments(self, file, out: np.ndarray, y: slice, x: slice) -> None:
        high, wide = self.segment
        across = -(-self.shape[1] // wide)
        columns = range(x.start // wide, -(-x.stop // wide))
        for row in range(y.start // high, -(-y.stop // high)):
            y0, y1 = max(y.start, row * high), min(y.stop, (row + 1) * high)
            indices = [row * across + column for column in columns]
            for column, pixels in zip(columns, self._segments(file, indices), strict=True):
                x0, x1 = max(x.start, column * wide), min(x.stop, (column + 1) * wide)
                part = out[y0 - y.start : y1 - y.start, x0 - x.start : x1 - x.start]
                if pixels is None:
                    part[...] = 0
                else:
                    top, left = row * high, column * wide
                    part[...] = pixels[y0 - top : y1 - top, x0 - left : x1 - left]

    def _segments(self, file, indices: list[int]) -> Iterator[np.ndarray | None]:
        """Decoded pixels of each segment; ``None`` for one that is not stored, all zeros."""
        offsets, counts = self.offsets[indices].tolist(), self.counts[indices].tolist()
        if self.segment[0] * self.segment[1] * self.dtype.itemsize >= _WHOLE:
            for index, offset, count in zip(indices, offsets, counts, strict=True):
                key = (self.path, self.page, index, self.stamp)
                load = partial(self._load, file, index, offset, count)
                yield DECODED.get(key, load) if count else None
            return
        begin = min(offsets)
        size = max(map(sum, zip(offsets, counts, strict=True))) - begin
        if size <= sum(counts) + _GAP:  # neighbours in the file are read in one go
            file.seek(begin)
            block = io.BytesIO(file.read(size))
        else:
            block, begin = file, 0
        for index, offset, count in zip(indices, offsets, counts, strict=True):
            yield self._load(block, index, offset - begin, count) if count else None

    def _load(self, file, index: int, offset: int, count: int) -> np.ndarray:
        file.seek(offset)
        data = file.read(count)
        try:
            pixels = self.decode(data, index, jpegtables=self.tables)[0][0]
        except Exception as error:
            raise FragmentError(
                f"{self.path}: strip or tile {index} cannot be decoded ({error})",
                "copy or download the file again",
            ) from error
        return pixels[..., 0] if self.samples == 1 else brightness(pixels).astype(self.dtype)


class TiffPlane(BasePlane):
    """A mask, label or infrared image in a TIFF file."""

    def __init__(self, image: TiffImage) -> None:
        self.image = image
        self.path = image.path
        self.shape = image.shape
        self.dtype = image.dtype
        self.band_rows = image.segment[0]

    def _read(self, y: slice, x: slice) -> np.ndarray:
        return self.image.read(y, x)


def open_tiff(path: str) -> tifffile.TiffFile:
    """The parsed headers of a TIFF file.

    Raises
    ------
    FragmentError
        When there are none.
    """
    with reading(path):
        try:
            return tifffile.TiffFile(path)
        except OSError:
            raise
        except Exception as error:
            raise FragmentError(
                f"{path} is not a readable TIFF ({error})", "copy or download it again"
            ) from error


def open_image(path: str) -> TiffImage:
    """The one image of a TIFF file; reduced copies of it may follow.

    Raises
    ------
    FragmentError
        When the file is damaged, or holds several images.
    """
    with open_tiff(path) as file:
        check_chain(path, file)
        try:
            page = file.pages.first
            several = file.pages.is_multipage and not all(
                other.is_reduced for other in file.pages[1:]
            )
        except Exception as error:
            raise truncated(path, file.filehandle.size, None) from error
        if several:
            raise FragmentError(
                f"{path} holds {len(file.pages)} pages where one layer was expected",
                "open the stack itself, or give one file a layer",
            )
        return TiffImage.of_page(path, page, 0, file.filehandle.size)


def truncated(path: str, size: int, wanted: int | None) -> FragmentError:
    """The error of a file that ends too early."""
    short = "" if wanted is None or wanted == size + 1 else f", {wanted:,} are needed"
    return FragmentError(
        f"{path} is truncated: it has {size:,} bytes{short}", "copy or download it again"
    )


def brightness(pixels: np.ndarray) -> np.ndarray:
    """Grey levels of ``(y, x, channel)``: luminance (Rec. 601) times opacity, float32."""
    channels = pixels.shape[-1]
    grey = (
        pixels[..., :3] @ np.float32([0.299, 0.587, 0.114])
        if channels >= 3
        else pixels[..., 0].astype(np.float32)
    )
    if channels in (2, 4):
        full = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
        grey = grey * (pixels[..., -1] / np.float32(full))
    return np.rint(grey) if pixels.dtype.kind == "u" else grey


def check_chain(path: str, file: tifffile.TiffFile) -> None:
    """Follow the chain of pages to its end, which tifffile does too, but silently.

    Raises
    ------
    FragmentError
        When it leads out of the file.
    """
    tiff, handle = file.tiff, file.filehandle
    where, seen = 8 if tiff.is_bigtiff else 4, set()
    while True:
        handle.seek(where)
        data = handle.read(tiff.offsetsize)
        if len(data) < tiff.offsetsize:
            raise truncated(path, handle.size, where + tiff.offsetsize)
        offset = struct.unpack(tiff.offsetformat, data)[0]
        if offset == 0 or offset in seen:
            return
        seen.add(offset)
        handle.seek(offset)
        data = handle.read(tiff.tagnosize)
        if len(data) < tiff.tagnosize:
            raise truncated(path, handle.size, offset + tiff.tagnosize)
        tags = struct.unpack(tiff.tagnoformat, data)[0]
        where = offset + tiff.tagnosize + tags * tiff.tagsize


def _reopen(path: str, page: int, start: int | None) -> TiffImage:
    with open_tiff(path) as file:
        image = TiffImage.of_page(path, file.pages[page], page, file.filehandle.size)
    return replace(image, start=start)
