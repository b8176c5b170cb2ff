"""Tell what a fragment is: layout, size, mask, side-cars, grey levels, prediction time."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink info``."""
    parser.add_argument("path", metavar="PATH", help="folder, TIFF, zarr, URL or train.h5#12")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the description."""
    import json

    from napari_ink.volumes.describe import describe
    from napari_ink.volumes.layouts import open_fragment

    facts = describe(open_fragment(args.path))
    if args.json:
        print(json.dumps(facts))
        return 0
    for name, value in _lines(facts):
        print(f"{name:<16}{value}")
    return 0


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
    ]


def _times(lengths: list[float], unit: str) -> str:
    return f"{' × '.join(f'{length:g}' for length in lengths)} {unit} (z, y, x)"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
