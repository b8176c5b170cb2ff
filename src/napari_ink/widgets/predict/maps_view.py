"""More maps than one in the Predict dock: the fragment turned, every depth, more checkpoints."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QSpinBox

from napari_ink.widgets.form import add_row, narrow
from napari_ink.widgets.predict.model import PredictModel
from napari_ink.widgets.predict.others_view import OthersView
from napari_ink.widgets.tooltips import PREDICT as TIPS

TURNED = {
    "none": "as it lies",
    "turns": "each tile another way",
    "flips": "4 ways (flips), mean",
    "all": "8 ways, mean",
}
_FOLLOWED = ("symmetries", "depth_sweep")
_LARGEST_STEP = 99


class MapsControls(QObject):
    """Controls over what else a :class:`PredictModel` predicts, for the form of a view.

    Signals
    -------
    changed
        The user changed something.
    """

    changed = Signal()

    def __init__(self, model: PredictModel) -> None:
        super().__init__()
        self._model = model
        self.turned = narrow(QComboBox())
        for value, text in TURNED.items():
            self.turned.addItem(text, value)
        self.turned.setToolTip(TIPS["symmetries"])
        self.sweep = QSpinBox()
        self.sweep.setRange(0, _LARGEST_STEP)
        self.sweep.setSpecialValueText("off")
        self.sweep.setPrefix("every ")
        self.sweep.setKeyboardTracking(False)
        self.sweep.setToolTip(TIPS["depth_sweep"])
        self.others = OthersView(model)
        self.others.changed.connect(self.changed)
        self._fill()
        self.sweep.valueChanged.connect(self._on_sweep)
        self.turned.currentIndexChanged.connect(self._on_turned)
        for name in _FOLLOWED:
            getattr(model.events, name).connect(self._fill)

    def add_to(self, form: QFormLayout) -> None:
        """A row each."""
        add_row(form, "Turned", self.turned)
        add_row(form, "Depth sweep", self.sweep)
        add_row(form, "Also", self.others, self.others.also)

    def leave(self) -> None:
        """Hear no more of the model, which may outlive these."""
        self.others.leave()
        for name in _FOLLOWED:
            getattr(self._model.events, name).disconnect(self._fill)

    def _fill(self, *_) -> None:
        """Show what the model says, without answering back."""
        model = self._model
        for control in (self.turned, self.sweep):
            control.blockSignals(True)
        self.turned.setCurrentIndex(self.turned.findData(model.symmetries))
        self.sweep.setSuffix(" layer" if model.depth_sweep == 1 else " layers")
        self.sweep.setValue(model.depth_sweep)
        for control in (self.turned, self.sweep):
            control.blockSignals(False)

    def _on_sweep(self, step: int) -> None:
        self._model.depth_sweep = step
        self.changed.emit()

    def _on_turned(self, _index: int) -> None:
        self._model.symmetries = self.turned.currentData()
        self.changed.emit()
