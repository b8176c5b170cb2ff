"""Speed of prediction: against the published path, MONAI's inferer, and the convolutions alone.

    python benchmarks/predict.py --json

One network with random weights (RepMode, m = 32, 64 layers) and a few tiles of each. What is
compared runs in turns, A B A B …, each ratio is of neighbours, and the median is reported, so that
whatever else the machine does falls on both. About nine minutes on two quiet cores.

vs_published        pixels/s, ours (fastest fp32 runtime, default tile, inner tiles with halo on all
                    sides) : published evaluation path (64³ tiles, stride 32, centre crop, experts
                    merged in every forward, batch norm apart)
vs_published_int8   the same with openvino-int8
vs_monai            papyrus pixels/s over a masked fragment, ours : MONAI's inferer, both running
                    the folded network (m = 32, 16 layers) in PyTorch with tiles of 128 px, which
                    both lay 96 px apart; ours with plan and store, neither with folding
network_share       share of a prediction's wall time that is spent in the network
conv_rate_share     time of the network's convolutions, each run alone in the same runtime at its
                    shape : time of the whole network, 1 if it runs at the rate of its convolutions
halo_change         largest change of probability in a block with the chosen halo against wide
                    context
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from convolutions import Convolutions
from published import published

from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.runtimes import Probability, TorchRuntime
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.tiles import make_grid
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.models.repmode import RepMode
from napari_ink.volumes.fragment import Fragment

BUDGETS = {
    "vs_published": 6.0,
    "vs_published_int8": 15.0,
    "vs_monai": 1.2,
    "network_share": 0.90,
    "conv_rate_share": 0.85,
}
HALO = 16  # px: the context of the published path, (64 - 32) / 2


def random_model(width: int, depth: int) -> RepMode:
    """RepMode with random weights and the metadata that a prediction asks for."""
    torch.manual_seed(0)
    model = RepMode(width=width, levels=4, depth=depth, decoder="3d", collapse="conv2d").eval()
    model.halo = HALO
    model.info = CheckpointInfo.of(model, recipe={"kind": "fixed"}, voxel_size=8.0, window=64)
    return model.requires_grad_(False)


def random_fragment(depth: int, height: int, width: int, mask=None) -> Fragment:
    """Noise."""
    volume = np.random.default_rng(0).integers(0, 255, (depth, height, width), dtype=np.uint8)
    return Fragment.from_array(volume, voxel_size=8.0, mask=mask)


class Published:
    """The published path, tile by tile."""

    def __init__(self, model: RepMode, depth: int) -> None:
        self._network = published(model)
        self._volume = torch.rand(1, 1, depth, 64, 64)
        self._task = torch.zeros(1, dtype=torch.int64)
        self.step()

    @torch.inference_mode()
    def step(self) -> float:
        """Pixels/s of one tile: of 64 × 64 the central 32 × 32 count."""
        start = time.perf_counter()
        torch.sigmoid(self._network(self._volume, self._task))[..., 16:48, 16:48].numpy()
        return 32 * 32 / (time.perf_counter() - start)


class Ours:
    """A whole prediction with a store, block by block.

    The first block is not timed, so that folding, compiling and calibrating count for nothing, as
    does loading for the others.
    """

    def __init__(self, model: RepMode, fragment: Fragment, store: Path, **settings) -> None:
        chosen = PredictionSettings(device="cpu", **settings)
        self._store = store
        self._blocks = predict(fragment, model, chosen, store=store, notice=lambda line: None)
        next(self._blocks)
        self._wall, self._network = 0.0, -self._recorded()

    def _recorded(self) -> float:
        return PredictionStore.open(self._store).attributes["timing"]["network_seconds"]

    def step(self) -> float:
        """Pixels/s of one block."""
        start = time.perf_counter()
        pixels = np.isfinite(next(self._blocks).probability).sum()
        wall = time.perf_counter() - start
        self._wall += wall
        return pixels / wall

    def close(self) -> tuple[float, dict]:
        """The network's share of the time, and what the runtime reports."""
        self._blocks.close()
        report = PredictionStore.open(self._store).attributes.get("runtime", {})
        return (self._network + self._recorded()) / self._wall, report


def inner_blocks(model: RepMode, depth: int, tile: int, count: int) -> Fragment:
    """Noise whose papyrus is a row of whole blocks, none at a border, where halo is saved."""
    grid = make_grid((1 << 16, 1 << 16), tile, halo=HALO, multiple_of=model.multiple_of)
    height, width = grid.block
    inside = np.zeros((3 * height, (count + 2) * width), bool)
    inside[height : 2 * height, width:-width] = True
    return random_fragment(depth, *inside.shape, inside)


def against_published(
    model: RepMode, depth: int, tile: int, runtimes: list[str], rounds: int
) -> dict:
    """Rates by turns: published, each of our runtimes, published, …"""
    fragment = inner_blocks(model, depth, tile, rounds + 1)
    with tempfile.TemporaryDirectory() as folder:
        ours = {
            runtime: Ours(
                model, fragment, Path(folder) / f"{i}.ink.zarr", runtime=runtime, tile=tile
            )
            for i, runtime in enumerate(runtimes)
        }
        theirs = Published(model, depth)
        before = [theirs.step()]
        rates: dict[str, list[float]] = {runtime: [] for runtime in runtimes}
        for _ in range(rounds):
            for runtime, prediction in ours.items():
                rates[runtime].append(prediction.step())
            before.append(theirs.step())
        closed = {runtime: prediction.close() for runtime, prediction in ours.items()}
    between = [(a + b) / 2 for a, b in itertools.pairwise(before)]
    return {
        "published_px_s": median(before),
        "px_s": {runtime: median(found) for runtime, found in rates.items()},
        "ratios": {
            runtime: [ours / other for ours, other in zip(found, between, strict=True)]
            for runtime, found in rates.items()
        },
        "network_share": {runtime: share for runtime, (share, _) in closed.items()},
        "report": {runtime: report for runtime, (_, report) in closed.items()},
    }


def against_monai(model: RepMode, tile: int, rounds: int) -> dict:
    """Papyrus pixels/s by turns over a masked fragment, the network folded beforehand for both.

    MONAI's inferer runs with Gaussian weights and its default overlap of a quarter.
    """
    from monai.inferers import SlidingWindowInferer

    folded = model.fold(0)
    model.fold = lambda *task: folded
    runtime = TorchRuntime(Probability(folded, 1), "cpu", "fp32")
    inferer = SlidingWindowInferer((tile, tile), sw_batch_size=1, overlap=0.25, mode="gaussian")
    step = tile - 2 * HALO
    y, x = np.ogrid[-1 : 1 : 5 * step * 1j, -1 : 1 : 7 * step * 1j]
    inside = np.abs(y) + np.abs(x) < 1.0  # half of the plane, as papyri lie in their scans
    fragment = random_fragment(model.depth, *inside.shape, inside)

    settings = PredictionSettings(device="cpu", runtime="torch", tile=tile)
    volume = torch.from_numpy(fragment.read().astype(np.float32) / 255)[None]
    runtime(np.zeros((1, 1, model.depth, tile, tile), np.float32))

    def both(store: Path) -> tuple[float, float]:
        """Seconds of MONAI's pass and of ours, which goes a block on after every few windows."""
        blocks = predict(fragment, model, settings, store=store, notice=lambda line: None)
        own, windows = 0.0, 0

        def network(window: torch.Tensor) -> torch.Tensor:
            nonlocal own, windows
            found = torch.from_numpy(runtime(window[:, None].numpy()))[:, None]
            windows += 1
            if windows % 3 == 0:
                own += seconds(lambda: next(blocks, None))
            return found

        monai = seconds(lambda: inferer(volume, network)) - own
        return monai, own + seconds(lambda: list(blocks))

    with tempfile.TemporaryDirectory() as folder:
        passes = [both(Path(folder) / f"{i}.ink.zarr") for i in range(rounds)]
    monai, own = zip(*passes, strict=True)
    return {
        "monai_px_s": inside.sum() / median(monai),
        "masked_px_s": inside.sum() / median(own),
        "ratios": [a / b for a, b in passes],
    }


def seconds(call: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def conv_rate_shares(
    model: RepMode, depth: int, tile: int, openvino: bool, rounds: int
) -> list[float]:
    """Time of the convolutions alone over the time of the whole network, by turns."""
    layers = Convolutions(model.fold(0), depth, tile, openvino)
    before, shares = layers.network_seconds(), []
    for _ in range(rounds):
        alone = layers.seconds()
        after = layers.network_seconds()
        shares.append(alone / ((before + after) / 2))
        before = after
    return shares


def default_tile(model: RepMode, depth: int) -> int:
    """The tile that ``napari-ink predict`` takes for a large plane."""
    plane = np.broadcast_to(np.uint8(0), (depth, 8000, 6000))
    settings = PredictionSettings(device="cpu")
    return plan_prediction(
        Fragment.from_array(plane, voxel_size=8.0), model, settings
    ).settings.tile


@torch.inference_mode()
def halo_change(model: RepMode, depth: int) -> float:
    """Change of a block's probability with the halo against three times as much context."""
    folded = model.fold(0)
    wide = torch.rand(1, 1, depth, 32 + 6 * HALO, 32 + 6 * HALO)
    cut = 2 * HALO
    near = torch.sigmoid(folded(wide[..., cut:-cut, cut:-cut]))[..., HALO:-HALO, HALO:-HALO]
    full = torch.sigmoid(folded(wide))[..., 3 * HALO : -3 * HALO, 3 * HALO : -3 * HALO]
    return float((near - full).abs().max())


def measure(
    width: int, depth: int, tile: int | None, rounds: int, say: Callable[[str], None]
) -> dict:
    """All figures."""
    openvino = importlib.util.find_spec("openvino") is not None
    runtimes = ["openvino", "openvino-int8"] if openvino else ["torch"]
    model = random_model(width, depth)
    default = default_tile(model, depth)
    tile = tile or default
    found: dict = {
        "width": width, "depth": depth, "tile": tile, "default_tile": default, "halo": HALO,
        "fp32": runtimes[0], "rounds": rounds, "threads": torch.get_num_threads(),
    }  # fmt: skip

    def note(**figures) -> None:  # at once: a run that is broken off has said what it knew
        found.update(figures)
        say(", ".join(f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, float)))

    say("published path, ours")
    rates = against_published(model, depth, tile, runtimes, rounds)
    note(published_px_s=rates["published_px_s"])
    for runtime, suffix in zip(runtimes, ("", "_int8"), strict=False):
        ratios = rates["ratios"][runtime]
        note(**{f"vs_published{suffix}": median(ratios)})
        found[f"vs_published{suffix}_each"] = ratios
        found[f"{suffix.strip('_') or 'fp32'}_px_s"] = rates["px_s"][runtime]
    found.setdefault("vs_published_int8")
    note(network_share=rates["network_share"][runtimes[0]])
    found["int8"] = rates["report"].get("openvino-int8")
    say("a masked fragment: MONAI, ours")
    # as wide, but of few layers: a mask takes many tiles to follow
    masked = against_monai(random_model(width, 16), 128, rounds)
    note(vs_monai=median(masked["ratios"]), vs_monai_each=masked["ratios"])
    note(monai_px_s=masked["monai_px_s"], masked_px_s=masked["masked_px_s"])
    say("convolutions alone")
    shares = conv_rate_shares(model, depth, 128, openvino, rounds)
    note(conv_rate_share=median(shares), conv_rate_share_each=shares)
    note(halo_change=halo_change(model, depth))
    return found


def main() -> int:
    """Measure, print, and say which budgets were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--width", type=int, default=32, help="m")
    parser.add_argument("--depth", type=int, default=64, help="layers")
    parser.add_argument("--tile", type=int, help="side of our tiles, px; default: the default")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each comparison")
    args = parser.parse_args()
    found = measure(
        args.width,
        args.depth,
        args.tile,
        args.rounds,
        lambda text: print(f"… {text}", file=sys.stderr),
    )
    missed = [key for key, least in BUDGETS.items() if (found[key] or 0) < least]
    if args.json:
        print(json.dumps(found | {"budgets": BUDGETS, "missed": missed}, indent=2))
        return 0
    for key, value in found.items():
        budget = f"   budget ≥ {BUDGETS[key]:g}" if key in BUDGETS else ""
        print(f"{key:<24}{value:.4g}{budget}" if isinstance(value, float) else f"{key:<24}{value}")
    print(f"missed: {', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
