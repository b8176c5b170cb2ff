"""Tell what a fragment is: layout, size, mask, side-cars, grey levels, prediction time."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink info``."""
    parser.add_argument("path", metavar="PATH", help="folder, TIFF, zarr, URL or train.h5#12")
    parser.add_argument(
        "--checkpoint",
        metavar="C",
        help="NAME.safetensors: estimate the time for this network, and say what to doubt",
    )
    parser.add_argument(
        "--voxel-size", type=float, metavar="UM", help="in µm; overrules what the fragment records"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the description."""
    import json

    from napari_ink.volumes.describe import describe
    from napari_ink.volumes.layouts import open_fragment

    fragment = open_fragment(args.path, voxel_size=args.voxel_size)
    facts = describe(fragment)
    if args.checkpoint is not None:
        facts["prediction"] = _with_checkpoint(fragment, args.checkpoint, facts["mask_area_px"])
    if args.json:
        print(json.dumps(facts))
        return 0
    for name, value in _lines(facts):
        print(f"{name:<16}{value}")
    return 0


def _with_checkpoint(fragment, path: str, pixels: int) -> dict:
    """What predicting with this network would take, on this machine's processor."""
    import os

    from napari_ink.inference.duration import seconds_on_processor
    from napari_ink.inference.plan import plan_prediction
    from napari_ink.inference.settings import PredictionSettings
    from napari_ink.models.checkpoint import load_checkpoint

    model = load_checkpoint(path)
    network = model.fold(0)
    plan = plan_prediction(fragment, model, PredictionSettings(device="cpu"), folded=network)
    seconds = seconds_on_processor(plan, network)
    first, end = plan.settings.layers
    return {
        "seconds": seconds,
        "pixels_per_second": round(pixels / seconds),
        "assumes": f"layers {first}:{end}, tile {plan.settings.tile} px, {os.cpu_count() or 1} "
        "processor cores",
        "checkpoint": path,
        "notes": list(plan.warnings),
    }


def _lines(facts: dict) -> list[tuple[str, str]]:
    size, millimetres = facts["voxel_size_um"], facts["size_mm"]
    first, end = facts["layers"]
    area = f"{facts['mask_area_px']:,} px, {facts['mask_area_share']:.1%} of the plane"
    if facts["mask_area_mm2"] is not None:
        area += f", {facts['mask_area_mm2']:,.1f} mm²"
    if facts["side_cars"]["mask"] is None:
        area += " (no mask: everywhere)"
    there = [
        kind if path is True else f"{kind} ({path})"
        for kind, path in facts["side_cars"].items()
        if path is not None
    ]
    percentiles = ", ".join(f"{share} % {level:g}" for share, level in facts["percentiles"].items())
    prediction = facts["prediction"]
    lines = [
        ("fragment", facts["name"] + (" (simulated)" if facts["simulated"] else "")),
        ("layout", facts["layout"]),
        (
            "shape",
            f"{' × '.join(map(str, facts['shape']))} (z, y, x), {facts['dtype']}, "
            f"{facts['bytes'] / 1e9:.3g} GB",
        ),
        ("layers", f"{first}:{end}"),
        ("voxel size", _times(size, "µm") if size else "not recorded (give it with --voxel-size)"),
    ]
    if millimetres:
        lines.append(("extent", _times(millimetres, "mm")))
    return [
        *lines,
        ("papyrus", area),
        ("side-cars", "\n                ".join(there) or "none"),
        ("grey levels", percentiles or "no papyrus"),
        (
            "prediction",
            f"about {_duration(prediction['seconds'])} ({prediction['assumes']}: "
            f"{prediction['pixels_per_second']:,} px/s)",
        ),
        *(("note", note) for note in prediction.get("notes", ())),
    ]


def _times(lengths: list[float], unit: str) -> str:
    return f"{' × '.join(f'{length:g}' for length in lengths)} {unit} (z, y, x)"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
