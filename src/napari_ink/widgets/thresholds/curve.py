"""The scores in words, and the curve of one of them over the position of a slider."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_ink.widgets.form import Note
from napari_ink.widgets.thresholds.score_curve import Curve
from napari_ink.widgets.thresholds.words import SCORES, score_line
from napari_ink.widgets.tooltips import THRESHOLDS as TIPS

if TYPE_CHECKING:
    from napari_ink.widgets.thresholds.model import ThresholdsModel

_HEIGHT = 150  # px
_LINE, _NOW = "#f3b33d", "#6fb7e9"


class ScoresView(QWidget):
    """Scores and curve; matplotlib is loaded with the first curve.

    Parameters
    ----------
    colours : tuple of str
        Background and text of the window.
    """

    def __init__(self, colours: tuple[str, str]) -> None:
        super().__init__()
        self._background, self._text = colours
        self.line, self.others = Note(), Note(small=True)
        for note in (self.line, self.others):
            note.setToolTip(TIPS["scores"])
        self.canvas = None
        self._axes = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addWidget(self.line)
        self._layout.addWidget(self.others)

    def tell(self, model: ThresholdsModel) -> None:
        """The scores as they are now."""
        first, _, others = score_line(model.scores, model.metric).partition(" · ")
        self.line.setText(first)
        self.others.setText(others)

    def draw(self, model: ThresholdsModel) -> None:
        """The curve as it is now; without a label there is none."""
        curve = model.curve()
        if curve is not None and self.canvas is None:
            self._make_canvas()
        if self.canvas is None:
            return
        self.canvas.setVisible(curve is not None)
        if curve is not None:
            self._draw(curve, SCORES[model.metric], model.percentiles)
            self.canvas.draw_idle()

    def close_figure(self) -> None:
        """Let the canvas go before the dock does."""
        if self.canvas is not None:
            self.canvas.figure.clear()

    def _make_canvas(self) -> None:
        with suppress(ModuleNotFoundError):  # without matplotlib the words have to do
            from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
            from matplotlib.figure import Figure

            figure = Figure(figsize=(3, 1.5), layout="constrained", facecolor=self._background)
            self.canvas = FigureCanvasQTAgg(figure)
            self.canvas.setFixedHeight(_HEIGHT)
            self.canvas.setMinimumWidth(100)
            self.canvas.setToolTip(TIPS["curve"])
            self._axes = figure.subplots()
            self._layout.addWidget(self.canvas)

    def _draw(self, curve: Curve, name: str, percent: bool) -> None:
        axes = self._axes
        axes.clear()
        axes.set_facecolor(self._background)
        axes.plot(curve.x, curve.y, color=_LINE, linewidth=1.6)
        axes.axvline(curve.at, color=_NOW, linewidth=1.2)
        axes.plot([curve.at], [curve.score], "o", color=_NOW, markersize=5)
        what = "percentile" if percent else "cut"
        axes.set_xlabel(f"{what} of {curve.of}" if curve.of else what)
        axes.set_ylabel(name)
        axes.set_xlim(0, 100 if percent else 1)
        axes.set_ylim(0, 1)
        axes.grid(color=self._text, alpha=0.15, linewidth=0.6)
        axes.tick_params(colors=self._text, labelsize=8)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color(self._text)
            label.set_fontsize(8)
        for spine in axes.spines.values():
            spine.set_visible(False)
