"""The two buttons of the Predict dock that look before a long run, and the windows they open."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QDialog, QPushButton, QVBoxLayout, QWidget

from napari_ink.errors import InkError
from napari_ink.widgets.form import Note, in_a_row
from napari_ink.widgets.predict.model import PredictModel
from napari_ink.widgets.predict.request import PredictionRequest
from napari_ink.widgets.sweep.dialog import LookDialog, ProbeDialog, SweepDialog
from napari_ink.widgets.tooltips import SWEEP as TIPS

_SHOWN = ("fragment", "info", "running")


class SweepButtons(QWidget):
    """[Sweep…] and [Could it show ink?…]; one window at a time.

    Parameters
    ----------
    model : PredictModel
    request : callable
        Gives the region and the settings as they are now, or raises InkError.
    """

    def __init__(self, model: PredictModel, request: Callable[[], PredictionRequest]) -> None:
        super().__init__()
        self._model, self._request = model, request
        self.dialog: LookDialog | None = None
        self.sweep, self.probe = QPushButton("Sweep…"), QPushButton("Could it show ink?…")
        self.sweep.setToolTip(TIPS["sweep"])
        self.probe.setToolTip(TIPS["probe"])
        self.problem = Note(small=True)
        self.problem.setToolTip(TIPS["status"])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(in_a_row(self.sweep, self.probe))
        layout.addWidget(self.problem)
        self.sweep.clicked.connect(self._on_sweep)
        self.probe.clicked.connect(self._on_probe)
        for name in _SHOWN:
            getattr(model.events, name).connect(self._on_model)
        self._on_model()

    def leave(self) -> None:
        """Hear no more of the model; close what is open."""
        for name in _SHOWN:
            getattr(self._model.events, name).disconnect(self._on_model)
        self._close()

    def _on_model(self, *_) -> None:
        ready = self._model.problem is None and not self._model.running
        for button in (self.sweep, self.probe):
            button.setEnabled(ready)
        self.problem.setText("")
        if not ready:  # another fragment or checkpoint, or a prediction that needs the machine
            self._close()

    def _on_sweep(self) -> None:
        dialog = self._open(SweepDialog)
        if dialog is not None:
            dialog.taken.connect(self._on_taken)

    def _on_probe(self) -> None:
        self._open(ProbeDialog)

    def _open(self, kind: type[LookDialog]) -> LookDialog | None:
        self._close()
        try:
            request = self._request()
        except InkError as error:
            self.problem.setText(str(error))
            return None
        self.problem.setText("")
        dialog = self.dialog = kind(request, self)
        dialog.finished.connect(self._on_closed)
        dialog.show()
        return dialog

    def _on_taken(self, layers: tuple[int, int], reverse_depth: bool) -> None:
        self._model.choose_settings(self._model.task, layers, reverse_depth)

    def _on_closed(self, _result: int = QDialog.DialogCode.Rejected) -> None:
        self.dialog = None

    def _close(self) -> None:
        if self.dialog is not None:
            self.dialog.reject()
