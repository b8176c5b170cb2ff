"""One run from Predict to its end: job, ink layer, progress; at most one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_ink._layers import fragment_of, ink_name
from napari_ink._preferences import read_preferences
from napari_ink.widgets.folders import short_path
from napari_ink.widgets.predict.job import PredictionJob
from napari_ink.widgets.predict.live_ink import LiveInk
from napari_ink.widgets.predict.progress import RunProgress, duration
from napari_ink.widgets.predict.request import PredictionRequest
from napari_ink.widgets.predict.samples_progress import progress_of
from napari_ink.widgets.predict.samples_words import kept_words, sampled_words
from napari_ink.widgets.predict.steps import PredictionStarted

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_ink.inference.plan import PredictionPlan
    from napari_ink.inference.settings import PredictionSettings, TileDone
    from napari_ink.widgets.predict.model import PredictModel
    from napari_ink.widgets.side_by_side import SideBySide


_DRAWN_MS = 30


def ink_shape(model: PredictModel) -> tuple[tuple[int, ...], float, int]:
    """Shape of the result, and if it is a volume: where its first layer lies, and the next."""
    fragment, info = model.fragment, model.info
    if model.depth_sweep:
        shape = (model.windows, *fragment.shape[1:])
        first = model.swept_layers[0] - fragment.first_layer
        return shape, first + (info.depth - 1) / 2, model.depth_sweep
    if info.arguments.get("collapse") != "none":
        return fragment.shape[1:], 0, 1
    return (info.depth, *fragment.shape[1:]), model.layers[0] - fragment.first_layer, 1


class Runner:
    """Starts predictions and brings their blocks onto the canvas.

    Signals
    -------
    progress : int, int, str
        Blocks done, blocks in all, and a line about it.
    said : str
        A line about what happened.
    notes : list of str
        What to know about the result.
    """

    progress = Signal(int, int, str)
    said = Signal(str)
    notes = Signal(list)

    def __init__(self, viewer: Viewer, model: PredictModel, side_by_side: SideBySide) -> None:
        self._viewer = viewer
        self._model = model
        self._side_by_side = side_by_side
        self._job: PredictionJob | None = None
        self._live: LiveInk | None = None
        self._progress: RunProgress | None = None
        self._plan: PredictionPlan | None = None
        self._from_store = 0
        self._kept, self._kept_in = 0, Path()
        self._reason = ""
        self._folder = Path()
        self._notices: list[str] = []

    def start(self, stack: Image, settings: PredictionSettings, folder: Path) -> None:
        """Predict on a layer; a call while one is running does nothing."""
        if self._job is not None:
            return
        model = self._model
        request = PredictionRequest(
            fragment_of(stack), model.checkpoint, settings, folder, model.info, model.others
        )
        self._live = LiveInk(self._viewer, stack, inverted_grey=read_preferences().inverted_grey)
        self._reason, self._progress, self._notices = "", None, []
        self._folder = folder
        job = self._job = PredictionJob(request)
        job.started.connect(self._on_started)
        job.tile.connect(self._on_tile)
        job.chosen.connect(self._on_chosen)
        job.notice.connect(self._on_notice)
        job.failed.connect(self._on_failed)
        job.finished.connect(self._on_finished)
        self._model.running = True
        self.said.emit("Loading the network …")
        self._side_by_side.naming = False
        name = ink_name(
            model.fragment.name,
            model.swept_layers if model.depth_sweep else model.layers,
            model.layer_bounds,
            model.reverse_depth,
            settings.samples > 1,
            settings.symmetries,
            settings.depth_sweep is not None,
            1 + len(model.others),
        )
        self._live.begin(name, *ink_shape(model), sampled=model.averages)
        self._side_by_side.show()
        # The first drawing of a grid takes its time, and several times that beside a busy network.
        QTimer.singleShot(_DRAWN_MS, self._prepare)

    def _prepare(self) -> None:
        """Add one layer after the other, then begin; a dock that was closed begins nothing."""
        if self._job is None:
            return
        if self._live.add_next():
            QTimer.singleShot(_DRAWN_MS, self._prepare)
        else:
            self._job.start()

    def cancel(self) -> None:
        """Stop at the next block; what is finished stays in the store."""
        if self._job is not None:
            self._reason = self._reason or "Stopped"
            self._job.cancel()
            self.said.emit("Stopping once the block under way is done …")

    def check_layers(self, layers: list[Layer]) -> None:
        """End the run if its stack or its ink is no longer in the viewer."""
        live = self._live
        if live is None or self._job is None:
            return
        if live.stack in layers and (live.layer is None or live.layer in layers):
            return
        live.drop()
        self._reason = "The layer was removed"
        self.cancel()

    def close(self, *_) -> None:
        """The dock is gone: stop without touching a widget or a layer."""
        job, live, self._job, self._live = self._job, self._live, None, None
        if live is not None:
            live.drop()
        if job is not None:
            signals = (job.started, job.tile, job.chosen, job.notice, job.failed, job.finished)
            for signal in signals:
                signal.disconnect()
            job.cancel()

    def _on_started(self, started: PredictionStarted) -> None:
        self._kept, self._kept_in = started.kept, started.store
        self._plan, self._from_store = started.plan, 0
        self._progress = progress_of(started.plan)
        if self._live.layer is not None:
            self._live.identify(started)
        self._tell()

    def _on_chosen(self, needed: int) -> None:
        self._progress.needed = needed

    def _on_tile(self, tile: TileDone) -> None:
        self._progress.add(tile, from_store=self._from_store < self._kept)
        self._from_store += 1
        self._live.write(tile)
        self._tell()

    def _on_notice(self, text: str) -> None:
        self._notices.append(text)
        self.notes.emit(list(self._notices))

    def _on_failed(self, error: Exception) -> None:
        self._reason = str(error)

    def _on_finished(self, complete: bool) -> None:
        self._live.end()
        self._side_by_side.naming = True
        self._job = self._live = None
        self._model.running = False
        self.said.emit(self._summary(complete))

    def _tell(self) -> None:
        if not self._reason:
            state = self._progress
            self.progress.emit(*state.bar, state.line())

    def _summary(self, complete: bool) -> str:
        state, plan = self._progress, self._plan
        if state is None:
            return self._reason or "Stopped"
        if complete and state.done == state.total:
            done = f"{plan.total} blocks"
            if not plan.passes.is_single:
                done = sampled_words(self._kept_in, plan)
            done = f"Done: {done} in {duration(state.seconds)} on {state.device}."
            return f"{done} Kept in {short_path(self._folder, 60)}"
        reason = (self._reason or "Stopped").removesuffix(".")
        if not state.done or not self._kept_in.exists():
            return f"{reason}."
        if not plan.passes.is_single:
            return f"{reason}. {kept_words(self._kept_in, plan, state.needed)}"
        return (
            f"{reason}. {state.done} of {state.total} blocks are kept: Predict goes on from there."
        )
