"""Ink ▸ Blind review: the dock that wires form, canvas and outcome together."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QProgressBar, QPushButton, QShortcut, QWidget

from napari_ink._layers import carried, is_ink
from napari_ink._preferences import read_preferences
from napari_ink.analysis.blind_review_tally import tally
from napari_ink.errors import InkError
from napari_ink.widgets.form import Note, scroll_in
from napari_ink.widgets.review.desk import ReviewDesk
from napari_ink.widgets.review.source import ReviewForm
from napari_ink.widgets.review.stage import ReviewStage
from napari_ink.widgets.review.view import JudgeView, OutcomeView
from napari_ink.widgets.shared_model import shared_model
from napari_ink.widgets.tabs import join_tabs
from napari_ink.widgets.tooltips import REVIEW as TIPS

if TYPE_CHECKING:
    import napari


class ReviewDock(QWidget):
    """The dock; builds, wires, forwards.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.shared = shared_model(napari_viewer)
        self.shared.join(self)
        self.desk = ReviewDesk(ReviewStage(napari_viewer, self.shared.side_by_side))
        self.form, self.judge, self.outcome = ReviewForm(), JudgeView(), OutcomeView()
        self.bar, self.cancel, self.resume = QProgressBar(), QPushButton("&Cancel"), QPushButton()
        self.status = Note()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(6)
        self.bar.setRange(0, 100)
        self.resume.setText("Go on with &this review")
        for name in ("bar", "cancel", "resume", "status"):
            getattr(self, name).setToolTip(TIPS["planning" if name == "bar" else name])
        scroll_in(
            self, self.form, self.judge, self.outcome, self.bar, self.cancel, self.status,
            self.resume,
        )  # fmt: skip
        self._new = False  # whether the outcome was put away for another review
        self._keys: list[QShortcut] = []
        self._connect()
        self._on_layers()
        self._show()
        QTimer.singleShot(0, self._join_tabs)

    def _join_tabs(self) -> None:
        join_tabs(self)

    def _connect(self) -> None:
        desk, judge = self.desk, self.judge
        self.form.start_wanted.connect(self._on_start)
        self.form.go_on_wanted.connect(self.go_on)
        self.resume.clicked.connect(self._on_resume)
        self.cancel.clicked.connect(desk.pause)
        judge.answered.connect(desk.answer)
        judge.undo.clicked.connect(desk.undo)
        judge.stop.clicked.connect(desk.pause)
        judge.outcome.clicked.connect(desk.finish)
        self.outcome.save_wanted.connect(self._on_save)
        self.outcome.again.clicked.connect(self._on_again)
        desk.changed.connect(self._show)
        desk.progress.connect(self._on_progress)
        desk.failed.connect(self.status.setText)
        for signal in self._layer_events():
            signal.connect(self._on_layers)
        # The dock's C++ side may go with its window, before any of our own words are heard.
        self.destroyed.connect(desk.cancel)

    def _layer_events(self) -> tuple:
        events = self._viewer.layers.events
        return events.inserted, events.removed, events.renamed

    def event(self, event: QEvent) -> bool:
        """Notice that napari took the dock out of its window: then it is gone for good."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._leave()
        return super().event(event)

    def showEvent(self, event) -> None:
        """The keys are the review's while it can be seen."""
        super().showEvent(event)
        self._take_keys(self.desk.judging)

    def hideEvent(self, event) -> None:
        """Behind another tab, its keys are that one's."""
        super().hideEvent(event)
        self._take_keys(False)

    def _leave(self) -> None:
        """Give the canvas back, hear no more of the viewer; what is answered is kept."""
        for signal in self._layer_events():
            signal.disconnect(self._on_layers)
        for signal in (self.desk.changed, self.desk.progress, self.desk.failed):
            signal.disconnect()
        self._take_keys(False)
        self.desk.stop()
        self.shared.leave(self)
        self.deleteLater()

    # --- what is wanted ---------------------------------------------------------------------

    def go_on(self, path: str) -> None:
        """Take up a review from its file."""
        self._begin()
        self.desk.go_on(path)

    def _on_start(self, asked) -> None:
        self._begin()
        self.desk.start(asked)

    def _on_resume(self) -> None:
        self.go_on(str(self.desk.file.path))

    def _begin(self) -> None:
        self._new = False
        self.status.setText("")
        self.bar.setValue(0)
        self.desk.inverted_grey = read_preferences().inverted_grey

    def _on_again(self) -> None:
        self._new = True
        self.status.setText("")
        self._show()

    def _on_save(self, path: str) -> None:
        try:
            self.desk.file.save_as(Path(path))
        except InkError as error:
            self.status.setText(str(error))
        else:
            self.status.setText("")
            self._show()

    # --- what is shown ----------------------------------------------------------------------

    def _on_layers(self, event=None) -> None:
        """Layers came, went or were renamed; a review under way hides their names."""
        if self.desk.judging:
            return
        found: dict[str, str] = {}
        for layer in self._viewer.layers:
            store = carried(layer).get("store")
            if is_ink(layer) and store:
                found.setdefault(str(store), layer.name)
        folder = str(Path(next(reversed(found))).parent) if found else ""
        self.form.offer([(name, path) for path, name in found.items()], folder)

    def _on_progress(self, share: float) -> None:
        self.bar.setValue(round(100 * share))

    def _show(self) -> None:
        desk, review = self.desk, self.desk.review
        finished = review is not None and review.finished is not None and not self._new
        judging = desk.judging
        self.form.setVisible(not (judging or desk.opening or finished))
        self.judge.setVisible(judging)
        self.outcome.setVisible(finished)
        self.bar.setVisible(desk.opening)
        self.cancel.setVisible(desk.opening)
        left = review is not None and not judging and review.finished is None
        self.resume.setVisible(left and not desk.opening)
        if judging:
            self.judge.tell(review, desk.ready)
        elif finished:
            self.outcome.tell(review, tally([review]), desk.file.path)
        elif left and not self.status.text():
            judged = f"{review.place} of {len(review.regions)} regions are judged"
            self.status.setText(f"Stopped: {judged}. Kept in {desk.file.path}")
        self._take_keys(judging and self.isVisible())
        if not judging:
            self._on_layers()

    def _take_keys(self, on: bool) -> None:
        """Have the window's arrow keys and digits while regions are judged, and no longer."""
        if on == bool(self._keys):
            return
        for shortcut in self._keys:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._keys = []
        if not on:
            return
        judge, window = self.judge, self.window()
        while window.parentWidget() is not None:  # a dock that floats is still the viewer's
            window = window.parentWidget()
        for keys, button in (
            (("Left", "1"), judge.left),
            (("Right", "2"), judge.right),
            (("Down", "0"), judge.same),
            (("S",), judge.skip),
            (("Backspace",), judge.undo),
            (("Return", "Enter"), judge.outcome),
        ):
            for key in keys:
                shortcut = QShortcut(QKeySequence(key), window)
                shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
                shortcut.setAutoRepeat(False)
                shortcut.activated.connect(partial(_press, button))
                self._keys.append(shortcut)


def _press(button: QPushButton) -> None:
    if button.isVisible() and button.isEnabled():
        button.click()
