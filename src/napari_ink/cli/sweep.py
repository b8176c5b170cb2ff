"""Find layers and direction: a small region predicted in many ways, before a long run."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink sweep``."""
    parser.add_argument(
        "fragment", metavar="FRAGMENT", help="folder, TIFF, zarr, URL or train.h5#12"
    )
    parser.add_argument(
        "--checkpoint", metavar="C", required=True, help="trained network: NAME.safetensors"
    )
    parser.add_argument(
        "--region",
        metavar="y0:y1,x0:x1",
        help="look here (default: 8 mm where the papyrus is densest, near the middle)",
    )
    parser.add_argument(
        "--label",
        metavar="L",
        help="ink label of the fragment's size, to say each map's AUC too (default: the "
        "fragment's own, if it has one); it does not choose the best",
    )
    parser.add_argument(
        "--step",
        metavar="N",
        type=int,
        help="layers from one window to the next (default: a quarter of what the checkpoint takes)",
    )
    parser.add_argument("--task", metavar="T", help="task of the checkpoint (default: its first)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument(
        "--voxel-size", metavar="UM", type=float, help="in µm; overrules what the fragment records"
    )
    parser.add_argument("--sheet", metavar="F.png", help="write all maps as one picture")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print all candidates and the best as JSON; progress and notes go to stderr",
    )


def run(args: argparse.Namespace) -> int:
    """Sweep with a progress bar on stderr, then print the table or JSON."""
    import json

    from rich.console import Console
    from rich.progress import track

    from napari_ink.analysis.separation import FAINT
    from napari_ink.analysis.sweep import best_of, plan_sweep, sweep
    from napari_ink.cli.look import opened, refuse_picture, save_picture, settings_from

    console = Console(stderr=True, highlight=False)

    def notice(line: str) -> None:
        console.print(f"note: {line}", markup=False, soft_wrap=True)

    if args.sheet is not None:
        refuse_picture(args.sheet, "--sheet")
    settings = settings_from(args)
    fragment, model = opened(args)
    plan = plan_sweep(fragment, model, settings, step=args.step)
    region = plan.region
    console.print(
        f"{fragment.name}: rows {region.y0}:{region.y1}, columns {region.x0}:{region.x1}, "
        f"{plan.total} predictions on {plan.settings.device}",
        markup=False,
        soft_wrap=True,
    )
    done = list(
        track(
            sweep(fragment, model, plan, notice=notice),
            description="sweep",
            total=plan.total,
            console=console,
        )
    )
    best = best_of(done)
    if args.sheet is not None:
        from napari_ink.analysis.sweep_sheet import contact_sheet

        save_picture(contact_sheet(done, fragment.name), args.sheet, "--sheet")
    if args.json:
        record = {
            "fragment": fragment.name,
            "simulated": fragment.simulated,
            "checkpoint": args.checkpoint,
            "region": list(region),
            "candidates": [one.record() for one in done],
            "best": best.record(),
            "shows_strokes": best.separation >= FAINT,
        }
        print(json.dumps(record))
        return 0
    print("layers     direction    turn  separation" + ("     AUC" if best.auc is not None else ""))
    for one in sorted(done, key=lambda one: -one.separation):
        figures = one.record()
        layers = f"{figures['layers'][0]}:{figures['layers'][1]}"
        auc = "" if one.auc is None else f"{one.auc:8.3f}"
        mark = "  best" if one is best else ""
        print(
            f"{layers:<10} {figures['direction']:<11} {figures['turn']:>4}°  "
            f"{one.separation:10.3f}{auc}{mark}"
        )
    print(verdict(best, plan.settings.layers))
    return 0


def verdict(best, own: tuple[int, int]) -> str:
    """What to do with the best, in one line."""
    from napari_ink.analysis.separation import FAINT

    if best.separation < FAINT:
        return (
            f"no map shows strokes (separation below {FAINT:g}): no ink here, none that this "
            "checkpoint finds, or the wrong scale; napari-ink probe tells which"
        )
    words = []
    if best.way.layers != tuple(own):
        words.append(f"--layers {best.way.layers[0]}:{best.way.layers[1]}")
    if best.way.reverse_depth:
        words.append("--reverse")
    how = f"napari-ink predict … {' '.join(words)}" if words else "predict with the defaults"
    if best.way.turns:
        how += f", on the fragment turned by {90 * best.way.turns}° counterclockwise"
    return f"best: {how}"
