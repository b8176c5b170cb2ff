"""How many samples: a slider in steps that grow with the number, marks to click, and a number."""

from __future__ import annotations

from functools import partial

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QGridLayout,
    QSlider,
    QSpinBox,
    QStyle,
    QStyleOptionSlider,
    QToolButton,
    QWidget,
)

from napari_ink.widgets.tooltips import PREDICT as TIPS

#: What the handle stops at; the number beside it takes any other.
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60)
STEPS += (80, 100, 120, 150, 180, 240, 300, 360)
MARKS = (1, 60, 360)
_MARK_HEIGHT, _NUMBER_WIDTH = 18, 48  # px


class SamplesSlider(QWidget):
    """A number of samples from 1 to 360.

    Signals
    -------
    changed : int
        The user chose another number.
    """

    changed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.slider = _Slider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, len(STEPS) - 1)
        self.slider.setPageStep(3)
        self.slider.setAccessibleName("Samples")
        self.number = QSpinBox()
        self.number.setRange(STEPS[0], STEPS[-1])
        self.number.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        self.number.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.number.setKeyboardTracking(False)  # the 3 of 360 is no number of samples
        self.number.setStyleSheet("QSpinBox { padding: 0px; min-width: 0px; }")  # as narrow as it
        self.number.setFixedWidth(_NUMBER_WIDTH)
        self.number.setAccessibleName("Number of samples")
        self._scale = QWidget()
        self._scale.setFixedHeight(_MARK_HEIGHT)
        self.marks = {value: QToolButton(self._scale) for value in MARKS}
        for value, mark in self.marks.items():
            mark.setText(str(value))
            mark.setAutoRaise(True)
            mark.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            mark.setStyleSheet("QToolButton { font-size: 11px; padding: 0px 2px; }")
            mark.setToolTip(TIPS[f"samples_{value}"])
            mark.setAccessibleName(f"{value} samples" if value > 1 else "a single pass")
            mark.clicked.connect(partial(self._choose, value))
        for widget in (self, self.slider, self.number, self._scale):
            widget.setToolTip(TIPS["samples"])
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(6)
        layout.setVerticalSpacing(0)
        layout.addWidget(self.slider, 0, 0)
        layout.addWidget(self.number, 0, 1)
        layout.addWidget(self._scale, 1, 0)
        layout.setColumnStretch(0, 1)
        self.setFocusProxy(self.slider)
        self.slider.valueChanged.connect(self._on_slider)
        self.number.valueChanged.connect(self._choose)

    @property
    def value(self) -> int:
        """The number."""
        return self.number.value()

    def show_value(self, samples: int) -> None:
        """Put number and handle where somebody else has them."""
        for control, position in ((self.number, samples), (self.slider, nearest_step(samples))):
            control.blockSignals(True)
            control.setValue(position)
            control.blockSignals(False)

    def resizeEvent(self, event) -> None:
        """Marks stand below the places of the handle that they name."""
        super().resizeEvent(event)
        self.layout().activate()
        option = QStyleOptionSlider()
        for value, mark in self.marks.items():
            self.slider.initStyleOption(option)
            option.sliderPosition = option.sliderValue = STEPS.index(value)
            handle = self.slider.style().subControlRect(
                QStyle.ComplexControl.CC_Slider,
                option,
                QStyle.SubControl.SC_SliderHandle,
                self.slider,
            )
            size = mark.sizeHint()
            left = handle.center().x() - size.width() // 2
            left = max(0, min(left, self._scale.width() - size.width()))
            mark.setGeometry(left, 0, size.width(), _MARK_HEIGHT)

    def _on_slider(self, position: int) -> None:
        self._choose(STEPS[position])

    def _choose(self, samples: int, *_) -> None:
        self.show_value(samples)
        self.changed.emit(samples)


def nearest_step(samples: int) -> int:
    """Which of the :data:`STEPS` is nearest to a number, by ratio."""
    return int(np.argmin(np.abs(np.log(np.array(STEPS) / samples))))


class _Slider(QSlider):
    """Leaves the wheel to the dock, which scrolls under it, unless it has the keyboard."""

    def __init__(self, orientation: Qt.Orientation) -> None:
        super().__init__(orientation)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Nobody wants 360 samples for having scrolled past."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()
