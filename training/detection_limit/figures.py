"""A detection limit as lines of text and as a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.detection_limit.measure import TARGET, DetectionLimit, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: How far the mean AUC without ink may lie from one half before it is remarked upon.
LEAK = 0.05


def words(result: DetectionLimit) -> list[str]:
    """The result in lines of text."""
    summary = result.summary()
    lines = ["strength   AUC mean      sd     min     max"]
    for strength, column in zip(result.strengths, result.auc.T, strict=True):
        s = spread(column)
        lines.append(
            f"{strength:8.2f}   {s['mean']:8.3f}  {s['sd']:6.3f}  {s['min']:6.3f}  {s['max']:6.3f}"
        )
    total, found = len(result.seeds), summary["limit"]
    if found is not None:
        lines.append(
            f"detection limit {found['mean']:.3f} (sd {found['sd']:.3f}, {found['min']:.3f} to "
            f"{found['max']:.3f} over {total} fragments): the weakest ink with AUC ≥ {TARGET:.2f}"
        )
    else:
        kept = [value for value in summary["limits"] if value is not None]
        some = f"; on the others it is {min(kept):.3f} to {max(kept):.3f}" if kept else ""
        lines.append(
            f"no detection limit: on {total - len(kept)} of {total} fragments the AUC is below "
            f"{TARGET:.2f} even at strength {result.strengths[0]:g}{some}"
        )
    blank = summary["auc_without_ink"]
    verdict = "as it must be about one half"
    if abs(blank["mean"] - 0.5) > LEAK:
        verdict = "NOT about one half: something other than ink gives the letters away"
    lines.append(f"without ink: AUC {blank['mean']:.3f} (sd {blank['sd']:.3f}), {verdict}")
    return lines


def chart(result: DetectionLimit, title: str = "") -> Figure:
    """AUC against ink strength: each fragment, their mean, and the limit with its range."""
    from napari_ink.analysis.figures import BLACK, BLUE, GREY, ORANGE, new_figure, tidy

    figure, axes = new_figure(7.6, 4.4)
    for i, row in enumerate(result.auc):
        label = "single fragments" if i == 0 else None
        axes.plot(result.strengths, row, color="#b9cfe6", lw=1, marker=".", ms=4, label=label)
    mean = result.auc.mean(axis=0)
    axes.plot(result.strengths, mean, "o-", color=BLUE, lw=2.2, ms=5, label="mean")
    axes.axhline(TARGET, color=BLACK, lw=1, ls="--")
    axes.annotate(
        f"found: AUC {TARGET:.2f}",
        (1, TARGET),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
    )
    axes.axhline(0.5, color=GREY, lw=1, ls=":")
    axes.annotate(
        "guessing",
        (1, 0.5),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
        color="#555555",
    )
    found = result.summary()["limit"]
    if found is not None:
        axes.axvspan(found["min"], found["max"], color=ORANGE, alpha=0.18, lw=0)
        axes.axvline(found["mean"], color=ORANGE, lw=2)
        axes.annotate(
            f"detection limit {found['mean']:.3f} ± {found['sd']:.3f}",
            (found["mean"], 0.03),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            color="#9a4f06",
            fontweight="bold",
        )
    low = min(0.45, float(np.nanmin(result.auc)) - 0.02)
    axes.set(xlim=(0, max(result.strengths)), ylim=(low, 1.01), ylabel="AUC")
    axes.set_xlabel("ink strength (1: as in the simulator's fragments, 0: no ink)")
    axes.legend(frameon=False, loc="center right")
    tidy(axes, title)
    return figure
