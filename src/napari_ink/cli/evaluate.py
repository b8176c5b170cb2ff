"""Score predictions against an ink label, at the threshold of their checkpoint or the one kept."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_ink.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from napari_ink.analysis.metrics import Histogram
    from napari_ink.inference.store import PredictionStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink evaluate``."""
    parser.add_argument(
        "predictions",
        metavar="PRED",
        nargs="+",
        help="NAME.ink.zarr; of one fragment, if there are several",
    )
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
    parser.add_argument(
        "--reliability",
        metavar="F",
        help="draw predicted probability against the share of ink (NAME.png or .svg), a curve a "
        "prediction: as a single pass and as the mean of samples, for instance",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the scores, write the picture."""
    import json

    from napari_ink.analysis.evaluate import count
    from napari_ink.inference.store import PredictionStore

    _check(args)
    stores = [PredictionStore.open(path) for path in args.predictions]
    for store in stores:
        if args.kept and store.kept_thresholds is None:
            raise StoreError(
                f"{store.path} has no threshold kept", "choose one: napari-ink thresholds --save"
            )
    histograms = [count(store, args.labels, args.mask, args.supervision) for store in stores]
    if args.reliability is not None:
        from napari_ink.analysis.gates_files import save_figure
        from napari_ink.analysis.reliability_chart import reliability_figure

        named = dict(zip(_names(stores), histograms, strict=True))
        save_figure(reliability_figure(named, _title(stores[0])), args.reliability)
    records = [_record(*each, args.kept) for each in zip(stores, histograms, strict=True)]
    if args.json and len(stores) == 1:
        print(json.dumps(records[0]))
    elif args.json:
        named = zip(stores, records, strict=True)
        print(json.dumps([{"prediction": str(store.path), **record} for store, record in named]))
    else:
        for store, record in zip(stores, records, strict=True):
            _tell(store, record, args.kept)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be written or drawn before anything is counted."""
    if args.reliability is None:
        return
    from pathlib import Path

    from napari_ink.analysis.gates_files import check_target
    from napari_ink.analysis.reliability_chart import MOST

    suffix = Path(args.reliability).suffix.lower()
    check_target(args.reliability, suffix if suffix == ".svg" else ".png")
    if len(args.predictions) > MOST:
        raise SettingsError(
            f"{len(args.predictions)} curves, which nobody can tell apart",
            f"draw {MOST} predictions at most",
        )


def _record(store: PredictionStore, histogram: Histogram, kept: bool) -> dict:
    import numpy as np

    from napari_ink.analysis.metrics import json_ready, summary

    threshold = np.max(store.cuts) if kept else store.threshold
    record = json_ready(summary(histogram, float(threshold)))
    record["finished"] = store.finished
    if kept:
        record["fitted_on"] = store.kept_thresholds["fit"]["region"]
    return record


def _tell(store: PredictionStore, record: dict, kept: bool) -> None:
    from napari_ink.cli.unfinished import unfinished_words

    print(f"{store.path}: {record['pixels']:,} pixels, {record['ink_pixels']:,} of them ink")
    if (words := unfinished_words(store)) is not None:
        print(f"  {words}")
    whose = "kept threshold" if kept else "checkpoint's threshold"
    cut = "none" if record["threshold"] is None else f"{record['threshold']:.3f}"
    print(f"  at the {whose} {cut}")
    if kept:
        print(f"  which was chosen on {record['fitted_on']}")
    for key, name in _NAMES.items():
        value = record[key]
        print(f"    {name:<22}{'undefined' if value is None else f'{value:.4f}'}")


def _names(stores: list[PredictionStore]) -> list[str]:
    """What tells the predictions apart: file and samples."""
    from napari_ink.analysis.doubt_maps import passes_word
    from napari_ink.inference.store import SUFFIX

    names = []
    for store in stores:
        name = store.path.name.removesuffix(SUFFIX)
        if store.samples is not None:
            found = store.sampled()
            least, most = found["least"], found["most"]
            many = f"{most}" if least == most else f"{least} to {most}"
            name += f", mean of {many} {passes_word(store)}"
        else:
            name += ", single pass"
        names.append(name if name not in names else f"{name} ({store.path})")
    return names


def _title(store: PredictionStore) -> str:
    fragment = store.provenance["fragment"]
    return fragment["name"] + (", simulated" if fragment.get("simulated") else "")


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
