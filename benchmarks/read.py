"""How long a window of a big folder of layers takes, and how much memory.

The claim: 256 × 256 pixels of 65 uncompressed uint16 layers of 8,000 × 6,000 pixels are read in
less than 0.2 s and 300 MB, and the folder opens in less than 0.5 s. The files are sparse, so the
disk is not measured, only what the program does; ``--full`` writes 6 GB of noise instead and also
reads windows with an empty page cache, beside the same number of pages from random places, which
is what the disk allows (Linux).

Run: ``python benchmarks/read.py [--json] [--full] [--folder DIR]``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_ink import open_fragment
from napari_ink.volumes.fragment import Fragment

DEPTH, HEIGHT, WIDTH, SIDE = 65, 6000, 8000, 256
PAGE = 4096  # bytes that Linux reads at least


def main() -> None:
    """Write the layers, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--full", action="store_true", help="real bytes instead of sparse files")
    parser.add_argument("--folder", help="where to write; a temporary folder by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        layers = Path(folder) / "layers"
        layers.mkdir()
        write(layers, args.full)
        result = measure(Path(folder), args.full)
    if args.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<24}{value:.3g}" if isinstance(value, float) else f"{name:<24}{value}")


def write(folder: Path, full: bool) -> None:
    """65 layers, uncompressed, one strip a row as some scanners write them."""
    noise = np.random.default_rng(0).integers(0, 65535, (HEIGHT, WIDTH), np.uint16)
    for number in range(DEPTH):
        path = folder / f"{number:02}.tif"
        if full:
            tifffile.imwrite(path, noise, rowsperstrip=1, metadata=None)
        else:
            tifffile.imwrite(path, shape=noise.shape, dtype=noise.dtype, rowsperstrip=1)


def measure(folder: Path, full: bool) -> dict:
    """Seconds and megabytes: the first read, the median of ten, with ``full`` also of five cold."""
    for path in folder.rglob("*.tif"):
        forget(path)
    start = time.perf_counter()
    fragment = open_fragment(folder)
    opened = time.perf_counter() - start
    before = peak_megabytes()
    seconds = []
    for number in range(10):
        y, x = 2000 + 200 * number, 3000 + 300 * number
        start = time.perf_counter()
        fragment.read(None, slice(y, y + SIDE), slice(x, x + SIDE))
        seconds.append(time.perf_counter() - start)
    memory, cold = peak_megabytes(), {}
    if full:
        cold = {"cold_window_seconds": cold_seconds(fragment, folder), "disk_seconds": disk(folder)}
    return {
        "shape": list(fragment.shape),
        "open_seconds": opened,
        "first_window_seconds": seconds[0],
        "window_seconds": statistics.median(seconds),
        "window_megabytes": memory - before,
        "process_megabytes": memory,
        **cold,
        "budget": {"window_seconds": 0.2, "window_megabytes": 300, "open_seconds": 0.5},
    }


def cold_seconds(fragment: Fragment, folder: Path) -> float:
    """A window that is nowhere in memory, median of five places."""
    seconds = []
    for number in range(5):
        for path in folder.rglob("*.tif"):
            forget(path)
        y, x = 500 + 1000 * number, 300 + 1400 * number
        start = time.perf_counter()
        fragment.read(None, slice(y, y + SIDE), slice(x, x + SIDE))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def disk(folder: Path) -> float:
    """The disk's own time for one page a row of a window, at random places, asked for at once."""
    places = np.random.default_rng(0)
    seconds = []
    for _ in range(5):
        files = []
        for path in folder.rglob("*.tif"):
            forget(path)
            files.append(os.open(path, os.O_RDONLY))
        pages = HEIGHT * WIDTH * 2 // PAGE
        starts = [np.sort(places.choice(pages, SIDE, replace=False)) * PAGE for _ in files]
        start = time.perf_counter()
        for file, offsets in zip(files, starts, strict=True):
            for offset in offsets.tolist():
                os.posix_fadvise(file, offset, PAGE, os.POSIX_FADV_WILLNEED)
        for file, offsets in zip(files, starts, strict=True):
            for offset in offsets.tolist():
                os.pread(file, PAGE, offset)
        seconds.append(time.perf_counter() - start)
        for file in files:
            os.close(file)
    return statistics.median(seconds)


def forget(path: Path) -> None:
    """Drop a file from the page cache, where the system can."""
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def peak_megabytes() -> float:
    """Largest resident size so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
