"""The two faces of a review: judging, which tells nothing, and the outcome, which tells all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_ink.analysis.blind_review_file import SUFFIX
from napari_ink.widgets.form import Note, in_a_row
from napari_ink.widgets.tooltips import REVIEW as TIPS

if TYPE_CHECKING:
    from napari_ink.analysis.blind_review import Review
    from napari_ink.analysis.blind_review_tally import Tally

_KEYS = "Keys: ← or 1, → or 2, ↓ or 0, S to skip; Backspace takes the last answer back."


def _breakable(text: str) -> str:
    """The text with places inside long names and paths where a line may end."""
    return re.sub(r"(?<=[-_./\\])(?=\w)", "\u200b", text)


class JudgeView(QWidget):
    """Buttons for one region.

    Signals
    -------
    answered : str
        A choice.
    """

    answered = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.place, self.question, self.keys = Note(), Note(), Note(_KEYS, small=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(6)
        self.left, self.right = QPushButton("←  &Left"), QPushButton("&Right  →")
        self.same, self.skip = QPushButton("↓  &No difference"), QPushButton("S&kip")
        self.undo, self.stop = QPushButton("&Undo"), QPushButton("Sto&p")
        self.outcome = QPushButton("Show the &outcome")
        self.choices = {
            "left": self.left,
            "right": self.right,
            "same": self.same,
            "skip": self.skip,
        }
        for name in (*self.choices, "undo", "stop", "outcome", "place", "question", "keys", "bar"):
            getattr(self, name).setToolTip(TIPS[name])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        grid = QGridLayout()
        grid.setSpacing(6)
        for at, button in enumerate((self.left, self.right)):
            button.setMinimumHeight(44)
            grid.addWidget(button, 0, at)
        grid.addWidget(self.same, 1, 0)
        grid.addWidget(self.skip, 1, 1)
        grid.addWidget(self.outcome, 2, 0, 1, 2)
        for part in (self.place, self.bar, self.question):
            layout.addWidget(part)
        layout.addLayout(grid)
        layout.addWidget(self.keys)
        layout.addWidget(in_a_row(self.undo, self.stop))
        for choice, button in self.choices.items():
            button.setProperty("choice", choice)
            button.clicked.connect(self._on_choice)

    def tell(self, review: Review, ready: bool) -> None:
        """Where the reader is, and nothing else."""
        total, done = len(review.regions), review.all_judged
        self.bar.setRange(0, total)
        self.bar.setValue(review.place)
        self.place.setText(
            f"All {total} regions are judged" if done else f"Region {review.place + 1} of {total}"
        )
        self.question.setText(
            "Show the outcome, or take the last answer back." if done
            else "Which of the two is the more legible?"
        )  # fmt: skip
        for button in self.choices.values():
            button.setEnabled(ready)
        self.undo.setEnabled(review.place > 0)
        self.outcome.setVisible(done)

    def _on_choice(self) -> None:
        self.answered.emit(self.sender().property("choice"))


class OutcomeView(QWidget):
    """Which was which, how often each was picked, and where that is kept.

    Signals
    -------
    save_wanted : str
        Path to save it under as well.
    """

    save_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.sentence, self.more, self.kept = Note(), Note(small=True), Note(small=True)
        self.table = QWidget()
        self._cells = QGridLayout(self.table)
        self._cells.setContentsMargins(0, 0, 0, 0)
        self._cells.setColumnStretch(0, 1)
        self.save, self.again = QPushButton("Save &as…"), QPushButton("New re&view")
        for name in ("sentence", "more", "kept", "table", "save", "again"):
            getattr(self, name).setToolTip(TIPS[name])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for part in (self.sentence, self.table, self.more, self.kept):
            layout.addWidget(part)
        layout.addWidget(in_a_row(self.save, self.again))
        self.save.clicked.connect(self._on_save)
        self._path = Path()

    def tell(self, review: Review, found: Tally, path: Path) -> None:
        """All of a review that is finished."""
        self._path = path
        self.sentence.setText(_breakable(found.sentence.replace(" %", "\u00a0%")))
        rows = [(_breakable(found.names[key]), str(found.wins[key])) for key in ("a", "b")]
        rows += [("no difference", str(found.ties)), ("skipped", str(found.skipped))]
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                self._cell(row, column).setText(text)
        for row, key in enumerate(("a", "b")):
            self._cell(row, 0).setToolTip(review.shown(key).path)
        lines = []
        if found.p is not None:
            left = f"the left picture was picked {found.left} times of {found.decided}"
            lines.append(f"Sign test: p = {found.p:.2g}; {left}.")
        if found.repeated:
            lines.append(
                f"Shown again, sides swapped: same answer in {found.agreed} of {found.repeated}."
            )
        if review.fragment.get("simulated"):
            lines.append("The fragment is simulated.")
        self.more.setText("\n".join(lines))
        self.kept.setText(_breakable(f"Kept in {path}"))

    def _cell(self, row: int, column: int) -> QLabel:
        item = self._cells.itemAtPosition(row, column)
        if item is not None:
            return item.widget()
        label = QLabel() if column else Note()
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setToolTip(TIPS["table"])
        if column:
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
        self._cells.addWidget(label, row, column)
        return label

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the review", str(self._path), f"Blind reviews (*{SUFFIX})"
        )
        if path:
            self.save_wanted.emit(path if path.endswith(SUFFIX) else path + SUFFIX)
