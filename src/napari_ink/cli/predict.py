"""Predict the ink of a fragment; called again, it goes on where it stopped."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink predict``."""
    parser.add_argument(
        "fragment", metavar="FRAGMENT", help="folder, TIFF, zarr, URL or train.h5#12"
    )
    parser.add_argument(
        "--checkpoint", metavar="C", required=True, help="trained network: NAME.safetensors"
    )
    parser.add_argument(
        "--with-checkpoint",
        metavar="C",
        action="append",
        default=[],
        help="another checkpoint, for the mean of the maps of all, and where they disagree; give "
        "it again for more; each reads its own layers",
    )
    parser.add_argument(
        "--out",
        metavar="O",
        required=True,
        help="result: NAME.ink.zarr; goes on there if it exists",
    )
    parser.add_argument(
        "--region", metavar="y0:y1,x0:x1", help="predict only these rows and columns"
    )
    parser.add_argument(
        "--layers",
        metavar="a:b",
        help="layers from a up to b, b left out, numbered as stored (default: those that the "
        "checkpoint was trained on)",
    )
    parser.add_argument(
        "--depth-sweep",
        metavar="STEP",
        type=int,
        help="slide the checkpoint's window over all layers, or those of --layers, in steps of "
        "STEP: a stack of one ink layer a place",
    )
    parser.add_argument(
        "--reverse",
        action="store_true",
        help="read the layers against the way the checkpoint was trained",
    )
    parser.add_argument("--task", metavar="T", help="task of the checkpoint (default: its first)")
    parser.add_argument(
        "--tile",
        metavar="N",
        type=int,
        help="side of a tile in px, halo included (default: what network and memory allow)",
    )
    parser.add_argument(
        "--overlap",
        metavar="F",
        type=float,
        help="blend tiles that overlap by this fraction (default: by the halo, which is cut off)",
    )
    parser.add_argument(
        "--batch", metavar="N", type=int, help="tiles at once (default: from memory)"
    )
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda", "mps"),
        help="auto (the default) takes a GPU if there is one, and says if there is none",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "fp32", "bf16", "fp16"),
        help="auto (the default) is what suits the device",
    )
    parser.add_argument(
        "--runtime",
        default="torch",
        choices=("torch", "openvino", "openvino-int8"),
        help="openvino is faster on CPUs, openvino-int8 much faster, and changes the map a "
        "little: it says how much (default torch)",
    )
    parser.add_argument(
        "--without-expert",
        metavar="E",
        action="append",
        default=[],
        help="leave an expert of a gated network out (conv5, conv3, conv1, avg3, avg5); give it "
        "again for more; the gates of the others are renormalised",
    )
    parser.add_argument(
        "--symmetries",
        default="none",
        choices=("none", "turns", "flips", "all"),
        help="show the network the fragment flipped (4 ways) or turned and flipped (all 8) and "
        "average, or turn each tile another way at the cost of one pass (turns); default none",
    )
    parser.add_argument(
        "--samples",
        metavar="N",
        type=int,
        default=1,
        help="average over N sub-networks (Monte Carlo, 60 for instance), with standard deviation "
        "and mutual information beside the ink; with a larger N it goes on (default 1: the "
        "network itself)",
    )
    parser.add_argument(
        "--tolerance",
        metavar="T",
        type=float,
        help="leave a block once the standard error of its mean is below T (default: N everywhere)",
    )
    parser.add_argument(
        "--dropout",
        metavar="P",
        type=float,
        help="share of the channels that a sample drops (default: as the checkpoint was trained)",
    )
    parser.add_argument(
        "--gate-noise",
        metavar="S",
        type=float,
        help="standard deviation of a sample's noise on the gates' logits (default: as trained)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of the samples (default 0)"
    )
    parser.add_argument(
        "--sampling",
        default="auto",
        choices=("auto", "random", "chosen"),
        help="chosen: few sub-networks that stand for N random ones, if N is 10 or more; random: N "
        "as they come; auto (the default): chosen on large maps, where choosing is worth its time",
    )
    parser.add_argument(
        "--focus", metavar="y,x", help="begin around this pixel; the result is the same"
    )
    parser.add_argument(
        "--voxel-size", metavar="UM", type=float, help="in µm; overrules what the fragment records"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a summary as JSON; progress and notes go to stderr",
    )


def run(args: argparse.Namespace) -> int:
    """Predict with a progress bar on stderr; 130 after Ctrl-C."""
    import json
    import time
    from contextlib import closing

    import numpy as np
    from rich.console import Console

    from napari_ink.inference.ensemble import Ensemble, plan_ensemble
    from napari_ink.inference.predict import as_recorded, run_plan
    from napari_ink.inference.settings import Box
    from napari_ink.inference.store import PredictionStore
    from napari_ink.inference.store_writing import StoreWriter, check_name
    from napari_ink.volumes.layouts import open_fragment

    console = Console(stderr=True, highlight=False)
    told: list[str] = []

    def notice(line: str) -> None:
        told.append(line)
        console.print(f"note: {line}", markup=False, soft_wrap=True)

    settings = settings_from(args)
    check_name(args.out)
    settings = as_recorded(args.out, settings)
    fragment = open_fragment(args.fragment, voxel_size=args.voxel_size)
    ensemble = Ensemble([args.checkpoint, *args.with_checkpoint])
    plan = plan_ensemble(fragment, ensemble, settings)
    # Before anything is said: a refusal is one line.
    StoreWriter.create_or_resume(args.out, plan).close()
    console.print(describe(plan, fragment.name), markup=False, soft_wrap=True)
    start, done = time.perf_counter(), 0
    areas: dict[Box, int] = {}
    try:
        with (
            _progress(console, plan) as advance,
            closing(run_plan(plan, fragment, ensemble, store=args.out, notice=notice)) as updates,
        ):
            for update in updates:
                done = update.index
                if update.box not in areas:
                    plane = np.atleast_3d(update.probability.T)  # (x, y), or (x, y, z)
                    areas[update.box] = int(np.isfinite(plane).any(axis=2).sum())
                advance(update)
    except KeyboardInterrupt:
        console.print(
            f"stopped after {done} of {plan.steps} blocks{_times(plan)}: "
            "the same command goes on from there",
            markup=False,
            soft_wrap=True,
        )
        return 130
    seconds, pixels = time.perf_counter() - start, sum(areas.values())
    chosen = plan.settings
    summary = {
        "out": args.out,
        "blocks": plan.total,
        "pixels": pixels,
        "seconds": round(seconds, 3),
        "pixels_per_second": round(pixels / seconds, 1),
        "device": chosen.device,
        "precision": chosen.precision,
        "runtime": chosen.runtime,
        "layers": list(chosen.layers),
        "direction": plan.provenance["direction"],
        "task": chosen.task,
        "tile": chosen.tile,
        "batch": chosen.batch,
        "threshold": plan.threshold,
        "notes": told,
    }
    sampled = ""
    if not plan.passes.is_single:
        found = PredictionStore.open(args.out).sampled()
        summary |= {"samples": found}
        kind = "passes" if plan.monte_carlo is None else "samples"
        sampled = (
            f", {found['mean']:.1f} {kind} a block on average ({found['least']} to {found['most']})"
        )
        if plan.monte_carlo is not None:  # no chance has drawn the others
            sampled += f", standard error {found['standard_error']:.4f}"
    if args.json:
        print(json.dumps(summary))
    else:
        amount = f"{plan.total} blocks, {pixels / 1e6:.2f} Mpx"
        print(f"{args.out}: {amount} in {seconds:.1f} s{sampled}")
    return 0


def _times(plan) -> str:
    """What is counted beside blocks."""
    if plan.passes.is_single:
        return ""
    return " × passes" if plan.monte_carlo is None else " × samples"


def describe(plan, name: str) -> str:
    """One line: what runs where."""
    chosen, sampled, swept = plan.settings, "", ""
    if plan.windows:
        swept = f"{len(plan.windows)} windows, "
    if plan.monte_carlo is not None:
        drawn = plan.monte_carlo
        sampled = (
            f"{drawn.samples} samples (dropout {drawn.dropout:g}, gate noise "
            f"{drawn.gate_noise:g}, seed {drawn.seed}), "
        )
    if plan.members:
        sampled += f"{len(plan.members)} checkpoints, "
    if chosen.symmetries != "none":
        sampled += f"symmetries {chosen.symmetries}, "
    return (
        f"{name}: layers {chosen.layers[0]}:{chosen.layers[1]} {plan.provenance['direction']}, "
        f"task {chosen.task}, {swept}{plan.total} blocks, {sampled}"
        f"tile {chosen.tile} px, batch {chosen.batch}, {chosen.runtime} on {chosen.device} at "
        f"{chosen.precision}"
    )


def _progress(console, plan):
    """A progress bar: blocks, pixels a second, time left, device; yields what advances it."""
    from contextlib import contextmanager

    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    area = plan.grid.block[0] * plan.grid.block[1]

    @contextmanager
    def shown():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),  # the time left has to fit into 80 columns
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(plan.settings.device, total=plan.steps, rate="")

            def advance(update) -> None:
                progress.update(task, completed=update.index)
                speed = progress.tasks[0].speed
                if speed:
                    progress.update(task, rate=rate_text(speed * area))

            yield advance

    return shown()


def rate_text(pixels_per_second: float) -> str:
    """``1.2 Mpx/s`` or ``340 kpx/s``."""
    if pixels_per_second >= 1e6:
        return f"{pixels_per_second / 1e6:.1f} Mpx/s"
    return f"{pixels_per_second / 1e3:.1f} kpx/s"


def settings_from(args: argparse.Namespace):
    """The command line as :class:`~napari_ink.inference.settings.PredictionSettings`."""
    from napari_ink.cli.numbers import point, whole_box, whole_range
    from napari_ink.inference.settings import Box, PredictionSettings

    region = layers = focus = None
    if args.region is not None:
        region = Box(*whole_box(args.region, "--region"))
    if args.layers is not None:
        layers = whole_range(args.layers, "--layers")
    if args.focus is not None:
        focus = point(args.focus, "--focus")
    return PredictionSettings(
        layers=layers,
        depth_sweep=args.depth_sweep,
        reverse_depth=args.reverse,
        task=args.task,
        region=region,
        focus=focus,
        tile=args.tile,
        overlap=args.overlap,
        batch=args.batch,
        device=args.device,
        precision=args.precision,
        runtime=args.runtime,
        symmetries=args.symmetries,
        experts_off=tuple(args.without_expert),
        samples=args.samples,
        tolerance=args.tolerance,
        dropout=args.dropout,
        gate_noise=args.gate_noise,
        seed=args.seed,
        sampling=args.sampling,
    )
