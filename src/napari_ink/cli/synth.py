"""Simulate a fragment whose ink is known, and write it in a chosen layout."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink synth``."""
    parser.add_argument("out", metavar="OUT", help="folder, .tif or .zarr to write")
    parser.add_argument("--seed", type=int, required=True, help="same seed, same bytes")
    parser.add_argument("--depth", type=int, default=32, help="layers (default 32)")
    parser.add_argument("--height", type=int, default=640, help="rows (default 640)")
    parser.add_argument("--width", type=int, default=1280, help="columns (default 1280)")
    parser.add_argument("--voxel-size", type=float, default=16.0, help="µm (default 16)")
    parser.add_argument(
        "--layout",
        default="kaggle",
        help="kaggle, segment, tiff, zarr or ome-zarr (default kaggle)",
    )
    parser.add_argument(
        "--ink-strength",
        type=float,
        default=1.0,
        help="multiplies the ink's texture and thickening; 0 leaves no trace (default 1)",
    )
    parser.add_argument(
        "--bits",
        type=int,
        default=8,
        help="significant bits of the grey levels; 6 make smaller files (default 8)",
    )
    parser.add_argument(
        "--reversed", action="store_true", help="store the layers from last to first"
    )


def run(args: argparse.Namespace) -> int:
    """Write the fragment."""
    from napari_ink.volumes.synthetic import synthesise, write_fragment
    from napari_ink.volumes.synthetic.write import refuse

    refuse(args.out, args.layout)
    fragment = synthesise(
        args.seed,
        depth=args.depth,
        height=args.height,
        width=args.width,
        voxel_size=args.voxel_size,
        ink_strength=args.ink_strength,
        reversed_depth=args.reversed,
        bits=args.bits,
    )
    about = {
        "seed": args.seed,
        "ink_strength": args.ink_strength,
        "reversed": args.reversed,
        "bits": args.bits,
    }
    out = write_fragment(fragment, args.out, args.layout, about=about)
    print(
        f"{out}: {' × '.join(map(str, fragment.shape))} voxels of {args.voxel_size:g} µm, simulated"
    )
    return 0
