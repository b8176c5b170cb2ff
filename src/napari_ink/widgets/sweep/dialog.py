"""The windows *Sweep* and *Could it show ink here?*: a contact sheet that fills as maps arrive."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ink.widgets.form import Note, warnings_text
from napari_ink.widgets.predict.request import PredictionRequest
from napari_ink.widgets.sweep.job import LookJob, Steps, probe_steps, sweep_steps
from napari_ink.widgets.sweep.maps import MapList
from napari_ink.widgets.sweep.model import ProbeModel, SweepModel
from napari_ink.widgets.tooltips import SWEEP as TIPS


class LookDialog(QDialog):
    """What both windows share: begins at once, stops when it is closed.

    Parameters
    ----------
    title : str
    about : str
        What is done, in a sentence or two.
    model : SweepModel or ProbeModel
    steps : callable
        What runs in the thread.
    request : PredictionRequest
    parent : QWidget
    """

    def __init__(
        self,
        title: str,
        about: str,
        model: SweepModel | ProbeModel,
        steps: Steps,
        request: PredictionRequest,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.model, self.running = model, True
        self.about, self.status, self.notes = Note(about), Note("Loading the network …"), Note()
        self.maps, self.bar = MapList(), QProgressBar()
        self.stop = QPushButton("&Stop")
        self._trouble = ""
        self._notices: list[str] = []
        self._build()
        job = self._job = LookJob(steps, request)
        job.total.connect(self._on_total)
        job.one.connect(self._on_one)
        job.notice.connect(self._on_notice)
        job.failed.connect(self._on_failed)
        job.finished.connect(self._on_finished)
        job.start()

    def _build(self) -> None:
        self.bar.setRange(0, 0)
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.bar, 1)
        self.buttons.addWidget(self.stop)
        layout = QVBoxLayout(self)
        for widget in (self.about, self.maps, self.status, self.notes):
            layout.addWidget(widget, int(widget is self.maps))
        layout.addLayout(self.buttons)
        named = {"maps": self.maps, "status": self.status, "notes": self.notes}
        for name, widget in {**named, "bar": self.bar, "stop": self.stop}.items():
            widget.setToolTip(TIPS[name])
        self.stop.clicked.connect(self.cancel)
        self.resize(940, 640)

    def cancel(self) -> None:
        """Stop after the map under way; those that are there stay."""
        self._job.cancel()
        if self.running:
            self.status.setText("Stopping once the map under way is done …")

    def done(self, result: int) -> None:
        """Closed, in whichever way: the thread is told, and nobody listens to it any more."""
        for signal in (
            self._job.total,
            self._job.one,
            self._job.notice,
            self._job.failed,
            self._job.finished,
        ):
            signal.disconnect()
        self._job.cancel()
        super().done(result)

    def _on_total(self, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(0)
        self.status.setText(f"{total} small predictions …")

    def _on_one(self, one) -> None:
        self.model.add(one)
        self.bar.setValue(one.index)
        self.maps.show_maps(self.model.maps())
        self.status.setText(f"{one.index} of {one.total}")

    def _on_notice(self, text: str) -> None:
        self._notices.append(text)
        self.notes.setText(warnings_text(self._notices))

    def _on_failed(self, problem: str) -> None:
        self._trouble = problem

    def _on_finished(self, complete: bool) -> None:
        self.running = False
        self.stop.setEnabled(False)
        self.bar.setRange(0, max(1, self.bar.maximum()))
        self.status.setText(self._trouble or self._summary(complete))

    def _summary(self, complete: bool) -> str:
        return self.model.verdict(complete)


class SweepDialog(LookDialog):
    """Which layers, which direction?

    Signals
    -------
    taken : tuple of int, bool
        Layers and direction to go on with.
    """

    taken = Signal(tuple, bool)

    def __init__(self, request: PredictionRequest, parent: QWidget | None = None) -> None:
        about = (
            "A small region, read through every window of layers, in both directions, and turned. "
            "Separation tells how clearly a map splits into strokes and bare papyrus."
        )
        super().__init__("Sweep", about, SweepModel(), sweep_steps, request, parent)
        self.take = QPushButton("&Use this")
        self.take.setToolTip(TIPS["take"])
        self.take.setEnabled(False)
        self.take.setDefault(True)
        self.buttons.addWidget(self.take)
        self.take.clicked.connect(self._on_take)
        self.maps.itemSelectionChanged.connect(self._on_selected)
        self.maps.itemActivated.connect(self._on_take)

    def _on_selected(self) -> None:
        self.take.setEnabled(bool(self.maps.selectedItems()))

    def _on_take(self, *_) -> None:
        if self.maps.selectedItems():
            way = self.model.candidates[self.maps.currentRow()].way
            self.taken.emit(tuple(way.layers), way.reverse_depth)
            self.accept()

    def _on_finished(self, complete: bool) -> None:
        super()._on_finished(complete)
        best = self.model.clearest
        if best is not None and not self.maps.selectedItems():
            self.maps.setCurrentRow(self.model.candidates.index(best))
            self.take.setFocus()


class ProbeDialog(LookDialog):
    """Could it show ink here?"""

    def __init__(self, request: PredictionRequest, parent: QWidget | None = None) -> None:
        about = (
            "Simulated ink, ever weaker, is planted on a part of this fragment where the map is "
            "blank, in memory only. The weakest that is found tells what a blank map is worth. "
            "Real ink may be easier or harder to see."
        )
        title = "Could it show ink here?"
        super().__init__(title, about, ProbeModel(), probe_steps, request, parent)
