"""The chart, what is pointed at in it, and the way back from a block's channels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_ink.errors import InkError
from napari_ink.widgets.form import Note, in_a_row
from napari_ink.widgets.tooltips import EXPERTS as TIPS

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ink.widgets.experts.model import ExpertsModel

_WORDS = 50  # px: two or three lines, whatever they say, so that nothing below them moves
_ABOUT = (
    "A block of the network mixes several kinds of filters, its experts. Each bar is a block, and "
    "shows how much each expert weighs in it."
)
_HINT = "Point at a bar to read it; click a block to see its channels."
_CHANNELS_HINT = "Each line is one output channel of the block. Point at it to read it."
_FILTERS = "Picture (*.png);;Drawing (*.svg);;Table (*.csv)"


class GatesView(QWidget):
    """Over an :class:`ExpertsModel`; matplotlib is loaded with the first chart.

    Parameters
    ----------
    viewer : Viewer
        Whose colours the chart has.
    model : ExpertsModel
    """

    def __init__(self, viewer: Viewer, model: ExpertsModel) -> None:
        super().__init__()
        self._viewer, self._model = viewer, model
        self.stem = "network"  # begins the names of saved files
        self.note, self.about, self.pair = Note(), Note(_ABOUT, small=True), Note(small=True)
        self.canvas = None
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.words.setFixedHeight(_WORDS)
        self.words.setAccessibleName("What is pointed at")
        self.back, self.save = QPushButton("&All blocks"), QPushButton("Sav&e chart…")
        for name in ("note", "about", "pair", "words", "back", "save"):
            getattr(self, name).setToolTip(TIPS[name])
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        for widget in (
            self.note,
            self.about,
            self.pair,
            self.words,
            in_a_row(self.back, self.save),
        ):
            self._layout.addWidget(widget)
        self.back.clicked.connect(self._on_back)
        self.save.clicked.connect(self._on_save)
        model.shown.connect(self._show)
        model.pointed.connect(self._point)
        self._show()

    def say(self, text: str) -> None:
        """What is wrong, or what to do next, above the chart."""
        self.note.setText(text)

    def close_figure(self) -> None:
        """Let the chart go before the dock does."""
        self._model.shown.disconnect(self._show)
        self._model.pointed.disconnect(self._point)

    def save_as(self, path: str) -> None:
        """Write what is shown as PNG, SVG or CSV, by the name's end."""
        from napari_ink.widgets.experts.save import save

        try:
            save(self._model, path)
        except InkError as error:
            self.say(str(error))
        else:
            self.say(f"Saved {Path(path).name}.")

    def _show(self) -> None:
        model = self._model
        there = bool(model.rows)
        if there and self.canvas is None:
            self._make_canvas()
        if self.canvas is not None:
            self.canvas.setVisible(there)
            self.canvas.show_rows()
        pair = model.names if len(model.sides) == 2 and not model.block else None
        self.pair.setText(f"Upper bar: {pair[0]} · lower bar: {pair[1]}" if pair else "")
        for widget in (self.about, self.words, self.save):
            widget.setVisible(there)
        self.back.setVisible(bool(model.block))

    def _point(self) -> None:
        hint = _CHANNELS_HINT if self._model.block else _HINT
        self.words.setText(self._model.words or hint)
        if self.canvas is not None:
            self.canvas.point()

    def _make_canvas(self) -> None:
        from napari.utils.theme import get_theme

        try:
            from napari_ink.widgets.experts.chart import GateCanvas
        except ModuleNotFoundError:
            self.say("The chart needs matplotlib: pip install matplotlib")
            return
        theme = get_theme(self._viewer.theme)
        self.canvas = GateCanvas(self._model, theme.background.as_hex(), theme.text.as_hex())
        self._layout.insertWidget(3, self.canvas)

    def _on_back(self) -> None:
        self._model.open("")
        if self.canvas is not None:
            self.canvas.setFocus()

    def _on_save(self) -> None:
        name = f"{self.stem}-gates.png"
        path, chosen = QFileDialog.getSaveFileName(self, "Save the chart", name, _FILTERS)
        if path:
            wanted = chosen.rpartition("*")[2].rstrip(")")
            self.save_as(path if Path(path).suffix else path + wanted)
