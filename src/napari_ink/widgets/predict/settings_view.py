"""How and where to predict: task, layer window, direction, region, device, advanced settings."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDoubleSpinBox,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QToolButton,
    QWidget,
)
from superqt import QCollapsible, QLabeledRangeSlider

from napari_ink.widgets.form import Note, add_row, in_a_row, narrow, new_form
from napari_ink.widgets.predict.layer_window import fit_range, fit_window
from napari_ink.widgets.predict.maps_view import MapsControls
from napari_ink.widgets.predict.model import PredictModel, Region
from napari_ink.widgets.predict.samples_view import SamplesControls
from napari_ink.widgets.tooltips import PREDICT as TIPS

DEVICES = {
    "auto": "auto",
    "cpu": "processor (cpu)",
    "cuda": "NVIDIA card (cuda)",
    "mps": "Apple (mps)",
}
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
RUNTIMES = ("torch", "openvino", "openvino-int8")


_SHOWN = ("fragment", "info", "layers", "task", "reverse_depth", "region")
_SHOWN += ("depth_sweep", "swept", "others")


class SettingsView(QWidget):
    """Controls over a :class:`PredictModel`: they write to it and follow it.

    Signals
    -------
    draw_wanted
        The user wants to draw a rectangle.
    folder_wanted
        The user wants another folder for predictions.
    """

    draw_wanted = Signal()
    folder_wanted = Signal()

    def __init__(self, model: PredictModel) -> None:
        super().__init__()
        self._model = model
        self._build()
        self._fill()
        self._connect()

    def _build(self) -> None:
        self.task = narrow(QComboBox())
        self.layers = QLabeledRangeSlider(Qt.Orientation.Horizontal)
        self.layers.setEdgeLabelMode(QLabeledRangeSlider.EdgeLabelMode.NoLabel)
        self.layers.setHandleLabelPosition(QLabeledRangeSlider.LabelPosition.LabelsAbove)
        self.as_trained, self.reversed = QRadioButton("as trained"), QRadioButton("reversed")
        self.order = Note(small=True)
        self.regions = {
            Region.PAPYRUS: QRadioButton("papyrus"),
            Region.VISIBLE: QRadioButton("visible"),
            Region.SHAPE: QRadioButton("shape"),
        }
        self.shapes, self.draw = narrow(QComboBox()), QPushButton("Draw")
        self.shapes.setPlaceholderText("none yet")
        self.samples, self.maps = SamplesControls(self._model), MapsControls(self._model)
        self.device = narrow(QComboBox())
        for value, text in DEVICES.items():
            self.device.addItem(text, value)
        self.tile, self.overlap = QSpinBox(), QDoubleSpinBox()
        self.tile.setRange(0, 4096)
        self.tile.setSingleStep(32)
        self.tile.setSuffix(" px")
        self.overlap.setRange(0, 0.9)
        self.overlap.setSingleStep(0.05)
        for box in (self.tile, self.overlap):
            box.setSpecialValueText("auto")
        self.precision, self.runtime = narrow(QComboBox()), narrow(QComboBox())
        self.precision.addItems(PRECISIONS)
        self.runtime.addItems(RUNTIMES)
        self.folder, self.change_folder = Note(small=True), QToolButton()
        self.change_folder.setText("…")
        self.change_folder.setAccessibleName("Change the folder for predictions")
        named = {
            "task": self.task,
            "layers": self.layers,
            "as_trained": self.as_trained,
            "reversed": self.reversed,
            "order": self.order,
            "shapes": self.shapes,
            "draw": self.draw,
            "device": self.device,
            "tile": self.tile,
            "overlap": self.overlap,
            "precision": self.precision,
            "runtime": self.runtime,
            "folder": self.folder,
            "change_folder": self.change_folder,
        } | {str(region): button for region, button in self.regions.items()}
        for name, widget in named.items():
            widget.setToolTip(TIPS[name])

        form = new_form(self)
        self.task_label = add_row(form, "&Task", self.task)
        add_row(form, "La&yers", self.layers)
        direction = in_a_row(self.as_trained, self.reversed)
        direction.setToolTip(TIPS["reversed"])
        add_row(form, "Directi&on", direction, self.as_trained)
        add_row(form, "", self.order)
        region = in_a_row(*self.regions.values())
        region.setToolTip(TIPS["papyrus"])
        add_row(form, "&Region", region, self.regions[Region.PAPYRUS])
        self.shape_row = in_a_row(self.shapes, self.draw, stretch=0)
        self.shape_row.setToolTip(TIPS["shapes"])
        self.shape_label = add_row(form, "", self.shape_row, self.shapes)
        self.samples.add_to(form)
        add_row(form, "Dev&ice", self.device)

        inside = QWidget()
        more = new_form(inside)
        self.maps.add_to(more)
        self.samples.add_advanced(more)
        add_row(more, "Tile", self.tile)
        add_row(more, "Overlap", self.overlap)
        add_row(more, "Precision", self.precision)
        add_row(more, "Runtime", self.runtime)
        keep = in_a_row(self.folder, self.change_folder, stretch=0)
        keep.setToolTip(TIPS["folder"])
        add_row(more, "Kept in", keep, self.change_folder)
        self.advanced = QCollapsible("&Advanced")
        self.advanced.setDuration(0)
        self.advanced.setToolTip(TIPS["advanced"])
        self.advanced.toggleButton().setToolTip(TIPS["advanced"])
        self.advanced.addWidget(inside)
        for part in (self.advanced, self.advanced.content()):
            part.layout().setContentsMargins(0, 0, 0, 0)
        form.addRow(self.advanced)
        self._groups = [QButtonGroup(self), QButtonGroup(self)]
        for button in (self.as_trained, self.reversed):
            self._groups[0].addButton(button)
        for button in self.regions.values():
            self._groups[1].addButton(button)

    def _connect(self) -> None:
        events = self._model.events
        self.task.currentTextChanged.connect(self._on_task)
        self.layers.valueChanged.connect(self._on_layers)
        self.reversed.toggled.connect(self._on_direction)
        for button in self.regions.values():
            button.toggled.connect(self._on_region)
        self.draw.clicked.connect(self.draw_wanted)
        self.change_folder.clicked.connect(self.folder_wanted)
        self.device.currentIndexChanged.connect(self._on_device)
        self.tile.valueChanged.connect(self._on_tile)
        self.overlap.valueChanged.connect(self._on_overlap)
        self.precision.currentTextChanged.connect(self._on_precision)
        self.runtime.currentTextChanged.connect(self._on_runtime)
        for name in _SHOWN:
            getattr(events, name).connect(self._fill)

    def leave(self) -> None:
        """Hear no more of the model, which may outlive this view."""
        self.samples.leave()
        self.maps.leave()
        for name in _SHOWN:
            getattr(self._model.events, name).disconnect(self._fill)

    def _fill(self) -> None:
        """Show what the model says, without answering back."""
        model = self._model
        controls = (self.task, self.layers, self.as_trained, self.reversed, *self.regions.values())
        for control in controls:
            control.blockSignals(True)
        tasks = model.info.tasks if model.info else ()
        self.task.clear()
        self.task.addItems(tasks)
        self.task.setCurrentText(model.task)
        several = len(tasks) > 1
        self.task.setVisible(several)
        self.task_label.setVisible(several)
        bounds = model.layer_bounds
        self.layers.setEnabled(bounds is not None)
        if bounds is not None and model.layers is not None:
            shown = model.swept_layers if model.depth_sweep else model.layers
            self.layers.setRange(bounds[0], bounds[1] - 1)
            self.layers.setValue((shown[0], shown[1] - 1))  # the last one, as in the note below
        self.reversed.setChecked(model.reverse_depth)
        self.as_trained.setChecked(not model.reverse_depth)
        self.order.setText(model.reading_order)
        self.regions[model.region].setChecked(True)
        shape = model.region is Region.SHAPE
        self.shape_row.setVisible(shape)
        self.shape_label.setVisible(shape)
        self.device.setCurrentIndex(self.device.findData(model.device))
        self.tile.setValue(model.tile)
        self.overlap.setValue(model.overlap)
        for control in controls:
            control.blockSignals(False)

    def set_shapes(self, layers: list) -> None:
        """Offer these shapes layers; the chosen one stays, else the newest is chosen."""
        chosen = self.shapes.currentData()
        self.shapes.clear()
        for layer in layers:
            self.shapes.addItem(layer.name, layer)
        keep = next((k for k, layer in enumerate(layers) if layer == chosen), len(layers) - 1)
        self.shapes.setCurrentIndex(keep)

    def choose_shapes(self, layer) -> None:
        """Choose one of the offered shapes layers."""
        for k in range(self.shapes.count()):
            if self.shapes.itemData(k) == layer:
                self.shapes.setCurrentIndex(k)

    def set_devices(self, available: tuple[str, ...]) -> None:
        """Leave only the devices that this machine has."""
        for k in reversed(range(self.device.count())):
            if self.device.itemData(k) not in ("auto", *available):
                self.device.removeItem(k)

    def _on_task(self, task: str) -> None:
        self._model.task = task

    def _on_layers(self, value: tuple[int, int]) -> None:
        model = self._model
        if model.info is None or model.layer_bounds is None:
            return
        value = value[0], value[1] + 1
        depth, bounds = min(model.info.depth, model.fragment.shape[0]), model.layer_bounds
        if model.depth_sweep:
            swept = fit_range(value, model.swept_layers, depth, bounds)
            model.swept = None if swept == bounds else swept
        else:
            model.layers = fit_window(value, model.layers, depth, bounds)
        self._fill()  # also when nothing changed: the handle has to go back

    def _on_direction(self, reverse: bool) -> None:
        self._model.reverse_depth = reverse

    def _on_region(self) -> None:
        for region, button in self.regions.items():
            if button.isChecked():
                self._model.region = region

    def _on_device(self) -> None:
        self._model.device = self.device.currentData() or "auto"

    def _on_tile(self, tile: int) -> None:
        self._model.tile = tile

    def _on_overlap(self, overlap: float) -> None:
        self._model.overlap = round(overlap, 2)

    def _on_precision(self, precision: str) -> None:
        self._model.precision = precision

    def _on_runtime(self, runtime: str) -> None:
        self._model.runtime = runtime
