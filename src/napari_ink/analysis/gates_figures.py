"""Charts of gates and kernels: as figures, or drawn on the axes of a dock.

Experts are told apart by their place, which is the same in every bar, by brightness, by hatching
and by the number that stands in them; by colour only on top of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.figures import new_figure
from napari_ink.analysis.gates import PARTS, GateComparison, GateShares
from napari_ink.analysis.gates_kernel import MergedKernel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Convolutions from dark to light blue, average poolings orange; an added task's expert grey.
COLOURS = ("#17365f", "#3f7fb5", "#a9cfe8", "#f3b33d", "#c05f12", "#777777")
HATCHES = ("", "//", "..", "\\\\", "xx", "")

_BLOCKS = "block: C encoder (last C: bottleneck), D decoder; level.convolution"
_SMALLEST = 4.5  # percent: narrower segments have no room for a number
_GAP = 0.6  # bars
_SHORT = {"encoder": "all C", "decoder": "all D", "overall": "all"}


def gate_chart(shares: GateShares, title: str = "") -> Figure:
    """Mean gates as 100% stacked bars, one a block, and over all blocks."""
    figure, axes = new_figure(_width(shares), 4.2)
    draw_stacked(axes, shares)
    _upright(axes, shares)
    axes.set(ylim=(0, 100), ylabel="mean gate, %", xlabel=_BLOCKS)
    _titled(axes, title)
    _legend(axes)
    return figure


def grouped_chart(shares: GateShares, title: str = "") -> Figure:
    """Mean gates side by side, a group a block; whiskers: standard deviation over its channels."""
    figure, axes = new_figure(max(7.5, 1.8 + 0.8 * len(bar_labels(shares))), 4.2)
    whiskers = np.vstack([shares.spread, *(shares.parts[part][1] for part in _summary(shares))])
    _grouped(axes, shares, bar_values(shares), whiskers)
    _upright(axes, shares)
    axes.set(ylim=(0, None), ylabel="mean gate, %", xlabel=_BLOCKS)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.8)
    _titled(axes, title)
    _legend(axes, reverse=False)
    return figure


def compared_chart(comparison: GateComparison, first: str, second: str) -> Figure:
    """Two stacked charts of the same blocks, and below them second less first.

    Parameters
    ----------
    comparison : GateComparison
    first, second : str
        What to call the two.
    """
    figure, rows = new_figure(max(8.5, _width(comparison.first)), 8.6, 3, sharex=True)
    for axes, shares, title in zip(
        rows, (comparison.first, comparison.second), (first, second), strict=False
    ):
        draw_stacked(axes, shares)
        axes.set(ylim=(0, 100), ylabel="mean gate, %")
        _titled(axes, title)
    below = rows[2]
    differences = bar_values(comparison.second) - bar_values(comparison.first)
    _grouped(below, comparison.first, differences)
    below.axhline(0, color=below.yaxis.label.get_color(), linewidth=0.8)
    below.set(ylabel="percentage points", xlabel=_BLOCKS)
    below.grid(axis="y", color="#e3e3e3", linewidth=0.8)
    _titled(below, "second less first")
    for axes in rows:
        _upright(axes, comparison.first)
    _legend(rows[0])
    return figure


def channels_chart(shares: GateShares, block: str) -> Figure:
    """Gates of each output channel of a block."""
    figure, axes = new_figure(6.5, 4.6)
    draw_channels(axes, shares, block)
    channels = shares.values[shares.index(block)].shape[1]
    axes.set(xlim=(0, 100), ylim=(channels - 0.5, -0.5), xlabel="gate, %", ylabel="output channel")
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    _titled(axes, f"Block {block}, task {shares.task}")
    _legend(axes, reverse=False)
    return figure


def kernel_chart(kernel: MergedKernel) -> Figure:
    """The energy of the merged kernel and of each expert's part, in the planes through its middle.

    All panels share one scale, so that a pale expert is a weak one.
    """
    columns = 1 + len(kernel.experts)
    figure, rows = new_figure(1.5 * columns + 0.9, 4.3, 2, columns, squeeze=False)
    energies = [kernel.energy, *kernel.parts]
    titles = ["merged\n100%"]
    titles += [
        f"{label}\n{100 * share:.0f}%"
        for label, share in zip(kernel.experts, kernel.share, strict=True)
    ]
    largest = max(float(np.sqrt(energy.max())) for energy in energies) or 1.0
    image = None
    for column, (title, energy) in enumerate(zip(titles, energies, strict=True)):
        planes = (("x", "y", energy[2]), ("x", "z", energy[:, 2]))
        for axes, (across, down, plane) in zip(rows[:, column], planes, strict=True):
            image = axes.imshow(np.sqrt(plane), cmap="viridis", vmin=0, vmax=largest)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel(across, fontsize=9)
            if column == 0:
                axes.set_ylabel(down, fontsize=9, rotation=0, labelpad=8)
        rows[0, column].set_title(title, fontsize=10)
    figure.colorbar(image, ax=rows, shrink=0.7, pad=0.01, label="norm over channels")
    figure.suptitle(
        f"Block {kernel.block}, task {kernel.task}: share of the merged 5³ kernel",
        fontsize=11,
        fontweight="bold",
    )
    return figure


def bar_labels(shares: GateShares) -> tuple[str, ...]:
    """What stands at each bar: the blocks, then means of them; see :func:`bar_values`."""
    return (*shares.blocks, *(_SHORT[part] for part in _summary(shares)))


def bar_values(shares: GateShares) -> np.ndarray:
    """``(bars, experts)``: means of the blocks, and over blocks.

    Where the decoder is gated too: of encoder, decoder and all; else of all alone.
    """
    return np.vstack([shares.mean, *(shares.parts[part][0] for part in _summary(shares))])


def bar_places(shares: GateShares) -> np.ndarray:
    """Where the bars stand; a gap sets the means over blocks apart."""
    count = len(bar_labels(shares))
    return np.arange(count) + _GAP * (np.arange(count) >= len(shares.blocks))


def _summary(shares: GateShares) -> tuple[str, ...]:
    return PARTS if "decoder" in shares.parts else PARTS[-1:]


def draw_stacked(
    axes: Axes,
    shares: GateShares,
    across: bool = False,
    size: float = 8,
    width: float = 0.82,
    shift: float = 0.0,
) -> None:
    """100% stacked bars, a block each, and over all of them.

    Parameters
    ----------
    axes : Axes
    shares : GateShares
    across : bool
        Bars from left to right instead of upright: for charts higher than wide.
    size : float
        Points of the numbers.
    width, shift : float
        Of a bar, and how far it lies from its place.
    """
    values, at = bar_values(shares), bar_places(shares) + shift
    start = np.zeros(len(values))
    for expert, label in enumerate(shares.experts):
        extent = values[:, expert]
        look = {"color": COLOURS[expert], "hatch": HATCHES[expert], "ec": "white", "lw": 0.6}
        if across:
            axes.barh(at, extent, width, start, label=label, **look)
        else:
            axes.bar(at, extent, width, start, label=label, **look)
        for bar, base, part in zip(at, start, extent, strict=True):
            if part >= _SMALLEST:
                place = (base + part / 2, bar) if across else (bar, base + part / 2)
                _number(axes, place, f"{part:.0f}", expert, size)
        start = start + extent


def draw_channels(axes: Axes, shares: GateShares, block: str) -> None:
    """Gates of each output channel of a block, stacked from left to right, channel 0 on top."""
    values = shares.values[shares.index(block)]
    edges = np.arange(values.shape[1] + 1) - 0.5
    start = np.zeros(values.shape[1])
    for expert, label in enumerate(shares.experts):
        end = start + values[expert]
        axes.fill_betweenx(
            edges,
            np.append(start, start[-1]),
            np.append(end, end[-1]),
            step="post",
            label=label,
            facecolor=COLOURS[expert],
            hatch=HATCHES[expert],
            edgecolor="white",
            linewidth=0.4,
        )
        start = end


def _number(axes: Axes, place: tuple, text: str, expert: int, size: float) -> None:
    """A number in its segment, on a patch without hatching."""
    colour = COLOURS[expert]
    dark = sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) < 3 * 140
    box = {"boxstyle": "square,pad=0.08", "facecolor": colour, "edgecolor": "none"}
    axes.annotate(
        text,
        place,
        ha="center",
        va="center",
        fontsize=size,
        color="white" if dark else "black",
        bbox=box,
    )


def _grouped(
    axes: Axes,
    shares: GateShares,
    heights: np.ndarray,
    whiskers: np.ndarray | None = None,
) -> None:
    """Bars of ``(bars, experts)`` side by side."""
    at, width = bar_places(shares), 0.84 / len(shares.experts)
    line = axes.yaxis.label.get_color()
    for expert, label in enumerate(shares.experts):
        axes.bar(
            at + (expert - (len(shares.experts) - 1) / 2) * width,
            heights[:, expert],
            width,
            yerr=None if whiskers is None else whiskers[:, expert],
            error_kw={"elinewidth": 0.9, "ecolor": line},
            color=COLOURS[expert],
            hatch=HATCHES[expert],
            ec="white",
            lw=0.4,
            label=label,
        )
    axes.set_axisbelow(True)


def _upright(axes: Axes, shares: GateShares) -> None:
    at = bar_places(shares)
    axes.set_xticks(at, bar_labels(shares))
    axes.set_xlim(at[0] - 0.6, at[-1] + 0.6)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def _legend(axes: Axes, reverse: bool = True) -> None:
    """Experts in the order in which they lie in a bar."""
    handles, names = axes.get_legend_handles_labels()
    step = -1 if reverse else 1
    axes.legend(
        handles[::step],
        names[::step],
        title="expert",
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        frameon=False,
        handlelength=1.6,
        handleheight=1.4,
    )


def _titled(axes: Axes, title: str) -> None:
    if title:
        axes.set_title(title, loc="left", fontsize="medium", fontweight="bold")


def _width(shares: GateShares) -> float:
    """Inches."""
    return max(6.5, 1.6 + 0.56 * len(bar_labels(shares)))
