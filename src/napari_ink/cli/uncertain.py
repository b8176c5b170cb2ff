"""Tell how sure a sampled prediction is, and list the places where it is least sure."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_ink.analysis.uncertain import Place
    from napari_ink.inference.store import PredictionStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink uncertain``."""
    add = parser.add_argument
    add("prediction", metavar="PRED", help="NAME.ink.zarr, made with --samples")
    add("--places", metavar="N", type=int, default=20, help="list at most N (default 20)")
    add(
        "--by",
        choices=("spread", "information", "decision"),
        default="spread",
        help="standard deviation of the samples (default); mutual information, what they disagree "
        "about; or the chance that a sample decides otherwise than the mean at the threshold",
    )
    add(
        "--apart",
        metavar="UM",
        type=float,
        help="least distance of two places, µm (default 820: two strokes of a pen)",
    )
    add(
        "--png",
        metavar="F",
        help="draw how many samples each block took (NAME.png), beside the ink",
    )
    add("--csv", metavar="F", help="write the places as a table")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print samples and places, write the files."""
    import json

    from napari_ink.analysis.doubt_maps import check_sampled
    from napari_ink.analysis.gates_files import check_target, save_figure, save_text
    from napari_ink.analysis.samples_chart import samples_chart, samples_words
    from napari_ink.analysis.uncertain import uncertain_places
    from napari_ink.inference.store import PredictionStore

    for option in ("png", "csv"):
        if getattr(args, option) is not None:
            check_target(getattr(args, option), f".{option}")
    store = PredictionStore.open(args.prediction)
    check_sampled(store)
    if args.png is not None:
        save_figure(samples_chart(store), args.png)
    places = uncertain_places(store, args.places, args.by, args.apart)
    if args.csv is not None:
        save_text(as_csv(store, places), args.csv)
    if args.json:
        record = {
            "prediction": str(store.path),
            "finished": store.finished,
            "samples": store.sampled(),
            "tolerance": store.provenance["settings"].get("tolerance"),
            "by": args.by,
            "places": [place.record() | _micrometres(store, place) for place in places],
        }
        print(json.dumps(record))
        return 0
    print(f"{store.path}:")
    for line in samples_words(store):
        print(f"  {line}")
    print(as_table(store, places, args.by) if places else "  The samples agree everywhere.")
    return 0


def as_table(store: PredictionStore, places: list[Place], by: str) -> str:
    """The places, the worst first; means over the area of a stroke."""
    size = store.voxel_size
    unit = "px" if size is None else "mm"
    layer = "layer  " if store.ink.ndim == 3 else ""
    last = "" if by == "spread" else f"  {by:>11}"
    lines = [f"    n      y      x  {layer}       ink       across{last}"]
    for number, place in enumerate(places, start=1):
        across = place.across if size is None else place.across * size[2] / 1000
        z = f"{place.z:>5}  " if layer else ""
        value = "" if by == "spread" else f"  {place.value:>11.3f}"
        ink = f"{place.ink:>5.2f} ± {place.spread:<4.2f}"
        where = f"{number:>3}  {place.y:>5}  {place.x:>5}"
        lines.append(f"  {where}  {z}{ink}  {across:>7.2f} {unit}{value}")
    return "\n".join(lines)


def as_csv(store: PredictionStore, places: list[Place]) -> str:
    """The places as comma-separated values."""
    import csv
    import io

    text = io.StringIO()
    names = ["place", "y", "x", "z", "value", "ink", "spread", "across", "y_um", "x_um"]
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    for number, place in enumerate(places, start=1):
        table.writerow({"place": number, **place.record(), **_micrometres(store, place)})
    return text.getvalue()


def _micrometres(store: PredictionStore, place: Place) -> dict[str, float | None]:
    size = store.voxel_size
    if size is None:
        return {"y_um": None, "x_um": None}
    return {"y_um": place.y * size[1], "x_um": place.x * size[2]}
