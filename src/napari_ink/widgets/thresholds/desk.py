"""What the Thresholds dock does with layers: count them, show them cut, make labels and files."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal
from superqt.utils import qdebounced

from napari_ink._layers import carried
from napari_ink.errors import InkError, SettingsError
from napari_ink.widgets.folders import short_path
from napari_ink.widgets.latest import Latest
from napari_ink.widgets.predict.model import Region
from napari_ink.widgets.region import RegionPicker
from napari_ink.widgets.thresholds import commit
from napari_ink.widgets.thresholds.counted import Counted, Scope
from napari_ink.widgets.thresholds.counting import CountRequest, ask, count_steps
from napari_ink.widgets.thresholds.follow import CutView
from napari_ink.widgets.thresholds.model import ThresholdsModel

if TYPE_CHECKING:
    import numpy as np
    from napari.layers import Image, Layer, Shapes
    from napari.viewer import Viewer

_EDITED_MS = 400  # after the last stroke
_GROWN_MS = 3000  # until a prediction that is being made is counted again


class Desk:
    """Between the model and the viewer's layers; long work runs in threads.

    Signals
    -------
    progress : float
        Share of what runs.
    said : str
        What happened; empty: nothing to say.
    edited
        The label was painted on, or the drawn region moved: count again.

    Parameters
    ----------
    viewer : Viewer
    model : ThresholdsModel
    """

    progress = Signal(float)
    said = Signal(str)
    edited = Signal()

    def __init__(self, viewer: Viewer, model: ThresholdsModel) -> None:
        self._viewer, self._model = viewer, model
        self.inks: tuple[Image, ...] = ()
        self.cut_view, self.region = CutView(viewer), RegionPicker(viewer)
        self.counter, self.task = Latest(), Latest()
        self._request: CountRequest | None = None
        self._cut: tuple[tuple[Image, ...], tuple[float, ...]] = ((), ())
        self._watched: list = []
        self._count_again_soon = qdebounced(self._count_again, timeout=_GROWN_MS)
        self._edited_soon = qdebounced(self.edited.emit, timeout=_EDITED_MS)
        for worker in (self.counter, self.task):
            worker.progress.connect(self.progress)
            worker.failed.connect(self.said)
        self.counter.done.connect(self._on_counted)
        self.task.done.connect(self._on_task_done)

    def close(self) -> None:
        """Stop, and give the ink its own look back."""
        for soon in (self._count_again_soon, self._edited_soon):
            soon.cancel()
        self._watch(())
        for worker in (self.counter, self.task):
            for signal in (worker.progress, worker.failed, worker.done):
                signal.disconnect()
            worker.cancel()
        self.cut_view.close()

    # --- the prediction ---------------------------------------------------------------------

    def choose(self, inks: tuple[Image, ...]) -> None:
        """Take a prediction, at the cuts that are kept in it."""
        self.cut_view.hide()
        self.inks = inks
        self._model.choose(*commit.kept_cuts(inks))

    def show(self, cut: bool) -> None:
        """Show the ink cut, or as it is."""
        if cut and self._model.cuts:
            self.cut_view.show(self.inks, self._model.cuts)
        else:
            self.cut_view.hide()

    def count(self, label: Layer | None, scope: Scope, shapes: Shapes | None) -> None:
        """Count the prediction, in place of what is being counted."""
        self.counter.cancel()
        self._model.scope, self._request = scope, None
        self._model.forget_counts()
        self._watch((label, shapes if scope is Scope.SHAPE else None))
        if not self.inks:
            return
        try:
            box = None
            if scope is Scope.SHAPE:
                box = self.region.box(Region.SHAPE, self.inks[0], shapes)
            self._request = ask(self.inks, label, scope, box)
        except InkError as error:
            self.said.emit(str(error))
            return
        self.said.emit("Counting …")
        self.counter.start(count_steps(self._request))

    def _watch(self, layers: tuple) -> None:
        """Hear when one of these layers, and no other, is drawn on."""
        for signal in self._watched:
            signal.disconnect(self._on_edited)
        events = [layer.events for layer in layers if layer is not None]
        self._watched = [
            getattr(group, name)
            for group in events
            for name in ("data", "paint")
            if hasattr(group, name)
        ]
        for signal in self._watched:
            signal.connect(self._on_edited)

    def _on_edited(self, _event) -> None:
        self._edited_soon()

    def _on_counted(self, counted: Counted) -> None:
        model = self._model
        if not model.names:  # the store came after its layer
            model.choose(*commit.kept_cuts(self.inks))
        model.take_counts(counted)
        growing = counted.finished < 1
        said = f"Only {counted.finished:.0%} of it is predicted so far." if growing else ""
        self.said.emit(said)
        if growing:
            self._count_again_soon()

    def _count_again(self) -> None:
        """Of a prediction that has grown since it was counted."""
        request, counted = self._request, self._model.counted
        if request is None or counted is None or self.counter.running:
            return
        try:
            layers = commit.open_layers(request.stores)
        except InkError as error:
            self.said.emit(str(error))
            return
        if min(store.finished for store in layers.stores) > counted.finished:
            self.counter.start(count_steps(request))
        else:
            self._count_again_soon()

    # --- the cuts ---------------------------------------------------------------------------

    def optimise(self) -> None:
        """The best cuts; where there are none, it is said why."""
        try:
            self._model.optimise()
        except InkError as error:
            self.said.emit(str(error))

    def undo(self) -> None:
        """One step back; Labels layers that it made go."""
        for layer in self._model.undo() or ():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def make_labels(self) -> None:
        """Labels of what is ink now, in a thread."""
        self._cut = self.inks, self._model.cuts
        self._run(commit.label_steps(self._stores, self._model.cuts), "Making labels …")

    def export(self, path: Path) -> None:
        """Write what is ink now, in a thread."""
        layer = self.cut_view.layer_shown(self.inks[0])
        steps = commit.export_steps(path, self._stores, self._model.cuts, layer)
        self._run(steps, f"Writing {path.name} …")

    def keep(self, label: str) -> None:
        """Write the cuts into the prediction."""
        try:
            commit.keep(self.inks, self._model.kept(), label)
        except InkError as error:
            self.said.emit(str(error))
            return
        where = " and ".join(short_path(Path(store), 60) for store in self._stores)
        self.said.emit(f"Kept in {where}")

    @property
    def suggested(self) -> Path:
        """A name for an export, beside the prediction."""
        first = Path(self._stores[0])
        return first.with_name(first.name.removesuffix(".ink.zarr") + "-cut.png")

    @property
    def _stores(self) -> tuple[str, ...]:
        return tuple(carried(ink)["store"] for ink in self.inks)

    def _run(self, steps: Generator, said: str) -> None:
        if self.task.running:
            self.said.emit(str(SettingsError("the last task is not done", "wait for it")))
            return
        self.said.emit(said)
        self.task.start(steps)

    def _on_task_done(self, result: np.ndarray | Path) -> None:
        if isinstance(result, Path):
            self.said.emit(f"Written: {short_path(result, 60)}")
            return
        inks, cuts = self._cut
        if any(ink not in self._viewer.layers for ink in inks):
            self.said.emit("The prediction was closed meanwhile.")
            return
        self._model.made(commit.add_labels(self._viewer, inks, cuts, result))
        self.said.emit("Made a Labels layer: correct it with the brush, or take it back with Undo.")
