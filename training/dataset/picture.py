"""Where the windows of a run lie: over the label, and sorted by how much ink they hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.figures import BLACK, BLUE, GREY, ORANGE, new_figure, tidy
from napari_ink.errors import SettingsError
from napari_ink.inference.settings import Box
from training.dataset.sources import Source
from training.dataset.table import VOID, WindowTable
from training.whole_files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRAGMENTS = 12  # in one figure; more would not be looked at
_PIXELS = 1200  # along a side of the whole, 2.5 a point of the picture
_DETAIL = 9  # windows along a side of the detail
_COLOURS = {"train": BLUE, "validation": ORANGE}
_VERBS = {"train": "learned from", "validation": "validated on"}
_NOT_COUNTED = 0.80  # grey; ink is .35, bare papyrus 1
_INK = 0.35


def write_picture(path: str | os.PathLike, sources: Sequence[Source], table: WindowTable) -> None:
    """Write :func:`picture` as a PNG.

    Raises
    ------
    SettingsError
        If it cannot be written.
    """
    path = Path(path)
    try:
        with written_whole(path) as beside:
            picture(sources, table).savefig(beside, format="png", dpi=110)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror})", "free the disk") from (
            error
        )


def picture(sources: Sequence[Source], table: WindowTable) -> Figure:
    """Windows over the labels of the fragments, the first dozen of them.

    A row a fragment: all of it, a detail in which single windows can be told apart, and the
    histogram of the windows' shares of ink with the borders of the buckets.

    Parameters
    ----------
    sources : sequence of Source
        One, some or all of those that the table was made from.
    table : WindowTable
        Its other sources are left out.
    """
    # A fragment is its label: two may have the same name.
    fragments: dict[int, list[Source]] = {}
    for source in sources:
        fragments.setdefault(id(source.label), []).append(source)
    shown = list(fragments.values())[:FRAGMENTS]
    heights = [_height(parts[0].label.shape) for parts in shown]
    figure, axes = new_figure(
        14, sum(heights) + 0.9, len(shown), 3, squeeze=False,
        width_ratios=(5, 3.6, 4.4), height_ratios=heights,
    )  # fmt: skip
    for parts, (whole, detail, histogram) in zip(shown, axes, strict=True):
        _row(parts, table, whole, detail, histogram)
    left_out = len(fragments) - len(shown)
    figure.legend(
        handles=_legend(), loc="outside upper left", ncols=6, frameon=False, fontsize=9,
        title=f"and {left_out} more fragments" if left_out else None,
    )  # fmt: skip
    return figure


def _height(shape: tuple[int, int]) -> float:
    """Of a row, inches: the whole fragment is 5 wide, but a tall one is not drawn taller than 5."""
    return float(np.clip(5 * shape[0] / shape[1], 3.2, 5)) + 0.5


def _row(
    parts: Sequence[Source], table: WindowTable, whole: Axes, detail: Axes, histogram: Axes
) -> None:
    label, counts = parts[0].label, parts[0].counts
    height, width = label.shape
    rows = np.flatnonzero(np.isin(table.source, [source.name for source in parts]))
    _planes(whole, label, counts, Box(0, height, 0, width))
    # Thousands of windows become a shade through which the letters can still be seen.
    _windows(whole, table, rows, strength=float(np.clip(400 / max(1, len(rows)), 0.1, 0.4)))
    for source in parts:
        _outline(whole, source)
    whole.set_title(
        f"{parts[0].fragment.name}, {_size(parts[0], height)} × {_size(parts[0], width)}",
        loc="left", fontsize="medium", fontweight="bold",
    )  # fmt: skip

    box = _busiest(table, rows, label.shape)
    _planes(detail, label, counts, box)
    _windows(detail, table, rows, strength=1, within=box)
    detail.set_title(
        f"detail, {_size(parts[0], box.shape[0])} high: windows at their size", loc="left",
        fontsize="medium",
    )  # fmt: skip
    y0, y1, x0, x1 = box
    whole.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=BLACK, linewidth=1.6)
    for axes in (whole, detail):
        axes.set_xticks([])
        axes.set_yticks([])
    _histogram(histogram, table, rows)


def _size(source: Source, pixels: int) -> str:
    """A length in the plane, in mm where that is known."""
    if source.fragment.voxel_size is None:
        return f"{pixels} px"
    return f"{pixels * source.fragment.voxel_size[1] / 1000:.3g} mm"


def _planes(axes: Axes, label: np.ndarray, counts: np.ndarray, box: Box) -> None:
    """Ink dark on white, what does not count grey; as many pixels as can be seen."""
    step = max(1, -(-max(box.shape) // _PIXELS))
    height, width = (size // step * step for size in box.shape)
    grey = np.empty((height // step, width // step), np.float32)
    for row in range(0, height, 64 * step):  # little memory, however large the label
        end = min(row + 64 * step, height)
        strip = np.s_[box.y0 + row : box.y0 + end, box.x0 : box.x0 + width]
        values = 1 - (1 - _INK) / 255 * label[strip].astype(np.float32)
        values[~counts[strip]] = _NOT_COUNTED
        blocks = values.reshape(-1, step, width // step, step)
        grey[row // step : end // step] = blocks.mean((1, 3))
    extent = (box.x0, box.x0 + width, box.y0 + height, box.y0)
    axes.imshow(grey, "gray", vmin=0, vmax=1, extent=extent, interpolation="nearest")
    axes.set(xlim=(box.x0, box.x1), ylim=(box.y1, box.y0))


def _windows(
    axes: Axes, table: WindowTable, rows: np.ndarray, strength: float, within: Box | None = None
) -> None:
    """Windows as squares: those with ink filled faintly, void ones as thin lines."""
    from matplotlib.collections import PolyCollection

    side = table.side
    if within is not None:
        y, x = table.y[rows], table.x[rows]
        near = (y < within.y1) & (y > within.y0 - side) & (x < within.x1) & (x > within.x0 - side)
        rows = rows[near]
    void = table.kind[rows] == VOID
    for split, colour in _COLOURS.items():
        here = table.split[rows] == split
        for chosen, look in (
            (here & void, {"facecolor": "none", "edgecolor": colour, "linewidth": 0.6 * strength}),
            (
                here & ~void,
                {
                    "facecolor": (colour, 0.1 * strength**0.5),
                    "edgecolor": colour,
                    "linewidth": 0.9 * strength,
                },
            ),
        ):
            y, x = table.y[rows[chosen]], table.x[rows[chosen]]
            corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
            squares = np.transpose(np.array(corners), (2, 0, 1))
            alpha = 0.6 if look["facecolor"] == "none" else None
            axes.add_collection(PolyCollection(squares, alpha=alpha, **look), autolim=False)


def _outline(axes: Axes, source: Source) -> None:
    """A part's border, dashed, where it is not the fragment's."""
    y0, y1, x0, x1 = source.box
    if source.box.shape != source.label.shape:
        colour = _COLOURS["validation" if source.validation else "train"]
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], "--", color=colour, linewidth=1.4)


def _busiest(table: WindowTable, rows: np.ndarray, shape: tuple[int, int]) -> Box:
    """A square some windows wide, where most kinds of windows, then most windows, lie."""
    size = min(_DETAIL * table.side, *shape)
    down, right = (max(1, length // size) for length in shape)
    y = np.minimum(table.y[rows] // size, down - 1)
    x = np.minimum(table.x[rows] // size, right - 1)
    place = y * right + x
    kinds = np.zeros(down * right, np.int64)
    for split in _COLOURS:
        for void in (False, True):
            of_kind = (table.split[rows] == split) & ((table.kind[rows] == VOID) == void)
            kinds += np.bincount(place[of_kind], minlength=down * right) > 0
    busy = kinds * (len(rows) + 1) + np.bincount(place, minlength=down * right)
    y0, x0 = (int(part) * size for part in divmod(int(busy.argmax()), right))
    return Box(y0, y0 + size, x0, x0 + size)


def _histogram(axes: Axes, table: WindowTable, rows: np.ndarray) -> None:
    """Windows by share of ink, those without any apart."""
    void = table.kind[rows] == VOID
    fine = np.linspace(0, 100, 4 * table.buckets + 1) if table.buckets <= 20 else 80
    titles, bars = [], []
    for split, colour in _COLOURS.items():
        here = table.split[rows] == split
        if not here.any():
            continue
        filled = split == "train"
        look = {"facecolor": (colour, 0.45 if filled else 0), "edgecolor": colour}
        ink = 100 * table.ink[rows[here & ~void]]
        axes.hist(ink, fine, histtype="stepfilled", linewidth=1.3, **look)
        bars.append((np.count_nonzero(here & void), look))
        titles.append(f"{_VERBS[split]}: {len(ink)} with ink, {np.count_nonzero(here & void)} void")
    for edge in np.linspace(0, 100, table.buckets + 1):
        axes.axvline(edge, color=GREY, linewidth=0.7, linestyle=":")
    tidy(axes)
    axes.grid(axis="x", visible=False)
    axes.set_xlim(-16, 100)
    top = axes.get_ylim()[1]
    for place, (count, look) in enumerate(bars):
        # Void windows would dwarf the others: their bar is cut at the top, its number says it.
        left, number = -12 + 6 * place, f"{count}" if count <= top else "↑"
        axes.bar(left, min(count, top), 5, linewidth=1.3, **look)
        axes.text(left, min(count, top), number, ha="center", va="bottom", fontsize=8)
    axes.set_ylim(0, top * 1.08)
    axes.set_xticks([-9, 0, 20, 40, 60, 80, 100], ["void", "0", "20", "40", "60", "80", "100"])
    axes.set(xlabel="share of ink in a window, %  (dotted: borders of the buckets)")
    axes.set_ylabel("windows")
    axes.set_title("\n".join(titles), loc="left", fontsize="medium")


def _legend() -> list:
    from matplotlib.patches import Patch

    grey = str(_NOT_COUNTED)
    return [
        Patch(facecolor=(BLUE, 0.3), edgecolor=BLUE, label="learned from: with ink"),
        Patch(facecolor="none", edgecolor=(BLUE, 0.6), label="learned from: void"),
        Patch(facecolor=(ORANGE, 0.3), edgecolor=ORANGE, label="validated on: with ink"),
        Patch(facecolor="none", edgecolor=(ORANGE, 0.6), label="validated on: void"),
        Patch(facecolor=str(_INK), label="ink, as labelled"),
        Patch(facecolor=grey, label="not labelled, or no papyrus"),
    ]
