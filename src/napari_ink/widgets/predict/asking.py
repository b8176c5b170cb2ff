"""What the Predict dock asks for, as its controls are now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_ink.analysis.places import pixel_size, usual_side
from napari_ink.widgets.predict.model import Region
from napari_ink.widgets.predict.request import PredictionRequest
from napari_ink.widgets.sweep.model import for_a_look, looked_at

if TYPE_CHECKING:
    from napari_ink.inference.settings import Box, PredictionSettings
    from napari_ink.widgets.predict.model import PredictModel
    from napari_ink.widgets.predict.settings_view import SettingsView
    from napari_ink.widgets.predict.source_view import SourceView
    from napari_ink.widgets.region import RegionPicker


class Asking:
    """Reads a question off the views, the model and the canvas.

    Parameters
    ----------
    model : PredictModel
    source : SourceView
    settings : SettingsView
    region : RegionPicker
    """

    def __init__(
        self,
        model: PredictModel,
        source: SourceView,
        settings: SettingsView,
        region: RegionPicker,
    ) -> None:
        self._model, self._source, self._settings = model, source, settings
        self._region = region

    def prediction(self) -> PredictionSettings:
        """What to predict, the middle of the view first.

        Raises
        ------
        SettingsError
            When there is no such region.
        """
        self._source.voxel_size.interpretText()  # typed, and Return pressed at once
        return self._model.settings(self._box(), self._region.focus(self._stack))

    def look(self) -> PredictionRequest:
        """A small region, by the network itself.

        Raises
        ------
        SettingsError
            When there is no such region.
        """
        model, box = self._model, self._box()
        if model.region is Region.VISIBLE:
            box = looked_at(box, usual_side(pixel_size(model.fragment, model.info.voxel_size)))
        settings = for_a_look(model.settings(box, plain=True))
        return PredictionRequest(model.fragment, model.checkpoint, settings, Path(), model.info)

    @property
    def _stack(self):
        return self._source.layers.currentData()

    def _box(self) -> Box | None:
        shapes = self._settings.shapes.currentData()
        return self._region.box(self._model.region, self._stack, shapes)
