"""Gate shares and kernels as text, as CSV and as what JSON takes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from napari_ink.analysis.gates import PARTS, GateComparison, GateShares
from napari_ink.analysis.gates_kernel import MergedKernel
from napari_ink.models.experts import OWN
from napari_ink.models.mode import EXPERTS


def gate_record(shares: GateShares) -> dict[str, Any]:
    """``task experts labels blocks encoder decoder overall``, percentages as floats.

    ``experts`` are the names that prediction takes (``avg5``), ``labels`` those of figures
    (``avg 5³``). ``decoder`` is ``None`` where the decoder has no gates.
    """
    return {
        "task": shares.task,
        "experts": list(_names(shares)),
        "labels": list(shares.experts),
        "blocks": [
            {
                "block": block,
                "layer": name,
                "channels": value.shape[1],
                "mean": mean.tolist(),
                "spread": spread.tolist(),
            }
            for block, name, value, mean, spread in zip(
                shares.blocks, shares.names, shares.values, shares.mean, shares.spread, strict=True
            )
        ],
        **{part: _part(shares, part) for part in PARTS},
    }


def comparison_record(comparison: GateComparison) -> dict[str, Any]:
    """The record of the second, and ``difference`` (second less first, percentage points)."""
    rows = zip(comparison.second.blocks, comparison.difference, strict=True)
    parts = comparison.parts
    return {
        **gate_record(comparison.second),
        "difference": {
            "blocks": {block: row.tolist() for block, row in rows},
            **{part: parts[part].tolist() if part in parts else None for part in PARTS},
        },
    }


def kernel_record(kernel: MergedKernel) -> dict[str, Any]:
    """``task block layer shape experts labels share size``; ``None`` for a kernel of zeros."""
    return {
        "task": kernel.task,
        "block": kernel.block,
        "layer": kernel.name,
        "shape": list(kernel.kernel.shape),
        "experts": list(_names(kernel)),
        "labels": list(kernel.experts),
        "share": [None if np.isnan(share) else share for share in kernel.share.tolist()],
        "size": [None if np.isnan(size) else size for size in kernel.size.tolist()],
    }


def gate_table(shares: GateShares, comparison: GateComparison | None = None) -> str:
    """Lines for a terminal: ``mean ±spread`` an expert, and with a comparison the differences."""
    width = max(len(name) for name, _, _ in _rows(shares))
    head = f"{'':<{width}}" + "".join(f"{label:>12}" for label in shares.experts)
    lines = [f"task {shares.task}: mean gate of each expert in %, ± standard deviation", head]
    for name, mean, spread in _rows(shares):
        cells = (f"{m:.1f} ±{s:.1f}" for m, s in zip(mean, spread, strict=True))
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    lines.append("blocks: over their channels; encoder (C), decoder (D), overall: over blocks")
    if comparison is None:
        return "\n".join(lines)
    lines += ["", "difference in percentage points, second less first", head]
    rows = [*zip(comparison.second.blocks, comparison.difference, strict=True)]
    for name, row in [*rows, *comparison.parts.items()]:
        lines.append(f"{name:<{width}}" + "".join(f"{value:>+12.1f}" for value in row))
    return "\n".join(lines)


def kernel_table(kernel: MergedKernel) -> str:
    """Lines for a terminal: share and size of each expert."""
    outputs, inputs = kernel.kernel.shape[:2]
    lines = [
        f"block {kernel.block} ({kernel.name}), task {kernel.task}: {outputs} × {inputs} kernels "
        "of 5 × 5 × 5",
        f"{'expert':<8}{'share':>9}{'size':>9}",
    ]
    for label, share, size in zip(kernel.experts, kernel.share, kernel.size, strict=True):
        lines.append(f"{label:<8}{100 * share:>8.1f}%{100 * size:>8.1f}%")
    lines.append("share: part of the merged kernel, adds up to 100%; size: own norm against its")
    return "\n".join(lines)


def gate_csv(shares: GateShares, comparison: GateComparison | None = None) -> str:
    """A row a block (or part) and expert: ``block,layer,expert,mean,spread``.

    With a comparison the blocks that both have, and ``second_mean,second_spread,difference``.
    """
    sides = [shares] if comparison is None else [comparison.first, comparison.second]
    columns = ["block", "layer", "expert", "mean", "spread"]
    if comparison is not None:
        columns += ["second_mean", "second_spread", "difference"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for rows in zip(*(_rows(side) for side in sides), strict=True):
        name = rows[0][0]
        layers = dict(zip(sides[0].blocks, sides[0].names, strict=True))
        for at, expert in enumerate(_names(sides[0])):
            numbers = [value[at] for _, *pair in rows for value in pair]
            if comparison is not None:
                numbers.append(numbers[2] - numbers[0])
            cells = (f"{number:.4f}" for number in numbers)
            writer.writerow([name, layers.get(name, ""), expert, *cells])
    return text.getvalue()


def channels_csv(shares: GateShares, block: str) -> str:
    """A row a channel of a block, a column an expert."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["block", "channel", *_names(shares)])
    for channel, gates in enumerate(shares.values[shares.index(block)].T):
        writer.writerow([block, channel, *(f"{gate:.4f}" for gate in gates)])
    return text.getvalue()


def _rows(shares: GateShares) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Every block, then every part: name, means and spreads."""
    yield from zip(shares.blocks, shares.mean, shares.spread, strict=True)
    for part, (mean, spread) in shares.parts.items():
        yield part, mean, spread


def _names(of: GateShares | MergedKernel) -> tuple[str, ...]:
    return (*EXPERTS, OWN)[: len(of.experts)]


def _part(shares: GateShares, part: str) -> dict[str, list[float]] | None:
    if part not in shares.parts:
        return None
    mean, spread = shares.parts[part]
    return {"mean": mean.tolist(), "spread": spread.tolist()}
