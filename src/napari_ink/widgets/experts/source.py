"""Which checkpoint and task the Experts dock looks into, and what it compares them with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QToolButton, QWidget

from napari_ink.widgets.checkpoints import checkpoint_name
from napari_ink.widgets.form import add_row, in_a_row, narrow, new_form
from napari_ink.widgets.tooltips import EXPERTS as TIPS

EMPTY = "Choose a checkpoint: the trained network to look into. The sample's comes with napari-ink."


@dataclass(frozen=True)
class Other:
    """What to compare with.

    Attributes
    ----------
    checkpoint : Path or None
        Another file; ``None``: the same one.
    task : str
        Another task of the same file; empty: the task chosen, or the file's first.
    """

    checkpoint: Path | None = None
    task: str = ""


class ExpertsSource(QWidget):
    """Three lists.

    Signals
    -------
    checkpoint_chosen : Path
    task_chosen : str
    other_chosen : Other or None
    """

    checkpoint_chosen = Signal(object)
    task_chosen = Signal(str)
    other_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.checkpoints, self.tasks, self.others = (narrow(QComboBox()) for _ in range(3))
        self.browse, self.browse_other = QToolButton(), QToolButton()
        for button, name in (
            (self.browse, "Browse for a checkpoint"),
            (self.browse_other, "Browse for a checkpoint to compare with"),
        ):
            button.setText("…")
            button.setAccessibleName(name)
        for name in ("checkpoints", "tasks", "others", "browse", "browse_other"):
            getattr(self, name).setToolTip(TIPS[name])
        form = new_form(self)
        row = in_a_row(self.checkpoints, self.browse, stretch=0)
        row.setToolTip(TIPS["checkpoints"])
        add_row(form, "&Checkpoint", row, self.checkpoints)
        self.task_label = add_row(form, "&Task", self.tasks)
        row = in_a_row(self.others, self.browse_other, stretch=0)
        row.setToolTip(TIPS["others"])
        add_row(form, "Co&mpare", row, self.others)
        self.checkpoints.currentIndexChanged.connect(self._on_checkpoint)
        self.tasks.currentTextChanged.connect(self.task_chosen)
        self.others.currentIndexChanged.connect(self._on_other)
        self.browse.clicked.connect(self._on_browse)
        self.browse_other.clicked.connect(self._on_browse_other)
        self.show_tasks((), "")

    def show_checkpoint(self, path: Path | None, known: list[Path]) -> None:
        """Offer these files, this one chosen, without answering back."""
        self.checkpoints.blockSignals(True)
        self.checkpoints.clear()
        offered = known if path is None or path in known else [*known, path]
        for each in offered:
            self.checkpoints.addItem(checkpoint_name(each), each)
        self.checkpoints.setCurrentIndex(-1 if path is None else offered.index(path))
        self.checkpoints.blockSignals(False)

    def show_tasks(self, tasks: tuple[str, ...], chosen: str) -> None:
        """Offer these tasks, without answering back; a single one is not worth a line."""
        self.tasks.blockSignals(True)
        self.tasks.clear()
        self.tasks.addItems(tasks)
        self.tasks.setCurrentText(chosen)
        self.tasks.blockSignals(False)
        for part in (self.tasks, self.task_label):
            part.setVisible(len(tasks) > 1)

    def show_others(self, path: Path | None, known: list[Path], tasks: tuple, task: str) -> None:
        """Offer other tasks and files to compare with; what was chosen stays if it is there."""
        chosen = self.others.currentData()
        offered = [Other(task=other) for other in tasks if other != task]
        offered += [Other(checkpoint=other) for other in known if other != path]
        if isinstance(chosen, Other) and chosen.checkpoint not in (None, path, *known):
            offered.append(chosen)
        self.others.blockSignals(True)
        self.others.clear()
        self.others.addItem("with nothing", None)
        for other in offered:
            self._add(other)
        self.others.setCurrentIndex(1 + offered.index(chosen) if chosen in offered else 0)
        self.others.blockSignals(False)
        if self.others.currentData() != chosen:
            self._on_other()

    def _add(self, other: Other) -> None:
        name = checkpoint_name(other.checkpoint) if other.checkpoint else f"task {other.task}"
        self.others.addItem(name, other)

    def _on_checkpoint(self) -> None:
        self.checkpoint_chosen.emit(self.checkpoints.currentData())

    def _on_other(self) -> None:
        self.other_chosen.emit(self.others.currentData())

    def _on_browse(self) -> None:
        path = self._ask()
        if path is not None:
            self.checkpoint_chosen.emit(path)  # the list follows

    def _on_browse_other(self) -> None:
        path = self._ask()
        if path is not None:
            self._add(Other(checkpoint=path))
            self.others.setCurrentIndex(self.others.count() - 1)

    def _ask(self) -> Path | None:
        current = self.checkpoints.currentData()
        folder = str(current.parent) if current else ""
        path, _ = QFileDialog.getOpenFileName(
            self, "Choose a checkpoint", folder, "Checkpoints (*.safetensors)"
        )
        return Path(path) if path else None
