"""Where ink is put: on its stack in the world, and beside it in the grid."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image

from napari_ink._layers import ink_arguments, ink_levels, ink_metadata
from napari_ink.widgets.side_by_side import SideBySide, apart, font_size, in_cells

place = st.tuples(*[st.floats(-1e4, 1e4)] * 3)
voxel = st.tuples(*[st.floats(0.5, 50)] * 3)


def stack(**place) -> Image:
    return Image(np.zeros((4, 6, 8), np.uint8), **place)


def ink(name="ink", role="ink", store="", **more) -> Image:
    metadata = ink_metadata(None, store, {}, role)
    return Image(np.zeros((6, 8), np.float32), name=name, metadata=metadata, **more)


def sampled(viewer, store="a"):
    """Ink, information and spread of one prediction, as they are opened."""
    for role in ("information", "spread"):
        viewer.add_layer(ink(f"{role} {store}", role, store, visible=False))
    return viewer.add_layer(ink(f"ink {store}", "ink", store))


@settings(deadline=None, max_examples=40)  # the first layer takes its time
@given(scale=voxel, translate=place, angle=st.floats(-90, 90))
def test_every_ink_pixel_lies_on_its_voxels_however_the_stack_was_moved(scale, translate, angle):
    turn = np.eye(4)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn[1:3, 1:3] = [[c, -s], [s, c]]
    below = stack(scale=scale, translate=translate, affine=turn, units=("µm",) * 3)
    above = Image(np.zeros((6, 8), np.float32), **ink_arguments(below, 2))
    for y, x in ((0, 0), (5, 0), (2, 7)):
        np.testing.assert_allclose(
            above.data_to_world((y, x)), below.data_to_world((1, y, x))[1:], rtol=1e-9, atol=1e-6
        )
    assert above.units == below.units[-2:]


def test_a_labelled_volume_lies_on_the_layers_that_it_was_made_from():
    below = stack(scale=(8, 4, 4), translate=(100, 0, 0))
    volume = Image(np.zeros((2, 6, 8), np.float32), **ink_arguments(below, 3, first=1))
    np.testing.assert_allclose(volume.data_to_world((0, 3, 3)), below.data_to_world((1, 3, 3)))


def test_the_coarse_level_of_a_large_map_follows_what_is_written():
    array = np.full((4, 5000), np.nan, np.float32)
    full, coarse = ink_levels(array)
    full[:, :100] = 0.5
    assert np.isfinite(coarse[:, :25]).all()


@given(left=st.integers(0, 4), hidden=st.integers(0, 6), ink=st.integers(0, 4))
def test_nothing_on_the_stack_strays_and_no_ink_covers_it(left, hidden, ink):
    counts = {"left": left, "hidden": hidden, "ink": ink}
    groups = [[f"{kind} {k}" for k in range(count)] for kind, count in counts.items()]
    alone = [[one] for one in groups[2]]
    order, stride, columns = in_cells(*groups[:2], alone) or apart(*groups)
    assert sorted(order) == sorted(chain(*groups))
    cell = {layer: place // stride for place, layer in enumerate(order)}
    assert all(cell[layer] == 0 for layer in groups[0])
    if left + hidden:
        assert all(0 < cell[layer] < columns for layer in groups[2])
    if left == 1 or (left and hidden >= (left - 1) * (ink - 1)):
        assert len({cell[layer] for layer in groups[2]}) == ink


def test_forward_and_reversed_get_a_cell_each_beside_hidden_label_and_infrared(viewer):
    for name in ("label", "infrared"):
        viewer.add_layer(stack(name=name)).visible = False
    viewer.add_layer(ink("forward"))
    viewer.add_layer(ink("reversed"))
    SideBySide(viewer).show()
    assert cells(viewer) == {"stack": (0, 0), "forward": (0, 1), "reversed": (0, 2)}
    viewer.layers["label"].visible = True  # it is looked at on the stack
    assert cells(viewer)["label"] == (0, 0)
    assert cells(viewer)["forward"][1] > 0


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_layer(stack(name="stack"))
    return viewer


def cells(viewer):
    grid = viewer.canvas.grid
    return {
        layer.name: grid.position(k, viewer.layers)
        for k, layer in enumerate(viewer.layers)
        if layer.visible
    }


def test_two_inks_and_their_stack_get_a_cell_each(viewer):
    viewer.add_layer(ink("a"))
    viewer.add_layer(ink("b"))
    SideBySide(viewer).show()
    assert cells(viewer) == {"stack": (0, 0), "a": (0, 1), "b": (0, 2)}


def test_the_stack_that_was_predicted_on_lies_above_the_others_and_is_the_one_named(viewer):
    frag, other = viewer.layers["stack"], viewer.add_layer(stack(name="other"))
    labels = viewer.add_layer(stack(name="drawn", visible=False))
    viewer.add_layer(ink())
    view = SideBySide(viewer)
    view.stack = frag
    view.show()
    order = list(viewer.layers)
    assert order.index(other) < order.index(frag)
    assert (frag.name_overlay.visible, other.name_overlay.visible) == (True, False)
    view.stack = other
    assert viewer.layers.index(frag) < viewer.layers.index(other)
    assert cells(viewer) == {"stack": (0, 0), "other": (0, 0), "ink": (0, 1)}
    assert not labels.visible


def test_hiding_an_ink_leaves_the_other_its_cell(viewer):
    view = SideBySide(viewer)
    old = viewer.add_layer(ink("old"))
    viewer.add_layer(ink("new"))
    view.show()
    old.visible = False
    assert cells(viewer) == {"stack": (0, 0), "new": (0, 1)}
    assert viewer.canvas.grid.shape == (1, 2)


def test_layers_that_the_user_drags_about_keep_their_cells(viewer):
    viewer.add_layer(ink())
    viewer.add_layer(stack(name="mask"))
    SideBySide(viewer).show()
    viewer.layers.move(0, 2)
    assert cells(viewer) == {"stack": (0, 0), "mask": (0, 0), "ink": (0, 1)}


def test_what_the_reader_looks_at_stays_in_sight(viewer):
    viewer.add_layer(ink())
    camera = viewer.scene.camera
    viewer.reset_view()
    whole = camera.zoom
    view = SideBySide(viewer)
    view.show()
    assert camera.zoom < whole  # all of it, in half the width
    view.hide()
    assert camera.zoom == pytest.approx(whole)
    camera.center, camera.zoom = (0, 2, 3), 500
    view.show()
    assert tuple(camera.center) == (0, 2, 3)
    assert 200 < camera.zoom < 250  # as much in each cell as before in the whole canvas
    view.hide()
    assert camera.zoom == pytest.approx(500)


def test_after_hiding_the_view_layers_are_the_users_own_again(viewer):
    viewer.add_layer(ink())
    view = SideBySide(viewer)
    view.show()
    view.hide()
    viewer.add_layer(stack(name="on top"))
    assert [layer.name for layer in viewer.layers] == ["stack", "ink", "on top"]
    assert not viewer.canvas.grid.enabled


@pytest.mark.parametrize("others", [0, 1, 2, 3])
def test_uncertainty_is_shown_in_the_cell_of_its_ink_and_over_it(viewer, others):
    for k in range(others):
        viewer.add_layer(stack(name=f"hidden {k}", visible=False))
    sampled(viewer)
    view = SideBySide(viewer)
    view.show()
    names = [layer.name for layer in viewer.layers]
    assert names[-3:] == ["ink a", "information a", "spread a"]
    assert cells(viewer) == {"stack": (0, 0), "ink a": (0, 1)}
    viewer.layers["spread a"].visible = True
    assert cells(viewer) == {"stack": (0, 0), "ink a": (0, 1), "spread a": (0, 1)}
    assert viewer.layers[-1].name == "spread a"  # where it was, to be hidden by a second click
    viewer.layers["spread a"].visible = False
    assert [layer.name for layer in viewer.layers] == names


def test_uncertainty_may_be_looked_at_without_its_ink(viewer):
    sampled(viewer).visible = False
    viewer.layers["spread a"].visible = True
    view = SideBySide(viewer)
    view.show()
    assert cells(viewer) == {"stack": (0, 0), "spread a": (0, 1)}
    viewer.layers.remove("ink a")
    assert cells(viewer) == {"stack": (0, 0), "spread a": (0, 1)}


def test_two_predictions_keep_their_uncertainty_apart(viewer):
    for k in range(2):
        viewer.add_layer(stack(name=f"hidden {k}", visible=False))
    sampled(viewer, "a")
    sampled(viewer, "b")
    view = SideBySide(viewer)
    view.show()
    viewer.layers["spread a"].visible = viewer.layers["spread b"].visible = True
    found = cells(viewer)
    assert found["ink a"] == found["spread a"] == (0, 1)
    assert found["ink b"] == found["spread b"] == (0, 2)


def test_only_what_lies_on_top_of_a_cell_is_named(viewer):
    top = sampled(viewer)
    spread = viewer.layers["spread a"]
    view = SideBySide(viewer)
    view.show()
    assert (top.name_overlay.visible, spread.name_overlay.visible) == (True, False)
    spread.visible = True
    assert (top.name_overlay.visible, spread.name_overlay.visible) == (False, True)
    spread.visible = False
    assert top.name_overlay.visible
    view.hide()
    assert not top.name_overlay.visible
    assert not spread.name_overlay.visible


def test_long_names_are_written_smaller_so_that_cells_do_not_cut_them_off(viewer):
    viewer.canvas.size = (900, 500)  # height and width
    viewer.add_layer(ink("frag ink 7:23 4 ways sampled"))
    before = viewer.layers["stack"].name_overlay.font_size
    view = SideBySide(viewer)
    view.show()
    sizes = {layer.name_overlay.font_size for layer in viewer.layers}
    assert len(sizes) == 1  # alike in all cells
    assert 6 <= sizes.pop() < before
    assert font_size("x" * 200, 250) == 6  # no smaller than can be read
    assert font_size("ink", 250) == before
    view.hide()
    assert {layer.name_overlay.font_size for layer in viewer.layers} == {before}
