"""One slider a layer, and one for all."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QCheckBox, QFrame, QLabel, QScrollArea, QSlider, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from napari_ink.widgets.form import add_row, new_form
from napari_ink.widgets.thresholds.model import ThresholdsModel
from napari_ink.widgets.tooltips import THRESHOLDS as TIPS

_ROW = 30  # px
_MOST_ROWS = 6  # in sight; the others are scrolled to


class SlidersView(QWidget):
    """Sliders that follow a :class:`ThresholdsModel`.

    Signals
    -------
    moved : object, float
        The layer's index (None: all), and where its slider is.
    show_wanted : bool
        Whether the ink is to be shown cut.
    """

    moved = Signal(object, float)
    show_wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.master = CutSlider(TIPS["master"])
        self.master.setAccessibleName("cut of all layers")
        self.shown = QCheckBox("&Show the ink cut")
        self.shown.setToolTip(TIPS["show"])
        self.shown.setChecked(True)
        self.layers: list[CutSlider] = []
        self.names: list[QLabel] = []
        self._rows = QScrollArea()
        self._rows.setWidgetResizable(True)
        self._rows.setFrameShape(QFrame.Shape.NoFrame)
        self._rows.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        top = QWidget()
        self.master_label = add_row(new_form(top), "&All layers", self.master)
        for widget in (top, self._rows, self.shown):
            layout.addWidget(widget)
        self.master.valueChanged.connect(partial(self._on_moved, None))
        self.shown.toggled.connect(self.show_wanted)

    def fill(self, model: ThresholdsModel) -> None:
        """Rows for other layers, in other units."""
        if len(model.names) != len(self.layers) or len(model.names) == 1:
            self._build(len(model.names))
        percent = model.percentiles
        for slider in (self.master, *self.layers):
            slider.blockSignals(True)
            slider.setRange(0, 100 if percent else 1)
            slider.setDecimals(2 if percent else 3)
            slider.setSingleStep(0.5 if percent else 0.005)
            slider.setPageStep(5 if percent else 0.05)
            slider.blockSignals(False)
            slider.setEnabled(bool(model.cuts) and (model.counted is not None or not percent))
        alone = "No &ink, %" if percent else "&Ink from"
        self.master_label.setText("&All layers" if len(model.names) > 1 else alone)
        self.follow(model)

    def follow(self, model: ThresholdsModel) -> None:
        """Handles to where the model has them; those that are there stay untouched."""
        _place(self.master, model.master)
        for k, slider in enumerate(self.layers):
            _place(slider, model.positions[k])
            none = model.cuts[k] > 1
            text = f"{model.names[k]}\nnone" if none else model.names[k]
            if self.names[k].text() != text:
                self.names[k].setText(text)
                slider.setAccessibleName(f"cut of {model.names[k]}")

    def _build(self, count: int) -> None:
        inside = QWidget()
        form = new_form(inside)
        form.setContentsMargins(0, 0, 4, 0)
        self.layers, self.names = [], []
        for k in range(count if count > 1 else 0):
            slider = CutSlider(TIPS["layer"])
            slider.valueChanged.connect(partial(self._on_moved, k))
            self.layers.append(slider)
            self.names.append(add_row(form, "", slider))
        self._rows.setWidget(inside)
        self._rows.setVisible(count > 1)
        self._rows.setFixedHeight(min(count, _MOST_ROWS) * _ROW)

    def _on_moved(self, layer: int | None, position: float) -> None:
        self.moved.emit(layer, position)


class CutSlider(QLabeledDoubleSlider):
    """A slider that the arrow keys move, which those of superqt with fractions do not obey.

    Parameters
    ----------
    tip : str
    """

    def __init__(self, tip: str) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setToolTip(tip)
        self.setRange(0, 1)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        for handle in self.findChildren(QSlider):
            handle.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            handle.setFocusProxy(self)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows: a step; Page up and down: ten; Home, End."""
        step, page, now = self.singleStep(), self.pageStep(), self.value()
        keys, key = Qt.Key, event.key()
        to = {
            keys.Key_Left: now - step,
            keys.Key_Down: now - step,
            keys.Key_Right: now + step,
            keys.Key_Up: now + step,
            keys.Key_PageDown: now - page,
            keys.Key_PageUp: now + page,
            keys.Key_Home: self.minimum(),
            keys.Key_End: self.maximum(),
        }.get(key)
        if to is None:
            super().keyPressEvent(event)
        else:
            self.setValue(min(max(to, self.minimum()), self.maximum()))


def _place(slider: CutSlider, position: float) -> None:
    if abs(slider.value() - position) < 1e-9:
        return
    slider.blockSignals(True)
    slider.setValue(position)
    slider.blockSignals(False)
