"""Compare two predictions by eye, blind: plan the regions, then tally what the readers picked."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from napari_ink.analysis.blind_review import Review

_STORE = ".ink.zarr"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink review``."""
    add = parser.add_argument
    add(
        "paths",
        metavar="FILE",
        nargs="+",
        help="two predictions of one fragment, A.ink.zarr B.ink.zarr, to plan a review of them "
        "(#LAYER behind one of many layers); or NAME.review.json to tally, several readers' of the "
        "same two predictions together",
    )
    add("--out", metavar="NAME.review.json", help="where to write the planned review")
    add(
        "--cut",
        metavar="C",
        nargs=2,
        default=("none", "none"),
        help="what to show of A and of B: none, the probability (default); own, what is ink at the "
        "prediction's own cut; or a cut from 0 to 1, for instance one prediction twice with "
        "--cut .3 .5",
    )
    add("--regions", metavar="N", type=int, help="regions to judge, at most (default 20)")
    add(
        "--side",
        metavar="UM",
        help="side of a region in µm, or in pixels as 300px (default: 5 mm, or two fifths of a "
        "small fragment)",
    )
    add(
        "--repeats",
        metavar="N",
        type=int,
        help="show so many regions again with sides swapped: how far does the reader agree with "
        "themselves? (default 0)",
    )
    add("--seed", metavar="S", type=int, help="of places, sides and repeats (default 0)")
    add("--reader", metavar="NAME", help="who is going to judge")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Plan, or tally."""
    planned = [path for path in args.paths if _is_prediction(path)]
    if not planned:
        return _tally(args)
    if len(planned) != 2 or len(args.paths) != 2:
        raise SettingsError(
            f"{len(args.paths)} files given, {len(planned)} of them predictions",
            "give two predictions to plan a review, or reviews alone to tally them",
        )
    return _plan(args)


def _is_prediction(path: str) -> bool:
    return path.partition("#")[0].rstrip("/\\").lower().endswith(_STORE)


def _plan(args: argparse.Namespace) -> int:
    import json
    import sys
    from pathlib import Path

    from napari_ink.analysis.blind_review_file import SUFFIX, ReviewFile
    from napari_ink.analysis.blind_review_pictures import Side
    from napari_ink.analysis.blind_review_plan import REGIONS, plan_review

    if args.out is None:
        raise SettingsError("no place to write the review", f"give --out NAME{SUFFIX}")
    if not args.out.endswith(SUFFIX):
        raise SettingsError(f"--out {args.out}", f"let the name end in {SUFFIX}")
    if Path(args.out).exists():
        raise SettingsError(f"{args.out} is there already", "choose another name, or go on with it")
    a, b = (Side(path, _cut(text)) for path, text in zip(args.paths, args.cut, strict=True))
    wanted = REGIONS if args.regions is None else args.regions
    review = _drained(
        plan_review(
            a,
            b,
            regions=wanted,
            side=None if args.side is None else _pixels(args.side, a),
            repeats=args.repeats or 0,
            seed=args.seed or 0,
            reader=args.reader or "",
        )
    )
    file = ReviewFile.create(args.out, review)
    regions = sum(region.repeats is None for region in review.regions)
    side = review.regions[0].box.shape[0]
    if regions < wanted:
        print(
            f"note: {regions} regions of {side} px hold papyrus and ink to judge, {wanted} were "
            "asked for",
            file=sys.stderr,
        )
    if args.json:
        record = {
            "review": str(file.path),
            "regions": regions,
            "repeats": len(review.regions) - regions,
            "side_px": side,
            "side_um": None if review.fragment["pixel_um"] is None
            else side * review.fragment["pixel_um"],
            "seed": review.seed,
        }  # fmt: skip
        print(json.dumps(record))
    else:
        repeats = len(review.regions) - regions
        more = f", {repeats} of them twice" if repeats else ""
        print(f"{file.path}: {regions} regions of {side} px{more}")
        print("judge them in napari: Plugins ▸ Blind review ▸ Go on with…")
    return 0


def _drained(steps) -> Review:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _cut(text: str) -> float | str | None:
    from napari_ink.analysis.blind_review_pictures import OWN

    if text in ("none", OWN):
        return None if text == "none" else OWN
    try:
        return float(text)
    except ValueError:
        raise SettingsError(
            f"--cut {text!r}", "give none, own or a number from 0 to 1, one for A and one for B"
        ) from None


def _pixels(text: str, side) -> int:
    from napari_ink.analysis.blind_review_plan import pixel_size

    in_pixels = text.endswith("px")
    try:
        length = float(text.removesuffix("px"))
        if not 0 < length < 1e9:
            raise ValueError
    except ValueError:
        raise SettingsError(
            f"--side {text!r}", "give a length in µm, or in pixels as 300px"
        ) from None
    if in_pixels:
        return round(length)
    pixel = pixel_size(side)
    if pixel is None:
        raise SettingsError(
            f"{side.store.path} does not say how large a pixel is",
            "give --side in pixels, as 300px",
        )
    return round(length / pixel)


def _tally(args: argparse.Namespace) -> int:
    import json
    import sys

    from napari_ink.analysis.blind_review_file import ReviewFile
    from napari_ink.analysis.blind_review_tally import tally

    given = ("out", "regions", "side", "repeats", "seed", "reader")
    if extra := [name for name in given if getattr(args, name) is not None]:
        raise SettingsError(
            f"--{extra[0]} with a review", "leave it out, or give two predictions to plan a review"
        )
    if len(set(args.paths)) < len(args.paths):
        raise SettingsError("a review is given twice", "give each once")
    reviews = [ReviewFile.open(path).review for path in args.paths]
    for path, review in zip(args.paths, reviews, strict=True):
        if not review.finished:
            judged = f"{review.place} of {len(review.regions)}"
            print(f"note: {path} is not finished: {judged} regions are judged", file=sys.stderr)
    found = tally(reviews)
    if args.json:
        record = {
            "reviews": args.paths,
            "reader_names": [review.reader for review in reviews],
            "finished": all(review.finished for review in reviews),
            "predictions": {
                key: {"path": shown.path, "layer": shown.layer, "cut": shown.cut}
                for key, shown in (("a", reviews[0].a), ("b", reviews[0].b))
            },
            **found.record(),
        }
        print(json.dumps(record))
        return 0
    print(found.sentence)
    for key in ("a", "b"):
        print(f"  {found.names[key]:<40}{found.wins[key]}")
    print(f"  {'no difference':<40}{found.ties}")
    print(f"  {'skipped':<40}{found.skipped}")
    if found.p is not None:
        print(f"sign test: p = {found.p:.2g}; left chosen {found.left} of {found.decided} times")
    if found.repeated:
        print(f"shown again: the same answer in {found.agreed} of {found.repeated}")
    if found.readers > 1:
        print(f"{found.readers} reviews together; the interval takes all answers for independent")
    if reviews[0].fragment.get("simulated"):
        print("the fragment is simulated")
    return 0
