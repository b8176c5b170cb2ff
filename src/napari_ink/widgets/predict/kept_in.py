"""The row *Kept in* of the Predict dock: where predictions are kept, and another place for them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_ink._preferences import read_preferences, remember
from napari_ink.errors import InkError
from napari_ink.widgets.folders import prediction_folder, short_path

if TYPE_CHECKING:
    from pathlib import Path

    from napari_ink.widgets.predict.model import PredictModel
    from napari_ink.widgets.predict.settings_view import SettingsView


class KeptIn:
    """Shows the folder for predictions in a :class:`SettingsView`, and lets it be changed.

    Parameters
    ----------
    model : PredictModel
        Whose fragment has the folder beside it.
    view : SettingsView
    """

    def __init__(self, model: PredictModel, view: SettingsView) -> None:
        self._model, self._view = model, view
        view.folder_wanted.connect(self._on_wanted)

    def folder(self) -> Path:
        """The folder as things are.

        Raises
        ------
        SettingsError
            When the one of the Preferences can be none.
        """
        return prediction_folder(self._model.fragment, read_preferences())

    def show(self) -> None:
        """Say which it is, or why there is none."""
        view = self._view
        try:
            folder = self.folder()
        except InkError as error:
            view.folder.setText(str(error))
            return
        view.folder.setText(short_path(folder))
        view.folder.setToolTip(f"{folder}\n{view.change_folder.toolTip()}")

    def _on_wanted(self) -> None:
        begin = ""
        with suppress(InkError):  # the one of the Preferences cannot be used: begin anywhere
            begin = str(self.folder())
        chosen = QFileDialog.getExistingDirectory(self._view, "Folder for predictions", begin)
        if chosen:
            remember(store_folder=chosen)
            self.show()
