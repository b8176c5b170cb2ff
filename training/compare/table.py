"""Results as a table (Markdown, CSV, JSON) and as a picture, mean and spread over the seeds."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from training.compare.one import write_whole
from training.compare.settings import Comparison
from training.whole_files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Key in a result: heading, digits.
COLUMNS = {
    "loss": ("loss (BCE + Dice)/2", 3),
    "f05": ("F0.5", 3),
    "auc": ("AUC", 4),
    "limit": ("detection limit", 3),
    "seconds": ("seconds", 0),
}

Results = dict[str, dict[int, dict[str, Any]]]


def summarise(results: Results) -> list[dict[str, Any]]:
    """One entry a row: how many runs, mean and standard deviation of each column, failures."""
    rows = []
    for name, runs in results.items():
        entry: dict[str, Any] = {
            "row": name,
            "runs": sum("failed" not in run for run in runs.values()),
            "failed": {seed: run["failed"] for seed, run in runs.items() if "failed" in run},
        }
        for key in COLUMNS:
            values = [run[key] for run in runs.values() if run.get(key) is not None]
            if values:
                sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
                entry[key] = {"mean": float(np.mean(values)), "sd": sd, "values": values}
        rows.append(entry)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table for people."""
    shown = [key for key in COLUMNS if any(key in row for row in rows)]
    lines = [
        "| row | runs | " + " | ".join(COLUMNS[key][0] for key in shown) + " |",
        "|---" * (len(shown) + 2) + "|",
    ]
    for row in rows:
        cells = [_cell(row.get(key), COLUMNS[key][1]) for key in shown]
        lines.append(f"| {row['row']} | {row['runs']} | " + " | ".join(cells) + " |")
    for row in rows:
        for seed, reason in row["failed"].items():
            lines.append(f"\n{row['row']}, seed {seed}, failed: {reason}")
    return "\n".join(lines) + "\n"


def _cell(value: dict[str, Any] | None, digits: int) -> str:
    if value is None:
        return "–"
    spread = "" if value["sd"] is None else f" ± {value['sd']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{spread}"


def chart(rows: list[dict[str, Any]]) -> Figure:
    """Every run a point, mean and standard deviation a bar, one panel a column."""
    from napari_ink.analysis.figures import BLUE, ORANGE, new_figure, tidy

    shown = [key for key in COLUMNS if any(key in row for row in rows)]
    figure, axes = new_figure(
        2.2 + 2.4 * len(shown), 1.1 + 0.38 * len(rows), 1, len(shown), sharey=True, squeeze=False
    )
    for panel, key in zip(axes[0], shown, strict=True):
        for place, row in enumerate(rows):
            if key in row:
                value = row[key]
                panel.errorbar(
                    value["mean"],
                    place,
                    xerr=value["sd"] or 0,
                    fmt="D",
                    color=BLUE,
                    capsize=4,
                    ms=5,
                )
                points = value["values"]
                panel.plot(points, [place] * len(points), ".", color=ORANGE, ms=5, zorder=3)
        panel.set_xlabel(COLUMNS[key][0])
        tidy(panel)
        panel.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(rows)), [row["row"] for row in rows])
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(
        "Blue: mean ± standard deviation over the seeds; orange: single runs", fontsize="small"
    )
    return figure


def write_tables(comparison: Comparison, results: Results) -> str:
    """Write ``table.md``, ``.csv``, ``.json`` and ``.png``; return the Markdown."""
    rows = summarise(results)
    text = markdown(rows)
    write_whole(comparison.folder / "table.md", text)
    record = {"name": comparison.name, "rows": rows, "results": results}
    write_whole(comparison.folder / "table.json", json.dumps(record, indent=1) + "\n")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["row", "seed", *COLUMNS, "failed"])
    for name, runs in results.items():
        for seed, run in runs.items():
            values = [run.get(key) for key in COLUMNS]
            writer.writerow([name, seed, *values, run.get("failed", "")])
    write_whole(comparison.folder / "table.csv", stream.getvalue())
    if any("loss" in row for row in rows):
        with written_whole(comparison.folder / "table.png") as beside:
            chart(rows).savefig(beside, format="png", dpi=150)
    return text
