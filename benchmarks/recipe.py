"""36,000 windows chosen from five labels of 8,000 × 6,000 pixels: how long, how much memory.

    python benchmarks/recipe.py [--json] [--side PX]

Five fragments as on disk, 65 sparse layers (they take no disk) with an anti-aliased label of
letter-like strokes and a papyrus mask, both PNG. Four of them are learned from as in the recipe's
report: 4,000 + (4,000 + 6,000 from two parts of equal mask area) + 6,000 + 4,000 windows at the
border of ink, and half as many without ink, 36,000 in all. The fifth, whose windows are chosen
too, is validated on. Everything counts, in a process of its own: opening, reading labels and
masks, edges, choice, and writing the table.

seconds           from the configuration to the file; budget < 30 s
open_seconds, select_seconds, write_seconds     its parts
cpu_seconds       of this process: what it would take on a machine that does nothing else
memory            bytes, growth of the largest resident set over that of the imports; budget < 1 GB
rows, train       windows in the table, and those learned from
shortfalls        quotas that were not met
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEIGHT, WIDTH, LAYERS = 8000, 6000, 65
SIDE, CONTEXT = 64, 32
#: Fragment, part, windows with ink and without; the last one is validated on.
SOURCES = (
    (1, "", 4000, 2000),
    (2, "1/2", 4000, 2000),
    (2, "2/2", 6000, 3000),
    (3, "", 6000, 3000),
    (4, "", 4000, 2000),
    (5, "", 4000, 2000),
)
BUDGET = {"seconds": 30.0, "memory": 1e9}


def make_fragment(folder: Path, number: int, height: int, width: int) -> None:
    """A Kaggle folder: sparse layers, strokes as wide as those of real letters, a ragged mask."""
    import numpy as np
    import tifffile
    from PIL import Image, ImageDraw, ImageFilter

    random = np.random.default_rng(number)
    (folder / "surface_volume").mkdir(parents=True)
    for layer in range(LAYERS):
        path = folder / "surface_volume" / f"{layer:02}.tif"
        values = tifffile.memmap(path, shape=(height, width), dtype=np.uint8)
        y, x = height // 4, width // 4  # where a fingerprint looks: no two fragments are one
        values[y : y + 32, x : x + 32] = random.integers(0, 255, (32, 32))
        del values
    label, mask = (Image.new("L", (width, height)) for _ in range(2))
    draw = ImageDraw.Draw(label)
    for top in range(150, height - 500, 620):
        for left in range(150, width - 400, 450):  # letters of some 460 px, strokes of some 52
            joints = [
                (left + int(random.integers(360)), top + int(random.integers(460)))
                for _ in range(random.integers(3, 6))
            ]
            draw.line(joints, 255, int(random.integers(44, 60)), "curve")
    rim = [(60, 90), (width - 40, 30), (width - 90, height - 80), (width // 2, height - 20)]
    ImageDraw.Draw(mask).polygon([*rim, (30, height - 120)], 255)
    label.filter(ImageFilter.GaussianBlur(1)).save(folder / "inklabels.png", compress_level=1)
    mask.save(folder / "mask.png", compress_level=1)


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def choose(folder: Path, side: int) -> dict:
    """From configuration to table, in this process."""
    import numpy as np

    from napari_ink.volumes.intensity import Recipe
    from training.dataset.config import SelectionConfig, SourceConfig
    from training.dataset.opening import open_sources
    from training.dataset.table import select_windows

    configs = [
        SourceConfig(str(folder / str(n)), part=part, windows=windows, void=void, validation=n == 5)
        for n, part, windows, void in SOURCES
    ]
    before, start, cpu = peak_bytes(), time.perf_counter(), time.process_time()
    recipe = Recipe("percentile", low=1, high=99)
    sources = open_sources(configs, recipe=recipe, depth=64, context=CONTEXT, tasks=("ink",))
    opened = time.perf_counter()
    table = select_windows(sources, side, SelectionConfig(), seed=1)
    selected = time.perf_counter()
    table.write(folder / "windows.parquet")
    end = time.perf_counter()
    return {
        "seconds": end - start,
        "open_seconds": opened - start,
        "select_seconds": selected - opened,
        "write_seconds": end - selected,
        "cpu_seconds": time.process_time() - cpu,
        "memory": peak_bytes() - before,
        "rows": len(table),
        "train": int(np.count_nonzero(table.split == "train")),
        "shortfalls": [str(shortfall) for shortfall in table.shortfalls],
    }


def main() -> int:
    """Make the fragments, choose, print, and say which budgets were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", type=int, default=SIDE, metavar="PX", help="of a window")
    parser.add_argument("--height", type=int, default=HEIGHT, metavar="PX")
    parser.add_argument("--width", type=int, default=WIDTH, metavar="PX")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        make_fragment(Path(args.make[0]), int(args.make[1]), args.height, args.width)
        return 0
    if args.one:
        print(json.dumps(choose(Path(args.one), args.side)))
        return 0

    def run_apart(*arguments) -> bytes:
        # every step in a process of its own: a child starts with its parent's peak
        command = [sys.executable, __file__, *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    size = ("--height", args.height, "--width", args.width)
    with tempfile.TemporaryDirectory() as folder:
        for number in sorted({source[0] for source in SOURCES}):
            run_apart("--make", Path(folder) / str(number), number, *size)
        found = json.loads(run_apart("--one", folder, "--side", args.side))
    found["missed"] = [key for key, limit in BUDGET.items() if found[key] > limit]
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for key, value in found.items():
        print(f"{key:<16}{value:.3g}" if isinstance(value, float) else f"{key:<16}{value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
