"""Choose the probability from which on a pixel is ink: one cut, or one a layer, by a label."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_ink.errors import FragmentError, SettingsError

if TYPE_CHECKING:
    from napari_ink.analysis.fitting import Fitted
    from napari_ink.analysis.parts import Part
    from napari_ink.inference.store import PredictionStore

_NAMES = {"iou": "IoU", "f05": "F0.5", "f1": "F1", "precision": "precision", "recall": "recall"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink thresholds``."""
    add = parser.add_argument
    add(
        "predictions",
        metavar="PRED",
        nargs="+",
        help="NAME.ink.zarr: one of many layers, or several ink maps of one fragment, a layer each",
    )
    add(
        "--labels",
        metavar="L",
        nargs="+",
        help="ink label of the fragment's size: PNG, TIFF or zarr, or a muon set as FILE.h5#SAMPLE",
    )
    add("--metric", choices=("iou", "f05", "f1"), default="f05", help="to maximise (default: f05)")
    add("--per-layer", action="store_true", help="a cut of its own for every layer, or none")
    add(
        "--mean",
        action="store_true",
        help="every PRED is a sample with a label of its own: maximise the mean of their scores "
        "instead of the score of all pixels together",
    )
    add(
        "--percentile",
        metavar="P",
        type=float,
        help="do not choose: cut every layer at this percentile of its own probabilities; needs "
        "no label",
    )
    for name, does in (("fit", "choose the cuts"), ("report", "score them")):
        add(
            f"--{name}-region",
            metavar="y0:y1,x0:x1",
            action="append",
            help=f"{does} here only; may be given several times (default: all that is not in the "
            "other region, or everything)",
        )
    add("--mask", metavar="M", help="count only here, inside the papyrus")
    add("--supervision", metavar="S", help="score only where the label is to be believed")
    add("--save", action="store_true", help="keep the cuts in PRED, where export finds them")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Choose, print, keep."""
    import json
    import sys

    from napari_ink.cli.unfinished import unfinished_words
    from napari_ink.inference.store import PredictionStore

    _check(args)
    stores = [PredictionStore.open(path) for path in args.predictions]
    for store in stores:
        if (words := unfinished_words(store)) is not None:
            print(f"note: {words}", file=sys.stderr)
    parts = _parts(args, stores[0].ink.shape[-2:])
    fitted = _fit(args, stores, parts)
    if fitted.overlap and fitted.fit != fitted.report:
        print(
            "note: the regions to fit and to report on overlap: the reported score is partly of "
            "pixels that the cuts were chosen on",
            file=sys.stderr,
        )
    if args.save:
        _save(args, stores, fitted)
    if args.json:
        values = fitted.record()
        best = {} if not fitted.metric else {fitted.metric: values["report"][fitted.metric]}
        print(json.dumps({**best, **values, "mean": args.mean, "saved": args.save}))
    else:
        _print(args, fitted)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything is read."""
    labels = args.labels or []
    if args.percentile is None and not labels:
        raise SettingsError(
            "without a label no cut is better than another",
            "give --labels, or cut at a --percentile",
        )
    if args.percentile is not None and not 0 <= args.percentile <= 100:
        raise SettingsError(f"--percentile {args.percentile:g}", "give a number from 0 to 100")
    if args.percentile is not None and (args.mean or args.per_layer):
        raise SettingsError(
            "--percentile chooses nothing", "leave out --per-layer and --mean, or the percentile"
        )
    if len(labels) > 1 and not args.mean:
        raise SettingsError(
            f"{len(labels)} labels given", "give one, or --mean with a label for every PRED"
        )
    if args.mean and len(labels) != len(args.predictions):
        raise SettingsError(
            f"--mean with {len(args.predictions)} predictions and {len(labels)} labels",
            "give a label for every PRED, in the same order",
        )


def _parts(args: argparse.Namespace, shape: tuple[int, int]) -> tuple[Part, Part]:
    """Where to fit and where to report; left out, what the other leaves."""
    from napari_ink.analysis.parts import WHOLE, inside
    from napari_ink.cli.numbers import whole_box
    from napari_ink.inference.settings import Box

    found: dict[str, Part] = {}
    for option in ("--fit-region", "--report-region"):
        given = getattr(args, option[2:].replace("-", "_"))
        if given:
            part = inside(*(Box(*whole_box(text, option)) for text in given))
            part.check(shape, option)
            found[option] = part
    fit, report = (found.get(option) for option in ("--fit-region", "--report-region"))
    if fit is None:
        fit = WHOLE if report is None else report.rest
    return fit, fit if fit is WHOLE else report or fit.rest


def _fit(
    args: argparse.Namespace, stores: list[PredictionStore], parts: tuple[Part, Part]
) -> Fitted:
    from napari_ink.analysis import fitting
    from napari_ink.analysis.evaluate import side_plane
    from napari_ink.analysis.layer_counting import StoredLayers, count_layers

    groups = [[store] for store in stores] if args.mean else [stores]
    counted, names = [], []
    for stores_of, label in zip(groups, args.labels or [None], strict=True):
        layers, first = StoredLayers(stores_of), stores_of[0]
        names = layers.names
        planes = {
            kind: side_plane(kind, path, first)
            for kind, path in (("mask", args.mask), ("supervision", args.supervision))
            if path is not None
        }
        masks = [planes["mask"]] if "mask" in planes else []
        counted.append(
            count_layers(
                layers,
                None if label is None else _label(label, layers, first),
                masks,
                planes.get("supervision"),
                parts if parts[0] != parts[1] else parts[:1],
            )
        )
    fits, reports = [found[0] for found in counted], [found[-1] for found in counted]
    if args.percentile is not None:
        whole = fits[0] if parts[0] == parts[1] else fits[0] + reports[0]
        if not whole.counts.any():
            raise FragmentError(
                "nothing is predicted where the percentile is to be taken", "choose another mask"
            )
        return fitting.at_percentile(whole, names, args.percentile, parts[0])
    if not args.mean:
        return fitting.fit_cuts(fits[0], reports[0], names, args.metric, args.per_layer, parts)
    if len({len(sample) for sample in fits}) > 1:
        raise SettingsError("the samples differ in their number of layers", "give them apart")
    return fitting.fit_cuts_to_mean(fits, reports, names, args.metric, args.per_layer, parts)


def _label(path: str, layers, store: PredictionStore):
    """A plane for all layers, or the target volume of a muon sample."""
    from napari_ink.analysis.evaluate import side_plane

    if not path.partition("#")[0].lower().endswith((".h5", ".hdf5")):
        return side_plane("label", path, store)
    from napari_ink.volumes.layouts import open_fragment

    label = open_fragment(path).label
    if label is None:
        raise FragmentError(f"{path} has no targets", "give a muon set with targs")
    if tuple(label.shape) != tuple(layers.shape):
        sizes = (" × ".join(map(str, shape)) for shape in (label.shape, layers.shape))
        raise FragmentError(
            "{} has {} voxels, the prediction has {}".format(path, *sizes),
            "give the label of the sample that was predicted",
        )
    return label


def _save(args: argparse.Namespace, stores: list[PredictionStore], fitted: Fitted) -> None:
    from dataclasses import replace

    from napari_ink.inference.store_writing import keep_thresholds

    for position, store in enumerate(stores):
        mine = fitted
        if len(stores) > 1 and not args.mean:  # a layer each
            one = slice(position, position + 1)
            mine = replace(fitted, cuts=fitted.cuts[one], names=fitted.names[one])
        labels = None if args.labels is None else list(map(str, args.labels))
        keep_thresholds(store.path, mine.dated(labels=labels, mean=args.mean))


def _print(args: argparse.Namespace, fitted: Fitted) -> None:
    if args.percentile is not None:
        print(f"cut at percentile {args.percentile:g} of each layer's own probabilities")
        if not args.labels:
            print("  there is no label: nothing says how good it is")
    else:
        what = f"the mean {_NAMES[args.metric]}" if args.mean else _NAMES[args.metric]
        print(f"best {what}, {'a cut a layer' if fitted.per_layer else 'one cut for all layers'}")
    if fitted.per_layer:
        for name, cut in zip(fitted.names, fitted.cuts, strict=True):
            print(f"  {name:<12}{'none' if cut > 1 else f'{cut:.4f}'}")
    else:
        print(f"  threshold   {fitted.cuts[0]:.4f}")
    if fitted.report_scores:
        same = fitted.fit == fitted.report
        if same and args.percentile is None:
            print(f"fitted and reported on the {fitted.fit}: on another part it will be lower")
        _print_scores("" if same else f"fitted on {fitted.fit}", fitted.fit_scores)
        if not same:
            _print_scores(f"reported on {fitted.report}", fitted.report_scores)
    if args.save:
        print(f"kept in {', '.join(args.predictions)}")


def _print_scores(title: str, scores: dict[str, float]) -> None:
    if title:
        print(title)
    for key, name in _NAMES.items():
        if key in scores:
            value = scores[key]
            print(f"  {name:<12}{'undefined' if value != value else f'{value:.4f}'}")
