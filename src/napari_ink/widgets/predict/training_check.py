"""Whether the checkpoint learned from the chosen fragment, found out while the window goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superqt.utils import create_worker, qdebounced

from napari_ink.inference.doubts import trained_on

if TYPE_CHECKING:
    from napari_ink.models.info import CheckpointInfo
    from napari_ink.volumes.fragment import Fragment
    from napari_ink.widgets.predict.model import PredictModel

_AFTER_MS = 300  # so that a dock is drawn first, and a list can be walked through


class TrainingCheck:
    """Writes to ``model.trained_on`` what a look at the fragment's pixels tells.

    The look takes a tenth of a second on a local disk and may take many over a network. What it
    finds about a pair that is no longer chosen is forgotten.

    Parameters
    ----------
    model : PredictModel
    """

    def __init__(self, model: PredictModel) -> None:
        self._model = model
        self._look_soon = qdebounced(self._look, timeout=_AFTER_MS)
        model.events.fragment.connect(self._on_chosen)
        model.events.info.connect(self._on_chosen)
        model.events.others.connect(self._on_chosen)
        self._on_chosen()

    def close(self) -> None:
        """The dock is gone: look no more, and tell nobody what is found."""
        self._look_soon.cancel()
        self._model = None

    def _on_chosen(self, *_) -> None:
        if self._model is not None:
            self._look_soon()

    def _look(self) -> None:
        model = self._model
        if model is None or model.fragment is None or model.info is None:
            return
        infos = _infos(model)
        if not any(info.dataset for info in infos):
            return
        create_worker(
            look,
            model.fragment,
            infos,
            _connect={"returned": self._on_seen},
            _ignore_errors=True,  # a fragment that cannot be read is reported by Predict
        )

    def _on_seen(self, seen: tuple[Fragment, list[CheckpointInfo], str | None]) -> None:
        fragment, infos, sentence = seen
        model = self._model
        if model is not None and model.fragment is fragment and _infos(model) == infos:
            model.trained_on = sentence or ""


def _infos(model: PredictModel) -> list[CheckpointInfo]:
    return [model.info, *(info for _, info in model.others)]


def look(
    fragment: Fragment, infos: list[CheckpointInfo]
) -> tuple[Fragment, list[CheckpointInfo], str | None]:
    """Fragment and checkpoints, and the doubt about them if there is one.

    Runs in a worker thread; touches no Qt.
    """
    doubts = (trained_on(fragment, info) for info in infos)
    return fragment, infos, next((doubt for doubt in doubts if doubt is not None), None)
