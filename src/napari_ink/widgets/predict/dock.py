"""Ink ▸ Predict: the dock that wires views, model, job and layers together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QApplication,
    QPushButton,
    QShortcut,
    QToolButton,
    QWidget,
)

from napari_ink._layers import carried, fragment_of, is_doubt, is_ink, is_stack, show_scale
from napari_ink._preferences import read_preferences, remember
from napari_ink.errors import InkError
from napari_ink.widgets.checkpoints import known_checkpoints
from napari_ink.widgets.form import scroll_in
from napari_ink.widgets.opengl import make_canvas_current
from napari_ink.widgets.predict.asking import Asking
from napari_ink.widgets.predict.depth_hint import DepthHint
from napari_ink.widgets.predict.ink_buttons import InkButtons
from napari_ink.widgets.predict.keep_whole import KeepWhole
from napari_ink.widgets.predict.kept_in import KeptIn
from napari_ink.widgets.predict.recall import checkpoint_of, recall
from napari_ink.widgets.predict.run_view import RunView
from napari_ink.widgets.predict.runner import Runner
from napari_ink.widgets.predict.samples_kept import remember_samples
from napari_ink.widgets.predict.settings_view import SettingsView
from napari_ink.widgets.predict.source_view import EmptyView, SourceView
from napari_ink.widgets.predict.training_check import TrainingCheck
from napari_ink.widgets.predict.voxel_size import records_voxel_size, tell_voxel_size
from napari_ink.widgets.predict.words import checkpoint_line, fragment_line, scale_line
from napari_ink.widgets.region import RegionPicker
from napari_ink.widgets.shared_model import shared_model
from napari_ink.widgets.sweep.buttons import SweepButtons
from napari_ink.widgets.warm_up import warm_up

if TYPE_CHECKING:
    import napari

_WARM_UP_MS = 300  # after opening, so that the dock is drawn first
_DECIDING = ("runtime", "task", "samples", "others", "depth_sweep")


class PredictDock(QWidget):
    """The dock; builds, wires, forwards.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._trouble = ""  # with the chosen layer
        self.shared = shared_model(napari_viewer)
        self.shared.join(self)
        self.model, self.side_by_side = self.shared.model, self.shared.side_by_side
        self.region = RegionPicker(napari_viewer)
        self.runner = Runner(napari_viewer, self.model, self.side_by_side)
        self.training_check = TrainingCheck(self.model)
        self.empty, self.source = EmptyView(), SourceView()
        self.settings, self.run = SettingsView(self.model), RunView()
        self.asking = Asking(self.model, self.source, self.settings, self.region)
        self.looks = SweepButtons(self.model, self.asking.look)
        self.kept_in = KeptIn(self.model, self.settings)
        self.ink_buttons = InkButtons(napari_viewer, self.run, self.side_by_side, self)
        self.depth_hint = DepthHint(napari_viewer)
        scroll_in(self, self.empty, self.source, self.settings, self.looks, self.run)
        self._connect()
        stack = self.shared.stack
        self.source.set_checkpoints(*_checkpoints(self.model.checkpoint))
        self._on_layers()
        if stack is not None:  # another dock is about it already
            self.source.choose_layer(stack)
        for layer in napari_viewer.layers:
            if is_doubt(layer):
                show_scale(layer)
        for layer in filter(is_ink, list(napari_viewer.layers)):
            self._take_up(layer)
        if self.side_by_side.active and self.side_by_side.shows_whole():
            KeepWhole(napari_viewer, self)
        QTimer.singleShot(_WARM_UP_MS, self._warm_up)

    def _connect(self) -> None:
        self.empty.sample_wanted.connect(self._on_sample_wanted)
        self.source.layer_chosen.connect(self._on_layer_chosen)
        self.source.voxel_size_told.connect(self._on_voxel_size_told)
        self.source.checkpoint_chosen.connect(self._on_checkpoint_chosen)
        self.settings.draw_wanted.connect(self._on_draw_wanted)
        self.settings.samples.changed.connect(self._on_samples)
        self.settings.maps.changed.connect(self._on_samples)
        self.settings.maps.others.refused.connect(self.run.status.setText)
        self.run.predict_wanted.connect(self._on_predict)
        self.run.cancel_wanted.connect(self.runner.cancel)
        for keys, slot in (("Return", self._on_return), ("Escape", self.runner.cancel)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)
        self.runner.progress.connect(self.run.show_progress)
        self.runner.notes.connect(self.run.show_notes)
        self.runner.said.connect(self.run.status.setText)
        for signal, slot in self._outside():
            signal.connect(slot)
        # The dock's C++ side may go before the viewer or after it: plain objects do the tidying.
        self.destroyed.connect(self.runner.close)

    def _outside(self) -> list[tuple]:
        """Signals of what outlives the dock, and who hears them."""
        layers, model = self._viewer.layers.events, self.model.events
        several = (layers.inserted, layers.removed, layers.reordered, layers.renamed)
        return [
            *((signal, self._on_layers) for signal in several),
            (layers.removing, self._on_removing),
            (model.running, self._on_running),
            (model.trained_on, self._show_doubts),
            (model.lost, self._show_doubts),
            *((getattr(model, name), self._on_choice) for name in _DECIDING),
            (model.device, self._on_preference),
            (model.tile, self._on_preference),
            (model.info, self._on_shared_checkpoint),
            (self.shared.stack_chosen, self._on_shared_stack),
        ]

    def _warm_up(self) -> None:
        warm_up(self.settings.set_devices)

    def event(self, event: QEvent) -> bool:
        """Notice that napari took the dock out of its window: then it is gone for good."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._leave()
        return super().event(event)

    def _leave(self) -> None:
        """Stop, give the grid back, hear no more of the viewer."""
        for signal, slot in self._outside():
            signal.disconnect(slot)
        self.ink_buttons.leave()
        self.depth_hint.leave()
        self.settings.leave()
        self.looks.leave()
        self.training_check.close()
        self.runner.close()
        self.model.running = False
        self.shared.leave(self)
        self.deleteLater()

    # --- layers ---------------------------------------------------------------------------

    def _on_layers(self, event=None) -> None:
        """Layers came, went or were renamed."""
        layers = list(self._viewer.layers)
        self.runner.check_layers(layers)
        stacks = [layer for layer in layers if is_stack(layer)]
        inks = [layer for layer in layers if is_ink(layer)]
        if not (stacks and inks):
            self.side_by_side.hide()
        self.empty.setVisible(not stacks)
        self.run.setVisible(bool(stacks or inks))
        for view in (self.source, self.settings, self.looks):
            view.setVisible(bool(stacks))
        self.source.set_layers(stacks)
        self.settings.set_shapes(self.region.shapes_layers())
        inserted = getattr(event, "type", "") == "inserted" and event.value
        if inserted and is_stack(inserted):
            self.source.choose_layer(inserted)
        if inserted and is_ink(inserted):
            self._take_up(inserted)
        if inserted and is_doubt(inserted):
            show_scale(inserted)
        self.ink_buttons.show()
        self.depth_hint.show()
        self._show_ready()

    def _on_removing(self, _event) -> None:
        make_canvas_current(self)

    def _take_up(self, ink) -> None:
        """A prediction that was opened is shown beside its stack, and Predict would go on with it.

        Ink that a run has just begun says nothing of itself yet.
        """
        mine = carried(ink)
        record = mine["provenance"]
        if record and not self.model.running:
            for stack in filter(is_stack, self._viewer.layers):
                if carried(stack).get("fragment") is mine["fragment"] is not None:
                    self.source.choose_layer(stack)
            path = checkpoint_of(record)
            if isinstance(path, Path):
                self.source.choose_checkpoint(path)
                recall(self.model, record)
            else:
                self.model.lost = (path,)
        if any(map(is_stack, self._viewer.layers)):
            self.side_by_side.show()

    def _on_layer_chosen(self, layer) -> None:
        fragment, self._trouble = None, ""
        try:
            fragment = None if layer is None else fragment_of(layer)
        except InkError as error:
            self._trouble = str(error)
        self.model.choose_fragment(fragment)
        self.shared.stack = layer
        self.source.fragment_line.setText(fragment_line(fragment))
        size = None if fragment is None else fragment.voxel_size
        self.source.show_voxel_size(
            size and size[-1],
            ask=fragment is not None and not records_voxel_size(layer, fragment),
        )
        self.kept_in.show()
        self._show_ready()

    def _on_shared_stack(self, stack) -> None:
        """Another dock turned to another fragment."""
        self.source.choose_layer(stack)

    def _on_voxel_size_told(self, size: float) -> None:
        stack = self.source.layers.currentData()
        self.model.fragment = tell_voxel_size(self._viewer, stack, size or None)
        self.source.fragment_line.setText(fragment_line(self.model.fragment))
        self._show_ready()

    def _on_draw_wanted(self) -> None:
        self.settings.choose_shapes(self.region.draw(self.source.layers.currentData()))

    def _on_sample_wanted(self) -> None:
        self._viewer.open_sample("napari-ink", "fragment")

    # --- checkpoint and preferences ---------------------------------------------------------

    def _on_checkpoint_chosen(self, path: Path | None) -> None:
        from napari_ink.models.checkpoint import read_info

        info, problem = None, ""
        if path is not None:
            try:
                info = read_info(path)
                remember(checkpoint=str(path))
            except InkError as error:
                problem = str(error)
        self.model.choose_checkpoint(path, info)
        self.source.checkpoint_line.setText(checkpoint_line(info))
        self._show_ready()
        if problem:
            self.run.status.setText(problem)

    def _on_shared_checkpoint(self, _info) -> None:
        """Another dock turned to another checkpoint."""
        path = self.model.checkpoint
        if path is not None and path != self.source.checkpoints.currentData():
            self.source.choose_checkpoint(path)

    def _on_preference(self, _value) -> None:
        remember(device=self.model.device, tile=self.model.tile)

    def _on_samples(self) -> None:
        remember_samples(self.model)

    def _on_choice(self, _value) -> None:
        """A choice that decides whether Predict can run."""
        self._show_ready()

    # --- the run --------------------------------------------------------------------------------

    def _on_return(self) -> None:
        """Predict, unless the keyboard is on a button that says something else."""
        here = QApplication.focusWidget()
        if isinstance(here, QPushButton | QToolButton) and self.isAncestorOf(here):
            here.click()
        else:
            self._on_predict()

    def _on_predict(self) -> None:
        if self.model.running or self.model.problem is not None:
            return
        try:
            settings, folder = self.asking.prediction(), self.kept_in.folder()
        except InkError as error:
            self.run.status.setText(str(error))
            return
        self.runner.start(self.source.layers.currentData(), settings, folder)

    def _on_running(self, running: bool) -> None:
        self.run.show_running(running)
        for view in (self.source, self.settings):
            view.setEnabled(not running)
        self._show_ready(keep_text=not running)
        (self.run.cancel if running else self.run.predict).setFocus()

    def _show_ready(self, keep_text: bool = False) -> None:
        """Whether Predict may be pressed, and what is missing or to be known before."""
        model = self.model
        self.run.show_ready(model.problem is None and not model.running)
        if model.running or keep_text:
            return
        line = scale_line(model.fragment, model.info)
        self.run.status.setText(self._trouble or model.problem or line)
        self._show_doubts()

    def _show_doubts(self, *_) -> None:
        if not self.model.running:  # a run tells them itself, and more
            self.run.show_notes(self.model.doubts)


def _checkpoints(chosen: Path | None) -> tuple[list[Path], Path | None]:
    known = known_checkpoints(read_preferences())
    if chosen is not None and chosen not in known:
        known.append(chosen)
    return known, chosen or (known[0] if known else None)
