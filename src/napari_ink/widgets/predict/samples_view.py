"""Samples in the Predict dock: how many, what that means, and how they are drawn."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QLabel, QSpinBox

from napari_ink.widgets.form import Note, add_row
from napari_ink.widgets.predict.model import PredictModel
from napari_ink.widgets.predict.samples_slider import SamplesSlider
from napari_ink.widgets.predict.samples_words import samples_note
from napari_ink.widgets.tooltips import PREDICT as TIPS

_FOLLOWED = (
    *("samples", "tolerance", "dropout", "gate_noise", "seed"),
    *("info", "fragment", "region", "symmetries", "depth_sweep", "swept", "others"),
)


class SamplesControls(QObject):
    """Controls over the samples of a :class:`PredictModel`, for the forms of a view.

    Signals
    -------
    changed
        The user changed something.
    """

    changed = Signal()

    def __init__(self, model: PredictModel) -> None:
        super().__init__()
        self._model = model
        self.slider = SamplesSlider()
        self.note = Note(small=True)
        self._beside_note: QLabel | None = None
        self.tolerance = _number(0, 0.5, 0.005, 3, "none")
        self.dropout = _number(-0.05, 0.9, 0.05, 2, "as trained")
        self.gate_noise = _number(-0.1, 10, 0.1, 2, "as trained")
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setKeyboardTracking(False)
        self.note.setToolTip(TIPS["samples"])
        for name in ("tolerance", "dropout", "gate_noise", "seed"):
            getattr(self, name).setToolTip(TIPS[name])
        self._fill()
        self.slider.changed.connect(self._on_samples)
        for control in (self.tolerance, self.dropout, self.gate_noise, self.seed):
            control.valueChanged.connect(self._on_drawn)
        for name in _FOLLOWED:
            getattr(model.events, name).connect(self._fill)

    def add_to(self, form: QFormLayout) -> None:
        """How many, and what that means."""
        add_row(form, "Sa&mples", self.slider)
        self._beside_note = add_row(form, "", self.note)
        self._beside_note.setVisible(bool(self.note.text()))

    def add_advanced(self, form: QFormLayout) -> None:
        """How they are drawn."""
        add_row(form, "Tolerance", self.tolerance)
        add_row(form, "Dropout", self.dropout)
        add_row(form, "Gate noise", self.gate_noise)
        add_row(form, "Seed", self.seed)

    def leave(self) -> None:
        """Hear no more of the model, which may outlive these."""
        for name in _FOLLOWED:
            getattr(self._model.events, name).disconnect(self._fill)

    def _fill(self, *_) -> None:
        """Show what the model says, without answering back."""
        model = self._model
        own = {} if model.info is None else model.info.arguments
        self.slider.show_value(model.samples if model.can_sample or model.info is None else 1)
        self.slider.setEnabled(model.can_sample)
        values = {
            self.tolerance: model.tolerance,
            self.dropout: self.dropout.minimum() if model.dropout is None else model.dropout,
            self.gate_noise: self.gate_noise.minimum()
            if model.gate_noise is None
            else model.gate_noise,
            self.seed: model.seed,
        }
        for control, value in values.items():
            control.blockSignals(True)
            control.setValue(value)
            control.setEnabled(bool(model.samples_asked))
            control.blockSignals(False)
        for control, name in ((self.dropout, "dropout"), (self.gate_noise, "gate_noise")):
            control.setSpecialValueText(
                f"as trained, {own.get(name, 0.0):g}" if model.can_sample else "as trained"
            )
        self.note.setText(samples_note(model))
        if self._beside_note is not None:  # an empty row would leave a gap
            self._beside_note.setVisible(bool(self.note.text()))

    def _on_samples(self, samples: int) -> None:
        self._model.samples = samples
        self.changed.emit()

    def _on_drawn(self, *_) -> None:
        model = self._model
        tolerance, dropout, noise, seed = (
            round(control.value(), 3)
            for control in (self.tolerance, self.dropout, self.gate_noise, self.seed)
        )
        model.tolerance, model.seed = tolerance, seed
        model.dropout = None if dropout < 0 else dropout
        model.gate_noise = None if noise < 0 else noise
        self.changed.emit()


def _number(low: float, high: float, step: float, decimals: int, lowest: str) -> QDoubleSpinBox:
    """A number of which the lowest value has a name."""
    box = QDoubleSpinBox()
    box.setDecimals(decimals)
    box.setRange(low, high)
    box.setSingleStep(step)
    box.setSpecialValueText(lowest)
    box.setKeyboardTracking(False)
    return box
