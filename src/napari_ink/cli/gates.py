"""Tell what each expert of a network weighs: table, chart, comparison, merged kernel."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from napari_ink.analysis.gates import GateComparison, GateShares
    from napari_ink.models.contract import InkNetwork


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``napari-ink gates``."""
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="trained gated network: NAME.safetensors")
    add("--task", metavar="T", help="task of the checkpoint (default: its first)")
    add("--compare", metavar="C2", help="another checkpoint: also what differs from it")
    add(
        "--compare-task",
        metavar="T2",
        help="another task, of C2 or of CHECKPOINT (default: the same)",
    )
    add(
        "--chart",
        choices=("stacked", "grouped"),
        help="of --png and --svg: bars that add up to 100%% (default), or bars side by side with "
        "the spread over the channels",
    )
    add(
        "--kernel",
        metavar="BLOCK",
        help="not the gates but the merged 5³ kernel of this block (C1.2, D1.1, head) and what "
        "each expert has in it; --png, --svg and --json are then of the kernel",
    )
    add("--png", metavar="F", help="write the chart as PNG")
    add("--svg", metavar="F", help="write the chart as SVG")
    add("--csv", metavar="F", help="write the gates as a table: a row a block and expert")
    add("--npy", metavar="F", help="of --kernel: write it, (out, in, 5, 5, 5) float32")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the table, write the files."""
    from napari_ink.models.checkpoint import load_checkpoint

    _check(args)
    network = load_checkpoint(args.checkpoint)
    if args.kernel is not None:
        _kernel(args, network)
    else:
        _gates(args, network)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what does not go together, or cannot be written, before anything is loaded."""
    from napari_ink.analysis.gates_files import check_target

    compares = args.compare is not None or args.compare_task is not None
    if args.kernel is None and args.npy is not None:
        raise SettingsError("--npy without --kernel", "name the block: --kernel C1.1")
    if args.kernel is not None:
        for option in ("compare", "compare_task", "chart", "csv"):
            if getattr(args, option) is not None:
                raise SettingsError(f"--{option.replace('_', '-')} with --kernel", "leave one out")
    if args.chart is not None and args.png is None and args.svg is None:
        raise SettingsError("--chart without a file for it", "give --png or --svg")
    if args.chart == "grouped" and compares:
        raise SettingsError(
            "--chart grouped with a comparison, which has a chart of its own", "leave --chart out"
        )
    for option in ("png", "svg", "csv", "npy"):
        if getattr(args, option) is not None:
            check_target(getattr(args, option), f".{option}")
    if args.png is not None or args.svg is not None:
        from napari_ink.analysis.figures import new_figure

        new_figure(1, 1)  # matplotlib is there


def _gates(args: argparse.Namespace, network: InkNetwork) -> None:
    import json

    from napari_ink.analysis import gates_figures, gates_table
    from napari_ink.analysis.gates import compare_gates, gate_shares
    from napari_ink.analysis.gates_files import save_figure, save_text
    from napari_ink.models.checkpoint import load_checkpoint

    shares, comparison = gate_shares(network, _task(network, args.task)), None
    other = args.compare or args.checkpoint
    if args.compare is not None or args.compare_task is not None:
        second = network if args.compare is None else load_checkpoint(args.compare)
        task = args.compare_task
        if task is None and (len(second.tasks) > 1 or shares.task in second.tasks):
            task = shares.task
        comparison = compare_gates(shares, gate_shares(second, _task(second, task)))
    if args.png is not None or args.svg is not None:
        if comparison is not None:
            names = _titles(args.checkpoint, other, comparison)
            figure = gates_figures.compared_chart(comparison, *names)
        elif args.chart == "grouped":
            figure = gates_figures.grouped_chart(shares)
        else:
            figure = gates_figures.gate_chart(shares)
        for path in filter(None, (args.png, args.svg)):
            save_figure(figure, path)
    if args.csv is not None:
        save_text(gates_table.gate_csv(shares, comparison), args.csv)
    if args.json:
        record = {"checkpoint": args.checkpoint, **gates_table.gate_record(shares)}
        if comparison is not None:
            second = gates_table.comparison_record(comparison)
            record["comparison"] = {"checkpoint": other, **second}
        print(json.dumps(record))
        return
    print(gates_table.gate_table(shares, comparison))
    if comparison is not None:
        first, second = _titles(args.checkpoint, other, comparison)
        print(f"first: {first}; second: {second}")


def _kernel(args: argparse.Namespace, network: InkNetwork) -> None:
    import json

    import numpy as np

    from napari_ink.analysis import gates_figures, gates_table
    from napari_ink.analysis.gates_files import save_figure, written
    from napari_ink.analysis.gates_kernel import merged_kernel

    kernel = merged_kernel(network, args.kernel, _task(network, args.task))
    for path in filter(None, (args.png, args.svg)):
        save_figure(gates_figures.kernel_chart(kernel), path)
    if args.npy is not None:
        with written(args.npy) as beside:
            np.save(beside, kernel.kernel)
    if args.json:
        print(json.dumps({"checkpoint": args.checkpoint, **gates_table.kernel_record(kernel)}))
    else:
        print(gates_table.kernel_table(kernel))


def _task(network: InkNetwork, name: str | None) -> str | int:
    return 0 if name is None else name


def _titles(first: str, second: str, comparison: GateComparison) -> tuple[str, str]:
    """What tells the two apart: file and task."""
    from pathlib import Path

    def title(path: str, shares: GateShares) -> str:
        return f"{Path(path).stem}, task {shares.task}"

    return title(first, comparison.first), title(second, comparison.second)
