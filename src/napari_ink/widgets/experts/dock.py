"""Ink ▸ Experts: the dock that wires views, gates and the redone region together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QWidget

from napari_ink._layers import fragment_of, is_stack
from napari_ink._preferences import read_preferences, remember
from napari_ink.errors import InkError
from napari_ink.widgets.checkpoints import known_checkpoints
from napari_ink.widgets.experts.load import GatesRead, GatesRequest, read_steps
from napari_ink.widgets.experts.model import ExpertsModel
from napari_ink.widgets.experts.redo import Redo
from napari_ink.widgets.experts.source import EMPTY, ExpertsSource, Other
from napari_ink.widgets.experts.switches import SwitchesView
from napari_ink.widgets.experts.view import GatesView
from napari_ink.widgets.form import scroll_in
from napari_ink.widgets.latest import Latest
from napari_ink.widgets.shared_model import shared_model
from napari_ink.widgets.tabs import join_tabs

if TYPE_CHECKING:
    import napari


class ExpertsDock(QWidget):
    """The dock; builds, wires, forwards.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.shared = shared_model(napari_viewer)
        self.shared.join(self)
        self.model = ExpertsModel()
        self.reader = Latest()
        self._other: Other | None = None
        self.source, self.switches = ExpertsSource(), SwitchesView()
        self.gates = GatesView(napari_viewer, self.model)
        self.redo = Redo(napari_viewer, self.shared, self.switches)
        scroll_in(self, self.source, self.gates, self.switches)
        self._connect()
        self._on_layers()
        if self.shared.model.checkpoint is None:
            known = known_checkpoints(read_preferences())
            self._on_checkpoint_chosen(known[0] if known else None)
        self._on_shared()
        QTimer.singleShot(0, self._join_tabs)

    def _join_tabs(self) -> None:
        join_tabs(self)

    def _connect(self) -> None:
        self.source.checkpoint_chosen.connect(self._on_checkpoint_chosen)
        self.source.task_chosen.connect(self._on_task_chosen)
        self.source.other_chosen.connect(self._on_other_chosen)
        self.redo.changed.connect(self._show_ready)
        self.reader.done.connect(self._on_read)
        self.reader.failed.connect(self._on_unreadable)
        for signal, slot in self._outside():
            signal.connect(slot)
        # The dock's C++ side may go with its window, before any of our own words are heard.
        self.destroyed.connect(self.reader.cancel)
        self.destroyed.connect(self.redo.close)

    def _outside(self) -> list[tuple]:
        """Signals of what outlives the dock, and who hears them."""
        layers, model = self._viewer.layers.events, self.shared.model.events
        return [
            *((signal, self._on_layers) for signal in (layers.inserted, layers.removed)),
            *((signal, self._on_shared) for signal in (model.info, model.task)),
            *((signal, self._show_ready) for signal in (model.fragment, model.running)),
        ]

    def event(self, event: QEvent) -> bool:
        """Notice that napari took the dock out of its window: then it is gone for good."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._leave()
        return super().event(event)

    def _leave(self) -> None:
        """Stop, hear no more of the viewer; what the docks share stays if another needs it."""
        for signal, slot in self._outside():
            signal.disconnect(slot)
        for signal in (self.reader.done, self.reader.failed):
            signal.disconnect()
        self.reader.cancel()
        self.redo.changed.disconnect()
        self.redo.close()
        self.gates.close_figure()
        self.shared.leave(self)
        self.deleteLater()

    # --- what it is about -------------------------------------------------------------------

    def _on_layers(self, event=None) -> None:
        """Layers came or went: the newest stack is the one, as in the Predict dock."""
        stacks = [layer for layer in self._viewer.layers if is_stack(layer)]
        self.switches.set_shapes(self.redo.region.shapes_layers())
        inserted = getattr(event, "type", "") == "inserted" and event.value
        if inserted and is_stack(inserted):
            self._choose_stack(inserted)
        elif self.shared.stack not in stacks:
            self._choose_stack(stacks[-1] if stacks else None)
        self._show_ready()

    def _choose_stack(self, stack) -> None:
        fragment = None
        try:
            fragment = None if stack is None else fragment_of(stack)
        except InkError as error:
            self.switches.result.setText(str(error))
        self.shared.model.choose_fragment(fragment)
        self.shared.stack = stack

    def _on_checkpoint_chosen(self, path: Path | None) -> None:
        from napari_ink.models.checkpoint import read_info

        info, problem = None, EMPTY
        if path is not None:
            try:
                info = read_info(path)
                remember(checkpoint=str(path))
            except InkError as error:
                problem = str(error)
        self.shared.model.choose_checkpoint(path, info)
        if info is None:
            self._show_gates(None, problem)

    def _on_task_chosen(self, task: str) -> None:
        self.shared.model.task = task

    def _on_other_chosen(self, other: Other | None) -> None:
        if other != self._other:
            self._other = other
            self._read()

    def _on_shared(self, *_) -> None:
        """Checkpoint or task are others, whoever chose them."""
        model, known = self.shared.model, known_checkpoints(read_preferences())
        tasks = model.info.tasks if model.info else ()
        self.source.show_checkpoint(model.checkpoint, known)
        self.source.show_tasks(tasks, model.task)
        self.source.show_others(model.checkpoint, known, tasks, model.task)
        self._read()
        self._show_ready()

    def _read(self) -> None:
        model = self.shared.model
        self.reader.cancel()
        if model.info is None:
            self._show_gates(None, EMPTY)
        else:
            self.gates.stem = model.checkpoint.stem
            if not self.model.rows:
                self.gates.say("Reading the network …")
            task = model.task if model.task in model.info.tasks else ""
            self.reader.start(read_steps(GatesRequest(model.checkpoint, task, self._other)))

    def _on_read(self, read: GatesRead) -> None:
        self._show_gates(read)

    def _on_unreadable(self, problem: str) -> None:
        self._show_gates(None, problem)

    def _show_gates(self, read: GatesRead | None, problem: str = "") -> None:
        self.gates.say(problem)
        if read is None:
            self.model.take(None)
        else:
            self.model.take(read.shares, read.comparison, read.names)
            self.switches.set_experts(read.shares.experts)
        self._show_ready()

    def _show_ready(self, *_) -> None:
        model = self.shared.model
        busy = model.running or self.redo.running
        problem = "A prediction is running." if model.running else model.problem or ""
        self.switches.setVisible(self.model.shares is not None)
        self.source.setEnabled(not busy)
        self.switches.show_ready(problem)
