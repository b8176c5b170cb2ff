"""Results as a table (Markdown, CSV, JSON) and as a picture, mean and spread over the seeds."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from training.compare.one import write_whole
from training.compare.settings import Comparison

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
        limits = [limit for run in runs.values() for limit in _limits(run)]
        entry["tried"], entry["found"] = len(limits), sum(limit is not None for limit in limits)
        made_by = {json.dumps(run.get("versions")) for run in runs.values() if "failed" not in run}
        entry["versions"] = sorted(made_by)
        rows.append(entry)
    return rows


def _limits(run: dict[str, Any]) -> list[float | None]:
    """A run's limit on each fragment; None where its ink was not found at any strength."""
    return run.get("limits", {}).get("limits", [])


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table for people; what is not the mean over all runs says so."""
    shown = [key for key in COLUMNS if any(key in row for row in rows)]
    table = [["row", "runs", *(COLUMNS[key][0] for key in shown)]]
    table.append(["---"] * len(table[0]))
    table += [[row["row"], str(row["runs"]), *(_cell(row, key) for key in shown)] for row in rows]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    for row in rows:
        if row["found"] < row["tried"]:
            lines.append(
                f"\n{row['row']}: ink of the strongest kind tried was found on {row['found']} of "
                f"{row['tried']} fragments; for the others it counts as the limit, which is higher"
            )
        lines += [
            f"\n{row['row']}, seed {seed}, failed: {why}" for seed, why in row["failed"].items()
        ]
    if len({version for row in rows for version in row["versions"]}) > 1:
        lines.append("\nNot all runs were made by the same version of the software: see table.json")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any], key: str) -> str:
    if key not in row:
        return "–"
    value, digits = row[key], COLUMNS[key][1]
    spread = "" if value["sd"] is None else f" ± {value['sd']:.{digits}f}"
    least = "≥ " if is_least(row, key) else ""
    number = len(value["values"])
    of = f" ({number} of {row['runs']})" if number < row["runs"] else ""
    return f"{least}{value['mean']:.{digits}f}{spread}{of}"


def is_least(row: dict[str, Any], key: str) -> bool:
    """Whether a row's value is a bound from below: a limit that not every fragment has."""
    return key == "limit" and row["found"] < row["tried"]


def in_words(result: dict[str, Any]) -> str:
    """One run's result, or why it failed, in one line."""
    if "failed" in result:
        return f"failed: {result['failed']}"
    return ", ".join(
        f"{heading} " + ("undefined" if result[key] is None else f"{result[key]:.{digits}f}")
        for key, (heading, digits) in COLUMNS.items()
        if key in result
    )


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
                    fmt=">" if is_least(row, key) else "D",
                    color=BLUE,
                    capsize=4,
                    ms=5,
                )
                points = value["values"]
                panel.plot(points, [place] * len(points), ".", color=ORANGE, ms=5, zorder=3)
        panel.set_xlabel(COLUMNS[key][0])
        panel.locator_params(axis="x", nbins=4)
        tidy(panel)
        panel.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(rows)), [row["row"] for row in rows])
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    title = "Blue: mean ± standard deviation over the seeds; orange: single runs"
    if any(is_least(row, "limit") for row in rows):
        title += "; ▶: at least, as not all ink was found"
    figure.suptitle(title, fontsize="small")
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
    writer.writerow(["row", "seed", *COLUMNS, "limit_found", "limit_tried", "failed"])
    for name, runs in results.items():
        for seed, run in runs.items():
            values = [run.get(key) for key in COLUMNS]
            limits = _limits(run)
            found = sum(limit is not None for limit in limits)
            writer.writerow([name, seed, *values, found, len(limits), run.get("failed", "")])
    write_whole(comparison.folder / "table.csv", stream.getvalue())
    if any("loss" in row for row in rows):
        picture = io.BytesIO()
        chart(rows).savefig(picture, format="png", dpi=150)
        write_whole(comparison.folder / "table.png", picture.getvalue())
    return text
