"""A contact sheet: small maps with lines under them, to look through and to choose from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QListView, QListWidget, QListWidgetItem

from napari_ink.widgets.sweep.model import ShownMap, thumbnails

SIDE = 132  # px of a thumbnail
_FRAME = 3
_OUTSIDE = (0.79, 0.79, 0.79, 1.0)
_BEST = "#d9730d"


class MapList(QListWidget):
    """Maps in rows; the arrow keys go from one to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(SIDE, SIDE))
        self.setSpacing(4)
        self.setWordWrap(True)

    def show_maps(self, maps: Sequence[ShownMap]) -> None:
        """Draw those that are new, and move the frame to the best one."""
        small = thumbnails(maps, SIDE)
        for place, (one, values) in enumerate(zip(maps, small, strict=True)):
            if place == self.count():
                item = QListWidgetItem(one.text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignHCenter)
                item.setData(Qt.ItemDataRole.UserRole, not one.best)  # so that it is drawn
                self.addItem(item)
            item = self.item(place)
            if item.data(Qt.ItemDataRole.UserRole) != one.best:
                drawn = picture(values, framed=one.best)
                icon = QIcon(drawn)
                icon.addPixmap(drawn, QIcon.Mode.Selected)  # not tinted: colours mean something
                item.setIcon(icon)
                item.setData(Qt.ItemDataRole.UserRole, one.best)
                font = item.font()
                font.setBold(one.best)
                item.setFont(font)
                item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{one.text}, best" * one.best)


def picture(values: np.ndarray, *, framed: bool) -> QPixmap:
    """A map in inferno, in the middle of a square, framed or not."""
    from napari.utils.colormaps import ensure_colormap

    known = np.isfinite(values)
    colours = ensure_colormap("inferno").map(np.where(known, values, 0).astype(np.float32).ravel())
    colours = np.asarray(colours).reshape(*values.shape, 4)
    colours[~known] = _OUTSIDE
    pixels = np.ascontiguousarray((255 * colours).astype(np.uint8))
    height, width = values.shape
    image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
    inside = SIDE - 2 * _FRAME
    drawn = QPixmap.fromImage(image.copy()).scaled(
        inside,
        inside,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
    square = QPixmap(SIDE, SIDE)
    square.fill(QColor(0, 0, 0, 0))
    painter = QPainter(square)
    left, top = (SIDE - drawn.width()) // 2, (SIDE - drawn.height()) // 2
    painter.drawPixmap(left, top, drawn)
    if framed:
        painter.setPen(QPen(QColor(_BEST), _FRAME))
        painter.drawRect(left - 1, top - 1, drawn.width() + 1, drawn.height() + 1)
    painter.end()
    return square
