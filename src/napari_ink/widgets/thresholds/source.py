"""Which prediction, against which label, scored where and by what."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QComboBox, QLabel, QPushButton, QRadioButton, QWidget

from napari_ink.widgets.form import Note, add_row, in_a_row, narrow, new_form
from napari_ink.widgets.thresholds.counted import Scope
from napari_ink.widgets.thresholds.words import SCORES
from napari_ink.widgets.tooltips import THRESHOLDS as TIPS

EMPTY = (
    "There is no ink to cut yet. Open a prediction (a folder NAME.ink.zarr: drag it onto the "
    "window), or make one with Plugins ▸ Predict ink."
)
NO_LABEL = (
    "Without a label nothing says how good a cut is: choose by eye how much of each layer stays "
    "without ink."
)
_METRICS = ("f05", "iou", "f1")


class ThresholdsSource(QWidget):
    """Lists and switches; knows nothing of histograms.

    Signals
    -------
    chosen
        Prediction, label or scope are others.
    metric_chosen : str
    kind_chosen : bool
        Whether to cut at percentiles.
    draw_wanted
    """

    chosen = Signal()
    prediction_chosen = Signal()
    metric_chosen = Signal(str)
    kind_chosen = Signal(bool)
    draw_wanted = Signal()

    def __init__(self, metric: str, by_percentile: bool, scope: Scope) -> None:
        super().__init__()
        self.predictions, self.labels, self.metric, self.shapes = (
            narrow(QComboBox()) for _ in range(4)
        )
        for key in _METRICS:
            self.metric.addItem(SCORES[key], key)
        self.metric.setCurrentIndex(max(0, self.metric.findData(metric)))
        self.scopes = {name: QRadioButton(name.value) for name in Scope}
        self.scopes[scope].setChecked(True)
        self.cut, self.percentile = QRadioButton("probability"), QRadioButton("percentile")
        (self.percentile if by_percentile else self.cut).setChecked(True)
        self.draw = QPushButton("Draw")
        self.no_label = Note(NO_LABEL, small=True)
        self._group = [QButtonGroup(self), QButtonGroup(self)]
        for group, buttons in zip(
            self._group, (self.scopes.values(), (self.cut, self.percentile)), strict=True
        ):
            for button in buttons:
                group.addButton(button)
        self._build()
        self.predictions.currentIndexChanged.connect(self._on_prediction)
        self.labels.currentIndexChanged.connect(self._on_chosen)
        self.shapes.currentIndexChanged.connect(self._on_chosen)
        self.metric.currentIndexChanged.connect(self._on_metric)
        self.draw.clicked.connect(self.draw_wanted)
        self._group[0].buttonClicked.connect(self._on_scope)
        self._group[1].buttonClicked.connect(self._on_kind)
        self._on_scope(None, tell=False)

    def _build(self) -> None:
        for name, tip in (("predictions", "prediction"), ("labels", "label"), ("metric", "metric"),
                          ("shapes", "shapes"), ("draw", "draw"), ("cut", "cut"),
                          ("percentile", "percentile")):  # fmt: skip
            getattr(self, name).setToolTip(TIPS[tip])
        for scope, button in self.scopes.items():
            button.setToolTip(TIPS[scope.value])
        form = new_form(self)
        add_row(form, "Prediction", self.predictions)
        add_row(form, "Label", self.labels)
        self.no_label_label = add_row(form, "", self.no_label)
        self.metric_label = add_row(form, "Metric", self.metric)
        scopes = in_a_row(*self.scopes.values())
        self.scope_label = add_row(form, "Scored on", scopes)
        self.shape_row = in_a_row(self.shapes, self.draw, stretch=0)
        self.shape_label: QLabel = add_row(form, "", self.shape_row)
        self.kind_row = in_a_row(self.cut, self.percentile)
        self.kind_label = add_row(form, "Cut at", self.kind_row)

    # --- what is offered ------------------------------------------------------------------------

    def set_predictions(self, entries: list[tuple[str, tuple]]) -> None:
        """Offer predictions, each a tuple of layers; the chosen one stays while it is there."""
        self._refill(self.predictions, entries, len(entries) - 1, self._on_prediction)

    def set_labels(self, layers: list) -> None:
        """Offer labels, and none; the chosen one stays while it is there."""
        entries = [("none", None), *((layer.name, layer) for layer in layers)]
        self._refill(self.labels, entries, 0, self._on_chosen)

    def set_shapes(self, layers: list) -> None:
        """Offer shapes layers; the chosen one stays, else the newest is chosen."""
        entries = [(layer.name, layer) for layer in layers]
        self._refill(self.shapes, entries, len(entries) - 1, self._on_chosen)

    def _refill(self, combo: QComboBox, entries: list, otherwise: int, tell) -> None:
        before = combo.currentData()
        combo.blockSignals(True)
        combo.clear()
        for text, data in entries:
            combo.addItem(text, data)
        keep = next((k for k, (_, data) in enumerate(entries) if data == before), otherwise)
        combo.setCurrentIndex(keep)
        combo.blockSignals(False)
        if combo.currentData() != before:
            tell()

    def choose_prediction(self, layers: tuple) -> None:
        """Choose one that is offered."""
        for k in range(self.predictions.count()):
            if self.predictions.itemData(k) == layers:
                self.predictions.setCurrentIndex(k)

    def choose_label(self, layer) -> None:
        """Choose one that is offered."""
        for k in range(self.labels.count()):
            if self.labels.itemData(k) == layer:
                self.labels.setCurrentIndex(k)

    def choose_shapes(self, layer) -> None:
        """Choose one that is offered."""
        for k in range(self.shapes.count()):
            if self.shapes.itemData(k) == layer:
                self.shapes.setCurrentIndex(k)

    # --- what is chosen -------------------------------------------------------------------------

    @property
    def scope(self) -> Scope:
        """Where to score."""
        return next(scope for scope, button in self.scopes.items() if button.isChecked())

    def show_labelled(self, labelled: bool) -> None:
        """Without a label there is no metric, and nothing but percentiles."""
        for part in (self.no_label, self.no_label_label):
            part.setVisible(not labelled)
        for part in (self.metric, self.metric_label, self.kind_row, self.kind_label):
            part.setVisible(labelled)

    def _on_prediction(self, *_) -> None:
        self.prediction_chosen.emit()

    def _on_chosen(self, *_) -> None:
        self.chosen.emit()

    def _on_scope(self, _button, tell: bool = True) -> None:
        shape = self.scope is Scope.SHAPE
        self.shape_row.setVisible(shape)
        self.shape_label.setVisible(shape)
        if tell:
            self.chosen.emit()

    def _on_metric(self, _index) -> None:
        self.metric_chosen.emit(self.metric.currentData())

    def _on_kind(self, _button) -> None:
        self.kind_chosen.emit(self.percentile.isChecked())
