"""Which fragment and which checkpoint: two lists, a line about each, and what to do without any."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ink.widgets.checkpoints import checkpoint_name
from napari_ink.widgets.form import Note, add_row, in_a_row, narrow, new_form
from napari_ink.widgets.tooltips import PREDICT as TIPS

_LARGEST_VOXEL = 1e6  # µm: muon tomography has voxels of centimetres


class EmptyView(QWidget):
    """What to do when there is nothing to predict on."""

    sample_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 4)
        text = QLabel(
            "Open a fragment: drag its folder onto the window, or choose File ▸ Open Folder. "
            "To try it out, start with the sample."
        )
        text.setWordWrap(True)
        self.button = QPushButton("Open the &sample")
        self.button.setToolTip(TIPS["open_sample"])
        self.button.clicked.connect(self.sample_wanted)
        layout.addWidget(text)
        layout.addWidget(self.button)


class SourceView(QWidget):
    """Lists of fragments and checkpoints.

    Signals
    -------
    layer_chosen : object
        The layer object, or None.
    checkpoint_chosen : object
        A Path, or None.
    voxel_size_told : float
        µm; 0: unknown.
    """

    layer_chosen = Signal(object)
    checkpoint_chosen = Signal(object)
    voxel_size_told = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self.layers = narrow(QComboBox())
        self.layers.setToolTip(TIPS["fragment"])
        self.fragment_line = Note(small=True)
        self.fragment_line.setToolTip(TIPS["fragment"])
        self.voxel_size = QDoubleSpinBox()
        self.voxel_size.setRange(0, _LARGEST_VOXEL)
        self.voxel_size.setDecimals(3)
        self.voxel_size.setSuffix(" µm")
        self.voxel_size.setSpecialValueText("unknown")
        self.voxel_size.setKeyboardTracking(False)  # the 1 of 16 is not a size
        self.voxel_size.setToolTip(TIPS["voxel_size"])
        self.checkpoints = narrow(QComboBox())
        self.checkpoints.setToolTip(TIPS["checkpoint"])
        self.browse = QToolButton()
        self.browse.setText("…")
        self.browse.setToolTip(TIPS["browse"])
        self.browse.setAccessibleName("Browse for a checkpoint")
        self.checkpoint_line = Note(small=True)
        self.checkpoint_line.setToolTip(TIPS["checkpoint"])

        form = new_form(self)
        add_row(form, "Fra&gment", self.layers)
        add_row(form, "", self.fragment_line)
        self.voxel_label = add_row(form, "Vo&xel size", self.voxel_size)
        self.show_voxel_size(None, ask=False)
        checkpoint_row = in_a_row(self.checkpoints, self.browse, stretch=0)
        checkpoint_row.setToolTip(TIPS["checkpoint"])
        add_row(form, "&Checkpoint", checkpoint_row, self.checkpoints)
        add_row(form, "", self.checkpoint_line)

        self.layers.currentIndexChanged.connect(self._on_layer)
        self.voxel_size.valueChanged.connect(self.voxel_size_told)
        self.checkpoints.currentIndexChanged.connect(self._on_checkpoint)
        self.browse.clicked.connect(self._on_browse)

    def set_layers(self, layers: list) -> None:
        """Offer these layers; the chosen one stays chosen while it is there."""
        chosen = self.layers.currentData()
        self.layers.blockSignals(True)
        self.layers.clear()
        for layer in layers:
            self.layers.addItem(layer.name, layer)
        keep = next((k for k, layer in enumerate(layers) if layer == chosen), len(layers) - 1)
        self.layers.setCurrentIndex(keep)
        self.layers.blockSignals(False)
        if self.layers.currentData() != chosen:
            self._on_layer()

    def choose_layer(self, layer) -> None:
        """Choose one of the offered layers."""
        for k in range(self.layers.count()):
            if self.layers.itemData(k) == layer:
                self.layers.setCurrentIndex(k)

    def show_voxel_size(self, size: float | None, ask: bool) -> None:
        """What was told of a fragment that records no voxel size; hidden for one that does."""
        self.voxel_size.blockSignals(True)
        self.voxel_size.setValue(size or 0.0)
        self.voxel_size.blockSignals(False)
        self.voxel_size.setVisible(ask)
        self.voxel_label.setVisible(ask)

    def set_checkpoints(self, paths: list[Path], chosen: Path | None) -> None:
        """Offer these files."""
        self.checkpoints.blockSignals(True)
        self.checkpoints.clear()
        for path in paths:
            self.checkpoints.addItem(checkpoint_name(path), path)
        self.checkpoints.setCurrentIndex(paths.index(chosen) if chosen in paths else -1)
        self.checkpoints.blockSignals(False)
        self._on_checkpoint()

    def choose_checkpoint(self, path: Path) -> None:
        """Choose a file, adding it to the list if it is new; read again if it is the chosen one."""
        for k in range(self.checkpoints.count()):
            if self.checkpoints.itemData(k) == path:
                if k == self.checkpoints.currentIndex():
                    self._on_checkpoint()
                self.checkpoints.setCurrentIndex(k)
                return
        self.checkpoints.addItem(checkpoint_name(path), path)
        self.checkpoints.setCurrentIndex(self.checkpoints.count() - 1)

    def _on_layer(self) -> None:
        self.layer_chosen.emit(self.layers.currentData())

    def _on_checkpoint(self) -> None:
        self.checkpoint_chosen.emit(self.checkpoints.currentData())

    def _on_browse(self) -> None:
        current = self.checkpoints.currentData()
        path, _ = QFileDialog.getOpenFileName(
            self,
            "Choose a checkpoint",
            str(current.parent) if current else "",
            "Checkpoints (*.safetensors)",
        )
        if path:
            self.choose_checkpoint(Path(path))
