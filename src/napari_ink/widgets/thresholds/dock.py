"""Ink ▸ Thresholds: the dock that wires views, model and desk together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QFileDialog, QShortcut, QWidget
from superqt.utils import qdebounced

from napari_ink._layers import is_ink
from napari_ink._preferences import read_preferences, remember
from napari_ink.widgets.form import Note, scroll_in
from napari_ink.widgets.tabs import join_tabs
from napari_ink.widgets.thresholds.actions import ActionsView
from napari_ink.widgets.thresholds.commit import FILTERS
from napari_ink.widgets.thresholds.counted import Scope
from napari_ink.widgets.thresholds.curve import ScoresView
from napari_ink.widgets.thresholds.desk import Desk
from napari_ink.widgets.thresholds.layers import default_label, labels, predictions, window_colours
from napari_ink.widgets.thresholds.model import ThresholdsModel
from napari_ink.widgets.thresholds.sliders import SlidersView
from napari_ink.widgets.thresholds.source import EMPTY, ThresholdsSource
from napari_ink.widgets.thresholds.words import fitted_line

if TYPE_CHECKING:
    import napari

_SETTLED_MS, _DRAWN_MS = 600, 60


class ThresholdsDock(QWidget):
    """The dock; builds, wires, forwards.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        chosen = read_preferences()
        self.model = ThresholdsModel(chosen.threshold_metric, chosen.threshold_percentile)
        self.desk = Desk(napari_viewer, self.model)
        self.empty = Note(EMPTY)
        scope = Scope(chosen.threshold_scope)
        self.source = ThresholdsSource(self.model.metric, self.model.by_percentile, scope)
        self.sliders, self.actions = SlidersView(), ActionsView()
        self.scores = ScoresView(window_colours(napari_viewer))
        self._settle_soon = qdebounced(self.model.settle, timeout=_SETTLED_MS)
        self._draw_soon = qdebounced(self._draw, timeout=_DRAWN_MS)
        self._build()
        self._connect()
        self._on_layers()
        QTimer.singleShot(0, self._join_tabs)

    def _build(self) -> None:
        self._views = (self.source, self.sliders, self.scores, self.actions)
        scroll_in(self, self.empty, *self._views)

    def _connect(self) -> None:
        source, actions, desk = self.source, self.actions, self.desk
        source.prediction_chosen.connect(self._on_prediction)
        source.chosen.connect(self._count)
        source.metric_chosen.connect(self._on_metric)
        source.kind_chosen.connect(self._on_kind)
        source.draw_wanted.connect(self._on_draw_wanted)
        self.sliders.moved.connect(self.model.move)
        self.sliders.show_wanted.connect(desk.show)
        actions.optimise.clicked.connect(desk.optimise)
        actions.undo.clicked.connect(desk.undo)
        actions.make.clicked.connect(desk.make_labels)
        actions.export.clicked.connect(self._on_export)
        actions.keep.clicked.connect(self._on_keep)
        for keys, button in (
            ("Ctrl+Return", actions.optimise),
            ("Ctrl+Backspace", actions.undo),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(button.click)
        self.model.moved.connect(self._on_moved)
        self.model.changed.connect(self._on_changed)
        desk.edited.connect(self._count)
        desk.progress.connect(actions.show_progress)
        desk.said.connect(actions.show_end)
        for signal in self._layer_events():
            signal.connect(self._on_layers)

    def _layer_events(self) -> tuple:
        events = self._viewer.layers.events
        return events.inserted, events.removed, events.renamed

    def event(self, event: QEvent) -> bool:
        """Notice that napari took the dock out of its window: then it is gone for good."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._leave()
        return super().event(event)

    def _leave(self) -> None:
        """Give the ink its own look back and hear no more of the viewer."""
        for signal in self._layer_events():
            signal.disconnect(self._on_layers)
        for soon in (self._settle_soon, self._draw_soon):
            soon.cancel()
        self.desk.close()
        self.deleteLater()

    def _join_tabs(self) -> None:
        join_tabs(self)

    # --- what is chosen -------------------------------------------------------------------------

    def _on_layers(self, event=None) -> None:
        """Layers came, went or were renamed."""
        layers = list(self._viewer.layers)
        self.source.set_shapes(self.region.shapes_layers())
        self.source.set_labels(labels(layers))
        self.source.set_predictions(predictions(layers))
        inserted = getattr(event, "type", "") == "inserted" and event.value
        if inserted and is_ink(inserted):
            self.source.choose_prediction((inserted,))
        there = bool(self.desk.inks)
        self.empty.setVisible(not there)
        for view in self._views:
            view.setVisible(there)

    @property
    def region(self):
        """What reads rectangles off the viewer."""
        return self.desk.region

    def _on_prediction(self) -> None:
        source = self.source
        inks = source.predictions.currentData() or ()
        label = default_label(list(self._viewer.layers), inks, source.labels.currentData())
        source.blockSignals(True)
        source.choose_label(label)
        source.blockSignals(False)
        self.desk.choose(inks)
        self._count()

    def _count(self) -> None:
        source = self.source
        if source.scope is not Scope.SHAPE:
            remember(threshold_scope=source.scope.value)
        self.desk.count(source.labels.currentData(), source.scope, source.shapes.currentData())

    def _on_metric(self, metric: str) -> None:
        remember(threshold_metric=metric)
        self.model.choose_metric(metric)

    def _on_kind(self, by_percentile: bool) -> None:
        remember(threshold_percentile=by_percentile)
        self.model.choose_kind(by_percentile)

    def _on_draw_wanted(self) -> None:
        self.source.choose_shapes(self.region.draw(self.desk.inks[0]))

    # --- what follows ---------------------------------------------------------------------------

    def _on_moved(self) -> None:
        """Another cut: looked up and shown; no pixel is touched, and the curve waits."""
        self.sliders.follow(self.model)
        self._show()
        self._settle_soon()

    def _on_changed(self) -> None:
        labelled = self.source.labels.currentData() is not None
        self.source.show_labelled(labelled)
        self.sliders.fill(self.model)
        self._show()

    def _show(self) -> None:
        model, actions = self.model, self.actions
        self.desk.show(self.sliders.shown.isChecked())
        self.scores.tell(model)
        actions.allow(cut=bool(model.cuts), optimise=model.can_score, undo=model.can_undo)
        counted = model.counted
        actions.show_fit(
            "" if not model.can_score else
            f"Optimise chooses on: {counted.said[0]} · reports on: {counted.said[1]}",
            "" if model.fitted is None else fitted_line(model.fitted, counted, model.one),
        )  # fmt: skip
        self._draw_soon()

    def _draw(self) -> None:
        self.scores.draw(self.model)

    # --- what is made -----------------------------------------------------------------------

    def _on_export(self) -> None:
        suggested = str(self.desk.suggested)
        path, kind = QFileDialog.getSaveFileName(self, "Save the ink as cut", suggested, FILTERS)
        if path:
            ending = kind[kind.rfind(".") :].rstrip(")")  # of the kind chosen, if none was typed
            self.desk.export(Path(path) if Path(path).suffix else Path(path + ending))

    def _on_keep(self) -> None:
        label = self.source.labels.currentData()
        self.desk.keep("" if label is None else label.name)
