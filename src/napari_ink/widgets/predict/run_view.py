"""Predict, Cancel, how far it is, and what to know about the result."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ink.widgets.form import Note, warnings_text
from napari_ink.widgets.tooltips import PREDICT as TIPS


class RunView(QWidget):
    """Buttons and status; knows nothing of layers or networks.

    Signals
    -------
    predict_wanted, cancel_wanted, provenance_wanted
    side_by_side_wanted : bool
    """

    predict_wanted = Signal()
    cancel_wanted = Signal()
    provenance_wanted = Signal()
    side_by_side_wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.predict, self.cancel = QPushButton("Pre&dict"), QPushButton("Ca&ncel")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(6)
        self.status = Note()
        self.notes = Note()
        self.side_by_side = QPushButton("Side &by side")
        self.side_by_side.setCheckable(True)
        self.provenance = QPushButton("Provenanc&e…")
        for name in (
            "predict",
            "cancel",
            "status",
            "notes",
            "side_by_side",
            "provenance",
        ):
            getattr(self, name).setToolTip(TIPS[name])
        self.bar.setToolTip(TIPS["status"])

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(6)
        for widgets in ((self.predict, self.cancel), (self.side_by_side, self.provenance)):
            row = QHBoxLayout()
            row.setSpacing(6)
            for widget in widgets:
                row.addWidget(widget, 1)
            layout.addLayout(row)
        for position, widget in enumerate((self.bar, self.status, self.notes), start=1):
            layout.insertWidget(position, widget)

        self.predict.clicked.connect(self.predict_wanted)
        self.cancel.clicked.connect(self.cancel_wanted)
        self.provenance.clicked.connect(self.provenance_wanted)
        self.side_by_side.clicked.connect(self.side_by_side_wanted)
        self.show_running(False)

    def show_ready(self, ready: bool) -> None:
        """Whether Predict can be pressed."""
        self.predict.setEnabled(ready)

    def show_running(self, running: bool) -> None:
        """Between Predict and its end, only Cancel makes sense."""
        self.cancel.setEnabled(running)
        self.bar.setVisible(running)
        self.bar.setRange(0, 0)

    def show_progress(self, done: int, total: int, line: str) -> None:
        """Blocks done, and the line that says how fast."""
        self.bar.setRange(0, max(1, total))
        self.bar.setValue(done)
        self.status.setText(line)

    def show_notes(self, notes: list[str]) -> None:
        """Warnings, one a paragraph."""
        self.notes.setText(warnings_text(notes))

    def show_ink(self, there: bool, side_by_side: bool) -> None:
        """Whether there is ink to look at, and how it is shown."""
        self.provenance.setEnabled(there)
        self.side_by_side.setEnabled(there or side_by_side)
        self.side_by_side.setChecked(side_by_side)
