"""The Uncertainty dock in a real window: samples in words, rings, keys, the camera, the label."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLabel

from napari_ink._layers import DOUBTS, carried, is_ink, is_stack
from napari_ink._preferences import read_preferences
from napari_ink.analysis.evaluate import evaluate
from napari_ink.analysis.uncertain import uncertain_places
from napari_ink.inference.moments import Moments
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.store_files import packed
from napari_ink.inference.store_writing import StoreWriter

HEIGHT, WIDTH, VOXEL = 320, 480, 16.0
STROKE = 410 / VOXEL
HILLS = ((60, 90, 0.4), (230, 200, 0.3), (120, 380, 0.2))


def the_spread():
    """Hills on papyrus."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return sum(h * np.exp(-((y - r) ** 2 + (x - c) ** 2) / (2 * 15**2)) for r, c, h in HILLS)


def moments_of(shape, box):
    """Two samples whose ink is .45, and in a volume all of whose doubt is in layer 5."""
    y, x = box.slices
    papyrus = np.ones((HEIGHT, WIDTH), bool)
    papyrus[-160:, -160:] = False
    moments = Moments.none_of(shape)
    moments.state[0] = 2
    moments.state[1] = np.where(papyrus[y, x], 0.45, np.nan)
    at = (5, slice(None)) if len(shape) == 3 else ...
    moments.state[2][at] = the_spread()[y, x] ** 2
    moments.state[2][np.isnan(moments.state[1])] = np.nan
    return moments


@pytest.fixture(scope="session")
def sampled_stores(fragment_folder, checkpoint, volume_checkpoint, tmp_path_factory):
    """``map``, ``uneven`` and ``volume`` with spread of the test's own, and ``single``."""
    from napari_ink import load_checkpoint, open_fragment

    root, fragment = tmp_path_factory.mktemp("sampled"), open_fragment(fragment_folder)
    drawn = {"samples": 2, "dropout": 0.3, "sampling": "random"}
    for name, path, options in (
        ("map", checkpoint, drawn),
        ("volume", volume_checkpoint, drawn),
        ("single", checkpoint, {}),
    ):
        settings = PredictionSettings(tile=64, **options)
        plan = plan_prediction(fragment, load_checkpoint(path), settings)
        with StoreWriter.create_or_resume(root / f"{name}.ink.zarr", plan) as store:
            for block in plan.blocks if options else ():
                box = plan.grid.block_box(*block)
                moments = moments_of(store.ink[(..., *box.slices)].shape, box)
                store.write_sample(block, box, moments, last=True)
            store.finish()
    shutil.copytree(root / "map.ink.zarr", root / "uneven.ink.zarr")
    progress = zarr.open_group(root / "uneven.ink.zarr", mode="r+")["monte_carlo/progress"]
    table = np.asarray(progress[:])
    table[0].flat[:2] = 7, 30
    progress[:] = table
    return root


@pytest.fixture
def dock(viewer):
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Ink uncertainty")
    return dock


@pytest.fixture
def doubted(dock, put_in, sampled_stores, qtbot):
    """Shows a prediction and waits until the dock has read it."""

    def _doubted(name="map", roles=("stack", "ink")):
        ink = put_in(sampled_stores / f"{name}.ink.zarr", roles)
        qtbot.waitUntil(lambda: not dock.reader.running, timeout=20_000)
        return ink

    return _doubted


def find(dock, qtbot, count=3):
    dock.places.count.setValue(count)
    dock.places.find.click()
    qtbot.waitUntil(lambda: not dock.finder.running, timeout=20_000)


def cell_of(viewer, layer):
    """Which cell of the grid a layer is drawn in, from 0."""
    grid = viewer.canvas.grid
    return list(viewer.layers).index(layer) // grid.stride


# --- what it says --------------------------------------------------------------------------------


def test_empty_dock_says_what_to_do_next(dock):
    assert dock.empty.isVisible()
    assert "more than 1 sample" in dock.empty.text()
    assert not dock.places.isVisible()
    dock.model.step(1)  # keys without a prediction do nothing
    dock.places.find.click()
    assert not dock.finder.running


def test_a_single_pass_is_told_how_to_become_more(dock, doubted):
    doubted("single")
    assert "single pass" in dock.source.words.text()
    assert "more than 1 sample" in dock.source.words.text()
    assert not dock.places.isVisible()


def test_samples_and_standard_error_stand_in_words(dock, doubted, sampled_stores):
    doubted()
    assert not dock.empty.isVisible()
    words = dock.source.words.text()
    error = PredictionStore.open(sampled_stores / "map.ink.zarr").sampled()["standard_error"]
    assert "Every block took 2 samples" in words
    assert f"{error:.4f}" in words
    assert dock.source.samples.isHidden(), "all blocks alike: there is nothing to see"


# --- places --------------------------------------------------------------------------------------


def test_rings_lie_on_the_hills_in_the_cell_of_the_ink(dock, viewer, sampled_stores, qtbot):
    viewer.open(sampled_stores / "map.ink.zarr", plugin="napari-ink")  # with all of its layers
    qtbot.waitUntil(lambda: not dock.reader.running, timeout=20_000)
    ink = next(layer for layer in viewer.layers if is_ink(layer))
    dock.shared.side_by_side.show()
    find(dock, qtbot)
    rings = dock.layers.places
    np.testing.assert_allclose(rings.data, [hill[:2] for hill in HILLS], atol=2)
    assert rings.size[1] == pytest.approx(STROKE)
    assert tuple(rings.scale) == tuple(ink.scale)
    stack = next(layer for layer in viewer.layers if is_stack(layer))
    assert cell_of(viewer, rings) == cell_of(viewer, ink) == cell_of(viewer, stack) + 1
    assert list(viewer.layers).index(rings) > list(viewer.layers).index(ink)
    assert rings.name_overlay.visible
    assert viewer.layers.selection.active != rings, "the mouse would move them"


def test_places_are_those_of_the_command_line_and_remembered(dock, doubted, sampled_stores, qtbot):
    doubted()
    dock.places.by.setCurrentIndex(dock.places.by.findData("decision"))
    find(dock, qtbot, 2)
    store = PredictionStore.open(sampled_stores / "map.ink.zarr")
    assert list(dock.model.places) == uncertain_places(store, 2, "decision")
    assert (read_preferences().places, read_preferences().places_by) == (2, "decision")


def test_keys_step_through_and_the_camera_follows(dock, viewer, doubted, qtbot):
    doubted()
    dock.shared.side_by_side.show()
    find(dock, qtbot)
    zoom = viewer.scene.camera.zoom
    canvas = viewer.__wrapped__.window._qt_viewer.canvas.native
    plain, shift = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
    for where, modifier, at in (
        (canvas, plain, 1),
        (canvas, plain, 2),
        (canvas, plain, 0),
        (canvas, shift, 2),
        (dock.places.find, plain, 0),
        (dock.places.find, shift, 2),
    ):
        where.window().activateWindow()
        where.setFocus()
        QTest.keyClick(where, Qt.Key.Key_N, modifier)
        qtbot.waitUntil(lambda at=at: dock.model.at == at, timeout=2000)
        y, x = (place * VOXEL for place in HILLS[at][:2])
        np.testing.assert_allclose(viewer.scene.camera.center[-2:], (y, x), atol=2 * VOXEL)
        assert dock.places.words.text().startswith(f"{at + 1} of 3 · ink .")
        assert dock.layers.places.name.startswith(dock.places.words.text())
        marked = np.flatnonzero(np.asarray(dock.layers.places.size) > STROKE * 1.1)
        assert list(marked) == [at]
    assert viewer.scene.camera.zoom == zoom


def test_first_place_is_looked_at_closely_and_a_closer_look_is_kept(dock, viewer, doubted, qtbot):
    doubted()
    before = viewer.scene.camera.zoom
    find(dock, qtbot)
    seen = min(viewer.canvas.viewbox_size(viewer.layers)) / viewer.scene.camera.zoom / VOXEL
    assert viewer.scene.camera.zoom > before
    assert 5 * STROKE < seen < 20 * STROKE
    viewer.scene.camera.zoom *= 5
    closer = viewer.scene.camera.zoom
    dock.places.next.click()
    assert viewer.scene.camera.zoom == closer


def test_rings_lie_on_an_ink_that_was_moved(dock, viewer, doubted, qtbot):
    ink = doubted()
    ink.translate = (1000, -500)
    find(dock, qtbot)
    world = dock.layers.places.data_to_world(dock.layers.places.data[0])
    moved = np.multiply(HILLS[0][:2], VOXEL) + np.array([1000, -500])
    np.testing.assert_allclose(world[-2:], moved, atol=32)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], world[-2:])


def test_a_volume_is_shown_at_the_layer_of_the_place(dock, viewer, doubted, qtbot):
    ink = doubted("volume")
    viewer.dims.set_point(0, 0)
    find(dock, qtbot)
    assert dock.model.place.z == 5
    assert viewer.dims.point[0] == pytest.approx(5 * VOXEL)
    assert dock.layers.places.ndim == ink.ndim == 3
    assert "layer 5" in dock.places.details.text()


def test_finding_again_replaces_the_rings_and_another_prediction_takes_them_away(
    dock, viewer, doubted, qtbot
):
    doubted()
    find(dock, qtbot)
    first = dock.layers.places
    find(dock, qtbot, 2)
    assert first not in viewer.layers
    assert len(dock.layers.places.data) == 2
    doubted("single")
    assert dock.layers.places is None
    assert dock.model.at is None


def test_rings_that_the_user_removed_do_no_harm(dock, viewer, doubted, qtbot):
    doubted()
    find(dock, qtbot)
    viewer.layers.remove(dock.layers.places)
    dock.places.next.click()
    assert dock.model.at == 1
    find(dock, qtbot)
    assert dock.layers.places in viewer.layers


def test_a_store_that_is_gone_is_said(dock, viewer, doubted, sampled_stores, tmp_path, qtbot):
    path = shutil.copytree(sampled_stores / "map.ink.zarr", tmp_path / "gone.ink.zarr")
    ink = doubted()
    carried(ink)["store"] = str(path)
    shutil.rmtree(path)
    find(dock, qtbot)
    assert "gone.ink.zarr does not exist" in dock.places.status.text()
    assert dock.places.find.isEnabled()


# --- samples -------------------------------------------------------------------------------------


def test_samples_a_block_are_shown_where_they_differ(dock, viewer, doubted, qtbot):
    ink = doubted("uneven", ("stack", *DOUBTS, "ink"))
    dock.shared.side_by_side.show()
    assert "2 to 30 samples a block" in dock.source.words.text()
    assert dock.source.samples.isVisible()
    dock.source.samples.click()
    assert dock.source.samples.isChecked()
    counts = dock.layers.samples
    assert counts.interpolation2d == "nearest"
    assert cell_of(viewer, counts) == cell_of(viewer, ink)
    assert np.nanmax(counts.data) == 30
    block = dock.model.report.block
    corner = counts.data_to_world((-0.5, -0.5))  # the first block begins with the first pixel
    np.testing.assert_allclose(corner, ink.data_to_world((-0.5, -0.5)))
    end = counts.data_to_world((0.5, 0.5))
    np.testing.assert_allclose(end, ink.data_to_world(np.array(block) - 0.5))
    dock.source.samples.click()
    assert dock.layers.samples is None
    assert counts not in viewer.layers
    dock.source.samples.click()
    viewer.layers.remove(dock.layers.samples)
    assert not dock.source.samples.isChecked()


def test_a_prediction_that_grows_is_read_again(dock, put_in, sampled_stores, tmp_path, qtbot):
    dock._read_soon.setTimeout(200)
    path = shutil.copytree(sampled_stores / "uneven.ink.zarr", tmp_path / "grows.ink.zarr")
    group = zarr.open_group(path, mode="r+")
    record = PredictionStore.open(path).attributes
    none = packed(np.zeros(record["blocks"]["shape"], bool))
    group.update_attributes({"napari_ink": record | {"state": "running", "finished": none}})
    put_in(path)
    qtbot.waitUntil(lambda: dock.model.report is not None, timeout=20_000)
    assert "Not finished" in dock.source.words.text()
    dock.source.samples.click()
    shown = dock.layers.samples
    table = np.asarray(group["monte_carlo/progress"][:])
    table[0].flat[:2] = 9, 40
    group["monte_carlo/progress"][:] = table
    qtbot.waitUntil(lambda: "2 to 40 samples" in dock.source.words.text(), timeout=20_000)
    assert dock.layers.samples is shown
    assert np.nanmax(shown.data) == shown.contrast_limits[1] == 40
    assert dock.source.samples.isChecked()


# --- against the label ---------------------------------------------------------------------------


def test_reliability_is_that_of_evaluate(dock, doubted, sampled_stores, fragment_folder, qtbot):
    doubted()
    assert dock.reliability.isVisible()
    dock.reliability.button.click()
    qtbot.waitUntil(lambda: dock.reliability.canvas is not None, timeout=20_000)
    scores = evaluate(sampled_stores / "map.ink.zarr", fragment_folder / "inklabels.png")
    assert f"error {scores['ece']:.4f}" in dock.reliability.line.text()
    assert dock.reliability.canvas.isVisible()


# --- the dock itself -----------------------------------------------------------------------------


def bound(viewer):
    return {str(key): action for key, action in viewer.keymap.items()}


def test_closing_gives_the_keys_back_and_stops_what_runs(viewer, put_in, sampled_stores, qtbot):
    def mine(_):
        pass

    viewer.bind_key("N", mine)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Ink uncertainty")
    assert bound(viewer)["N"] is not mine
    put_in(sampled_stores / "map.ink.zarr")
    qtbot.waitUntil(lambda: dock.model.report is not None, timeout=20_000)
    dock.places.find.click()
    finder = dock.finder
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(300)
    assert not finder.running
    assert bound(viewer) == {"N": mine}
    viewer.layers.clear()


def test_removing_the_prediction_empties_the_dock(dock, viewer, doubted, qtbot):
    ink = doubted()
    find(dock, qtbot)
    viewer.layers.remove(ink)
    assert dock.empty.isVisible()
    assert not dock.places.isVisible()
    assert dock.layers.places is None


def test_every_control_has_a_tooltip_and_fits_the_dock(dock, doubted, qtbot):
    doubted("uneven")
    find(dock, qtbot)
    kinds = (QAbstractButton, QComboBox, QAbstractSpinBox)
    controls = [child for kind in kinds for child in dock.findChildren(kind)]
    assert len(controls) >= 8
    without = [c for c in controls if not c.toolTip()]
    assert not without, without
    labels = [label for label in dock.findChildren(QLabel) if label.isVisible()]
    assert all(label.mapTo(dock, label.rect().topRight()).x() <= dock.width() for label in labels)
    texts = [
        child.text() for kind in (QAbstractButton, QLabel) for child in dock.findChildren(kind)
    ]
    keys = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
    assert len(keys) > 6
    assert len(set(keys)) == len(keys), sorted(keys)
    assert not set(keys) & set("fvlpwh"), sorted(keys)


def test_picture_of_the_guide_shows_this_dock(dock, doubted, qtbot):
    doubted("uneven")
    find(dock, qtbot)
    root = Path(__file__).parents[2]
    picture = Image.open(root / "docs/images/uncertainty.png")
    assert picture.size == (1280, 800)
    lines = picture.info["Description"].splitlines()
    buttons = [b for b in dock.findChildren(QAbstractButton) if b.isVisibleTo(dock) and b.text()]
    assert len(buttons) >= 5
    assert {button.text().replace("&", "") for button in buttons} <= set(lines)
    assert dock.places.keys.text() in lines
    assert f"[{dock.places.by.itemText(0)}]" in lines
