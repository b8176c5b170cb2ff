"""A probe as a figure: what the checkpoint makes of planted ink, and its AUC against strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.detection import TARGET
from napari_ink.analysis.figures import BLACK, BLUE, GREY, ORANGE, new_figure, tidy
from napari_ink.analysis.probe_records import Planted, ProbeResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 400  # px of a map's longer side that are drawn
_OUTSIDE = "#c9c9c9"


def probe_chart(done: Sequence[Planted], title: str = "") -> Figure:
    """The maps of the first try above the curve of all tries.

    Parameters
    ----------
    done : sequence of Planted
        Of a finished probe.
    title : str
    """
    result = ProbeResult.of(done)
    first = [one for one in done if one.seed == done[0].seed]
    columns = len(first) + 1
    figure, axes = new_figure(1.75 * columns, 5.6, 2, columns, height_ratios=(1, 1.5))
    from matplotlib import colormaps

    colours = colormaps["inferno"].with_extremes(bad=_OUTSIDE)
    step = -(-max(first[0].label.shape) // _LONGEST)
    shown = [("planted letters", first[0].label.astype(np.float32))]
    shown += [
        (
            f"strength {one.strength:g}, AUC {one.auc:.3f}" if one.strength else "as it is",
            one.probability,
        )
        for one in [*first[1:], first[0]]
    ]
    for panel, (name, values) in zip(axes[0], shown, strict=True):
        drawn = np.ma.masked_invalid(values[::step, ::step])
        panel.imshow(drawn, vmin=0, vmax=1, cmap=colours, interpolation="antialiased")
        panel.set_title(name, fontsize=7, loc="left")
        panel.set_xticks([])
        panel.set_yticks([])
    for panel in axes[1]:
        panel.remove()
    curve = figure.add_subplot(axes[1, 0].get_gridspec()[1, :])
    _draw_curve(curve, result)
    words = "simulated ink planted on the fragment"
    figure.suptitle(f"{title}: {words}" if title else words, fontsize=9, x=0.01, ha="left")
    return figure


def _draw_curve(axes, result: ProbeResult) -> None:
    for number, row in enumerate(result.auc):
        label = "single tries" if number == 0 else None
        axes.plot(result.strengths, row, color="#b9cfe6", lw=1, marker=".", ms=4, label=label)
    axes.plot(result.strengths, result.auc.mean(0), "o-", color=BLUE, lw=2, ms=4, label="mean")
    axes.axhline(TARGET, color=BLACK, lw=1, ls="--", label=f"found: AUC {TARGET:.2f}")
    axes.axhline(0.5, color=GREY, lw=1, ls=":", label="guessing")
    found = result.summary()["limit"]
    if found is not None:
        axes.axvspan(found["min"], found["max"], color=ORANGE, alpha=0.18, lw=0)
        label = f"weakest found: {found['mean']:.3f}"
        axes.axvline(found["mean"], color=ORANGE, lw=2, label=label)
    low = min(0.45, float(np.nanmin(result.auc)) - 0.02)
    axes.set(xlim=(0, max(result.strengths)), ylim=(low, 1.01), ylabel="AUC")
    axes.set_xlabel("strength of the planted ink (1: as in simulated fragments; 0: none)")
    axes.legend(frameon=False, loc="center right", fontsize="small")
    tidy(axes)
