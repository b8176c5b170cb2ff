"""The Thresholds dock in a real window: cuts on the canvas, scores, labels, files, the way back."""

from __future__ import annotations

import json
import shutil
import threading

import numpy as np
import pytest
import tifffile
import zarr
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QComboBox,
    QFileDialog,
    QLabel,
    QScrollBar,
)

from napari_ink._layers import carried, is_ink
from napari_ink._preferences import read_preferences
from napari_ink.analysis.layer_histograms import NONE, LayerHistograms
from napari_ink.analysis.thresholds import best_thresholds
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.widgets.thresholds import counting as thresholds_counting
from napari_ink.widgets.thresholds.commit import FILTERS
from napari_ink.widgets.thresholds.counted import Scope

DEPTH, HEIGHT, WIDTH = 8, 320, 480


def the_label():
    """Ink in both halves."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[40:80, 40:200] = label[100:140, 250:430] = 1
    return label


def the_values():
    """Layer 0 misleads; the others show the ink at levels of their own."""
    random = np.random.default_rng(4)
    clear = np.array([-0.1, 0.1, 0.2, 0.3, 0.3, 0.2, 0.2, 0.1])[:, None, None]
    level = np.linspace(0.2, 0.5, DEPTH)[:, None, None]
    noise = 0.1 * random.standard_normal((DEPTH, HEIGHT, WIDTH))
    return np.clip(level + clear * the_label() + noise, 0, 1).astype(np.float16)


@pytest.fixture(scope="session")
def cut_stores(fragment_folder, checkpoint, volume_checkpoint, tmp_path_factory):
    """``map.ink.zarr`` and ``volume.ink.zarr``, with probabilities of the test's own."""
    from napari_ink import load_checkpoint, open_fragment, predict

    root = tmp_path_factory.mktemp("to cut")
    fragment, values = open_fragment(fragment_folder), the_values()
    for name, path, mine in (
        ("map", checkpoint, values[4]),
        ("volume", volume_checkpoint, values),
    ):
        store = root / f"{name}.ink.zarr"
        network = load_checkpoint(path)
        for _ in predict(fragment, network, PredictionSettings(tile=64), store=store):
            pass
        for level in PredictionStore.open(store).levels:
            step = mine.shape[-1] // level.shape[-1]
            array = zarr.open_array(store / "ink" / level.basename, mode="r+")
            known = ~np.isnan(np.asarray(array, np.float32))
            array[:] = np.where(known, mine[..., ::step, ::step], np.nan).astype(np.float16)
    return root


@pytest.fixture
def stores(cut_stores, tmp_path):
    """A copy to write to."""
    return shutil.copytree(cut_stores, tmp_path / "cut")


def papyrus():
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[-160:, -160:] = False
    return mask


@pytest.fixture
def dock(viewer):
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Ink thresholds")
    return dock


@pytest.fixture
def cut(dock, viewer, put_in, stores, qtbot):
    """Shows a prediction and its label in the dock, and waits until they are counted."""

    def _cut(name="volume", label=True):
        ink = put_in(stores / f"{name}.ink.zarr")
        if label:
            scale, units = ink.scale[-2:], ink.units[-2:]
            dock.source.choose_label(
                viewer.add_labels(the_label(), name="truth", scale=scale, units=units)
            )
        else:
            dock.source.choose_label(None)
        wait_counted(dock, qtbot)
        return ink

    return _cut


def wait_counted(dock, qtbot):
    qtbot.waitUntil(lambda: dock.model.counted is not None, timeout=20_000)


def the_histograms():
    return LayerHistograms.of(the_values(), the_label(), papyrus())


# --- what it says --------------------------------------------------------------------------------


def test_empty_dock_says_what_to_do_next(dock):
    assert dock.empty.isVisible()
    assert "Predict ink" in dock.empty.text()
    assert not dock.source.isVisible()


def test_dock_is_the_front_tab_beside_the_others_of_the_plugin(viewer, qtbot):
    _, first = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    _, second = viewer.window.add_plugin_dock_widget("napari-ink", "Ink thresholds")
    qtbot.waitUntil(lambda: not second.visibleRegion().isEmpty(), timeout=5000)
    qtbot.wait(100)
    assert first.visibleRegion().isEmpty()
    assert not second.visibleRegion().isEmpty()
    assert second.width() >= 320


def test_a_prediction_that_is_opened_for_it_leaves_it_in_front(dock, viewer, stores, qtbot):
    viewer.open(stores / "map.ink.zarr", plugin="napari-ink")
    qtbot.waitUntil(lambda: len(viewer.window.dock_widgets) == 2, timeout=5000)
    qtbot.wait(400)  # tabs are made and raised
    assert not dock.visibleRegion().isEmpty()
    wait_counted(dock, qtbot)


def test_scores_are_those_of_the_prediction_under_the_papyrus_mask(dock, cut):
    cut()
    assert not dock.empty.isVisible()
    assert dock.model.cuts == (0.5,) * DEPTH, "the checkpoint's own"
    assert dock.model.scores == the_histograms().scores(0.5)
    assert f"{dock.model.scores['f05']:.3f}"[1:] in dock.scores.line.text()
    assert [name.text() for name in dock.sliders.names] == [f"z {k}" for k in range(DEPTH)]


def test_the_fragments_own_label_is_chosen_by_itself(dock, viewer, stores, qtbot):
    viewer.open(stores / "map.ink.zarr", plugin="napari-ink")
    wait_counted(dock, qtbot)
    assert dock.source.labels.currentText() == "frag ink label"
    assert dock.model.can_score


def test_without_a_label_only_percentiles_are_offered_and_it_says_so(dock, cut):
    cut(label=False)
    assert "Without a label" in dock.source.no_label.text()
    assert dock.source.no_label.isVisible()
    assert not dock.source.metric.isVisible()
    assert not dock.actions.optimise.isEnabled()
    dock.sliders.master.setValue(80)
    values = the_values()[:, papyrus()].astype(float)
    expected = np.percentile(values, 80, axis=1, method="inverted_cdf")
    np.testing.assert_array_equal(dock.model.cuts, expected)


def test_a_label_of_another_size_is_named(dock, viewer, cut, qtbot):
    cut("map")
    small = viewer.add_labels(np.ones((10, 12), np.uint8), name="small")
    dock.source.choose_label(small)
    qtbot.waitUntil(lambda: "small has 10 × 12" in dock.actions.status.text(), timeout=20_000)
    assert not dock.actions.optimise.isEnabled()


# --- the canvas ---------------------------------------------------------------------------


def test_contrast_limits_follow_the_sliders_and_the_layer_and_are_given_back(dock, viewer, cut):
    ink = cut()
    before = (0.0, 1.0)
    dock.sliders.layers[2].setValue(0.3)
    dock.sliders.layers[3].setValue(0.7)
    for layer, limit in ((2, 0.3), (3, 0.7)):
        viewer.dims.set_point(0, layer * ink.scale[0])
        low, high = ink.contrast_limits
        assert low < limit <= high
        assert high - low < 0.001
    dock.sliders.shown.setChecked(False)
    assert tuple(ink.contrast_limits) == before
    dock.sliders.shown.setChecked(True)
    assert tuple(ink.contrast_limits) != before
    viewer.window.remove_dock_widget(dock)
    assert tuple(ink.contrast_limits) == before
    assert tuple(ink.contrast_limits_range) == before
    viewer.dims.set_point(0, 0)
    assert tuple(ink.contrast_limits) == before


def test_a_slider_reads_no_pixel(dock, cut, monkeypatch):
    cut()

    def refuse(*_):
        raise AssertionError("pixels were read")

    monkeypatch.setattr(PredictionStore, "read", refuse)
    monkeypatch.setattr(LayerHistograms, "add", refuse)
    dock.sliders.master.setValue(0.61)
    dock.sliders.layers[1].setValue(0.32)
    assert dock.model.cuts[:3] == (0.61, 0.32, 0.61)


def test_keys_move_a_slider_and_optimise(dock, cut, qtbot):
    cut("map")
    dock.activateWindow()
    dock.sliders.master.setFocus()
    qtbot.waitUntil(dock.sliders.master.hasFocus, timeout=2000)
    slider = dock.sliders.master
    for key, cut in (
        (Qt.Key.Key_Right, 0.505),
        (Qt.Key.Key_PageUp, 0.555),
        (Qt.Key.Key_Left, 0.55),
        (Qt.Key.Key_End, 1),
        (Qt.Key.Key_Home, 0),
    ):
        QTest.keyClick(slider, key)
        assert dock.model.cuts[0] == pytest.approx(cut)
    QTest.keyClick(slider, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert dock.model.fitted is not None


# --- optimising ---------------------------------------------------------------------------


def test_optimise_chooses_on_the_left_and_shows_both_scores(dock, cut):
    cut()
    dock.actions.optimise.click()
    left = LayerHistograms.of(the_values()[..., :240], the_label()[:, :240], papyrus()[:, :240])
    right = LayerHistograms.of(the_values()[..., 240:], the_label()[:, 240:], papyrus()[:, 240:])
    cuts = best_thresholds(left, "f05")
    assert dock.model.cuts == tuple(cuts)
    assert dock.model.cuts[0] == NONE
    assert "none" in dock.sliders.names[0].text()
    assert "left half" in dock.actions.parts.text()
    for part in (left, right):
        assert f"{part.scores(cuts)['f05']:.3f}"[1:] in dock.actions.result.text()
    dock.actions.undo.click()
    assert dock.model.cuts == (0.5,) * DEPTH
    assert not dock.actions.result.isVisible()


def test_a_drawn_region_is_scored_and_chosen_on(dock, viewer, cut, qtbot):
    ink = cut()
    dock.source.scopes[Scope.SHAPE].click()
    assert "rectangle" in dock.actions.status.text()
    dock.source.draw.click()
    shapes = dock.source.shapes.currentData()
    corners = np.array([[30, 20], [30, 240], [150, 240], [150, 20]]) - 0.5
    shapes.add_rectangles(corners)
    qtbot.waitUntil(lambda: dock.model.counted is not None, timeout=20_000)
    here = LayerHistograms.of(the_values()[:, 30:150, 20:240], the_label()[30:150, 20:240])
    assert dock.model.scores == here.scores(0.5)
    assert "drawn region" in dock.actions.parts.text()
    assert ink in list(viewer.layers)


def test_several_ink_maps_get_a_cut_each(dock, viewer, cut, stores, qtbot):
    first = cut("map")
    shutil.copytree(stores / "map.ink.zarr", stores / "second.ink.zarr")
    viewer.open(stores / "second.ink.zarr", plugin="napari-ink")
    second = next(layer for layer in reversed(list(viewer.layers)) if is_ink(layer))
    dock.source.predictions.setCurrentIndex(0)
    assert "all 2 ink maps" in dock.source.predictions.currentText()
    wait_counted(dock, qtbot)
    dock.sliders.layers[1].setValue(0.8)
    assert first.contrast_limits[1] == pytest.approx(0.5)
    assert second.contrast_limits[1] == pytest.approx(0.8, abs=1e-3)


# --- what is made -------------------------------------------------------------------------


def test_labels_lie_where_the_ink_lies_and_undo_takes_them_back(dock, viewer, cut, qtbot):
    ink = cut()
    ink.translate = ink.translate + np.array([16, 32, 48])
    dock.sliders.layers[2].setValue(0.3)
    count = len(viewer.layers)
    dock.actions.make.click()
    qtbot.waitUntil(lambda: len(viewer.layers) > count, timeout=20_000)
    (made,) = (layer for layer in viewer.layers if carried(layer).get("role") == "cut")
    cuts = np.array(dock.model.cuts)[:, None, None]
    shown = np.asarray(ink.data[0] if ink.multiscale else ink.data, np.float32)
    np.testing.assert_array_equal(made.data > 0, shown >= cuts)
    np.testing.assert_allclose(made.scale, ink.scale)
    np.testing.assert_allclose(made.translate, ink.translate)
    assert tuple(made.units) == tuple(ink.units)
    assert tuple(made.axis_labels) == ("z", "y", "x")
    dock.actions.undo.click()
    assert len(viewer.layers) == count
    assert dock.model.cuts[2] == 0.3
    dock.actions.undo.click()
    assert dock.model.cuts[2] == 0.5


def test_kept_cuts_come_back_when_the_prediction_is_opened_again(dock, viewer, cut, stores, qtbot):
    ink = cut()
    dock.actions.optimise.click()
    cuts = dock.model.cuts
    dock.actions.keep.click()
    assert "Kept in" in dock.actions.status.text()
    kept = PredictionStore.open(stores / "volume.ink.zarr").kept_thresholds
    assert kept["metric"] == "f05"
    assert kept["labels"] == ["truth"]
    assert carried(ink)["provenance"]["thresholds"] == json.loads(json.dumps(kept))
    viewer.layers.remove(ink)
    viewer.open(stores / "volume.ink.zarr", plugin="napari-ink")
    wait_counted(dock, qtbot)
    assert dock.model.cuts == cuts


@pytest.mark.parametrize("suffix", ["png", "tif", "csv"])
def test_export_writes_what_is_shown(dock, viewer, cut, qtbot, tmp_path, monkeypatch, suffix):
    from PIL import Image

    ink = cut()
    dock.sliders.layers[5].setValue(0.45)
    viewer.dims.set_point(0, 5 * ink.scale[0])
    target = tmp_path / f"out.{suffix}"
    (kind,) = (kind for kind in FILTERS.split(";;") if suffix in kind)
    typed = str(target.with_suffix("")), kind
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: typed)
    dock.actions.export.click()
    qtbot.waitUntil(lambda: "Written" in dock.actions.status.text(), timeout=20_000)
    store = PredictionStore.open(carried(ink)["store"])
    inked = np.asarray(store.ink, np.float32) >= np.array(dock.model.cuts)[:, None, None]
    if suffix == "png":
        np.testing.assert_array_equal(np.asarray(Image.open(target)) > 0, inked[5])
    elif suffix == "tif":
        np.testing.assert_array_equal(np.nan_to_num(tifffile.imread(target)) > 0, inked)
    else:
        assert len(target.read_text().splitlines()) == 1 + DEPTH


# --- threads, settings, the end -----------------------------------------------------------


def test_counting_leaves_the_window_alone_and_the_last_request_wins(
    dock, viewer, stores, qtbot, monkeypatch
):
    """The first count is held up in its thread; the second, of another metric's scope, wins."""
    held, started = threading.Event(), threading.Event()
    real = thresholds_counting.open_layers

    def slow(paths):
        assert threading.current_thread() is not threading.main_thread()
        if not started.is_set():
            started.set()
            held.wait(30)
        return real(paths)

    monkeypatch.setattr(thresholds_counting, "open_layers", slow)
    viewer.open(stores / "map.ink.zarr", plugin="napari-ink")
    qtbot.waitUntil(started.is_set, timeout=20_000)
    taken = []
    dock.desk.counter.done.connect(taken.append)
    dock.source.scopes[Scope.WHOLE].click()
    wait_counted(dock, qtbot)
    held.set()
    qtbot.wait(300)
    assert [counted.scope for counted in taken] == [Scope.WHOLE]
    assert dock.model.counted.scope is Scope.WHOLE


def test_painting_on_the_label_is_counted_again(dock, viewer, cut, qtbot):
    cut("map")
    before = dock.model.counted
    truth = next(layer for layer in viewer.layers if layer.name == "truth")
    truth.data = 1 - truth.data
    qtbot.waitUntil(lambda: dock.model.counted not in (None, before), timeout=20_000)
    assert dock.model.counted.whole.ink_pixels[0] == (papyrus() & (the_label() == 0)).sum()


def test_choices_are_remembered(dock, cut):
    cut("map")
    dock.source.metric.setCurrentIndex(dock.source.metric.findData("iou"))
    dock.source.percentile.click()
    dock.source.scopes[Scope.WHOLE].click()
    kept = read_preferences()
    assert (kept.threshold_metric, kept.threshold_percentile, kept.threshold_scope) == (
        "iou", True, "whole",
    )  # fmt: skip


def test_removing_the_prediction_empties_the_dock(dock, viewer, cut):
    ink = cut()
    viewer.layers.remove(ink)
    assert dock.empty.isVisible()
    assert not dock.sliders.isVisible()
    assert dock.model.cuts == ()


def test_closing_while_counting_leaves_no_trace(dock, viewer, stores, qtbot):
    viewer.open(stores / "volume.ink.zarr", plugin="napari-ink")
    counter = dock.desk.counter
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(500)
    assert not counter.running
    viewer.layers.clear()


def test_every_control_has_a_tooltip_and_fits_the_dock(dock, cut):
    cut()
    kinds = (QAbstractButton, QComboBox, QAbstractSlider)
    controls = [child for kind in kinds for child in dock.findChildren(kind)]
    ours = [c for c in controls if not isinstance(c, QScrollBar)]
    assert len(ours) > 15
    without = [c for c in ours if not any(w.toolTip() for w in lineage(c, dock))]
    assert not without, without
    labels = [label for label in dock.findChildren(QLabel) if label.isVisible()]
    assert all(label.mapTo(dock, label.rect().topRight()).x() <= dock.width() for label in labels)


def test_mnemonics_are_unique_and_leave_napari_its_menus(dock, cut):
    cut()
    kinds = (QAbstractButton, QLabel)
    texts = [child.text() for kind in kinds for child in dock.findChildren(kind)]
    keys = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
    assert len(keys) > 6
    assert len(set(keys)) == len(keys), sorted(keys)
    assert not set(keys) & set("fvlpwh"), sorted(keys)


def lineage(widget, top):
    while widget is not None and widget is not top:
        yield widget
        widget = widget.parentWidget()
