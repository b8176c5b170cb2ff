"""The look that the views share: narrow forms whose columns line up, and quiet lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

_LABEL_WIDTH = 74  # px; the longest label of the docks
MARGIN = 8
_WIDTH = 334  # px, of a dock: the widest row, and a scroll bar beside it


def add_row(form: QFormLayout, text: str, field: QWidget, buddy: QWidget | None = None) -> QLabel:
    """A labelled row; the label's mnemonic leads to the field, or to ``buddy`` inside it."""
    label = QLabel(text)
    label.setMinimumWidth(_LABEL_WIDTH)
    label.setBuddy(buddy or field)
    label.setToolTip(field.toolTip())
    form.addRow(label, field)
    return label


def new_form(parent: QWidget) -> QFormLayout:
    """An empty form without margins of its own."""
    form = QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setHorizontalSpacing(6)
    form.setVerticalSpacing(5)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return form


def in_a_row(*widgets: QWidget, stretch: int | None = None) -> QWidget:
    """Widgets beside one another; the one at ``stretch`` takes the room, or none does."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for position, widget in enumerate(widgets):
        layout.addWidget(widget, int(position == stretch))
    if stretch is None:
        layout.addStretch(1)
    return box


def narrow(combo: QComboBox) -> QComboBox:
    """A list that never makes the dock wider than its text allows."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return combo


def scroll_in(dock: QWidget, *views: QWidget) -> None:
    """Put views below one another into a dock that scrolls when it is too short for them."""
    inside = QWidget()
    layout = QVBoxLayout(inside)
    layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
    layout.setSpacing(8)
    for view in views:
        layout.addWidget(view)
    layout.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(inside)
    outer = QVBoxLayout(dock)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(scroll)
    dock.setMinimumWidth(_WIDTH)


def warnings_text(notes: Sequence[str]) -> str:
    """What to know, a line each, as sentences."""
    return "\n".join(f"⚠ {note[:1].upper()}{note[1:]}" for note in notes)


class Note(QLabel):
    """Text that explains: wraps, is as tall as it needs, and hides while there is none.

    Parameters
    ----------
    text : str
    small : bool
        For lines that only add to the control above them.
    """

    def __init__(self, text: str = "", *, small: bool = False) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._height = 0
        if small:
            self.setStyleSheet("font-size: 11px;")
        self.setText(text)

    def setText(self, text: str) -> None:
        """Show the text, or nothing at all."""
        if text == self.text() and self.isHidden() != bool(text):
            return
        super().setText(text)
        self.setVisible(bool(text))
        self._fit()

    def resizeEvent(self, event) -> None:
        """Wrap anew: layouts of forms do not ask how tall a narrow label gets."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:
        """As tall as the text is at the width it has."""
        return QSize(super().sizeHint().width(), self._height)

    def minimumSizeHint(self) -> QSize:
        """No text is cut off."""
        return QSize(super().minimumSizeHint().width(), self._height)

    def _fit(self) -> None:
        height = self.heightForWidth(self.width()) if self.width() > 0 else -1
        if height >= 0 and height != self._height:
            self._height = height
            self.updateGeometry()
