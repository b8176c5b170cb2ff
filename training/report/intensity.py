"""Grey levels of ink and of bare papyrus, layer by layer and source by source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from napari_ink.analysis.figures import BLUE, GREY, ORANGE, new_figure, tidy
from training.report.folder import Intensities, SourceIntensities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = 16  # single layers drawn at most
_BLUR = 0.015  # σ of the smoothing of a drawn distribution, as a share of its range


def separation(intensities: Intensities) -> np.ndarray:
    """``(layers,)``: the chance that an ink pixel is brighter than a bare one, ties one half.

    NaN for a layer without ink or without bare papyrus. Exact up to the width of a bin.
    """
    ink, bare = intensities.ink.astype(float), intensities.bare.astype(float)
    below = np.cumsum(bare, axis=1) - bare
    with np.errstate(invalid="ignore"):
        return (ink * (below + bare / 2)).sum(1) / (ink.sum(1) * bare.sum(1))


def quantiles(counts: np.ndarray, edges: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """``(levels, layers)``: quantiles of histograms, linear within a bin; NaN for empty layers."""
    found = np.full((len(levels), len(counts)), np.nan)
    for layer, row in enumerate(counts):
        if row.sum():
            share = np.concatenate([[0], np.cumsum(row)]) / row.sum()
            # of the edges with the same share only the last: interpolation needs it rising
            rising = np.append(np.diff(share) > 0, True)
            found[:, layer] = np.interp(levels, share[rising], edges[rising])
    return found


def layer_chart(intensities: Intensities) -> Figure:
    """Median and middle 80% of the intensities by layer, and how well each layer separates."""
    layers = intensities.first_layer + np.arange(len(intensities.ink))
    figure, (left, right) = new_figure(9.6, 4.2, 1, 2, sharey=True, width_ratios=(1.6, 1))
    for name, counts, colour in (
        ("bare papyrus", intensities.bare, BLUE),
        ("ink", intensities.ink, ORANGE),
    ):
        low, middle, high = quantiles(counts, intensities.edges, (0.1, 0.5, 0.9))
        left.fill_betweenx(layers, low, high, color=colour, alpha=0.18, lw=0)
        left.plot(middle, layers, color=colour, lw=2, label=f"{name}: median, middle 80%")
    left.set(ylabel="layer", xlabel="normalised intensity")
    left.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    left.invert_yaxis()
    right.axvline(0.5, color=GREY, ls="--", lw=1)
    right.plot(separation(intensities), layers, "o-", color="#222222", ms=4)
    right.set(xlim=(0, 1), xlabel="AUC of the grey level alone")
    for axes in (left, right):
        tidy(axes)
    return figure


def source_chart(
    names: Sequence[str], stored: SourceIntensities, normalised: SourceIntensities
) -> Figure:
    """Median and middle 80% of the intensities by source, as stored and normalised."""
    places = np.arange(len(names))
    figure, panels = new_figure(9.6, 1.3 + 0.42 * len(names), 1, 2, sharey=True)
    for panel, found, label in zip(
        panels, (stored, normalised), ("intensity as stored", "normalised intensity"), strict=True
    ):
        for name, counts, colour, shift in (
            ("bare papyrus", found.bare, BLUE, -0.15),
            ("ink", found.ink, ORANGE, 0.15),
        ):
            low, middle, high = quantiles(counts, found.edges, (0.1, 0.5, 0.9))
            panel.hlines(places + shift, low, high, color=colour, lw=5, alpha=0.35)
            panel.plot(middle, places + shift, "o", color=colour, ms=5, label=name)
        panel.set_xlabel(label)
        panel.ticklabel_format(axis="x", style="sci", scilimits=(-3, 5))
        tidy(panel)
    panels[0].set_yticks(places, [shortened(name) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    return figure


def shortened(name: str, length: int = 32) -> str:
    """A name that leaves room for the chart: its middle goes, since parts are told by the end."""
    if len(name) <= length:
        return name
    return f"{name[: length // 2]}…{name[len(name) - (length - length // 2 - 1) :]}"


def distribution_chart(intensities: Intensities) -> Figure:
    """Distributions with and without ink, a panel a layer (at most sixteen, evenly spaced)."""
    depth = len(intensities.ink)
    chosen = np.unique(np.linspace(0, depth - 1, min(_PANELS, depth)).round().astype(int))
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, axes = new_figure(
        9.6, 0.6 + 1.45 * rows, rows, columns, sharex=True, sharey=True, squeeze=False
    )
    widths = np.diff(intensities.edges)
    # What lies beyond in either tail would only make the panels narrow.
    both = (intensities.ink + intensities.bare).sum(axis=0, keepdims=True)
    low, high = quantiles(both, intensities.edges, (0.001, 0.999))[:, 0]
    # Bins and stored grey levels are of different widths, which shows as a comb.
    blur = _BLUR * (high - low) / widths.mean() if low < high else 0.0
    middles = intensities.edges[:-1] + widths / 2
    for panel, layer in zip(axes.flat, chosen, strict=False):
        for counts, colour, name in (
            (intensities.bare, BLUE, "bare papyrus"),
            (intensities.ink, ORANGE, "ink"),
        ):
            total = counts[layer].sum()
            if total and blur:
                density = gaussian_filter1d(counts[layer] / (total * widths), blur)
                panel.plot(middles, density, color=colour, lw=1.4, label=name)
        panel.set_title(f"layer {intensities.first_layer + layer}", fontsize="small", loc="left")
        panel.set_yticks([])
        if low < high:
            panel.set_xlim(low, high)
        tidy(panel)
    for panel in axes.flat[len(chosen) :]:
        panel.set_visible(False)
    figure.supxlabel("normalised intensity", fontsize="medium")
    figure.supylabel("density", fontsize="medium")
    found = {}
    for panel in axes.flat:
        found |= dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True))
    handles, names = found.values(), found.keys()
    figure.legend(handles, names, loc="outside upper right", ncols=2, frameon=False)
    return figure
