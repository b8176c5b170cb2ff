"""What to do with the cuts, and what became of it."""

from __future__ import annotations

from qtpy.QtWidgets import QGridLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ink.widgets.form import Note
from napari_ink.widgets.tooltips import THRESHOLDS as TIPS


class ActionsView(QWidget):
    """Buttons and status; the dock connects them."""

    def __init__(self) -> None:
        super().__init__()
        self.optimise, self.undo = QPushButton("&Optimise"), QPushButton("&Undo")
        self.make, self.export = QPushButton("&Make labels"), QPushButton("E&xport…")
        self.keep = QPushButton("&Keep in the prediction")
        self.parts, self.result = Note(small=True), Note()
        self.bar, self.status = QProgressBar(), Note()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(6)
        self.bar.setRange(0, 100)
        self.bar.hide()
        for name in ("optimise", "undo", "make", "export", "keep"):
            getattr(self, name).setToolTip(TIPS[name])
        self.parts.setToolTip(TIPS["optimise"])
        self.result.setToolTip(TIPS["optimise"])
        self.bar.setToolTip(TIPS["prediction"])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        grid = QGridLayout()
        grid.setSpacing(6)
        grid.addWidget(self.optimise, 0, 0)
        grid.addWidget(self.undo, 0, 1)
        grid.addWidget(self.make, 2, 0)
        grid.addWidget(self.export, 2, 1)
        grid.addWidget(self.keep, 3, 0, 1, 2)
        told = QVBoxLayout()
        told.setSpacing(4)
        told.addWidget(self.parts)
        told.addWidget(self.result)
        grid.addLayout(told, 1, 0, 1, 2)
        layout.addLayout(grid)
        layout.addWidget(self.bar)
        layout.addWidget(self.status)

    def show_progress(self, share: float) -> None:
        """How far what runs is."""
        self.bar.show()
        self.bar.setValue(round(100 * share))

    def show_end(self, text: str = "") -> None:
        """Nothing runs any more."""
        self.bar.hide()
        self.status.setText(text)

    def show_fit(self, parts: str, result: str) -> None:
        """Where *Optimise* chooses and reports, and what it found."""
        self.parts.setText(parts)
        self.result.setText(result)

    def allow(self, *, cut: bool, optimise: bool, undo: bool) -> None:
        """Which buttons make sense."""
        for button in (self.make, self.export, self.keep):
            button.setEnabled(cut)
        self.optimise.setEnabled(optimise)
        self.undo.setEnabled(undo)
