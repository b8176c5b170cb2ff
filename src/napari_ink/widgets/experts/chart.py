"""The gate chart in the window's colours: bars to point at with mouse or keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from qtpy.QtCore import Qt

from napari_ink.analysis.gates_figures import (
    bar_labels,
    bar_places,
    draw_channels,
    draw_stacked,
)
from napari_ink.widgets.experts.model import PAIR
from napari_ink.widgets.tooltips import EXPERTS as TIPS

if TYPE_CHECKING:
    from napari_ink.widgets.experts.model import ExpertsModel

_ROW, _PAIRED_ROW = 22, 36  # px
_LEGEND, _AXIS = 20, 40  # px: a row of names above the bars, scale and its name below
_LEFT, _LETTER, _RIGHT = 8, 7, 12  # px: beside the bars, with so many a letter of their names
_CHANNELS_LEFT = 44  # px: their numbers and what these are
_A_ROW = 5  # names in the legend
_CHANNELS = (160, 14, 460)  # px: at least, a channel, at most
_STEPS = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}


class GateCanvas(FigureCanvasQTAgg):
    """Draws what the model shows, and tells it what is pointed at.

    Parameters
    ----------
    model : ExpertsModel
    background, text : str
        Colours of the window.
    """

    def __init__(self, model: ExpertsModel, background: str, text: str) -> None:
        super().__init__(Figure(facecolor=background))
        self._model = model
        self._look = {
            "axes.facecolor": background,
            "text.color": text,
            "axes.labelcolor": text,
            "xtick.color": text,
            "ytick.color": text,
            "font.size": 8,
        }
        self._text = text
        self._axes = self._mark = self._clean = None
        self._left, self._above = _LEFT, _LEGEND  # px
        self.setMinimumWidth(100)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Gate chart")
        self.setToolTip(TIPS["chart"])
        self.mpl_connect("motion_notify_event", self._on_motion)
        self.mpl_connect("figure_leave_event", self._on_left)
        self.mpl_connect("button_press_event", self._on_press)
        self.mpl_connect("draw_event", self._on_drawn)

    def show_rows(self) -> None:
        """Draw anew: other gates, or another view of them."""
        self.figure.clear()
        self._clean = self._axes = None
        if self._model.rows:
            with matplotlib.rc_context(self._look):
                self._draw_rows()
        self.draw_idle()

    def point(self) -> None:
        """Frame what is pointed at, over the chart as it is."""
        if self._clean is not None:
            self.restore_region(self._clean)
            self._frame()
            self.blit(self.figure.bbox)

    def keyPressEvent(self, event) -> None:
        """Arrows point, Return opens a block or goes back; all else is the window's."""
        if event.key() in _STEPS:
            self._model.step(*_STEPS[event.key()])
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self._model.enter()
        elif event.key() == Qt.Key.Key_Escape and self._model.block:
            self._model.open("")
        else:
            event.ignore()
            return
        event.accept()

    def wheelEvent(self, event) -> None:
        """The wheel moves the dock, not the chart."""
        event.ignore()

    def focusInEvent(self, event) -> None:
        """Whoever comes by the keyboard sees where they are."""
        super().focusInEvent(event)
        if event.reason() != Qt.FocusReason.MouseFocusReason and self._model.at is None:
            self._model.step()

    def resizeEvent(self, event) -> None:
        """Legend and names keep their room, the bars take the rest."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """Place the bars; matplotlib's own layout draws everything a second time to find out."""
        width, height = self.width(), self.height()
        if self._axes is not None and width > self._left + _RIGHT:
            self.figure.subplots_adjust(
                left=self._left / width,
                right=1 - _RIGHT / width,
                bottom=_AXIS / height,
                top=1 - self._above / height,
            )

    def _draw_rows(self) -> None:
        model = self._model
        axes = self._axes = self.figure.subplots()
        columns = _A_ROW if len(model.experts) <= _A_ROW else 3
        self._above = 4 + _LEGEND * -(-len(model.experts) // columns)
        around = self._above + _AXIS
        sides = model.sides
        if model.block:
            least, each, most = _CHANNELS
            self.setFixedHeight(around + min(max(least, each * len(model.rows)), most))
            self._left = _CHANNELS_LEFT
            draw_channels(axes, sides[0], model.block)
            axes.set(xlabel="gate, %", ylabel="output channel", ylim=(len(model.rows) - 0.5, -0.5))
            axes.yaxis.get_major_locator().set_params(integer=True)
        else:
            labels, at = bar_labels(sides[0]), bar_places(sides[0])
            pair = len(sides) == 2
            self.setFixedHeight(around + (_PAIRED_ROW if pair else _ROW) * len(labels))
            self._left = _LEFT + _LETTER * max(map(len, labels))
            for k, side in enumerate(sides):
                shift = PAIR * (2 * k - 1) if pair else 0.0
                draw_stacked(axes, side, True, 7.5, 0.4 if pair else 0.82, shift)
            axes.set_yticks(at, labels)
            axes.set_ylim(at[-1] + 0.5, -0.5)
            axes.set_xlabel("weight (mean gate), %")
        axes.set_xlim(0, 100)
        axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        handles, names = axes.get_legend_handles_labels()
        self.figure.legend(
            handles[: len(model.experts)],
            names[: len(model.experts)],
            loc="upper left",
            ncols=columns,
            borderaxespad=0.2,
            frameon=False,
            handlelength=1.3,
            handleheight=1.2,
            handletextpad=0.3,
            columnspacing=0.8,
            borderpad=0.1,
        )
        self._mark = Rectangle(
            (0, 0), 1, 1, fill=False, ec=self._text, lw=2.4, animated=True, clip_on=False
        )
        axes.add_patch(self._mark)
        self._make_room()

    def _frame(self) -> None:
        segment = self._model.segment
        if segment is None or self._axes is None:
            return
        place, start, end = segment
        half = 0.5 if self._model.block else (0.2 if len(self._model.sides) == 2 else 0.41)
        self._mark.set_bounds(start, place - half, end - start, 2 * half)
        self._axes.draw_artist(self._mark)

    def _on_drawn(self, _event) -> None:
        self._clean = self.copy_from_bbox(self.figure.bbox)
        if self._axes is not None:
            self._frame()

    def _on_motion(self, event) -> None:
        if event.inaxes is None:
            self._model.point(None)
        else:
            self._model.point(event.ydata, event.xdata)

    def _on_left(self, _event) -> None:
        self._model.point(None)

    def _on_press(self, event) -> None:
        """A block, by its bar or by its name beside it."""
        if self._axes is None or event.button != 1:
            return
        percent, place = self._axes.transData.inverted().transform((event.x, event.y))
        self._model.point(place, min(max(percent, 0.0), 100.0))
        if not self._model.block:
            self._model.enter()
