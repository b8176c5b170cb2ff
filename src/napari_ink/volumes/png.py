"""Pixels of a PNG in strips, in the memory of one strip.

Masks reach 36,000 × 36,000 pixels, which libraries decode whole or refuse. A row refers to the
row above it only, so a strip with the decoded row before it is a complete small PNG of its own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_STRIP = 1 << 24  # bytes


def exists(bits: int, kind: int) -> bool:
    """Whether the format has such samples, by their bits and colour type."""
    return bits in _BITS.get(kind, ())


def strips(path: str, header: bytes, tables: bytes) -> Iterator[tuple[int, np.ndarray]]:
    """First row and pixels of each strip of a PNG that is not interlaced.

    Parameters
    ----------
    path : str
    header : bytes
        Contents of its IHDR.
    tables : bytes
        Its palette and transparency chunks.

    Raises
    ------
    ValueError, RuntimeError, zlib.error, struct.error
        When the file is damaged.
    """
    width, height, bits, kind = struct.unpack(">IIBB", header[:10])
    row = 1 + (width * bits * _CHANNELS[kind] + 7) // 8
    rows = max(1, _STRIP // row)
    before = b""  # the decoded bytes of the row above, as an unfiltered row
    stream = _Inflated(path)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        data = stream.read(count * row)
        if len(data) < count * row:
            raise ValueError("it ends too early")
        pixels, before = _decode(header, tables, before, data, count)
        yield top, pixels


def _decode(
    header: bytes, tables: bytes, before: bytes, data: bytes, rows: int
) -> tuple[np.ndarray, bytes]:
    """Pixels of some filtered rows, and the bytes of the last one unfiltered."""
    full_width, _, bits, kind = struct.unpack(">IIBB", header[:10])
    lead = 1 if before else 0
    # Filters work on bytes: palettes and samples below a byte pass as grey levels here.
    width = len(data) // rows - 1 if bits < 8 else full_width
    raw = imagecodecs.png_decode(
        png(width, rows + lead, max(bits, 8), kind if kind != 3 else 0, before + data)
    )[lead:]
    octets = raw.astype(">u2" if bits == 16 else np.uint8).reshape(rows, -1).view(np.uint8)
    last = b"\0" + octets[-1].tobytes()
    if bits >= 8 and not tables:
        return raw, last
    unfiltered = np.pad(octets, ((0, 0), (1, 0))).tobytes()
    return imagecodecs.png_decode(png(full_width, rows, bits, kind, unfiltered, tables)), last


class _Inflated:
    """The inflated image data of a PNG, read piece by piece."""

    def __init__(self, path: str) -> None:
        self._chunks = self._compressed(path)
        self._inflate = zlib.decompressobj()

    @staticmethod
    def _compressed(path: str) -> Iterator[bytes]:
        with open(path, "rb") as file:
            file.seek(8)
            while True:
                length, kind = struct.unpack(">I4s", file.read(8))
                if kind == b"IDAT":
                    left = length
                    while left:
                        data = file.read(min(left, 1 << 20))
                        if not data:
                            return
                        left -= len(data)
                        yield data
                    file.seek(4, 1)
                elif kind == b"IEND":
                    return
                else:
                    file.seek(length + 4, 1)

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end."""
        pieces, missing = [], size
        while missing:
            source = self._inflate.unconsumed_tail or next(self._chunks, b"")
            if not source and self._inflate.eof:
                break
            piece = self._inflate.decompress(source, missing)
            if not piece and not source:
                break
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


def png(width: int, height: int, bits: int, kind: int, rows: bytes, tables: bytes = b"") -> bytes:
    """A PNG file of filtered rows, stored rather than compressed."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    data = zlib.compress(rows, 0)
    return SIGNATURE + chunk(b"IHDR", header) + tables + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
