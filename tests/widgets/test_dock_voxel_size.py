"""A voxel size that nothing recorded is asked for, and everything on the stack follows it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_ink._layers import carried, fragment_of, is_ink
from napari_ink.inference.store import PredictionStore

PATIENCE = 60_000


@pytest.fixture
def unmeasured(fragment_folder, tmp_path):
    """The fragment without its meta.json."""
    folder = tmp_path / "unmeasured"
    shutil.copytree(fragment_folder, folder)
    (folder / "meta.json").unlink()
    return folder


@pytest.fixture
def asking(viewer, unmeasured):
    """The dock over a fragment of unknown scale."""
    viewer.open(unmeasured, plugin="napari-ink")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    dock.settings.tile.setValue(64)
    return dock


def ink_of(viewer):
    (ink,) = [layer for layer in viewer.layers if is_ink(layer)]
    return ink


def run(dock, qtbot):
    dock.run.predict.click()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=PATIENCE)


def test_a_recorded_size_is_not_asked_for(dock):
    assert not dock.source.voxel_size.isVisible()
    assert not dock.source.voxel_label.isVisible()


def test_an_unrecorded_size_is_asked_for_and_its_doubt_goes_once_told(asking):
    field = asking.source.voxel_size
    assert field.isVisible()
    assert field.text() == "unknown"
    assert "voxel size is unknown" in asking.run.notes.text()
    field.setValue(16)
    assert asking.run.notes.text() == ""
    assert "16 µm" in asking.source.fragment_line.text()
    assert "scale matches" in asking.run.status.text()
    field.setValue(4)
    assert "Voxels of 4 µm" in asking.run.notes.text()
    field.setValue(0)
    assert "voxel size is unknown" in asking.run.notes.text()


def test_stack_label_drawn_regions_and_ink_stay_on_one_another(asking, viewer, qtbot):
    asking.settings.draw.click()
    mask = viewer.add_labels(np.ones((320, 480), int))
    run(asking, qtbot)
    asking.source.voxel_size.setValue(16)
    stack = asking.source.layers.currentData()
    np.testing.assert_allclose(stack.scale, (16, 16, 16))
    assert {str(unit) for unit in stack.units} == {"micrometer"}
    assert len(viewer.layers) == 6
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.scale, (16,) * layer.ndim, err_msg=layer.name)
        assert {str(unit) for unit in layer.units} == {"micrometer"}, layer.name
    assert viewer.layers.index(mask) >= 0
    asking.source.voxel_size.setValue(0)
    np.testing.assert_allclose(ink_of(viewer).scale, (1, 1))
    assert {str(unit) for unit in ink_of(viewer).units} == {"pixel"}


def test_the_view_stays_where_it_was(asking, viewer, qtbot):
    stack = asking.source.layers.currentData()
    viewer.scene.camera.center = (0, 100, 200)
    viewer.scene.camera.zoom = 5
    viewer.dims.set_point(0, 3)
    before = asking.region.focus(stack)
    asking.source.voxel_size.setValue(16)
    qtbot.wait(20)
    np.testing.assert_allclose(asking.region.focus(stack), before)
    assert viewer.scene.camera.zoom == pytest.approx(5 / 16)
    assert stack.world_to_data(viewer.dims.point)[0] == pytest.approx(3)


def test_layers_elsewhere_are_left_alone(asking, viewer, fragment_folder):
    measured = viewer.add_labels(np.ones((320, 480), int), scale=(8, 8), units=("µm",) * 2)
    viewer.open(fragment_folder, plugin="napari-ink")
    other = asking.source.layers.currentData()
    asking.source.choose_layer(viewer.layers["unmeasured"])
    asking.source.voxel_size.setValue(4)
    np.testing.assert_allclose(measured.scale, (8, 8))
    np.testing.assert_allclose(other.scale, (16, 16, 16))
    asking.source.choose_layer(other)
    assert not asking.source.voxel_size.isVisible()
    asking.source.choose_layer(viewer.layers["unmeasured"])
    assert asking.source.voxel_size.value() == 4  # it was remembered with its layer


def test_a_layer_that_somebody_shifted_keeps_its_place_on_the_voxels(asking, viewer):
    stack = asking.source.layers.currentData()
    stack.translate = (0, 20, 30)
    asking.source.voxel_size.setValue(16)
    np.testing.assert_allclose(stack.translate, (0, 320, 480))


def test_a_plain_layer_in_pixels_can_be_told_its_size(viewer, qtbot):
    volume = np.random.default_rng(0).integers(0, 255, (8, 96, 96), dtype=np.uint8)
    stack = viewer.add_image(volume, name="plain")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    dock.source.voxel_size.setValue(16)
    assert dock.model.fragment.voxel_size == (16, 16, 16)
    assert fragment_of(stack).voxel_size == (16, 16, 16)
    assert dock.source.voxel_size.isVisibleTo(dock)  # it can still be corrected
    dock.source.voxel_size.setValue(0)
    assert fragment_of(stack).voxel_size is None


def test_what_is_typed_counts_when_return_predicts_at_once(asking, viewer, qtbot):
    field = asking.source.voxel_size
    asking.activateWindow()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus, timeout=2000)
    field.selectAll()
    QTest.keyClicks(field, "16")
    QTest.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not asking.model.running, timeout=PATIENCE)
    ink = ink_of(viewer)
    assert carried(ink)["provenance"]["fragment"]["voxel_size"] == [16, 16, 16]
    np.testing.assert_allclose(ink.scale, (16, 16))


def test_a_size_told_after_the_prediction_reaches_its_store(asking, viewer, qtbot, preferences):
    run(asking, qtbot)
    (path,) = preferences.iterdir()
    assert PredictionStore.open(path).voxel_size is None
    asking.source.voxel_size.setValue(16)
    run(asking, qtbot)  # nothing is left to predict
    assert list(preferences.iterdir()) == [path]
    store = PredictionStore.open(path)
    assert store.voxel_size == (16, 16, 16)
    assert not any("unknown" in line for line in store.provenance["warnings"])
    (level,) = store.ink.store_path.store.root.glob("ink/zarr.json")
    assert '"micrometer"' in level.read_text()
    assert carried(ink_of(viewer))["provenance"]["fragment"]["voxel_size"] == [16, 16, 16]
