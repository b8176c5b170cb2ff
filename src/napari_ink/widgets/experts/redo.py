"""From the switches to two maps of a region: one job at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_ink._preferences import read_preferences
from napari_ink.errors import InkError
from napari_ink.widgets.experts.job import EffectDone, EffectJob
from napari_ink.widgets.experts.layers import EffectLayers
from napari_ink.widgets.experts.model import effect_words, names_of
from napari_ink.widgets.folders import prediction_folder
from napari_ink.widgets.predict.request import PredictionRequest
from napari_ink.widgets.region import RegionPicker

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ink.widgets.experts.switches import SwitchesView
    from napari_ink.widgets.shared_model import SharedModel


class Redo:
    """Predicts the region that the switches name, and brings it onto the canvas.

    Signals
    -------
    changed
        A job began or ended.

    Parameters
    ----------
    viewer : Viewer
    shared : SharedModel
    switches : SwitchesView
    """

    changed = Signal()

    def __init__(self, viewer: Viewer, shared: SharedModel, switches: SwitchesView) -> None:
        self._viewer, self._shared, self._switches = viewer, shared, switches
        self._layers = EffectLayers(viewer, shared.side_by_side)
        self._job: EffectJob | None = None
        self._asked: tuple = (None, ())
        self.region = RegionPicker(viewer)
        switches.redo_wanted.connect(self.start)
        switches.cancel_wanted.connect(self.cancel)
        switches.draw_wanted.connect(self._on_draw_wanted)

    @property
    def running(self) -> bool:
        """Whether a region is being predicted."""
        return self._job is not None

    def start(self) -> None:
        """Predict it; what cannot be is said, and nothing begun."""
        switches, model, stack = self._switches, self._shared.model, self._shared.stack
        if self.running:
            return
        try:
            box = self.region.box(switches.region, stack, switches.shapes.currentData())
            folder = prediction_folder(model.fragment, read_preferences())
        except InkError as error:
            switches.result.setText(str(error))
            return
        settings = model.settings(box, self.region.focus(stack), plain=True)
        settings = replace(settings, experts_off=names_of(switches.off))
        request = PredictionRequest(model.fragment, model.checkpoint, settings, folder, model.info)
        self._job, self._asked = EffectJob(request), (stack, switches.off)
        for signal, slot in self._signals():
            signal.connect(slot)
        switches.result.setText("")
        switches.show_running(True)
        self.changed.emit()
        self._job.start()

    def cancel(self) -> None:
        """Stop at the next block; both maps go on from there when asked again."""
        if self._job is not None:
            self._job.cancel()

    def close(self, *_) -> None:
        """The dock is gone: stop without touching a widget or a layer."""
        if self._job is not None:
            for signal, _ in self._signals():
                signal.disconnect()
            self._job.cancel()
            self._job = None

    def _signals(self) -> list[tuple]:
        job, switches = self._job, self._switches
        return [
            (job.progress, switches.show_progress),
            (job.done, self._on_done),
            (job.failed, switches.result.setText),
            (job.finished, self._on_finished),
        ]

    def _on_draw_wanted(self) -> None:
        if self._shared.stack is not None:
            self._switches.choose_shapes(self.region.draw(self._shared.stack))

    def _on_done(self, done: EffectDone) -> None:
        stack, off = self._asked
        self._switches.result.setText(effect_words(done.effect))
        if stack in self._viewer.layers:
            self._layers.show(stack, done.stores, off)

    def _on_finished(self) -> None:
        self._job = None
        self._switches.show_running(False)
        self.changed.emit()
