"""The Uncertainty dock's controls; they know nothing of stores and layers."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_ink.widgets.form import Note, add_row, in_a_row, narrow, new_form
from napari_ink.widgets.tooltips import UNCERTAINTY as TIPS
from napari_ink.widgets.uncertainty.model import MEASURES, UncertaintyModel

EMPTY = (
    "There is no ink to doubt yet. Make one with Plugins ▸ Predict ink, with more than 1 sample, "
    "or open a prediction that was made so (a folder NAME.ink.zarr: drag it onto the window)."
)
_ABOUT = (
    "± is how far single samples, networks with random parts switched off, lie from their mean. "
    "The standard error is how far the mean itself may be off: more samples lower it, not the ±."
)


class UncertaintySource(QWidget):
    """Which prediction, and what its samples come to.

    Signals
    -------
    chosen
        Another prediction.
    samples_wanted : bool
    """

    chosen = Signal()
    samples_wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.predictions = narrow(QComboBox())
        self.words, self.about = Note(), Note(_ABOUT, small=True)
        self.samples = QCheckBox("Show &samples a block")
        for name in ("predictions", "words", "samples"):
            getattr(self, name).setToolTip(TIPS[name])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        row = QWidget()
        add_row(new_form(row), "Pre&diction", self.predictions)
        for widget in (row, self.words, self.about, self.samples):
            layout.addWidget(widget)
        self.predictions.currentIndexChanged.connect(self._on_chosen)
        self.samples.toggled.connect(self.samples_wanted)

    def set_predictions(self, inks: list) -> None:
        """Offer inks; the chosen one stays while it is there, else the newest is."""
        before = self.predictions.currentData()
        self.predictions.blockSignals(True)
        self.predictions.clear()
        for ink in inks:
            self.predictions.addItem(ink.name, ink)
        self.predictions.setCurrentIndex(inks.index(before) if before in inks else len(inks) - 1)
        self.predictions.blockSignals(False)
        if self.predictions.currentData() != before:
            self._on_chosen()

    def choose(self, ink) -> None:
        """Choose one that is offered."""
        for k in range(self.predictions.count()):
            if self.predictions.itemData(k) == ink:
                self.predictions.setCurrentIndex(k)

    def show_report(self, words: str, sampled: bool, even: bool) -> None:
        """What the samples come to; their map only where blocks differ."""
        self.words.setText(words)
        self.about.setVisible(sampled)
        self.samples.setVisible(sampled and not even)

    def show_samples_shown(self, shown: bool) -> None:
        """Tick the box, or not, without answering back."""
        self.samples.blockSignals(True)
        self.samples.setChecked(shown)
        self.samples.blockSignals(False)

    def _on_chosen(self, *_) -> None:
        self.chosen.emit()


class PlacesView(QWidget):
    """The button that finds places, and the way from one to the next.

    Parameters
    ----------
    count : int
    by : str
    """

    def __init__(self, count: int, by: str) -> None:
        super().__init__()
        self.count, self.by = QSpinBox(), narrow(QComboBox())
        self.count.setRange(1, 200)
        self.count.setValue(count)
        for key, name in MEASURES.items():
            self.by.addItem(name, key)
        self.by.setCurrentIndex(max(0, self.by.findData(by)))
        self.find = QPushButton("&Most uncertain places")
        self.bar = QProgressBar()
        self.bar.setRange(0, 100)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.back, self.next = QPushButton("&Back"), QPushButton("&Next")
        self.words, self.details = Note(), Note(small=True)
        self.keys = Note("Keys: N next, Shift+N back, in the canvas as here.", small=True)
        self.status = Note()
        for name in ("count", "by", "find", "bar", "back", "next", "details", "status"):
            getattr(self, name).setToolTip(TIPS[name])
        self.words.setToolTip(TIPS["place"])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        rows = QWidget()
        form = new_form(rows)
        add_row(form, "Pla&ces", self.count)
        add_row(form, "B&y", self.by)
        self._stepping = (self.words, self.details, in_a_row(self.back, self.next), self.keys)
        for widget in (rows, self.find, self.bar, self.status, *self._stepping):
            layout.addWidget(widget)
        self.show_progress(None)
        self.show_place(UncertaintyModel())

    def show_progress(self, share: float | None) -> None:
        """How far the search is; ``None``: there is none."""
        self.bar.setVisible(share is not None)
        self.find.setEnabled(share is None)
        self.bar.setValue(round(100 * (share or 0)))

    def show_place(self, model: UncertaintyModel) -> None:
        """The place looked at, or none."""
        self.words.setText(model.words)
        self.details.setText(model.details)
        for widget in self._stepping[2:]:
            widget.setVisible(model.at is not None)
