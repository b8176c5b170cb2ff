"""Score a prediction against an ink label, at the threshold of its checkpoint or the one kept."""

from __future__ import annotations

import argparse

from napari_ink.errors import StoreError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink evaluate``."""
    parser.add_argument("prediction", metavar="PRED", help="NAME.ink.zarr")
    parser.add_argument(
        "--labels",
        metavar="L",
        required=True,
        help="ink label of the fragment's size: PNG, TIFF or zarr",
    )
    parser.add_argument("--mask", metavar="M", help="score only here, inside the papyrus")
    parser.add_argument(
        "--supervision", metavar="S", help="score only where the label is to be believed"
    )
    parser.add_argument(
        "--kept",
        action="store_true",
        help="score at the threshold kept in PRED by `napari-ink thresholds --save` or the dock, "
        "not the checkpoint's; on the label it was chosen on that flatters",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the scores."""
    import json

    from napari_ink.analysis.evaluate import evaluate
    from napari_ink.analysis.metrics import json_ready
    from napari_ink.inference.store import PredictionStore

    store = PredictionStore.open(args.prediction)
    if args.kept and store.kept_thresholds is None:
        raise StoreError(
            f"{store.path} has no threshold kept", "choose one: napari-ink thresholds --save"
        )
    values = json_ready(evaluate(store, args.labels, args.mask, args.supervision, args.kept))
    values["finished"] = store.finished
    if args.kept:
        values["fitted_on"] = store.kept_thresholds["fit"]["region"]
    if args.json:
        print(json.dumps(values))
        return 0
    print(f"{store.path}: {values['pixels']:,} pixels, {values['ink_pixels']:,} of them ink")
    if store.finished < 1:
        print(f"  only {store.finished:.0%} of it is predicted so far")
    whose = "kept threshold" if args.kept else "checkpoint's threshold"
    print(f"  at the {whose} {values['threshold']:.3f}")
    if args.kept:
        print(f"  which was chosen on {values['fitted_on']}")
    for key, name in _NAMES.items():
        value = values[key]
        print(f"    {name:<22}{'undefined' if value is None else f'{value:.4f}'}")
    return 0


_NAMES = {
    "f05": "F0.5",
    "iou": "IoU",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "auc": "area under ROC",
    "ap": "average precision",
    "ece": "calibration error",
}
