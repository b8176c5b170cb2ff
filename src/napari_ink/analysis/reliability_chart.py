"""Reliability of several predictions on one picture: is .8 ink in eight of ten pixels?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.calibration import reliability
from napari_ink.analysis.figures import BLACK, BLUE, GREY, ORANGE, new_figure, tidy
from napari_ink.analysis.metrics import ece

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_ink.analysis.metrics import Histogram

#: Told apart by marker and dashes as well as by colour.
_LOOKS = (
    (BLUE, "o", "-"),
    (ORANGE, "s", "--"),
    (BLACK, "^", ":"),
    ("#3f9fd0", "D", "-."),
    ("#7a4fa3", "v", "-"),
    ("#b8860b", "P", "--"),
)
MOST = len(_LOOKS)


def reliability_figure(histograms: Mapping[str, Histogram], title: str = "") -> Figure:
    """A curve a prediction, with its expected calibration error, and below how many pixels.

    Parameters
    ----------
    histograms : mapping
        By name, six at most.
    title : str
    """
    figure, (axes, below) = new_figure(
        6.4, 6.4 + 0.22 * len(histograms), 2, sharex=True, height_ratios=(3.2, 1)
    )
    colour = axes.yaxis.label.get_color()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    draw_reliability(axes, histograms)
    axes.set(ylim=(-0.02, 1.02), ylabel="share that is ink in the label")
    axes.legend(
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),  # above the axes: curves go anywhere in them
        title="expected calibration error",
        alignment="left",
        labelcolor=colour,
    )
    _pixels(below, histograms)
    for panel in (axes, below):
        tidy(panel)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize="medium", fontweight="bold")
    return figure


def draw_reliability(axes: Axes, histograms: Mapping[str, Histogram], size: float = 5) -> None:
    """The curves alone; intervals without pixels have no point.

    Parameters
    ----------
    axes : Axes
    histograms : mapping
        By name.
    size : float
        Of the markers, points.
    """
    for (name, histogram), (colour, marker, line) in zip(histograms.items(), _LOOKS, strict=False):
        parts = reliability(histogram)
        there = parts.pixels > 0
        axes.plot(
            parts.probability[there],
            parts.ink[there],
            color=colour,
            marker=marker,
            linestyle=line,
            markersize=size,
            linewidth=1.4,
            label=f"{ece(histogram):.4f}  {name}",
        )


def _pixels(axes: Axes, histograms: Mapping[str, Histogram]) -> None:
    """Counts of each interval, as steps over one another."""
    for histogram, (colour, _, line) in zip(histograms.values(), _LOOKS, strict=False):
        pixels = reliability(histogram).pixels
        edges = np.linspace(0, 1, len(pixels) + 1)
        axes.stairs(np.maximum(pixels, 0.5), edges, color=colour, linestyle=line, linewidth=1.4)
    axes.set(yscale="log", ylabel="pixels", xlim=(0, 1), xlabel="predicted probability of ink")
    axes.set_ylim(bottom=0.7)
