"""The tile plan: every pixel once, with its context, whatever the shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import compute_importance_map, dense_patch_slices

from napari_ink.inference.settings import Box
from napari_ink.inference.tiles import importance, intersection, make_grid, round_up, trimmed

shapes = st.tuples(st.integers(1, 400), st.integers(1, 400))


@st.composite
def cropped_grids(draw):
    multiple = draw(st.sampled_from([1, 4, 8, 16]))
    halo = draw(st.integers(0, 3)) * multiple
    tile = 2 * halo + multiple * draw(st.integers(1, 6))
    grid = make_grid(
        draw(shapes), tile, halo=halo, multiple_of=multiple, batch=draw(st.integers(1, 6))
    )
    return grid, halo, multiple


@settings(max_examples=60, deadline=None)
@given(cropped_grids())
def test_every_pixel_comes_from_exactly_one_tile_with_its_halo_inside_the_fragment(case):
    grid, halo, multiple = case
    height, width = grid.shape
    seen = np.zeros(grid.shape, int)
    for row in range(grid.blocks_shape[0]):
        for column in range(grid.blocks_shape[1]):
            block = grid.block_box(row, column)
            for tile, part, box in grid.parts(block):
                assert box == grid.tile_box(tile)
                seen[part.slices] += 1
                assert box.y0 % multiple == 0
                assert box.x0 % multiple == 0
                assert box.y0 <= max(0, part.y0 - halo)
                assert box.x0 <= max(0, part.x0 - halo)
                assert box.y1 >= min(height, part.y1 + halo)
                assert box.x1 >= min(width, part.x1 + halo)
                assert box.y0 >= 0
                assert box.y1 < height + multiple
                assert box.shape == grid.tile
    assert (seen == 1).all()


@settings(max_examples=60, deadline=None)
@given(cropped_grids())
def test_cropped_tiles_and_batches_are_never_shared_by_two_blocks(case):
    grid, *_ = case
    owner = {}
    for row in range(grid.blocks_shape[0]):
        for column in range(grid.blocks_shape[1]):
            for tile, *_ in grid.parts(grid.block_box(row, column)):
                assert owner.setdefault(grid.group_of(tile), (row, column)) == (row, column)


@settings(max_examples=60, deadline=None)
@given(cropped_grids(), st.integers(0, 9), st.floats(0.0005, 0.2))
def test_a_trimmed_part_shows_all_its_papyrus_with_its_halo_and_no_more(case, seed, share):
    grid, halo, multiple = case
    mask = np.random.default_rng(seed).random(grid.shape) < share
    for row in range(grid.blocks_shape[0]):
        for column in range(grid.blocks_shape[1]):
            for part in grid.parts(grid.block_box(row, column)):
                papyrus = mask[part.box.slices]
                if not papyrus.any():
                    continue
                tile, box, frame = trimmed(part, papyrus, halo, multiple)
                assert tile == part.tile
                assert intersection(box, part.box) == box
                assert intersection(frame, part.frame) == frame
                assert mask[box.slices].sum() == papyrus.sum()
                for side in (mask[box.slices], mask[box.slices].T):
                    assert side[0].any()
                    assert side[-1].any()
                assert all(edge % multiple == 0 for edge in (*frame.shape, frame.y0, frame.x0))
                for low, high, first, end, size in (
                    (frame.y0, frame.y1, box.y0, box.y1, grid.shape[0]),
                    (frame.x0, frame.x1, box.x0, box.x1, grid.shape[1]),
                ):
                    assert max(0, first - halo) - multiple < low <= max(0, first - halo)
                    assert min(size, end + halo) <= high < end + halo + multiple


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(1, 5), st.integers(0, 9))
def test_blended_tiles_lie_where_monai_puts_them(shape, sixteenths, tenths):
    tile, overlap = 16 * sixteenths, tenths / 10
    grid = make_grid(shape, tile, halo=0, multiple_of=16, overlap=overlap)
    if min(shape) < tile:
        return  # MONAI pads such an axis with zeros on both sides
    interval = [tile if tile == size else max(1, int(tile * (1 - overlap))) for size in shape]
    expected = {(y.start, x.start) for y, x in dense_patch_slices(shape, (tile, tile), interval)}
    assert {(y, x) for y in grid.y.starts for x in grid.x.starts} == expected


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(1, 5), st.integers(0, 8), st.data())
def test_parts_of_a_box_are_all_tiles_that_touch_it_in_summing_order(shape, size, tenths, data):
    grid = make_grid(shape, 16 * size, halo=0, multiple_of=8, overlap=tenths / 10)
    y0 = data.draw(st.integers(0, shape[0] - 1))
    x0 = data.draw(st.integers(0, shape[1] - 1))
    box = Box(
        y0, data.draw(st.integers(y0 + 1, shape[0])), x0, data.draw(st.integers(x0 + 1, shape[1]))
    )
    parts = list(grid.parts(box))
    assert [part.tile for part in parts] == sorted(part.tile for part in parts)
    touching = set()
    for row in range(len(grid.y.starts)):
        for column in range(len(grid.x.starts)):
            inside = intersection(grid.part_box((type(parts[0].tile))(row, column)), box)
            if 0 not in inside.shape:
                touching.add((row, column))
    assert {tuple(part.tile) for part in parts} == touching


def test_blocks_cover_the_plane():
    grid = make_grid((500, 333), 64, halo=16, multiple_of=16)
    covered = np.zeros(grid.shape, int)
    for row in range(grid.blocks_shape[0]):
        for column in range(grid.blocks_shape[1]):
            covered[grid.block_box(row, column).slices] += 1
    assert (covered == 1).all()


def test_a_fragment_smaller_than_a_tile_takes_a_tile_of_its_own_size():
    grid = make_grid((50, 700), 256, halo=16, multiple_of=16)
    assert grid.tile == (64, 256)
    assert grid.y.starts == (0,)


def test_a_recipe_with_a_fixed_window_keeps_its_tile():
    grid = make_grid((50, 700), 64, halo=16, multiple_of=16, shrink=False)
    assert grid.tile == (64, 64)


def test_a_tile_that_is_all_halo_is_refused():
    with pytest.raises(ValueError, match="halo"):
        make_grid((500, 500), 64, halo=32, multiple_of=16)


@pytest.mark.parametrize("tile", [(64, 64), (48, 96), (256, 256)])
def test_importance_is_monais(tile):
    theirs = compute_importance_map(tile, mode="gaussian", sigma_scale=0.125).numpy()
    np.testing.assert_allclose(importance(tile), theirs, atol=1e-7)


def test_rounding_up():
    assert [round_up(value, 16) for value in (0, 1, 16, 17)] == [0, 16, 16, 32]
