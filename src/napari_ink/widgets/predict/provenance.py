"""Where a prediction came from, to read and to copy."""

from __future__ import annotations

import json
from collections.abc import Mapping

from qtpy.QtGui import QFontDatabase, QGuiApplication
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QPlainTextEdit, QVBoxLayout, QWidget

from napari_ink.errors import InkError
from napari_ink.widgets.tooltips import PROVENANCE as TIPS


def readable(provenance: Mapping, indent: int = 0) -> str:
    """Nested records as indented ``name: value`` lines; lists of plain values on one line."""
    lines = []
    pad = "  " * indent
    for name, value in provenance.items():
        label = str(name).replace("_", " ")
        if isinstance(value, Mapping) and value:
            lines += [f"{pad}{label}:", readable(value, indent + 1)]
        elif isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
            lines.append(f"{pad}{label}:")
            lines += [readable(v, indent + 1) for v in value]
        else:
            lines.append(f"{pad}{label}: {_plain(value)}")
    return "\n".join(lines)


def _plain(value: object) -> str:
    if value is None or value in ({}, [], ()):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(v) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def samples_taken(store: str) -> dict:
    """How many samples a prediction has by now, which its settings only ask for; or nothing."""
    from napari_ink.inference.store import PredictionStore

    try:
        opened = PredictionStore.open(store)
    except InkError:  # removed, or nothing kept yet
        return {}
    return {} if opened.samples is None else {"samples taken": opened.sampled()}


class ProvenanceDialog(QDialog):
    """One prediction's record.

    Parameters
    ----------
    name : str
        Of the layer.
    store : str
        Where the prediction is kept.
    provenance : Mapping
        What its store recorded.
    """

    def __init__(
        self, name: str, store: str, provenance: Mapping, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Provenance of {name}")
        self._record = {"kept in": store, **samples_taken(store), **provenance}
        self.text = QPlainTextEdit(readable(self._record))
        self.text.setReadOnly(True)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setToolTip(TIPS["text"])
        buttons = QDialogButtonBox()
        copy = buttons.addButton("&Copy as JSON", QDialogButtonBox.ButtonRole.ActionRole)
        copy.setToolTip(TIPS["copy"])
        close = buttons.addButton(QDialogButtonBox.StandardButton.Close)
        close.setToolTip(TIPS["close"])
        copy.clicked.connect(self._on_copy)
        close.clicked.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(buttons)
        self.resize(560, 480)

    def _on_copy(self) -> None:
        text = json.dumps(self._record, indent=2, default=str, ensure_ascii=False)
        QGuiApplication.clipboard().setText(text)
