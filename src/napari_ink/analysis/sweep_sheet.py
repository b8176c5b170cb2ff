"""The contact sheet of a sweep: every map with its way of reading and its separation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.figures import BLACK, ORANGE, new_figure
from napari_ink.analysis.sweep import Candidate, best_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 6
_LONGEST = 400  # px of a map's longer side that are drawn
_OUTSIDE = "#c9c9c9"


def in_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """As they are looked at: as trained first, then reversed, by layers, turns last."""
    return sorted(
        candidates, key=lambda one: (one.way.reverse_depth, one.way.turns, one.way.layers)
    )


def contact_sheet(candidates: Sequence[Candidate], title: str = "") -> Figure:
    """All maps on one scale of probability, the best one framed.

    Parameters
    ----------
    candidates : sequence of Candidate
        Finished ones; at least one.
    title : str
    """
    best = best_of(list(candidates))
    shown = in_order(candidates)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    height, width = shown[0].probability.shape
    tall = 1.8 * height / width + 0.5
    figure, axes = new_figure(2.0 * columns + 0.3, tall * rows + 0.4, rows, columns, squeeze=False)
    from matplotlib import colormaps

    colours = colormaps["inferno"].with_extremes(bad=_OUTSIDE)
    step = -(-max(height, width) // _LONGEST)
    image = None
    for panel, one in zip(axes.flat, shown, strict=False):
        drawn = np.ma.masked_invalid(one.probability[::step, ::step])
        image = panel.imshow(drawn, vmin=0, vmax=1, cmap=colours, interpolation="antialiased")
        auc = "" if one.auc is None else f"   AUC {one.auc:.3f}"
        heavy = "bold" if one is best else "normal"
        words = one.way.name.split(", ", 1)
        panel.set_title(
            f"{words[0]}\n{words[1]}\nseparation {one.separation:.3f}{auc}",
            fontsize=7,
            loc="left",
            fontweight=heavy,
        )
        panel.spines[:].set(color=ORANGE if one is best else BLACK, lw=3.5 if one is best else 0.5)
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    words = f"best: {best.way.name} (framed)"
    figure.suptitle(f"{title}   {words}" if title else words, fontsize=9, x=0.01, ha="left")
    figure.colorbar(image, ax=axes, shrink=0.5, pad=0.01, aspect=30, label="probability of ink")
    return figure
