"""Convert any layout to sharded, compressed, multiscale OME-Zarr; resumable."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink convert``."""
    parser.add_argument("source", metavar="SRC", help="folder, TIFF, zarr, URL or train.h5#12")
    parser.add_argument(
        "destination",
        metavar="DST.zarr",
        help="to write; if the conversion was stopped, the same command goes on",
    )
    parser.add_argument(
        "--format", choices=("0.5", "0.4"), default="0.5", help="OME-Zarr version (default 0.5)"
    )
    parser.add_argument(
        "--voxel-size", type=float, metavar="UM", help="in µm; overrules what SRC records"
    )
    parser.add_argument(
        "--dtype", choices=("uint8", "uint16", "float32"), help="scale the grey levels to this"
    )


def run(args: argparse.Namespace) -> int:
    """Convert with a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from napari_ink.volumes.convert import convert
    from napari_ink.volumes.layouts import open_fragment

    fragment = open_fragment(args.source, voxel_size=args.voxel_size)
    blocks = convert(fragment, args.destination, version=args.format, dtype=args.dtype)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        bar = progress.add_task("converting", total=None)
        for block in blocks:
            progress.update(bar, completed=block.index, total=block.total)
    print(f"{args.destination}: OME-Zarr {args.format} of {fragment.name}")
    return 0
