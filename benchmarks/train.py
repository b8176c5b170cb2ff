"""Speed and memory of a training step against the published one.

    python benchmarks/train.py --json

The same network (RepMode, m = 16, random weights), batch (8), precision (fp32) and loss (mean
squared error of every voxel), from the batch in memory to the weights' step. The published step
merges the experts anew for each sample and convolves sample by sample (SOURCES.md, A), with Adam;
ours merges once a batch, convolves the batch in fewer multiplications (on a processor, see
``napari_ink.models.convolution``) in the memory layout of the trainer, with AdamW as the trainer
makes it. Steps are taken in turns, published, ours, published, …, each ratio is of
neighbours, and the median is reported. Memory is taken in processes of their own.

For windows of each side: 32 × side × side voxels; the published patch has side 128, the
windows of the ink report have as many voxels as side 90.

vs_published    samples/s, ours : published
memory_ratio    peak resident memory of a process that takes two steps, ours : published
gradient        difference between the two gradients in float64, as a share of their length
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from memory import peak_bytes
from published import published

from napari_ink.models.repmode import RepMode
from training.learning.optimiser import OptimiserConfig, build_optimiser
from training.losses import WeightedLoss

FASTER, LARGEST = 3.0, 1.0
DEPTH = 32


class Published:
    """The published step."""

    def __init__(self, model: RepMode) -> None:
        self.model = published(model, training=True)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-4)

    def loss(self, volume, task, label):
        """Of the probability: what is learned is ink."""
        return F.mse_loss(self.model(volume, task).sigmoid(), label)


class Ours:
    """The trainer's step, without its loop."""

    def __init__(self, model: RepMode) -> None:
        self.model = model.train()
        self.optimiser = build_optimiser(model, OptimiserConfig("adamw", learning_rate=1e-4))
        self._loss = WeightedLoss({"mse": 1.0})

    def loss(self, volume, task, label):
        """The same, with a weight a voxel."""
        volume = volume.contiguous(memory_format=torch.channels_last_3d)
        return self._loss(self.model(volume, task), label, torch.ones_like(label))


STEPS = {"published": Published, "ours": Ours}


def random_model(width: int) -> RepMode:
    """The network of the paper: a volume in, a volume out."""
    torch.manual_seed(0)
    return RepMode(width=width, levels=4, depth=DEPTH, decoder="3d", collapse="none")


def random_batch(samples: int, side: int) -> tuple[torch.Tensor, ...]:
    """Noise to learn from: volume, task, label."""
    random = torch.Generator().manual_seed(1)
    volume, label = torch.rand(2, samples, DEPTH, side, side, generator=random)
    return volume[:, None], torch.zeros(samples, dtype=torch.int64), label


def seconds(step: Published | Ours, batch: tuple[torch.Tensor, ...]) -> float:
    """Wall time of one step."""
    start = time.perf_counter()
    step.optimiser.zero_grad()
    step.loss(*batch).backward()
    step.optimiser.step()
    return time.perf_counter() - start


def speed(width: int, samples: int, side: int, rounds: int) -> dict:
    """Samples/s by turns; the first step of either is not timed."""
    batch = random_batch(samples, side)
    theirs, ours = (kind(random_model(width)) for kind in (Published, Ours))
    seconds(theirs, batch), seconds(ours, batch)
    before, own = [seconds(theirs, batch)], []
    for _ in range(rounds):
        own.append(seconds(ours, batch))
        before.append(seconds(theirs, batch))
    ratios = [(a + b) / 2 / c for (a, b), c in zip(itertools.pairwise(before), own, strict=True)]
    return {
        "published_samples_s": samples / median(before),
        "samples_s": samples / median(own),
        "vs_published": median(ratios),
        "vs_published_each": ratios,
    }


def gradient_difference(width: int) -> float:
    """Between the gradients of either step over all parameters: both learn the same."""
    volume, task, label = random_batch(2, 32)
    flat = []
    for kind in STEPS.values():
        step = kind(random_model(width).double())
        step.loss(volume.double(), task, label.double()).backward()
        flat.append(torch.cat([p.grad.flatten() for p in step.model.parameters()]))
    return float((flat[0] - flat[1]).norm() / flat[0].norm())


def memory_of(name: str, width: int, samples: int, side: int) -> int:
    """Peak of this process, bytes, after two steps: the second is beside the optimiser's state."""
    step, batch = STEPS[name](random_model(width)), random_batch(samples, side)
    for _ in range(2):
        seconds(step, batch)
    try:  # of this program alone; the other counter begins with the peak of the parent
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return peak_bytes()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def memory(*arguments: int) -> dict:
    """Peaks of both, each in a process of its own."""
    found = {}
    for name in STEPS:
        command = [sys.executable, __file__, "--one", name, *map(str, arguments)]
        found[name] = int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {
        "published_peak": found["published"],
        "peak": found["ours"],
        "memory_ratio": found["ours"] / found["published"],
    }


def main() -> int:
    """Measure, print, and say which budgets were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--width", type=int, default=16, help="m")
    parser.add_argument("--batch", type=int, default=8, help="samples a step")
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64], help="of windows, px")
    parser.add_argument("--rounds", type=int, default=3, help="turns at each size")
    args = parser.parse_args()
    if args.one:
        name, *numbers = args.one
        print(memory_of(name, *map(int, numbers)))
        return 0
    found: dict = {
        "width": args.width, "batch": args.batch, "depth": DEPTH, "rounds": args.rounds,
        "threads": torch.get_num_threads(), "gradient": gradient_difference(args.width),
        "sides": {},
    }  # fmt: skip
    missed = []
    for side in args.sides:
        figures = speed(args.width, args.batch, side, args.rounds)
        figures |= memory(args.width, args.batch, side)
        found["sides"][side] = figures
        print(f"… side {side}: {figures['vs_published']:.2f}", file=sys.stderr)
        if figures["vs_published"] < FASTER:
            missed.append(f"vs_published at side {side}")
        if figures["memory_ratio"] > LARGEST:
            missed.append(f"memory_ratio at side {side}")
    if args.json:
        budgets = {"vs_published": FASTER, "memory_ratio": LARGEST}
        print(json.dumps(found | {"budgets": budgets, "missed": missed}, indent=2))
        return 0
    for side, figures in found.pop("sides").items():
        for key, value in figures.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            print(f"{side:<6}{key:<24}{shown}")
    print(found)
    print(f"missed: {', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
