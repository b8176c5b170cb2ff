"""What sixty Monte Carlo samples cost, and how near their mean comes to the truth.

    python benchmarks/monte_carlo.py --json

The checkpoint's sub-networks (dropout .2, gate noise .5) over one simulated fragment. About twenty
minutes on two quiet cores, most of them for the reference.

passes              wall time of a prediction with 60 samples, everything included (choosing,
                    folding, reading, writing), in wall times of a deterministic prediction of the
                    same fragment; those run before and after, and their mean counts
rmse                root mean square, over the papyrus of four regions, of its map against the mean
                    of 600 random samples of another seed
rmse_random         the same of 60 random samples of a third seed
rmse_expected       what the error of 60 random samples is on average: their standard deviation
                    over √60, and the reference's own error
spread_error,       root mean square error of the standard deviation against that of the reference,
spread_error_random relative to it: of the chosen samples, and of 60 random ones
samples             sub-networks that were run, on average over the blocks
narrow              cost of one sample in deterministic passes: what narrower convolutions save
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from napari_ink import load_checkpoint
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.layouts import open_fragment
from napari_ink.volumes.sample import sample_path
from napari_ink.volumes.synthetic import synthesise, write_fragment

BUDGET = 20.0
DRAWN = {"dropout": 0.2, "gate_noise": 0.5}


def timed(fragment: Fragment, checkpoint: Path, out: Path, **settings) -> tuple[float, float]:
    """Seconds of a whole prediction, and those of them in networks."""
    model = load_checkpoint(checkpoint)
    start = time.perf_counter()
    chosen = PredictionSettings(device="cpu", **settings)
    for _ in predict(fragment, model, chosen, store=out, notice=lambda line: None):
        pass
    seconds = time.perf_counter() - start
    return seconds, PredictionStore.open(out).attributes["timing"]["network_seconds"]


def regions_of(shape: tuple[int, int], side: int) -> list[Box]:
    """The middles of the quarters of a plane."""
    corners = [[(size * part // 4 - side // 2) for part in (1, 3)] for size in shape]
    return [Box(y, y + side, x, x + side) for y in corners[0] for x in corners[1]]


def maps_in(stores: list[Path], regions: list[Box]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation in regions, float64, from a store's moments each."""
    means, spreads = [], []
    for store, region in zip(stores, regions, strict=True):
        moments = PredictionStore.open(store).samples.read(region)
        count = moments.state[0].astype(np.float64)
        counted = count > 0
        spread = np.sqrt(moments.state[2] / np.maximum(count - 1, 1))
        means.append(np.where(counted, moments.mean, np.nan).ravel())
        spreads.append(np.where(counted, spread, np.nan).ravel())
    return np.concatenate(means), np.concatenate(spreads)


def rms(values: np.ndarray) -> float:
    """Root mean square of what is known."""
    return float(np.sqrt(np.nanmean(np.square(values))))


def measure(
    checkpoint: Path, side: int, region_side: int, reference: int, tolerance: float | None, say
) -> dict:
    """All figures."""
    found: dict = {"fragment": "simulated", "plane": [side, side], "reference": reference, **DRAWN}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        say("simulating a fragment")
        info = load_checkpoint(checkpoint).info
        made = synthesise(77, height=side, width=side, voxel_size=info.voxel_size)
        write_fragment(made, folder / "fragment", "zarr")
        fragment = open_fragment(folder / "fragment")
        regions = regions_of(fragment.shape[1:], region_side)

        def run(name: str, **settings) -> tuple[float, float]:
            say(name)
            return timed(fragment, checkpoint, folder / f"{name}.ink.zarr", **settings)

        def run_regions(name: str, **settings) -> tuple[float, list[Path]]:
            names = [f"{name}-{number}" for number in range(len(regions))]
            seconds = [
                run(one, region=region, **settings)[0]
                for one, region in zip(names, regions, strict=True)
            ]
            return sum(seconds), [folder / f"{one}.ink.zarr" for one in names]

        run("warming", region=regions[0])
        before, _ = run("single")
        seconds, network = run("chosen", samples=60, tolerance=tolerance, **DRAWN)
        after, _ = run("single-again")
        single = (before + after) / 2
        store = PredictionStore.open(folder / "chosen.ink.zarr")
        found |= {
            "passes": seconds / single,
            "single_seconds": [before, after],
            "seconds": seconds,
            "network_share": network / seconds,
            "samples": store.sampled()["mean"],
            "sampling": store.attributes["settings"]["sampling"],
            "stated_error": store.sampled()["standard_error"],
            "tolerance": tolerance,
        }
        say(f"{found['passes']:.1f} passes for {found['samples']:.1f} samples")
        only = {"sampling": "random", **DRAWN}
        one, _ = run_regions("single-region")
        sixty, random = run_regions("random", samples=60, seed=2, **only)
        found["narrow"] = sixty / 60 / one
        _, known = run_regions("truth", samples=reference, seed=1, **only)
        truth, spread = maps_in(known, regions)
        chosen = [folder / "chosen.ink.zarr"] * len(regions)
        for stores, suffix in ((chosen, ""), (random, "_random")):
            mean, deviation = maps_in(stores, regions)
            found[f"rmse{suffix}"] = rms(mean - truth)
            found[f"spread_error{suffix}"] = rms(deviation - spread) / rms(spread)
        found["spread"] = rms(spread)
        found["rmse_expected"] = rms(spread) * (1 / 60 + 1 / reference) ** 0.5
    return found


def main() -> int:
    """Measure, print, and say which budgets were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--checkpoint", type=Path, help="default: the sample")
    parser.add_argument("--side", type=int, default=3072, help="of the fragment's plane, px")
    parser.add_argument("--region", type=int, default=192, help="side of each region, px")
    parser.add_argument("--reference", type=int, default=600, help="random samples")
    parser.add_argument("--tolerance", type=float, help="default: none")
    args = parser.parse_args()
    checkpoint = args.checkpoint or sample_path("repmode-sample.safetensors")
    found = measure(
        checkpoint,
        args.side,
        args.region,
        args.reference,
        args.tolerance,
        lambda text: print(f"… {text}", file=sys.stderr),
    )
    missed = []
    if found["passes"] > BUDGET:
        missed.append("passes")
    if found["rmse"] > max(found["rmse_random"], found["rmse_expected"]):
        missed.append("rmse")
    if args.json:
        print(json.dumps(found | {"budgets": {"passes": BUDGET}, "missed": missed}, indent=2))
        return 0
    for key, value in found.items():
        print(f"{key:<22}{value:.4g}" if isinstance(value, float) else f"{key:<22}{value}")
    print(f"missed: {', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        raise SystemExit(main())
