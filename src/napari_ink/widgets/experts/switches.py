"""Experts to switch off, where to look, and what came of it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QWidget,
)

from napari_ink.widgets.experts.model import MEANINGS
from napari_ink.widgets.form import Note, add_row, in_a_row, narrow, new_form
from napari_ink.widgets.predict.model import Region
from napari_ink.widgets.tooltips import EXPERTS as TIPS

_COLUMNS = 3


class SwitchesView(QWidget):
    """Check boxes, a region, a button; knows nothing of networks.

    Signals
    -------
    redo_wanted
    cancel_wanted
    draw_wanted
    """

    redo_wanted = Signal()
    cancel_wanted = Signal()
    draw_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._problem, self._running = "", False
        self.boxes: dict[str, QCheckBox] = {}
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        inside = QWidget()
        inside.setLayout(self._grid)
        self.regions = {
            Region.VISIBLE: QRadioButton("visible"),
            Region.SHAPE: QRadioButton("shape"),
        }
        self.regions[Region.VISIBLE].setChecked(True)
        self.shapes, self.draw = narrow(QComboBox()), QPushButton("&Draw")
        self.shapes.setPlaceholderText("none yet")
        self.redo, self.cancel = QPushButton("&Redo region"), QPushButton("&Stop")
        self.bar = QProgressBar()
        self.bar.setRange(0, 100)
        self.status, self.result = Note(), Note()
        self._group = QButtonGroup(self)
        for button in self.regions.values():
            self._group.addButton(button)
        for widget, tip in (
            (self.regions[Region.VISIBLE], "visible"),
            (self.regions[Region.SHAPE], "shape"),
            (self.shapes, "shapes"),
            (self.draw, "draw"),
            (self.redo, "redo"),
            (self.cancel, "cancel"),
            (self.bar, "bar"),
            (self.status, "status"),
            (self.result, "result"),
        ):
            widget.setToolTip(TIPS[tip])
        form = new_form(self)
        heading = QLabel("Switch experts off, and see what becomes of the ink:")
        heading.setWordWrap(True)
        form.addRow(heading)
        form.addRow(inside)
        row = in_a_row(*self.regions.values())
        row.setToolTip(TIPS["visible"])
        add_row(form, "Region", row, self.regions[Region.VISIBLE])
        self._shape_row = in_a_row(self.shapes, self.draw, stretch=0)
        self._shape_row.setToolTip(TIPS["shapes"])
        self._shape_label = add_row(form, "", self._shape_row, self.shapes)
        form.addRow(in_a_row(self.redo, self.cancel))
        for part in (self.bar, self.status, self.result):
            form.addRow(part)
        self._group.buttonClicked.connect(self._on_region)
        self.draw.clicked.connect(self.draw_wanted)
        self.redo.clicked.connect(self.redo_wanted)
        self.cancel.clicked.connect(self.cancel_wanted)
        self._on_region()
        self.show_running(False)

    @property
    def region(self) -> Region:
        """Where to look."""
        return next(region for region, button in self.regions.items() if button.isChecked())

    @property
    def off(self) -> tuple[str, ...]:
        """Labels of the experts that are switched off."""
        return tuple(label for label, box in self.boxes.items() if box.isChecked())

    def set_experts(self, labels: tuple[str, ...]) -> None:
        """Offer these; what was switched off stays so."""
        off = self.off
        if labels == tuple(self.boxes):
            return
        for box in self.boxes.values():
            self._grid.removeWidget(box)
            box.deleteLater()
        self.boxes = {}
        for at, label in enumerate(labels):
            box = QCheckBox(f"{label} off")
            box.setToolTip(f"{TIPS['box']} {label}: {MEANINGS[label]}.")
            box.setChecked(label in off)
            box.toggled.connect(self._on_toggled)
            self._grid.addWidget(box, at // _COLUMNS, at % _COLUMNS)
            self.boxes[label] = box
        self._on_toggled()

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

    def show_ready(self, problem: str) -> None:
        """Whether the region can be redone, and if not, what to do first."""
        self._problem = problem
        self._on_toggled()

    def show_running(self, running: bool) -> None:
        """While the region is predicted, there is only Stop."""
        self._running = running
        self.bar.setValue(0)
        self.bar.setVisible(running)
        self.cancel.setVisible(running)
        self.redo.setVisible(not running)
        for box in self.boxes.values():
            box.setEnabled(not running)

    def show_progress(self, share: float) -> None:
        """Of both maps together."""
        self.bar.setValue(round(100 * share))

    def _on_toggled(self, *_) -> None:
        problem = self._problem
        if not problem and not self.off:
            problem = "Tick an expert to switch it off."
        if not problem and len(self.off) == len(self.boxes):
            problem = "Leave at least one expert on."
        self.redo.setEnabled(not problem)
        if not self._running:
            self.status.setText(problem)

    def _on_region(self, *_) -> None:
        shape = self.region is Region.SHAPE
        self._shape_row.setVisible(shape)
        self._shape_label.setVisible(shape)
