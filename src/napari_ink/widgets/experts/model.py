"""What the Experts dock shows: rows of gates, the one pointed at, and what is switched off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_ink.analysis.gates_figures import bar_labels, bar_places, bar_values

if TYPE_CHECKING:
    from napari_ink.analysis.experts import ExpertsEffect
    from napari_ink.analysis.gates import GateComparison, GateShares

#: What each expert looks at, for those who did not read the paper.
MEANINGS = {
    "5³": "sees 5 × 5 × 5 voxels: shapes",
    "3³": "sees 3 × 3 × 3 voxels: fine texture",
    "1³": "sees each voxel alone: brightness",
    "avg 3³": "averages 3 × 3 × 3 voxels",
    "avg 5³": "averages 5 × 5 × 5 voxels",
    "added": "sees 5 × 5 × 5 voxels, of this task alone",
}
PAIR = 0.21  # of a row: how far the bars of a comparison lie from its middle


@dataclass(frozen=True, eq=False)
class Row:
    """One bar: a block, a mean over blocks, or a channel.

    Attributes
    ----------
    name : str
    block : str
        What a click opens; empty: nothing.
    place : float
        Where it lies, from the top down.
    shares : numpy.ndarray
        ``(experts,)`` in percent.
    spread, difference : numpy.ndarray or None
        Standard deviation; second less first, of the second bar of a comparison.
    """

    name: str
    block: str
    place: float
    shares: np.ndarray
    spread: np.ndarray | None = None
    difference: np.ndarray | None = None


class ExpertsModel:
    """Gates on show, without Qt.

    Signals
    -------
    shown
        Other rows.
    pointed
        Another row or expert is pointed at.
    """

    shown = Signal()
    pointed = Signal()

    def __init__(self) -> None:
        self.shares: GateShares | None = None
        self.comparison: GateComparison | None = None
        self.names = ("", "")  # of the two that are compared
        self.block = ""  # whose channels are shown; empty: all blocks
        self.rows: list[Row] = []
        self.at: tuple[int, int] | None = None  # row and expert pointed at

    def take(
        self,
        shares: GateShares | None,
        comparison: GateComparison | None = None,
        names: tuple[str, str] = ("", ""),
    ) -> None:
        """Show other gates; the block stays open if they have it."""
        self.shares, self.comparison, self.names = shares, comparison, names
        blocks = () if shares is None else self._first.blocks
        self._show(self.block if self.block in blocks else "")

    def open(self, block: str) -> None:
        """Show the channels of a block; of an empty name, all blocks."""
        if self.shares is not None and block != self.block:
            self._show(block if block in self._first.blocks else "")

    def point(self, place: float | None, percent: float = 0.0) -> None:
        """Point at the bar here and at the expert that covers this percentage; ``None``: at none.

        Parameters
        ----------
        place : float or None
            From the top down, in rows.
        percent : float
            From the left.
        """
        at = None
        if place is not None and self.rows and 0 <= percent <= 100:
            distance = [abs(row.place - place) for row in self.rows]
            row = int(np.argmin(distance))
            if distance[row] <= 0.5:
                ends = np.cumsum(self.rows[row].shares)
                at = row, min(int(np.searchsorted(ends, percent)), len(ends) - 1)
        self._point(at)

    def step(self, rows: int = 0, experts: int = 0) -> None:
        """Point at a neighbour; at the first bar if nothing was pointed at."""
        if not self.rows:
            return
        if self.at is None:
            self._point((0, 0))
            return
        row = min(max(self.at[0] + rows, 0), len(self.rows) - 1)
        last = len(self.rows[row].shares) - 1
        self._point((row, min(max(self.at[1] + experts, 0), last)))

    def enter(self) -> None:
        """Open the block pointed at, or go back to all blocks from its channels."""
        if self.block:
            self.open("")
        elif self.at is not None and self.rows[self.at[0]].block:
            self.open(self.rows[self.at[0]].block)

    @property
    def experts(self) -> tuple[str, ...]:
        """Labels, in the order of the bars."""
        return () if self.shares is None else self._first.experts

    @property
    def segment(self) -> tuple[float, float, float] | None:
        """Place of the bar pointed at, and where its expert begins and ends, in percent."""
        if self.at is None:
            return None
        row, expert = self.rows[self.at[0]], self.at[1]
        end = float(row.shares[: expert + 1].sum())
        return row.place, end - float(row.shares[expert]), end

    @property
    def words(self) -> str:
        """What is pointed at."""
        if self.at is None:
            return ""
        row, expert = self.rows[self.at[0]], self.at[1]
        label = self.experts[expert]
        value = f"{row.shares[expert]:.1f} %"
        if row.spread is not None:
            value += f" ± {row.spread[expert]:.1f}"
        if row.difference is not None:
            value += f" ({row.difference[expert]:+.1f})"
        return f"{row.name}: {label} has {value}\n({label} {MEANINGS[label]})"

    @property
    def _first(self) -> GateShares:
        return self.shares if self.comparison is None else self.comparison.first

    @property
    def sides(self) -> tuple[GateShares, ...]:
        """What is shown: one, or the two that are compared."""
        compared = self.comparison
        return (self._first,) if compared is None else (compared.first, compared.second)

    def _show(self, block: str) -> None:
        self.block, self.at = block, None
        self.rows = []
        if self.shares is not None:
            self.rows = self._channels() if block else self._blocks()
        self.shown.emit()
        self.pointed.emit()

    def _point(self, at: tuple[int, int] | None) -> None:
        if at != self.at:
            self.at = at
            self.pointed.emit()

    def _blocks(self) -> list[Row]:
        rows = []
        pair = len(self.sides) == 2
        values = [bar_values(side) for side in self.sides]
        for bar, (label, place) in enumerate(
            zip(bar_labels(self._first), bar_places(self._first), strict=True)
        ):
            block = label if label in self._first.blocks else ""
            for k, side in enumerate(self.sides):
                name = f"{label} ({self.names[k]})" if pair else label
                rows.append(
                    Row(
                        name if block else name.replace("all", "Mean of all"),
                        block,
                        place + (PAIR * (2 * k - 1) if pair else 0),
                        values[k][bar],
                        side.spread[bar] if block else None,
                        values[1][bar] - values[0][bar] if pair and k else None,
                    )
                )
        return rows

    def _channels(self) -> list[Row]:
        gates = self._first.values[self._first.index(self.block)]
        return [
            Row(f"{self.block}, channel {k}", self.block, float(k), channel)
            for k, channel in enumerate(gates.T)
        ]


def names_of(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Experts as prediction names them, from what charts call them."""
    from napari_ink.models.experts import OWN
    from napari_ink.models.mode import EXPERTS

    names = dict(zip(MEANINGS, (*EXPERTS, OWN), strict=True))
    return tuple(names[label] for label in labels)


def effect_words(effect: ExpertsEffect) -> str:
    """What the map is without the experts, in a sentence or two."""
    them = "them" if len(effect.experts_off) > 1 else "it"
    text = f"Without {them}, the probabilities change by {effect.mean_change:.3f} on average."
    if effect.scores is None:
        return f"{text} No ink label here: no score."
    (whole, without), ranks = ([scores[key] for scores in effect.scores] for key in ("f05", "auc"))
    if np.isnan([whole, without, *ranks]).any():
        return f"{text} The label has no ink here, or nothing else: no score."
    score = f"F0.5 {_short(whole)} → {_short(without)} ({_signed(without - whole)})"
    return f"{score}, AUC {_short(ranks[0], 3)} → {_short(ranks[1], 3)}. {text}"


def _signed(change: float) -> str:
    """``−.04``."""
    return f"{'−' if change < 0 else '+'}{_short(abs(change))}"


def _short(score: float, digits: int = 2) -> str:
    """``.84``; what is below 1 is not rounded to it."""
    shown = min(score, 1 - 10**-digits) if score < 1 else score
    return f"{shown:.{digits}f}".removeprefix("0")
