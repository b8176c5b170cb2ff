"""Peak memory of a prediction: the same for a 2 GB and a 26 GB fragment.

    python benchmarks/memory.py --json

Both are folders of uncompressed layers whose files are sparse (they take no disk), with papyrus in
the same number of places spread over the plane, so that the same work is done on both. Each is
predicted in a process of its own, from open_fragment to the finished store.

peak_small, peak_large   bytes, largest resident set of the process
ratio                    large : small; budget within 10 %
beyond_network           bytes that the larger prediction took beyond a process in which torch and
                         the network are loaded; budget < 3 GB
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

LAYERS = 65
SIDES = {"small": 5_600, "large": 20_000}  # px: 2.0 and 26 GB of 8 bits
PLACES = 5  # along each axis
PATCH = 224  # px of papyrus at each place: tiles of 256 less the halo, each filled
LIMIT = 3e9
TOLERANCE = 0.10


def make_fragment(folder: Path, side: int) -> None:
    """A Kaggle folder of sparse layers."""
    import numpy as np
    import tifffile
    from PIL import Image

    (folder / "surface_volume").mkdir(parents=True)
    for layer in range(LAYERS):
        path = folder / "surface_volume" / f"{layer:02}.tif"
        memory_map = tifffile.memmap(path, shape=(side, side), dtype=np.uint8)
        del memory_map
    mask = np.zeros((side, side), np.uint8)
    for y in range(PLACES):
        for x in range(PLACES):
            top, left = (int((i + 0.5) * side / PLACES) // PATCH * PATCH for i in (y, x))
            mask[top : top + PATCH, left : left + PATCH] = 255
    Image.MAX_IMAGE_PIXELS = None
    Image.fromarray(mask).save(folder / "mask.png", compress_level=1)
    (folder / "meta.json").write_text('{"voxelsize": 8.0}')


def make_checkpoint(path: Path) -> None:
    """A small RepMode with random weights."""
    from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
    from napari_ink.models.repmode import RepMode

    model = RepMode(width=4, levels=3, depth=64, decoder="2d").eval()
    info = CheckpointInfo.of(
        model, recipe={"kind": "percentile", "low": 1}, voxel_size=8.0, window=64, halo=16
    )
    save_checkpoint(path, model, info)


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def predict_one(fragment: str, checkpoint: str, out: str) -> None:
    """Predict in this process and print what it took."""
    from napari_ink import load_checkpoint, open_fragment, predict
    from napari_ink.inference.settings import PredictionSettings

    model = load_checkpoint(checkpoint)
    before = peak_bytes()
    settings = PredictionSettings(tile=256, device="cpu")
    blocks = sum(1 for _ in predict(open_fragment(fragment), model, settings, store=out))
    print(json.dumps({"before": before, "peak": peak_bytes(), "blocks": blocks}))


def measure(sides: dict[str, int], folder: Path) -> dict:
    """Predict a fragment of each size."""

    def run_apart(*arguments) -> bytes:
        # every step in a process of its own: a child starts with its parent's peak
        command = [sys.executable, __file__, *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    found: dict = {}
    for name, side in sides.items():
        run_apart("--make", folder, name, side)
        paths = [folder / name, folder / "c.safetensors", folder / f"{name}.ink.zarr"]
        found[name] = json.loads(run_apart("--one", *paths))
    small, large = found["small"], found["large"]
    return {
        "peak_small": small["peak"],
        "peak_large": large["peak"],
        "ratio": large["peak"] / small["peak"],
        "beyond_network": large["peak"] - large["before"],
        "blocks": [small["blocks"], large["blocks"]],
        "bytes": [LAYERS * side**2 for side in sides.values()],
    }


def main() -> int:
    """Measure, print, and say which budgets were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--small", type=int, default=SIDES["small"], metavar="PX")
    parser.add_argument("--large", type=int, default=SIDES["large"], metavar="PX")
    args = parser.parse_args()
    if args.one:
        predict_one(*args.one)
        return 0
    if args.make:
        folder = Path(args.make[0])
        make_checkpoint(folder / "c.safetensors")
        make_fragment(folder / args.make[1], int(args.make[2]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = measure({"small": args.small, "large": args.large}, Path(folder))
    missed = []
    if abs(found["ratio"] - 1) > TOLERANCE:
        missed.append("ratio")
    if found["beyond_network"] > LIMIT:
        missed.append("beyond_network")
    if args.json:
        print(json.dumps(found | {"missed": missed}, indent=2))
        return 0
    for key, value in found.items():
        print(f"{key:<16}{value}")
    print(f"missed: {', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
