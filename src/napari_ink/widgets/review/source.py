"""Which two predictions to compare, what to show of them, and how many regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ink.analysis.blind_review_file import SUFFIX
from napari_ink.errors import InkError
from napari_ink.widgets.form import Note, add_row, in_a_row, narrow, new_form
from napari_ink.widgets.review.desk import Asked
from napari_ink.widgets.tooltips import REVIEW as TIPS

EMPTY = (
    "Two predictions of one fragment, side by side, region by region, without telling which is "
    "which: you pick the more legible. Open two predictions, or choose them from disk (…)."
)
_SHOWN = (("probability", None), ("ink, at its own cut", "own"), ("ink, at", "number"))
_NARROW = 100  # px, of a box for a number beside a list
_PX = " px"


class SideForm:
    """The controls for one of the two: a file, a layer of it, and what to show.

    Parameters
    ----------
    name : str
        For those who hear the dock instead of seeing it.
    """

    def __init__(self, name: str) -> None:
        self.predictions, self.shown = narrow(QComboBox()), narrow(QComboBox())
        self.browse, self.layer, self.cut = QToolButton(), QSpinBox(), QDoubleSpinBox()
        self.browse.setText("…")
        self.browse.setAccessibleName(f"Choose the {name} prediction from disk")
        self.shown.setAccessibleName(f"What to show of the {name} prediction")
        self._from_disk: list[str] = []
        self.layer.setPrefix("layer ")
        self.cut.setRange(0.0, 1.0)
        self.cut.setSingleStep(0.05)
        self.cut.setValue(0.5)
        for box in (self.cut, self.layer):
            box.setMaximumWidth(_NARROW)
        for text, data in _SHOWN:
            self.shown.addItem(text, data)
        for part in ("predictions", "browse", "shown", "layer", "cut"):
            getattr(self, part).setToolTip(TIPS[part])
        self.file_row = in_a_row(self.predictions, self.browse, stretch=0)
        self.shown_row = in_a_row(self.shown, self.cut, self.layer, stretch=0)
        for row in (self.file_row, self.shown_row):
            row.setToolTip(row.layout().itemAt(0).widget().toolTip())
        self.shown.currentIndexChanged.connect(self._on_shown)
        self.layer.hide()
        self._on_shown()

    @property
    def path(self) -> str | None:
        """Of the prediction, with its layer where it has many."""
        path = self.predictions.currentData()
        if path is None or self.layer.isHidden():
            return path
        return f"{path}#{self.layer.value()}"

    @property
    def what(self) -> float | str | None:
        """What to show of it, as :class:`Side` takes it."""
        chosen = self.shown.currentData()
        return self.cut.value() if chosen == "number" else chosen

    def offer(self, entries: Sequence[tuple[str, str]], otherwise: int) -> None:
        """Offer names and paths; what was chosen, or came from disk, stays."""
        before = self.predictions.currentData()
        there = [path for _, path in entries]
        added = [(Path(path).name, path) for path in self._from_disk if path not in there]
        self.predictions.clear()
        for text, path in (*entries, *added):
            self.predictions.addItem(text, path)
        paths = [path for _, path in (*entries, *added)]
        at = paths.index(before) if before in paths else min(otherwise, len(paths) - 1)
        self.predictions.setCurrentIndex(at)

    def add(self, path: str) -> None:
        """Offer a prediction from disk, and choose it."""
        at = self.predictions.findData(path)
        if at < 0:
            self._from_disk.append(path)
            self.predictions.addItem(Path(path).name, path)
            at = self.predictions.count() - 1
        self.predictions.setCurrentIndex(at)

    def show_layers(self, count: int) -> None:
        """How many layers the prediction has; one is not worth a box."""
        self.layer.setVisible(count > 1)
        self.layer.setRange(0, max(0, count - 1))

    def _on_shown(self, *_) -> None:
        self.cut.setVisible(self.shown.currentData() == "number")


class ReviewForm(QWidget):
    """All there is to choose before a review.

    Signals
    -------
    start_wanted : Asked
    go_on_wanted : str
        Path of a review.
    """

    start_wanted = Signal(object)
    go_on_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.sides = SideForm("first"), SideForm("second")
        self.about = Note(EMPTY)
        self.regions, self.repeats, self.side = QSpinBox(), QSpinBox(), QDoubleSpinBox()
        self.reader = QLineEdit()
        self.start, self.go_on = QPushButton("&Start"), QPushButton("&Go on with…")
        self._folder = ""
        self._pixel: float | None = None
        self._build()
        for side in self.sides:
            side.predictions.currentIndexChanged.connect(self._on_predictions)
        self.sides[0].browse.clicked.connect(self._on_browse_first)
        self.sides[1].browse.clicked.connect(self._on_browse_second)
        self.regions.valueChanged.connect(self._on_regions)
        self.start.clicked.connect(self._on_start)
        self.go_on.clicked.connect(self._on_go_on)
        self._on_predictions()

    def _build(self) -> None:
        self.regions.setRange(1, 500)
        self.regions.setValue(20)
        self.repeats.setSuffix(" of them, sides swapped")
        self.side.setDecimals(1)
        self.reader.setPlaceholderText("may stay empty")
        for part in ("regions", "repeats", "side", "reader", "start", "go_on", "about"):
            getattr(self, part).setToolTip(TIPS[part])
        body = QWidget()
        form = new_form(body)
        for side, text in zip(self.sides, ("&First", "S&econd"), strict=True):
            add_row(form, text, side.file_row, side.predictions)
            add_row(form, "shown as", side.shown_row, side.shown)
        add_row(form, "&Regions", self.regions)
        add_row(form, "Repea&ts", self.repeats)
        add_row(form, "S&ide", self.side)
        add_row(form, "Rea&der", self.reader)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for part in (self.about, body, in_a_row(self.start, self.go_on)):
            layout.addWidget(part)
        self._on_regions()

    def offer(self, entries: Sequence[tuple[str, str]], folder: str) -> None:
        """Offer predictions by name and path, the last two chosen at first."""
        self._folder = folder or self._folder
        for k, side in enumerate(self.sides):
            side.predictions.blockSignals(True)
            side.offer(entries, max(0, len(entries) - 2 + k))
            side.predictions.blockSignals(False)
        self._on_predictions()

    @property
    def asked(self) -> Asked:
        """What was chosen."""
        first, second = self.sides
        scale = 1.0 if self._pixel is None else 1000.0  # mm
        return Asked(
            paths=(first.path, second.path),
            cuts=(first.what, second.what),
            regions=self.regions.value(),
            repeats=self.repeats.value(),
            side=scale * self.side.value(),
            reader=self.reader.text(),
        )

    def _on_predictions(self, *_) -> None:
        """Layers and scale of what is chosen now."""
        from napari_ink.analysis.blind_review_plan import usual_side
        from napari_ink.inference.store import PredictionStore

        shape = None
        for side in self.sides[::-1]:
            path, count = side.predictions.currentData(), 1
            if path is not None:
                try:
                    store = PredictionStore.open(path)
                except InkError:  # Start will say so
                    store = None
                if store is not None:
                    shape, size = store.ink.shape[-2:], store.voxel_size
                    self._pixel = None if size is None else sum(size[1:]) / 2
                    count = 1 if store.ink.ndim == 2 else store.ink.shape[0]
            side.show_layers(count)
        if shape is not None:
            usual = usual_side(shape, self._pixel)
            self.side.setSuffix(_PX if self._pixel is None else " mm")
            scale = 1.0 if self._pixel is None else self._pixel / 1000
            self.side.setRange(scale * 32, scale * min(shape))
            self.side.setSingleStep(10.0 if self._pixel is None else 0.5)
            self.side.setValue(scale * usual)
        self.start.setEnabled(all(side.path is not None for side in self.sides))
        self.side.setEnabled(shape is not None)

    def _on_regions(self, *_) -> None:
        self.repeats.setMaximum(self.regions.value() // 2)

    def _on_start(self) -> None:
        self.start_wanted.emit(self.asked)

    def _on_browse_first(self) -> None:
        self._browse(self.sides[0])

    def _on_browse_second(self) -> None:
        self._browse(self.sides[1])

    def _browse(self, side: SideForm) -> None:
        path = QFileDialog.getExistingDirectory(
            self, "Choose a prediction, a folder NAME.ink.zarr", self._folder
        )
        if path:
            self._folder = str(Path(path).parent)
            side.add(path)

    def _on_go_on(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Go on with a review", self._folder, f"Blind reviews (*{SUFFIX})"
        )
        if path:
            self.go_on_wanted.emit(path)
