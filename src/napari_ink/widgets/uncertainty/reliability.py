"""A prediction against its fragment's label: whether .8 is ink in eight of ten pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_ink.widgets.form import Note
from napari_ink.widgets.tooltips import UNCERTAINTY as TIPS

if TYPE_CHECKING:
    from napari_ink.analysis.metrics import Histogram

_HEIGHT = 190  # px
_LINE = "#f3b33d"


class ReliabilityView(QWidget):
    """A button and a small diagram; matplotlib is loaded with the first one.

    Parameters
    ----------
    colours : tuple of str
        Background and text of the window.
    """

    def __init__(self, colours: tuple[str, str]) -> None:
        super().__init__()
        self._background, self._text = colours
        self.button = QPushButton("Compare with the lab&el")
        self.line = Note(small=True)
        self.canvas = None
        for name in ("button", "line"):
            getattr(self, name).setToolTip(TIPS[name])
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addWidget(self.button)
        self._layout.addWidget(self.line)

    def say(self, text: str) -> None:
        """What goes on, or went wrong."""
        self.line.setText(text)

    def forget(self) -> None:
        """Show no diagram."""
        self.line.setText("")
        if self.canvas is not None:
            self.canvas.hide()

    def show_histogram(self, histogram: Histogram) -> None:
        """Draw predicted probability against the share of ink."""
        from napari_ink.analysis.metrics import ece

        self.line.setText(
            f"Expected calibration error {ece(histogram):.4f}: how far probability and share of "
            "ink lie apart, over all pixels. On the dashed line .8 is ink in eight of ten."
        )
        if self.canvas is None and not self._make_canvas():
            return
        self._draw(histogram)
        self.canvas.show()
        self.canvas.draw_idle()

    def _make_canvas(self) -> bool:
        try:
            from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
            from matplotlib.figure import Figure
        except ModuleNotFoundError:  # the words have to do
            return False
        figure = Figure(figsize=(3, 1.9), layout="constrained", facecolor=self._background)
        self.canvas = FigureCanvasQTAgg(figure)
        self.canvas.setFixedHeight(_HEIGHT)
        self.canvas.setMinimumWidth(100)
        self.canvas.setToolTip(TIPS["diagram"])
        figure.subplots()
        self._layout.addWidget(self.canvas)
        return True

    def _draw(self, histogram: Histogram) -> None:
        from napari_ink.analysis.calibration import reliability

        axes = self.canvas.figure.axes[0]
        axes.clear()
        axes.set_facecolor(self._background)
        parts = reliability(histogram)
        there = parts.pixels > 0
        axes.plot([0, 1], [0, 1], color=self._text, alpha=0.6, linestyle="--", linewidth=1)
        look = {"color": _LINE, "marker": "o", "markersize": 4, "linewidth": 1.4}
        axes.plot(parts.probability[there], parts.ink[there], **look)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="predicted probability", ylabel="share of ink")
        axes.grid(color=self._text, alpha=0.15, linewidth=0.6)
        axes.tick_params(colors=self._text, labelsize=8)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color(self._text)
            label.set_fontsize(8)
        for spine in axes.spines.values():
            spine.set_visible(False)
