"""Write a prediction as PNG, TIFF or Kaggle run lengths."""

from __future__ import annotations

import argparse

from napari_ink.errors import SettingsError

OWN, CHECKPOINT = "own", "checkpoint"


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
        type=probability,
        nargs="?",
        const=OWN,
        help="write ink or no ink; without a number at the thresholds kept in PRED by "
        "`napari-ink thresholds --save` or the dock, or else at the checkpoint's own, which "
        "`--threshold checkpoint` takes in any case; --rle does so by itself",
    )
    parser.add_argument(
        "--layer",
        metavar="K",
        type=int,
        help="of a prediction of many layers only this one, from 0 (--png, --rle)",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "uint16"), default="float32", help="of --tiff"
    )


def run(args: argparse.Namespace) -> int:
    """Export and say where to."""
    import sys

    from napari_ink.cli.unfinished import unfinished_words
    from napari_ink.inference import export
    from napari_ink.inference.store import PredictionStore

    number = args.threshold
    if isinstance(number, float) and not 0 <= number <= 1:
        raise SettingsError(f"--threshold {number:g}", "give a probability from 0 to 1")
    if args.layer is not None and args.tiff is not None:
        raise SettingsError("--layer with --tiff", "leave it out: a TIFF has a page a layer")
    store = PredictionStore.open(args.prediction)
    if (words := unfinished_words(store)) is not None:
        print(f"note: {words}", file=sys.stderr)
    threshold = args.threshold
    if threshold == OWN or (threshold is None and args.rle is not None):
        threshold = store.cuts
        if (kept := store.kept_thresholds) is not None:
            print(f"note: cut at the thresholds kept on {kept['saved']}", file=sys.stderr)
    elif threshold == CHECKPOINT:
        threshold = store.threshold
    if args.png is not None:
        export.write_png(store, args.png, threshold, args.layer)
    elif args.tiff is not None:
        export.write_tiff(store, args.tiff, threshold, args.dtype)
    else:
        export.write_rle(store, args.rle, threshold, args.layer)
    print(args.png or args.tiff or args.rle)
    return 0


def probability(text: str) -> float | str:
    """A number, or the word for a threshold that is known."""
    return text if text in (OWN, CHECKPOINT) else float(text)
