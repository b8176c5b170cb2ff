"""Ink ▸ Uncertainty: the dock that wires report, places and canvas together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget
from superqt.utils import qdebounced

from napari_ink._layers import carried, is_ink
from napari_ink._preferences import read_preferences, remember
from napari_ink.widgets.form import Note, scroll_in
from napari_ink.widgets.latest import Latest
from napari_ink.widgets.shared_model import shared_model
from napari_ink.widgets.tabs import join_tabs
from napari_ink.widgets.thresholds.layers import window_colours
from napari_ink.widgets.uncertainty.keys import StepKeys
from napari_ink.widgets.uncertainty.layers import UncertaintyLayers
from napari_ink.widgets.uncertainty.model import SamplesReport, UncertaintyModel
from napari_ink.widgets.uncertainty.reliability import ReliabilityView
from napari_ink.widgets.uncertainty.steps import places_steps, reliability_steps, report_steps
from napari_ink.widgets.uncertainty.view import EMPTY, PlacesView, UncertaintySource

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

_GROWN_MS = 3000  # until a prediction that is being made is read again


class UncertaintyDock(QWidget):
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
        self.model = UncertaintyModel()
        self.layers = UncertaintyLayers(napari_viewer)
        self.reader, self.finder, self.counter = Latest(), Latest(), Latest()
        chosen = read_preferences()
        self.empty = Note(EMPTY)
        self.source = UncertaintySource()
        self.places = PlacesView(chosen.places, chosen.places_by)
        self.reliability = ReliabilityView(window_colours(napari_viewer))
        self.keys = StepKeys(napari_viewer, self.model.step)
        self._read_soon = qdebounced(self._read, timeout=_GROWN_MS)
        scroll_in(self, self.empty, self.source, self.places, self.reliability)
        self._connect()
        self._on_layers()
        QTimer.singleShot(0, self._join_tabs)

    def _connect(self) -> None:
        source, places = self.source, self.places
        source.chosen.connect(self._on_chosen)
        source.samples_wanted.connect(self._on_samples_wanted)
        places.find.clicked.connect(self._find)
        places.next.clicked.connect(self._on_next)
        places.back.clicked.connect(self._on_back)
        self.reliability.button.clicked.connect(self._compare)
        for key, slot in (
            ("N", self._on_next),
            ("Shift+N", self._on_back),
            ("Ctrl+Return", places.find.click),
        ):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)
        for signal, slot in self._inside():
            signal.connect(slot)
        for signal in self._layer_events():
            signal.connect(self._on_layers)
        # The dock's C++ side may go with its window, before any of our own words are heard.
        for worker in (self.reader, self.finder, self.counter):
            self.destroyed.connect(worker.cancel)

    def _inside(self) -> list[tuple]:
        """Signals of what works for the dock, and who hears them."""
        return [
            (self.reader.done, self._on_report),
            (self.reader.failed, self._on_unreadable),
            (self.finder.progress, self.places.show_progress),
            (self.finder.done, self._on_found),
            (self.finder.failed, self._on_not_found),
            (self.counter.done, self.reliability.show_histogram),
            (self.counter.failed, self.reliability.say),
            (self.model.found, self._on_places),
            (self.model.moved, self._on_moved),
        ]

    def _layer_events(self) -> tuple:
        events = self._viewer.layers.events
        return events.inserted, events.removed, events.renamed

    def event(self, event: QEvent) -> bool:
        """Notice that napari took the dock out of its window: then it is gone for good."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._leave()
        return super().event(event)

    def _leave(self) -> None:
        """Give the keys back and hear no more of the viewer; layers stay."""
        for signal in self._layer_events():
            signal.disconnect(self._on_layers)
        for signal, slot in self._inside():
            signal.disconnect(slot)
        self._read_soon.cancel()
        for worker in (self.reader, self.finder, self.counter):
            worker.cancel()
        self.keys.close()
        self.shared.leave(self)
        self.deleteLater()

    def _join_tabs(self) -> None:
        join_tabs(self)

    # --- the prediction ---------------------------------------------------------------------

    @property
    def ink(self) -> Image | None:
        """The prediction looked at."""
        return self.source.predictions.currentData()

    def _on_layers(self, event=None) -> None:
        """Layers came, went or were renamed."""
        inks = [layer for layer in self._viewer.layers if is_ink(layer)]
        self.source.set_predictions(inks)
        inserted = getattr(event, "type", "") == "inserted" and event.value
        if inserted and is_ink(inserted):
            self.source.choose(inserted)
        self.empty.setVisible(not inks)
        self.source.setVisible(bool(inks))
        if getattr(event, "type", "") == "removed":
            self.source.show_samples_shown(self.layers.samples is not None)
        if not inks:
            self.places.hide()
            self.reliability.hide()

    def _on_chosen(self) -> None:
        self.finder.cancel()
        self.places.show_progress(None)
        self.places.status.setText("")
        self.reliability.forget()
        for take_away in (self.layers.remove_places, self.layers.remove_samples):
            take_away()
        self.model.take_places(())
        self._show_report(None, "")
        self._read()

    def _read(self) -> None:
        self.reader.cancel()
        if self.ink is None:
            return
        store = carried(self.ink)["store"]
        if store:
            self.reader.start(report_steps(store))
        else:  # the first block is not there
            self._read_soon()

    def _on_report(self, report: SamplesReport) -> None:
        before = self.model.report
        self._show_report(report, "\n".join(report.words))
        grown = before is None or not np.array_equal(before.counts, report.counts)
        if grown and self.layers.samples is not None:
            self.layers.show_samples(self.ink, report)
        if report.finished < 1:
            self._read_soon()

    def _on_unreadable(self, problem: str) -> None:
        self._show_report(None, problem)
        if self.shared.model.running:
            self._read_soon()

    def _show_report(self, report: SamplesReport | None, words: str) -> None:
        self.model.take_report(report)
        there = report is not None
        self.source.show_report(words, there, report.is_even if there else True)
        self.places.setVisible(there)
        fragment = carried(self.ink).get("fragment") if there else None
        labelled = fragment is not None and fragment.label is not None and self.ink.ndim == 2
        self.reliability.setVisible(labelled)

    def _on_samples_wanted(self, wanted: bool) -> None:
        if wanted and self.model.report is not None:
            self.layers.show_samples(self.ink, self.model.report)
        else:
            self.layers.remove_samples()

    # --- places -----------------------------------------------------------------------------

    def _find(self) -> None:
        if self.model.report is None or self.finder.running:
            return
        count, by = self.places.count.value(), self.places.by.currentData()
        remember(places=count, places_by=by)
        self.places.status.setText("")
        self.places.show_progress(0.0)
        self.finder.start(places_steps(carried(self.ink)["store"], count, by))

    def _on_found(self, found: tuple) -> None:
        self.places.show_progress(None)
        places, by = found
        self.places.status.setText("" if places else "The samples agree everywhere.")
        self.model.take_places(places, by)

    def _on_not_found(self, problem: str) -> None:
        self.places.show_progress(None)
        self.places.status.setText(problem)

    def _on_places(self) -> None:
        if self.ink is not None and self.model.places:
            self.layers.show_places(self.ink, self.model)
            self.layers.go_to(self.ink, self.model, closer=True)

    def _on_moved(self) -> None:
        self.places.show_place(self.model)
        if self.ink is not None and self.model.places:
            self.layers.mark(self.model)
            self.layers.go_to(self.ink, self.model, closer=self.shared.side_by_side.shows_whole())

    def _on_next(self, *_) -> None:
        self.model.step(1)

    def _on_back(self, *_) -> None:
        self.model.step(-1)

    # --- against a label --------------------------------------------------------------------

    def _compare(self) -> None:
        mine = carried(self.ink)
        self.reliability.say("Counting …")
        self.counter.start(reliability_steps(mine["store"], mine["fragment"]))
