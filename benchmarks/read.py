"""How long a window of a big folder of layers takes, and how much memory.

The claim: 256 × 256 pixels of 65 uncompressed uint16 layers of 8,000 × 6,000 pixels are read in
less than 0.2 s and 300 MB, and the folder opens in less than 0.5 s. The files are sparse, so the
disk is not measured, only what the program does; ``--full`` writes 6 GB of noise instead and
empties the page cache before the first read (Linux).

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

DEPTH, HEIGHT, WIDTH, SIDE = 65, 6000, 8000, 256


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
        result = measure(Path(folder))
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


def measure(folder: Path) -> dict:
    """Seconds and megabytes, first read and median of ten."""
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
    return {
        "shape": list(fragment.shape),
        "open_seconds": opened,
        "first_window_seconds": seconds[0],
        "window_seconds": statistics.median(seconds),
        "window_megabytes": peak_megabytes() - before,
        "process_megabytes": peak_megabytes(),
        "budget": {"window_seconds": 0.2, "window_megabytes": 300, "open_seconds": 0.5},
    }


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
