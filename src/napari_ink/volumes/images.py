"""PNG and JPEG files: sizes from the header, pixels in strips, so that no plane is held twice."""

from __future__ import annotations

import os
import struct
import tempfile
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from napari_ink.errors import FragmentError
from napari_ink.volumes import png
from napari_ink.volumes.cache import DECODED
from napari_ink.volumes.files import reading
from napari_ink.volumes.planes import BasePlane
from napari_ink.volumes.tiff import brightness, truncated

_IN_MEMORY = 1 << 28  # a larger decoded plane goes to a temporary file


@dataclass(frozen=True)
class ImageFile:
    """A PNG or JPEG file, as grey levels.

    Attributes
    ----------
    path : str
    shape : tuple of int
        ``(y, x)``.
    dtype : numpy.dtype
        uint8 or uint16.
    colour : bool
        Whether it has colour or opacity, which are then folded into brightness.
    header : bytes
        Of a PNG: its IHDR; empty for a JPEG.
    tables : bytes
        Of a PNG: palette and transparency chunks.
    stamp : tuple of int
        Size and date of the file when it was opened.
    """

    path: str
    shape: tuple[int, int]
    dtype: np.dtype
    colour: bool
    header: bytes
    tables: bytes
    stamp: tuple[int, int]

    @classmethod
    def open(cls, path: str) -> ImageFile:
        """Read the header, and look whether the end is there.

        Raises
        ------
        FragmentError
            When the file is no PNG or JPEG, or truncated.
        """
        with reading(path), open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            stamp = (stat.st_size, stat.st_mtime_ns)
            start = file.read(8)
            try:
                if start == png.SIGNATURE:
                    return cls._png(path, file, stamp)
                if start[:2] == b"\xff\xd8":
                    return cls._jpeg(path, file, stamp)
            except (struct.error, IndexError):
                raise truncated(path, stat.st_size, None) from None
        raise FragmentError(f"{path} is neither PNG nor JPEG", "save it as PNG")

    @classmethod
    def _png(cls, path: str, file, stamp: tuple[int, int]) -> ImageFile:
        header, tables = b"", b""
        while True:
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind == b"IDAT":
                break
            data = file.read(length + 4)[:length]
            if kind == b"IHDR":
                header = data
            elif kind in (b"PLTE", b"tRNS"):
                tables += png.chunk(kind, data)
        file.seek(max(0, stamp[0] - 12))
        if b"IEND" not in file.read():
            raise truncated(path, stamp[0], None)
        width, height, bits, kind = struct.unpack(">IIBB", header[:10])
        if not png.exists(bits, kind):
            raise FragmentError(f"{path} is not a readable PNG", "copy or download it again")
        return cls(
            path,
            (height, width),
            np.dtype(np.uint16 if bits == 16 else np.uint8),
            kind != 0 or bool(tables),
            header,
            tables,
            stamp,
        )

    @classmethod
    def _jpeg(cls, path: str, file, stamp: tuple[int, int]) -> ImageFile:
        file.seek(2)
        while True:
            marker, kind = struct.unpack(">BB", file.read(2))
            while kind == 0xFF:  # fill bytes
                kind = file.read(1)[0]
            length = struct.unpack(">H", file.read(2))[0]
            if marker != 0xFF:
                raise FragmentError(f"{path} is not a readable JPEG", "copy or download it again")
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
                bits, height, width, channels = struct.unpack(">BHHB", file.read(6))
                break
            file.seek(length - 2, 1)
        file.seek(max(0, stamp[0] - (1 << 16)))
        if b"\xff\xd9" not in file.read():
            raise truncated(path, stamp[0], None)
        if bits != 8:
            raise FragmentError(f"{path} is a {bits}-bit JPEG", "save it as TIFF or PNG")
        return cls(path, (height, width), np.dtype(np.uint8), channels > 1, b"", b"", stamp)

    def strips(self) -> Iterator[tuple[int, np.ndarray]]:
        """First row and grey levels of each strip, from top to bottom.

        Raises
        ------
        FragmentError
            When the file cannot be decoded.
        """
        try:
            with reading(self.path):
                if self.header and not self.header[12]:  # not interlaced
                    for top, pixels in png.strips(self.path, self.header, self.tables):
                        yield top, self._grey(pixels)
                else:
                    yield 0, self._whole()
        except (ValueError, RuntimeError, zlib.error, struct.error) as error:
            raise FragmentError(
                f"{self.path} cannot be decoded ({error})", "copy or download it again"
            ) from error

    def _whole(self) -> np.ndarray:
        data = Path(self.path).read_bytes()
        if self.header:
            return self._grey(imagecodecs.png_decode(data))
        return imagecodecs.jpeg8_decode(data, outcolorspace="GRAYSCALE")

    def _grey(self, pixels: np.ndarray) -> np.ndarray:
        return pixels if pixels.ndim == 2 else brightness(pixels).astype(self.dtype)


class ImageLayer:
    """A layer stored as JPEG or PNG: decoded whole, kept while the cache has room."""

    def __init__(self, image: ImageFile) -> None:
        self.image = image
        self.path, self.shape, self.dtype = image.path, image.shape, image.dtype

    def read_into(self, out: np.ndarray, y: slice, x: slice) -> None:
        """Read the window into ``out``."""
        out[...] = DECODED.get((self.path, self.image.stamp), self._decode)[y, x]

    def _decode(self) -> np.ndarray:
        pixels = np.empty(self.shape, self.dtype)
        for top, strip in self.image.strips():
            pixels[top : top + len(strip)] = strip
        return pixels


class _DecodedPlane(BasePlane):
    """A plane of an image file, decoded as a whole at the first read and then kept."""

    def __init__(self, image: ImageFile) -> None:
        self.image = image
        self.path, self.shape, self.dtype = image.path, image.shape, image.dtype
        self._kept: np.ndarray | None = None
        self._lock = threading.Lock()

    def __reduce__(self):
        return type(self), (self.image,)

    def _pixels(self) -> np.ndarray:
        with self._lock:
            if self._kept is None:
                self._kept = self._decode()
            return self._kept

    def _decode(self) -> np.ndarray:
        raise NotImplementedError


class ImagePlane(_DecodedPlane):
    """Grey levels of a PNG or JPEG; beyond 256 MB they lie in a temporary file, not in memory."""

    def _decode(self) -> np.ndarray:
        size = self.shape[0] * self.shape[1] * self.dtype.itemsize
        if size <= _IN_MEMORY:
            pixels = np.empty(self.shape, self.dtype)
        else:
            with tempfile.TemporaryFile(prefix="napari-ink-") as file:  # the map outlives its name
                pixels = np.memmap(file, self.dtype, "w+", shape=self.shape)
        for top, strip in self.image.strips():
            pixels[top : top + len(strip)] = strip
        return pixels

    def _read(self, y: slice, x: slice) -> np.ndarray:
        return np.array(self._pixels()[y, x])


class ImageMask(_DecodedPlane):
    """A mask in a PNG or JPEG, one bit a pixel; what is above zero, in a JPEG half, is inside."""

    def __init__(self, image: ImageFile) -> None:
        super().__init__(image)
        self.dtype = np.dtype(bool)

    def _decode(self) -> np.ndarray:
        threshold = 0 if self.image.header else 127
        bits = np.empty((self.shape[0], -(-self.shape[1] // 8)), np.uint8)
        for top, strip in self.image.strips():
            bits[top : top + len(strip)] = np.packbits(strip > threshold, axis=1)
        return bits

    def _read(self, y: slice, x: slice) -> np.ndarray:
        first = x.start // 8
        octets = self._pixels()[y, first : -(-x.stop // 8)]
        bits = np.unpackbits(octets, axis=1)[:, x.start - 8 * first : x.stop - 8 * first]
        return bits.astype(bool)
