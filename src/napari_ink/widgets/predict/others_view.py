"""Further checkpoints in the Predict dock: a line each, to remove, and a button to add some."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_ink.errors import InkError
from napari_ink.widgets.checkpoints import checkpoint_name
from napari_ink.widgets.predict.model import PredictModel
from napari_ink.widgets.tooltips import PREDICT as TIPS


class OthersView(QWidget):
    """The further checkpoints of a :class:`PredictModel`.

    Signals
    -------
    changed
        The user added or removed some.
    refused : str
        Why one was not added, in a line.
    """

    changed = Signal()
    refused = Signal(str)

    def __init__(self, model: PredictModel) -> None:
        super().__init__()
        self._model = model
        self.also = QPushButton("Add a checkpoint…")
        self.also.setToolTip(TIPS["also"])
        self.removers: list[QToolButton] = []
        self._rows: list[QWidget] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._layout.addWidget(self.also)
        self.setToolTip(TIPS["also"])
        self.also.clicked.connect(self._on_also)
        model.events.others.connect(self._fill)
        self._fill()

    def leave(self) -> None:
        """Hear no more of the model, which may outlive this view."""
        self._model.events.others.disconnect(self._fill)

    def add(self, paths: list[Path]) -> None:
        """Take these files, too; what cannot be read, or is chosen already, is said."""
        from napari_ink.models.checkpoint import read_info

        found, refused = list(self._model.others), ""
        for path in paths:
            if path in [self._model.checkpoint, *(other for other, _ in found)]:
                refused = f"{path.name} is chosen already."
                continue
            try:
                found.append((path, read_info(path)))
            except InkError as error:
                refused = str(error)
        self._model.choose_others(found)
        self.changed.emit()
        if refused:
            self.refused.emit(refused)

    def _fill(self, *_) -> None:
        for row in self._rows:
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows, self.removers = [], []
        for at, (path, _) in enumerate(self._model.others):
            row, name, remove = QWidget(), QElidingLabel(checkpoint_name(path)), QToolButton()
            inside = QHBoxLayout(row)
            inside.setContentsMargins(0, 0, 0, 0)
            name.setToolTip(str(path))
            name.setMinimumWidth(0)
            remove.setText("✕")
            remove.setToolTip(TIPS["remove_checkpoint"])
            remove.setAccessibleName(f"Leave out {checkpoint_name(path)}")
            remove.clicked.connect(partial(self._on_remove, path))
            inside.addWidget(name, 1)
            inside.addWidget(remove)
            self._layout.insertWidget(at, row)
            self._rows.append(row)
            self.removers.append(remove)

    def _on_remove(self, path: Path, _checked: bool = False) -> None:
        self._model.choose_others([one for one in self._model.others if one[0] != path])
        self.changed.emit()

    def _on_also(self) -> None:
        current = self._model.checkpoint
        paths, _ = QFileDialog.getOpenFileNames(
            self,
            "Add checkpoints",
            str(current.parent) if current else "",
            "Checkpoints (*.safetensors)",
        )
        if paths:
            self.add([Path(path) for path in paths])
