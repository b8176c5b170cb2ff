"""Could it show ink here? Plants simulated ink, in memory, and tells the weakest that is found."""

from __future__ import annotations

import argparse

from napari_ink.errors import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink probe``."""
    parser.add_argument(
        "fragment", metavar="FRAGMENT", help="folder, TIFF, zarr, URL or train.h5#12"
    )
    parser.add_argument(
        "--checkpoint", metavar="C", required=True, help="trained network: NAME.safetensors"
    )
    parser.add_argument(
        "--region",
        metavar="y0:y1,x0:x1",
        help="plant here (default: places of 8 mm in which the checkpoint sees no ink)",
    )
    parser.add_argument(
        "--strengths",
        metavar="S,S,…",
        help="of the ink; 1 is what simulated fragments have (default 1,.5,.35,.25,.18,.12)",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=int,
        default=3,
        help="tries, each with other letters (default 3)",
    )
    parser.add_argument(
        "--layers", metavar="a:b", help="layers to read (default: the checkpoint's)"
    )
    parser.add_argument(
        "--reverse",
        action="store_true",
        help="read the layers against the way the checkpoint was trained",
    )
    parser.add_argument("--task", metavar="T", help="task of the checkpoint (default: its first)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument(
        "--voxel-size", metavar="UM", type=float, help="in µm; overrules what the fragment records"
    )
    parser.add_argument("--png", metavar="F.png", help="write maps and curve as a picture")
    parser.add_argument(
        "--json", action="store_true", help="print JSON; progress and notes go to stderr"
    )


def run(args: argparse.Namespace) -> int:
    """Probe with a progress bar on stderr, then print the table or JSON."""
    import json

    from rich.console import Console
    from rich.progress import track

    from napari_ink.analysis.detection import spread
    from napari_ink.analysis.probe import STRENGTHS, plan_probe, probe
    from napari_ink.analysis.probe_records import ProbeResult
    from napari_ink.cli.look import opened, refuse_picture, save_picture, settings_from

    console = Console(stderr=True, highlight=False)
    told: list[str] = []

    def notice(line: str) -> None:
        told.append(line)
        console.print(f"note: {line}", markup=False, soft_wrap=True)

    if args.png is not None:
        refuse_picture(args.png, "--png")
    settings = settings_from(args)
    strengths = STRENGTHS if args.strengths is None else numbers(args.strengths, "--strengths")
    fragment, model = opened(args)
    plan = plan_probe(fragment, model, settings, strengths=strengths, seeds=args.seeds)
    console.print(
        f"{fragment.name}: {plan.total} predictions of {plan.regions[0].shape[0]} × "
        f"{plan.regions[0].shape[1]} px on {plan.settings.device}; the ink is simulated",
        markup=False,
        soft_wrap=True,
    )
    done = list(
        track(
            probe(fragment, model, plan, notice=notice),
            description="probe",
            total=plan.total,
            console=console,
        )
    )
    result = ProbeResult.of(done)
    if args.png is not None:
        from napari_ink.analysis.probe_chart import probe_chart

        save_picture(probe_chart(done, fragment.name), args.png, "--png")
    if args.json:
        record = {
            "fragment": fragment.name,
            "checkpoint": args.checkpoint,
            "layers": list(plan.settings.layers),
            "reverse_depth": plan.settings.reverse_depth,
            **result.summary(),
            "verdict": result.verdict(),
            "notes": told,
        }
        print(json.dumps(record))
        return 0
    print("strength of simulated ink   AUC mean     min     max")
    for strength, column in zip(result.strengths, result.auc.T, strict=True):
        figures = spread(column)
        print(
            f"{strength:25.2f}   {figures['mean']:8.3f}  {figures['min']:6.3f}  "
            f"{figures['max']:6.3f}"
        )
    print(result.verdict())
    return 0


def numbers(text: str, option: str) -> list[float]:
    """``1,.5,.25`` as numbers.

    Raises
    ------
    SettingsError
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SettingsError(f"{option} {text!r}", "write numbers with commas: 1,.5,.25") from None
