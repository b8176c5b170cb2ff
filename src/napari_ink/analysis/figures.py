"""Figures about a prediction or a checkpoint, headless: matplotlib figures without a screen.

Colours are told apart by colour-blind readers and in print: ink is ``inferno``, the two sides of
a comparison are dark blue and orange, never red against green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis import metrics
from napari_ink.analysis.calibration import reliability
from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_ink.analysis.metrics import Histogram

BLUE, ORANGE, GREY, BLACK = "#1f4e8c", "#d9730d", "#8a8a8a", "#222222"

#: Scores drawn against the threshold: label, colour and line style; width marks the one chosen by.
_CURVES = {
    "f05": ("F0.5", BLACK, "-", 2.4),
    "f1": ("F1", BLUE, "-", 1.4),
    "iou": ("IoU", "#3f9fd0", "-", 1.4),
    "precision": ("precision", ORANGE, "--", 1.4),
    "recall": ("recall", "#7a4fa3", ":", 1.8),
}


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options):
    """A figure without a window, in inches, and its axes, as ``subplots`` gives them.

    Raises
    ------
    SettingsError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise SettingsError(
            "figures need matplotlib", "install it: pip install matplotlib"
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def tidy(axes: Axes, title: str = "") -> None:
    """The house's looks: a light grid, no box."""
    axes.grid(color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        axes.set_title(title, loc="left", fontsize="medium", fontweight="bold")


def threshold_chart(histogram: Histogram, threshold: float) -> Figure:
    """All scores against the threshold, with the chosen cut."""
    figure, axes = new_figure(7.6, 3.8)
    cuts = np.linspace(0, 1, 401)[1:]
    curves = [metrics.scores(histogram, cut) for cut in cuts]
    chosen = metrics.scores(histogram, threshold)
    for key, (name, colour, style, width) in _CURVES.items():
        values = [curve[key] for curve in curves]
        label = f"{name}  {chosen[key]:.3f}"
        axes.plot(cuts, values, style, color=colour, linewidth=width, label=label)
        axes.plot([threshold], [chosen[key]], "o", color=colour, markersize=4)
    axes.axvline(threshold, color=GREY, linewidth=1)
    axes.annotate(
        f"cut {threshold:.3f}",
        (threshold, 0.02),
        xytext=(5, 0) if threshold < 0.8 else (-5, 0),
        textcoords="offset points",
        ha="left" if threshold < 0.8 else "right",
        color=BLACK,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="threshold: ink from this probability on")
    axes.set_ylabel("score")
    axes.legend(title="at the cut", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    tidy(axes)
    return figure


def reliability_chart(histogram: Histogram) -> Figure:
    """Predicted probability against the share of ink, and how many pixels each point stands for."""
    parts = reliability(histogram)
    figure, (axes, below) = new_figure(5.2, 5.2, 2, sharex=True, height_ratios=(3.4, 1))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.plot(
        parts.probability,
        parts.ink,
        "o-",
        color=BLUE,
        markersize=5,
        label=f"this network (expected error {metrics.ece(histogram):.3f})",
    )
    axes.set(ylim=(-0.02, 1.02), ylabel="share that is ink in the label")
    axes.legend(frameon=False, loc="upper left")
    edges = np.linspace(0, 1, len(parts.pixels) + 1)
    below.bar(edges[:-1], parts.pixels, np.diff(edges), align="edge", color=BLUE, ec="white")
    below.set(yscale="log", ylabel="pixels", xlim=(0, 1), xlabel="predicted probability of ink")
    tidy(axes)
    tidy(below)
    return figure


def map_beside_label(
    probability: np.ndarray,
    label: np.ndarray,
    counts: np.ndarray,
    threshold: float,
    longest: int = 1600,
) -> Figure:
    """An ink map, its label, the map cut at the threshold, and where the two differ.

    Parameters
    ----------
    probability, label : numpy.ndarray
        ``(y, x)`` in [0, 1]; NaN is not predicted.
    counts : numpy.ndarray
        ``(y, x)`` bool: where map and label are compared; the rest is left grey.
    threshold : float
        Ink from here on.
    longest : int
        Pixels of the longer side that are drawn; larger maps are thinned out.
    """
    step = -(-max(label.shape) // longest)
    shown = (slice(step // 2, None, step),) * 2
    probability = np.asarray(probability[shown], np.float32)
    label, counts = np.asarray(label[shown], np.float32), np.asarray(counts[shown]) != 0
    counts = counts & ~np.isnan(probability)
    height, width = label.shape
    # two panels and the colour bar beside one another; a title over each row
    tall = 0.7 + 2 * 4.8 * height / width
    figure, axes = new_figure(11, min(14, max(4, tall)), 2, 2, sharex=True, sharey=True)
    ink, truth = probability >= threshold, label >= 0.5
    extent = (0, width * step, height * step, 0)
    options = {"extent": extent, "interpolation": "antialiased", "cmap": _inferno()}
    panels = (
        ("Predicted probability of ink", probability),
        ("Label", label),
        (f"Prediction cut at {threshold:.3f}", ink),
    )
    image = None
    for panel, (title, values) in zip(axes.flat, panels, strict=False):
        drawn = np.ma.masked_array(np.asarray(values, np.float32), ~counts)
        image = panel.imshow(drawn, vmin=0, vmax=1, **options)
        panel.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    kinds = (
        ("found", BLACK, ink & truth),
        ("false", ORANGE, ink & ~truth),
        ("missed", "#4a9be0", ~ink & truth),
    )
    errors = axes[1, 1]
    # Neither ink nor predicted: white; outside: the grey of the axes.
    colours = np.full((*label.shape, 3), 1.0, np.float32)
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    for _, colour, where in kinds:
        colours[where] = to_rgb(colour)
    colours[~counts] = to_rgb(_OUTSIDE)
    errors.imshow(colours, extent=extent, interpolation="nearest")
    errors.set_title("Where they differ", loc="left", fontsize="medium", fontweight="bold")
    patches = [
        Patch(facecolor=colour, label=f"{name} {(where & counts).sum() / max(1, counts.sum()):.1%}")
        for name, colour, where in kinds
    ]
    errors.legend(
        handles=patches,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        frameon=False,
        fontsize="small",
        borderpad=0,
        handlelength=1,
        columnspacing=1,
    )
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    figure.colorbar(image, ax=axes, shrink=0.5, pad=0.01, label="probability of ink")
    return figure


_OUTSIDE = "#c9c9c9"


def _inferno():
    from matplotlib import colormaps

    return colormaps["inferno"].with_extremes(bad=_OUTSIDE)
