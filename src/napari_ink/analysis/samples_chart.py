"""How many samples each block of a prediction took, as a picture that explains itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.doubt_maps import check_sampled, passes_word
from napari_ink.analysis.figures import BLACK, GREY, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_ink.inference.store import PredictionStore

_NUMBERED = 400  # blocks: in more of them numbers cannot be read
_COLOURS = "cividis"
_NONE = "#d9d9d9"
_LONGEST = 900  # pixels of the ink's longer side that are drawn


def samples_chart(store: PredictionStore) -> Figure:
    """A block's samples as its colour and number, beside the ink that they make.

    Raises
    ------
    StoreError
        For a single pass.
    """
    check_sampled(store)
    height, width = store.ink.shape[-2:]
    beside = height > 0.6 * width
    tall = float(np.clip(height / width * (4.6 if beside else 8), 1.5, 10))
    size = (10.5, 1.3 + tall) if beside else (9.5, 1.6 + 2 * tall)
    figure, axes = new_figure(*size, *((1, 2) if beside else (2, 1)), sharex=True, sharey=True)
    _draw_counts(figure, axes[0], store)
    _draw_ink(axes[1], store)
    for panel in axes:
        panel.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    figure.suptitle(
        "\n".join(samples_words(store)), x=0.01, ha="left", fontsize="medium", color=BLACK
    )
    return figure


def samples_words(store: PredictionStore) -> list[str]:
    """What the samples of the blocks come to, a sentence a line."""
    found, counts = store.sampled(), store.samples.counts
    asked = store.provenance["settings"]
    # of several checkpoints or symmetries, which need no samples of their own, all passes
    most = store.attributes.get("passes", asked.get("samples", found["most"]))
    tolerance, word = asked.get("tolerance"), passes_word(store)
    error = f"; standard error of the mean {found['standard_error']:.4f}"
    if word == "passes":
        error = ""  # no chance has drawn them
    if found["least"] == found["most"]:
        lines = [f"Every block took {found['most']} {word}{error}."]
    else:
        lines = [
            f"{found['least']} to {found['most']} {word} a block, {found['mean']:.1f} on average"
            f"{error}."
        ]
    sampled = counts > 0
    if tolerance is not None:
        early = int((counts[sampled] < found["most"]).sum())
        lines.append(
            f"Tolerance {tolerance:g}: a block is left once the standard error of its mean is "
            f"below that, or after {most} samples."
        )
        if early and store.is_complete:
            blocks = int(sampled.sum())
            lines.append(f"{early} of {blocks} blocks needed fewer than {found['most']}.")
    elif _stands_for(store):
        lines.append(f"No tolerance: chosen samples that stand for {most} random ones.")
    elif word == "samples":
        lines.append(f"No tolerance: every block takes all of the {most} samples asked for.")
    if not store.is_complete:
        lines.append(f"Not finished: {store.finished:.0%} of the blocks need no more.")
    return lines


def _stands_for(store: PredictionStore) -> bool:
    """Whether samples were chosen, so that fewer are run than were asked for."""
    return "sample_order" in store.attributes


def _draw_counts(figure: Figure, axes: Axes, store: PredictionStore) -> None:
    counts, word = store.samples.counts, passes_word(store)
    height, width = store.ink.shape[-2:]
    block = store.attributes["blocks"]["size"]
    rows, columns = (np.array(counts.shape) * block).tolist()
    drawn = np.ma.masked_array(counts, counts == 0)
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    low, high = float(drawn.min()), float(drawn.max())
    image = axes.imshow(
        drawn,
        cmap=colormaps[_COLOURS].with_extremes(bad=_NONE),
        vmin=min(low, high - 1),
        vmax=high,
        extent=(0, columns, rows, 0),
        interpolation="nearest",
    )
    if low < high:
        bar = figure.colorbar(image, ax=figure.axes, shrink=0.5, pad=0.01, label=word)
        bar.locator = _whole_numbers()
    if counts.size <= _NUMBERED:
        lines = {"colors": "white", "linewidth": 0.6}
        axes.hlines(np.arange(1, counts.shape[0]) * block[0], 0, columns, **lines)
        axes.vlines(np.arange(1, counts.shape[1]) * block[1], 0, rows, **lines)
        _number(axes, counts, block, (height, width), (low + high) / 2)
    title = f"{word.capitalize()} that each block took"
    axes.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    if (counts == 0).any():
        none = "no papyrus" if store.is_complete else f"no papyrus, or no {word} yet"
        axes.legend(
            handles=[Patch(facecolor=_NONE, edgecolor=GREY, label=none)],
            loc="lower right",
            bbox_to_anchor=(1, 1),
            frameon=False,
            fontsize="small",
            borderpad=0,
        )


def _number(axes: Axes, counts: np.ndarray, block, shape: tuple[int, int], middle: float) -> None:
    """Each block's samples in the middle of what can be seen of it."""
    for row, column in np.argwhere(counts > 0):
        y = (row * block[0] + min((row + 1) * block[0], shape[0])) / 2
        x = (column * block[1] + min((column + 1) * block[1], shape[1])) / 2
        count = counts[row, column]
        colour = "white" if count < middle else "black"
        size = float(np.clip(170 / counts.shape[1], 5, 11))
        axes.text(x, y, f"{count:.0f}", ha="center", va="center", fontsize=size, color=colour)


def _draw_ink(axes: Axes, store: PredictionStore) -> None:
    from matplotlib import colormaps

    height, width = store.ink.shape[-2:]
    levels = store.levels
    level = next((one for one in levels if max(one.shape[-2:]) <= _LONGEST), levels[-1])
    step = -(-max(level.shape[-2:]) // _LONGEST)
    ink = np.asarray(level[..., ::step, ::step], np.float32)
    if ink.ndim == 3:
        ink = np.nanmax(np.where(np.isnan(ink).all(0), 0, ink), axis=0)
    axes.imshow(
        np.ma.masked_invalid(ink),
        cmap=colormaps["inferno"].with_extremes(bad=_NONE),
        vmin=0,
        vmax=1,
        extent=(0, width, height, 0),
        interpolation="antialiased",
    )
    axes.set_title("Their mean: the ink", loc="left", fontsize="medium", fontweight="bold")


def _whole_numbers():
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)
