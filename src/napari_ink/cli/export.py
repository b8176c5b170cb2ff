"""Write a prediction as PNG, TIFF or Kaggle run lengths."""

from __future__ import annotations

import argparse

from napari_ink.errors import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink export``."""
    parser.add_argument("prediction", metavar="PRED", help="NAME.ink.zarr")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--png", metavar="OUT", help="8-bit grey: 0 no ink or unknown, 255 ink")
    kind.add_argument("--tiff", metavar="OUT", help="tiled TIFF; float32 keeps NaN for unknown")
    kind.add_argument("--rle", metavar="OUT", help="CSV of run lengths, as Kaggle takes them")
    parser.add_argument(
        "--threshold",
        metavar="T",
        type=float,
        nargs="?",
        const=float("nan"),
        help="write ink or no ink; without a number at the checkpoint's own threshold, which is "
        "also what --rle takes if this is left out",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "uint16"), default="float32", help="of --tiff"
    )


def run(args: argparse.Namespace) -> int:
    """Export and say where to."""
    import math
    import sys

    from napari_ink.inference import export
    from napari_ink.inference.store import PredictionStore

    if args.threshold is not None and not (0 <= args.threshold <= 1 or math.isnan(args.threshold)):
        raise SettingsError(f"--threshold {args.threshold:g}", "give a probability from 0 to 1")
    store = PredictionStore.open(args.prediction)
    if store.finished < 1:
        share = f"{store.finished:.0%}"
        print(f"note: only {share} of {args.prediction} is predicted so far", file=sys.stderr)
    threshold = args.threshold
    if threshold is not None and math.isnan(threshold):
        threshold = store.threshold
    if args.png is not None:
        export.write_png(store, args.png, threshold)
    elif args.tiff is not None:
        export.write_tiff(store, args.tiff, threshold, args.dtype)
    else:
        export.write_rle(store, args.rle, store.threshold if threshold is None else threshold)
    print(args.png or args.tiff or args.rle)
    return 0
