"""The Blind review dock in a real window: picks by key, tells nothing, gives the canvas back."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QListView,
    QPlainTextEdit,
    QWidget,
)

from napari_ink.analysis.blind_review_file import SUFFIX, ReviewFile
from napari_ink.analysis.blind_review_pictures import Pair
from napari_ink.analysis.blind_review_tally import tally
from napari_ink.inference.settings import PredictionSettings
from napari_ink.widgets.review.desk import Asked, ReviewDesk
from napari_ink.widgets.review.dock import ReviewDock
from napari_ink.widgets.review.source import ReviewForm
from napari_ink.widgets.review.stage import ReviewStage
from napari_ink.widgets.shared_model import shared_model

PATIENCE = 20_000  # ms
NAMES = ("apple", "banana")


@pytest.fixture(scope="session")
def review_stores(fragment_folder, checkpoint, tmp_path_factory):
    """Two predictions of the fragment, with and without an expert, whose maps are strokes."""
    from napari_ink import load_checkpoint, open_fragment, predict

    root = tmp_path_factory.mktemp("to review")
    fragment, network = open_fragment(fragment_folder), load_checkpoint(checkpoint)
    for name, off, period in (("apple", (), 40), ("banana", ("conv3",), 24)):
        settings = PredictionSettings(tile=192, experts_off=off, device="cpu")
        for _ in predict(fragment, network, settings, store=root / f"{name}.ink.zarr"):
            pass
        ink = zarr.open_group(root / f"{name}.ink.zarr", mode="r+")["ink/0"]
        strokes = np.where(np.arange(ink.shape[1]) % period < 8, 0.9, 0.1)
        ink[...] = np.where(np.isnan(ink[...]), np.nan, strokes).astype(np.float16)
    return root


@pytest.fixture
def stores(review_stores, tmp_path):
    """A copy to write beside."""
    import shutil

    return shutil.copytree(review_stores, tmp_path / "review")


@pytest.fixture
def alone(viewer):
    """The dock in an empty viewer."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Blind review")
    return dock


@pytest.fixture
def dock(viewer, stores, put_in):
    """The dock over both predictions, whose layers are called as their files are."""
    for name in NAMES:
        put_in(stores / f"{name}.ink.zarr", ("stack", "ink label", "ink")).name = f"{name} ink"
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Blind review")
    dock.form.regions.setValue(6)
    dock.form.side.setValue(0.64)  # mm: 40 px
    return dock


def until_ready(dock, qtbot):
    def settled():
        review = dock.desk.review
        judged = review is not None and review.all_judged
        return bool(dock.desk.ready or judged or dock.status.text())

    qtbot.waitUntil(settled, timeout=PATIENCE)


def start(dock, qtbot):
    dock.form.start.click()
    until_ready(dock, qtbot)
    assert dock.desk.ready, dock.status.text()
    activate(dock, qtbot)


def activate(dock, qtbot):
    """Keys go to the window that is in front."""
    dock.activateWindow()
    qtbot.waitUntil(dock.isActiveWindow, timeout=5000)


def press(dock, qtbot, key, on=None):
    QTest.keyClick(on or dock.judge.left, key)
    until_ready(dock, qtbot)


def state_of(viewer):
    """All that a review borrows."""
    grid, camera = viewer.canvas.grid, viewer.scene.camera
    return {
        "layers": [
            (layer.name, layer.visible, bool(layer.name_overlay.visible), layer.contrast_limits)
            for layer in viewer.layers
        ],
        "grid": [getattr(grid, name) for name in ("enabled", "shape", "stride", "spacing")],
        "camera": (camera.center, camera.zoom, camera.angles),
        "dims": (viewer.dims.point, viewer.dims.order, viewer.dims.ndisplay),
        "chosen": {layer.name for layer in viewer.layers.selection},
    }


def picked(dock):
    return [answer.choice for answer in dock.desk.review.answers]


def visible_texts(window):
    """Every word on the screen."""
    texts = []
    for widget in [window, *window.findChildren(QWidget)]:
        if not widget.isVisible() or widget.visibleRegion().isEmpty():
            continue
        texts.append(widget.windowTitle())
        if isinstance(widget, QLabel | QAbstractButton | QLineEdit):
            texts.append(widget.text())
        elif isinstance(widget, QComboBox):
            texts.append(widget.currentText())
        elif isinstance(widget, QPlainTextEdit):
            texts.append(widget.toPlainText())
        elif isinstance(widget, QListView) and widget.model() is not None:
            model = widget.model()
            texts += [
                str(model.index(row, 0).data(Qt.ItemDataRole.DisplayRole))
                for row in range(model.rowCount())
            ]
    return plain("\n".join(texts))


def plain(text):
    """Without places to break a line."""
    return text.replace("\u200b", "").replace("\u00a0", " ")


def main_window(dock):
    window = dock
    while window.parentWidget() is not None:
        window = window.parentWidget()
    return window


# --- before ---------------------------------------------------------------------------------------


def test_without_predictions_the_dock_says_what_to_do(alone):
    assert alone.form.isVisible()
    assert "Open two predictions" in alone.form.about.text()
    assert not alone.form.start.isEnabled()
    assert alone.form.go_on.isEnabled()


def test_predictions_that_are_open_are_offered_the_last_two_chosen(dock, stores):
    first, second = dock.form.sides
    offered = [first.predictions.itemText(k) for k in range(first.predictions.count())]
    assert offered == ["apple ink", "banana ink"]
    assert (first.path, second.path) == tuple(str(stores / f"{n}.ink.zarr") for n in NAMES)


def test_predictions_from_disk_are_added_and_stay(alone, stores, monkeypatch, viewer, qtbot):
    for side, name in zip(alone.form.sides, NAMES, strict=True):
        path = str(stores / f"{name}.ink.zarr")
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, p=path: p)
        side.browse.click()
    viewer.add_image(np.zeros((4, 4)))  # the lists are filled anew
    assert [side.path for side in alone.form.sides] == [
        str(stores / f"{name}.ink.zarr") for name in NAMES
    ]
    alone.form.side.setValue(0.64)
    start(alone, qtbot)
    assert alone.desk.stage.active


def test_what_cannot_be_compared_is_said_and_nothing_is_touched(dock, viewer, qtbot, stores):
    before = state_of(viewer)
    dock.form.sides[1].predictions.setCurrentIndex(0)
    dock.form.start.click()
    qtbot.waitUntil(lambda: "show the same" in dock.status.text(), timeout=PATIENCE)
    assert dock.form.isVisible()
    assert state_of(viewer) == before
    assert not list(stores.glob(f"*{SUFFIX}"))


def test_two_nameless_pictures_stand_side_by_side_and_all_else_is_hidden(dock, viewer, qtbot):
    start(dock, qtbot)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["left", "right"]
    left, right = viewer.layers["left"], viewer.layers["right"]
    assert left.contrast_limits == right.contrast_limits == [0, 1]
    assert left.colormap == right.colormap
    left.contrast_limits = (0.2, 0.8)
    assert right.contrast_limits == [0.2, 0.8]
    region = dock.desk.review.regions[0]
    for layer, picture in zip((left, right), Pair(dock.desk.review).read(0), strict=True):
        np.testing.assert_array_equal(layer.data, picture)
        assert layer.data.shape == region.box.shape
    grid = viewer.canvas.grid
    assert (grid.enabled, tuple(grid.shape)) == (True, (1, 2))
    half = np.array(viewer.canvas.viewbox_size(viewer.layers)) / viewer.scene.camera.zoom / 2
    centre = np.array(viewer.scene.camera.center[-2:])
    low, high = left.extent.world
    assert (centre - half <= low).all()
    assert (high <= centre + half).all()
    assert (half * 2 <= 2.5 * (high - low)).any()  # it fills the cell


def test_closing_the_dock_in_the_middle_gives_everything_back(dock, viewer, qtbot, stores):
    before = state_of(viewer)
    start(dock, qtbot)
    press(dock, qtbot, Qt.Key.Key_Left)
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(50)
    assert state_of(viewer) == before
    (path,) = stores.glob(f"*{SUFFIX}")
    assert ReviewFile.open(path).review.place == 1


def test_a_review_goes_on_where_it_stopped_in_an_empty_viewer(
    alone, viewer, stores, qtbot, monkeypatch
):
    from napari_ink.cli import main

    path = stores / f"f{SUFFIX}"
    a, b = (str(stores / f"{name}.ink.zarr") for name in NAMES)
    assert main(["review", a, b, "--out", str(path), "--side", "40px", "--regions", "4"]) == 0
    file = ReviewFile.open(path)
    file.keep(file.review.answered("left"))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    alone.form.go_on.click()
    qtbot.waitUntil(lambda: alone.desk.ready, timeout=PATIENCE)
    assert alone.judge.place.text() == "Region 2 of 4"
    assert [layer.name for layer in viewer.layers] == ["left", "right"]
    activate(alone, qtbot)
    for _ in range(3):
        press(alone, qtbot, Qt.Key.Key_Right)
    alone.judge.outcome.click()
    assert not list(viewer.layers)
    assert json.loads(path.read_text())["finished"]
    alone.outcome.again.click()
    assert alone.form.isVisible()
    alone.go_on(str(path))  # of one that is finished, the outcome
    qtbot.waitUntil(alone.outcome.isVisible, timeout=PATIENCE)
    assert not alone.desk.judging


def test_nothing_on_the_screen_names_a_prediction_until_the_outcome(
    dock, viewer, qtbot, stores, tmp_path, monkeypatch
):
    window = main_window(dock)
    assert all(name in visible_texts(window) for name in NAMES)  # the test can see them
    viewer.status = f"{NAMES[0]}.ink.zarr"  # as after pointing at a layer that came from a file
    dock.form.reader.setText("Ada")
    dock.form.repeats.setValue(1)
    start(dock, qtbot)
    regions = dock.desk.review.regions
    assert len(regions) == 7
    for place, region in enumerate(regions, 1):
        assert dock.judge.place.text() == f"Region {place} of 7"
        texts = visible_texts(window)
        assert "left" in texts
        for name in NAMES:
            assert name not in texts
            assert name not in viewer.status
            assert not [layer for layer in viewer.layers if name in layer.name]
        button = dock.judge.left if region.left == "b" else dock.judge.right
        button.click()
        until_ready(dock, qtbot)
    assert dock.judge.place.text() == "All 7 regions are judged"
    assert not any(name in visible_texts(window) for name in NAMES)  # judged, but not closed
    press(dock, qtbot, Qt.Key.Key_Return)
    assert all(name in visible_texts(window) for name in NAMES)
    assert "B (banana.ink.zarr) was the more legible in 6 of 6" in plain(
        dock.outcome.sentence.text()
    )
    assert "same answer in 1 of 1" in dock.outcome.more.text()
    (path,) = stores.glob(f"*{SUFFIX}")
    assert str(path) in plain(dock.outcome.kept.text())
    review = ReviewFile.open(path).review
    assert review.finished
    assert review.reader == "Ada"
    wanted = str(tmp_path / "mine")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (wanted, ""))
    dock.outcome.save.click()
    assert ReviewFile.open(wanted + SUFFIX).review == review
    assert "mine" in dock.outcome.kept.text()


def test_keys_pick_wherever_the_focus_is_and_are_given_back(dock, viewer, qtbot):
    viewer.dims.set_point(0, 4 * 16.0)
    start(dock, qtbot)
    before = viewer.dims.point
    # In the real window; plugins themselves do not reach for it.
    canvas = viewer.__wrapped__.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.waitUntil(canvas.hasFocus, timeout=2000)
    for key in (Qt.Key.Key_Left, Qt.Key.Key_2, Qt.Key.Key_Down, Qt.Key.Key_S):
        press(dock, qtbot, key, on=canvas)
    assert picked(dock) == ["left", "right", "same", "skip"]
    for _ in range(2):
        press(dock, qtbot, Qt.Key.Key_Backspace)
    assert picked(dock) == ["left", "right"]
    for key in (Qt.Key.Key_1, Qt.Key.Key_Right, Qt.Key.Key_0):
        press(dock, qtbot, key)
    answers = ["left", "right", "left", "right", "same"]
    assert picked(dock) == answers
    assert viewer.dims.point == before
    assert viewer.layers["left"].mode == "pan_zoom"
    assert len(list(viewer.layers)) > 2  # Backspace deleted none
    dock.hide()  # behind another tab, whose keys they are
    QTest.keyClick(canvas, Qt.Key.Key_Left)
    assert picked(dock) == answers
    assert viewer.dims.point != before
    dock.show()
    press(dock, qtbot, Qt.Key.Key_Left)
    assert picked(dock) == [*answers, "left"]
    before = viewer.dims.point
    dock.judge.stop.click()
    QTest.keyClick(canvas, Qt.Key.Key_Right)
    assert picked(dock) == [*answers, "left"]
    assert viewer.dims.point != before


# --- the canvas ---------------------------------------------------------------------------------


def test_canvas_is_given_back_exactly(dock, viewer, qtbot):
    """Zoomed and side by side; then in a grid of the user's own, in three dimensions."""
    shared = shared_model(viewer)
    shared.side_by_side.show()
    viewer.scene.camera.zoom *= 3
    viewer.dims.set_point(0, 5 * 16.0)
    before = state_of(viewer)
    start(dock, qtbot)
    press(dock, qtbot, Qt.Key.Key_Left)
    assert state_of(viewer) != before
    dock.judge.stop.click()
    assert state_of(viewer) == before
    assert shared.side_by_side.active
    shared.side_by_side.hide()
    viewer.canvas.grid.enabled, viewer.canvas.grid.shape = True, (2, -1)
    viewer.layers[0].visible = not viewer.layers[0].visible
    viewer.layers.selection = set(list(viewer.layers)[:2])
    viewer.dims.order = (1, 0, 2)
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (10.0, 20.0, 30.0)
    before = state_of(viewer)
    dock.resume.click()
    qtbot.waitUntil(lambda: dock.desk.ready, timeout=PATIENCE)
    assert viewer.dims.ndisplay == 2
    dock.judge.stop.click()
    assert state_of(viewer) == before


def test_closing_the_viewer_in_the_middle_keeps_the_answers(dock, viewer, qtbot, stores):
    start(dock, qtbot)
    press(dock, qtbot, Qt.Key.Key_Left)
    viewer.close()
    (path,) = stores.glob(f"*{SUFFIX}")
    assert ReviewFile.open(path).review.place == 1


def test_whoever_changes_layers_or_grid_stops_the_review(viewer):
    stage = ReviewStage(viewer, shared_model(viewer).side_by_side)
    said = []
    stage.disturbed.connect(said.append)
    viewer.add_image(np.zeros((8, 40, 60)), name="mine")
    pictures = np.zeros((16, 16), np.float32), np.ones((16, 16), np.float32)

    def add():
        viewer.add_image(np.zeros((4, 4)), name="new")

    def remove():
        viewer.layers.remove("left")

    def grid():
        viewer.canvas.grid.enabled = False

    for done, change in enumerate((add, remove, grid, stage._side_by_side.show), 1):
        stage.enter((), False)
        stage.show(*pictures, None)
        stage.show(*pictures[::-1], None)  # the next region disturbs nobody
        assert stage.active
        change()
        assert not stage.active
        assert len(said) == done
        assert [layer.name for layer in viewer.layers if layer.visible] == ["mine", "new"]
        assert len(list(viewer.layers)) == 2


# --- without a window -----------------------------------------------------------------------------


class Bare:
    """A stage that only remembers what it was given."""

    disturbed = Signal(str)

    def __init__(self):
        self.active, self.shown = False, []

    def enter(self, stores, inverted_grey):
        self.active = True

    def show(self, left, right, pixel):
        self.shown.append((left, right, pixel))

    def leave(self):
        self.active = False


@pytest.fixture
def desk(qtbot):
    desk = ReviewDesk(Bare())
    desk.said = []
    desk.failed.connect(desk.said.append)
    yield desk
    desk.stop()


def begin(desk, stores, qtbot, **options):
    paths = tuple(str(stores / f"{name}.ink.zarr") for name in NAMES)
    options = {"cuts": (None, None), "regions": 4, "repeats": 0, "side": 640.0} | options
    desk.start(Asked(**{"paths": paths} | options), seed=1)
    qtbot.waitUntil(lambda: desk.ready or bool(desk.said), timeout=PATIENCE)


def answer(desk, qtbot, *choices):
    for choice in choices:
        qtbot.waitUntil(lambda: desk.ready or bool(desk.said), timeout=PATIENCE)
        desk.answer(choice)


def test_each_answer_shows_the_next_pictures_and_is_on_disk(desk, stores, qtbot):
    begin(desk, stores, qtbot)
    pair = Pair(desk.review)
    answer(desk, qtbot, "left", "same")
    qtbot.waitUntil(lambda: desk.ready, timeout=PATIENCE)
    desk.undo()
    qtbot.waitUntil(lambda: desk.ready, timeout=PATIENCE)
    assert [a.choice for a in ReviewFile.open(desk.file.path).review.answers] == ["left"]
    answer(desk, qtbot, "right")
    qtbot.waitUntil(lambda: desk.ready, timeout=PATIENCE)
    for place, (left, right, pixel) in zip((0, 1, 2, 1, 2), desk.stage.shown, strict=True):
        np.testing.assert_array_equal(left, pair.read(place)[0])
        np.testing.assert_array_equal(right, pair.read(place)[1])
        assert pixel == 16.0


def test_an_answer_before_the_pictures_are_there_is_not_taken(desk, stores, qtbot, monkeypatch):
    begin(desk, stores, qtbot)
    qtbot.waitUntil(lambda: 1 in desk._pictures, timeout=PATIENCE)
    slow, read = threading.Event(), Pair.read

    def waiting(pair, place):
        slow.wait(5)
        return read(pair, place)

    monkeypatch.setattr(Pair, "read", waiting)
    for _ in range(3):  # the second region was read ahead, the third is not there
        desk.answer("left")
    assert desk.review.place == 2
    slow.set()
    answer(desk, qtbot, "right")
    assert desk.review.place == 3


def test_a_prediction_that_changes_meanwhile_stops_the_review(desk, stores, qtbot):
    begin(desk, stores, qtbot)
    for name in NAMES:
        zarr.open_group(stores / f"{name}.ink.zarr", mode="r+")["ink/0"][...] = 0.25
    answer(desk, qtbot, *["left"] * 3)
    qtbot.waitUntil(lambda: bool(desk.said), timeout=PATIENCE)
    assert "has changed since the review was planned" in desk.said[0]
    assert not desk.judging


def test_a_file_that_cannot_be_written_stops_the_review_and_loses_nothing(
    desk, stores, qtbot, monkeypatch
):
    begin(desk, stores, qtbot)
    answer(desk, qtbot, "left")
    qtbot.waitUntil(lambda: desk.ready, timeout=PATIENCE)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_ink.analysis.blind_review_file.os.fsync", full)
    desk.answer("right")
    assert "No space left" in desk.said[0]
    assert not desk.judging
    kept = ReviewFile.open(desk.file.path).review
    assert [a.choice for a in kept.answers] == ["left"]


@pytest.mark.parametrize("text", ["{}", "{"])
def test_a_foreign_file_is_said_once(desk, tmp_path, qtbot, text):
    path = tmp_path / f"f{SUFFIX}"
    path.write_text(text)
    desk.go_on(path)
    qtbot.waitUntil(lambda: bool(desk.said), timeout=PATIENCE)
    assert len(desk.said) == 1
    assert "is no blind review" in desk.said[0]
    assert not desk.judging


def test_each_new_review_gets_a_name_that_is_free(desk, stores, qtbot):
    names = []
    for _ in range(3):
        begin(desk, stores, qtbot)
        names.append(desk.file.path.name)
        desk.stop()
    assert names == [f"frag{SUFFIX}", f"frag-2{SUFFIX}", f"frag-3{SUFFIX}"]


def test_what_is_chosen_is_what_is_asked(qtbot, stores):
    form = ReviewForm()
    qtbot.addWidget(form)
    form.offer([(name, str(stores / f"{name}.ink.zarr")) for name in NAMES], "")
    for side, shown in zip(form.sides, ("own", "number"), strict=True):
        side.shown.setCurrentIndex(side.shown.findData(shown))
    form.sides[1].cut.setValue(0.3)
    form.regions.setValue(8)
    form.repeats.setValue(9)  # at most half
    form.side.setValue(1.6)  # mm
    form.reader.setText("Ada")
    paths = tuple(str(stores / f"{name}.ink.zarr") for name in NAMES)
    assert form.asked == Asked(paths, ("own", 0.3), 8, 4, pytest.approx(1600.0), "Ada")


def test_every_control_has_a_tooltip_and_fits_the_dock(qtbot, stores, desk):
    begin(desk, stores, qtbot)
    kinds = (QAbstractButton, QAbstractSpinBox, QComboBox)
    dock = ReviewDock(ViewerModel())
    qtbot.addWidget(dock)
    controls = [child for kind in kinds for child in dock.findChildren(kind)]
    assert len(controls) > 20
    assert not [control for control in controls if not control.toolTip()]
    assert dock.minimumSizeHint().width() <= 320
    dock.judge.tell(desk.review, True)
    dock.outcome.tell(desk.review, tally([desk.review]), desk.file.path)
    for view in (dock.form, dock.judge, dock.outcome):
        assert view.minimumSizeHint().width() <= 304
        texts = [button.text() for button in view.findChildren(QAbstractButton)]
        texts += [label.text() for label in view.findChildren(QLabel) if label.buddy()]
        letters = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
        assert len(letters) == len(set(letters)), sorted(letters)


def test_opening_the_dock_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from qtpy.QtWidgets import QApplication; app = QApplication([]);"
        "from napari.components import ViewerModel;"
        "from napari_ink.widgets.review import dock as review_dock;"
        "dock = review_dock.ReviewDock(ViewerModel()); dock.show(); app.processEvents();"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
