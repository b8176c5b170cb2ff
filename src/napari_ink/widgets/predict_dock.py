"""Ink ▸ Predict: the dock that wires views, model, job and layers together."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QFrame,
    QPushButton,
    QScrollArea,
    QShortcut,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ink._layers import carried, fragment_of, is_doubt, is_ink, is_stack, show_scale
from napari_ink._preferences import read_preferences, remember
from napari_ink.analysis.places import pixel_size, usual_side
from napari_ink.errors import InkError
from napari_ink.widgets.checkpoints import known_checkpoints
from napari_ink.widgets.folders import prediction_folder, short_path
from napari_ink.widgets.form import MARGIN
from napari_ink.widgets.job import PredictionRequest
from napari_ink.widgets.keep_whole import KeepWhole
from napari_ink.widgets.others_words import others_of
from napari_ink.widgets.predict_model import Region
from napari_ink.widgets.predict_words import checkpoint_line, fragment_line, scale_line
from napari_ink.widgets.provenance import ProvenanceDialog
from napari_ink.widgets.region import RegionPicker
from napari_ink.widgets.run_view import RunView
from napari_ink.widgets.runner import Runner
from napari_ink.widgets.samples_kept import remember_samples
from napari_ink.widgets.settings_view import SettingsView
from napari_ink.widgets.shared_model import shared_model
from napari_ink.widgets.source_view import EmptyView, SourceView
from napari_ink.widgets.sweep_buttons import SweepButtons
from napari_ink.widgets.sweep_model import for_a_look, looked_at
from napari_ink.widgets.training_check import TrainingCheck
from napari_ink.widgets.voxel_size import records_voxel_size, tell_voxel_size
from napari_ink.widgets.warm_up import warm_up

if TYPE_CHECKING:
    import napari

_WARM_UP_MS = 300  # after opening, so that the dock is drawn first


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
        self.looks = SweepButtons(self.model, self._request_for_a_look)
        self._build()
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

    def _build(self) -> None:
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(8)
        for view in (self.empty, self.source, self.settings, self.looks, self.run):
            layout.addWidget(view)
        layout.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(320)

    def _connect(self) -> None:
        self.empty.sample_wanted.connect(self._on_sample_wanted)
        self.source.layer_chosen.connect(self._on_layer_chosen)
        self.source.voxel_size_told.connect(self._on_voxel_size_told)
        self.source.checkpoint_chosen.connect(self._on_checkpoint_chosen)
        self.settings.draw_wanted.connect(self._on_draw_wanted)
        self.settings.folder_wanted.connect(self._on_folder_wanted)
        self.settings.samples.changed.connect(self._on_samples)
        self.settings.maps.changed.connect(self._on_samples)
        self.settings.maps.others.refused.connect(self.run.status.setText)
        self.run.predict_wanted.connect(self._on_predict)
        self.run.cancel_wanted.connect(self.runner.cancel)
        self.run.provenance_wanted.connect(self._on_provenance)
        self.run.side_by_side_wanted.connect(self._on_side_by_side_wanted)
        for keys, slot in (("Return", self._on_return), ("Escape", self.runner.cancel)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)
        self.runner.progress.connect(self.run.show_progress)
        self.runner.notes.connect(self.run.show_notes)
        self.runner.said.connect(self.run.status.setText)
        self.model.events.running.connect(self._on_running)
        self.model.events.trained_on.connect(self._show_doubts)
        for name in ("device", "tile"):
            getattr(self.model.events, name).connect(self._on_preference)
        self.model.events.info.connect(self._on_shared_checkpoint)
        self.shared.stack_chosen.connect(self._on_shared_stack)
        self.side_by_side.changed.connect(self._show_ink)
        events = self._viewer.layers.events
        for signal in (events.inserted, events.removed, events.reordered, events.renamed):
            signal.connect(self._on_layers)
        events.removing.connect(self._on_removing)
        # The dock's C++ side may go before the viewer or after it: plain objects do the tidying.
        self.destroyed.connect(self.runner.close)

    def _warm_up(self) -> None:
        warm_up(self.settings.set_devices)

    def event(self, event: QEvent) -> bool:
        """Notice that napari took the dock out of its window: then it is gone for good."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._leave()
        return super().event(event)

    def _leave(self) -> None:
        """Stop, give the grid back, hear no more of the viewer."""
        events = self._viewer.layers.events
        for signal in (events.inserted, events.removed, events.reordered, events.renamed):
            signal.disconnect(self._on_layers)
        events.removing.disconnect(self._on_removing)
        self.side_by_side.changed.disconnect(self._show_ink)
        model = self.model.events
        for signal, slot in (
            (model.running, self._on_running),
            (model.trained_on, self._show_doubts),
            (model.device, self._on_preference),
            (model.tile, self._on_preference),
            (model.info, self._on_shared_checkpoint),
            (self.shared.stack_chosen, self._on_shared_stack),
        ):
            signal.disconnect(slot)
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
        self._show_ink()
        self._show_ready()

    def _on_removing(self, _event) -> None:
        """Let the layer's OpenGL objects go in the context that they were made in.

        napari deletes them at once, in whichever context is current: with Mesa the canvas then
        draws without a vertex shader, and the process crashes.
        """
        window = self
        while window.parentWidget() is not None:  # above a floating dock, too
            window = window.parentWidget()
        for canvas in window.findChildren(QOpenGLWidget):
            canvas.makeCurrent()

    def _take_up(self, ink) -> None:
        """A prediction that was opened is shown beside its stack, and Predict would go on with it.

        Ink that a run has just begun says nothing of itself yet.
        """
        mine = carried(ink)
        made, asked = (mine["provenance"].get(part, {}) for part in ("checkpoint", "settings"))
        if made and not self.model.running:
            for stack in filter(is_stack, self._viewer.layers):
                if carried(stack).get("fragment") is mine["fragment"] is not None:
                    self.source.choose_layer(stack)
            if made["path"] and Path(made["path"]).is_file():
                self.source.choose_checkpoint(Path(made["path"]))
                windows = mine["provenance"].get("windows") or [asked["layers"]]
                self.model.choose_settings(
                    asked["task"], tuple(windows[len(windows) // 2]), asked["reverse_depth"]
                )
                self.model.choose_samples(asked)
                self.model.choose_others(others_of(mine["provenance"]))
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
        self._show_folder()
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

    def _show_ink(self, *_) -> None:
        self.run.show_ink(self._chosen_ink() is not None, self.side_by_side.active)

    def _chosen_ink(self):
        """The selected ink layer, or the newest."""
        active = self._viewer.layers.selection.active
        if active is not None and is_ink(active):
            return active
        inks = [layer for layer in self._viewer.layers if is_ink(layer)]
        return inks[-1] if inks else None

    def _on_side_by_side_wanted(self, on: bool) -> None:
        self.side_by_side.show() if on else self.side_by_side.hide()

    def _on_provenance(self) -> None:
        ink = self._chosen_ink()
        if ink is not None:
            record = carried(ink)
            dialog = ProvenanceDialog(ink.name, record["store"], record["provenance"], self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.show()

    def _on_sample_wanted(self) -> None:
        self._viewer.open_sample("napari-ink", "fragment")

    # --- checkpoint and folder --------------------------------------------------------------

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

    def _on_folder_wanted(self) -> None:
        begin = ""
        with suppress(InkError):  # the one of the Preferences cannot be used: begin anywhere
            begin = str(self._folder())
        chosen = QFileDialog.getExistingDirectory(self, "Folder for predictions", begin)
        if chosen:
            remember(store_folder=chosen)
            self._show_folder()

    def _folder(self) -> Path:
        return prediction_folder(self.model.fragment, read_preferences())

    def _show_folder(self) -> None:
        try:
            folder = self._folder()
        except InkError as error:
            self.settings.folder.setText(str(error))
            return
        self.settings.folder.setText(short_path(folder))
        self.settings.folder.setToolTip(f"{folder}\n{self.settings.change_folder.toolTip()}")

    def _on_preference(self, _value) -> None:
        remember(device=self.model.device, tile=self.model.tile)

    def _on_samples(self) -> None:
        remember_samples(self.model)
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
        self.source.voxel_size.interpretText()  # typed, and Return pressed at once
        stack = self.source.layers.currentData()
        try:
            region = self.region.box(self.model.region, stack, self.settings.shapes.currentData())
            folder = self._folder()
        except InkError as error:
            self.run.status.setText(str(error))
            return
        settings = self.model.settings(region, self.region.focus(stack))
        self.runner.start(stack, settings, folder)

    def _request_for_a_look(self) -> PredictionRequest:
        """A small region as the dock is set."""
        stack, model = self.source.layers.currentData(), self.model
        box = self.region.box(model.region, stack, self.settings.shapes.currentData())
        if model.region is Region.VISIBLE:
            box = looked_at(box, usual_side(pixel_size(model.fragment, model.info.voxel_size)))
        settings = for_a_look(model.settings(box, plain=True))
        return PredictionRequest(model.fragment, model.checkpoint, settings, Path(), model.info)

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
