"""Places to try something: on papyrus, near the middle, never overlapping."""

import numpy as np
import pytest

from napari_ink.analysis.places import places, usual_side
from napari_ink.errors import SettingsError
from napari_ink.volumes.fragment import Fragment


def fragment(mask=None, shape=(2, 300, 400), volume=None):
    volume = np.ones(shape, np.uint8) if volume is None else volume
    return Fragment.from_array(volume, mask=mask, name="f")


def test_papyrus_is_found_where_it_is():
    mask = np.zeros((300, 400), bool)
    mask[190:290, 40:140] = True
    (box,) = places(fragment(mask), 80)
    assert mask[box.slices].mean() > 0.95
    assert box.shape == (80, 80)


def test_of_equally_full_places_the_middle_comes_first():
    (box,) = places(fragment(), 100)
    middle = ((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2)
    assert np.abs(np.subtract(middle, (150, 200))).max() <= 25


def test_without_a_mask_zeros_are_no_papyrus():
    volume = np.zeros((2, 320, 400), np.uint8)
    volume[:, :, 200:] = 9
    (box,) = places(fragment(volume=volume), 80)
    assert (volume[0][box.slices] > 0).mean() > 0.9


def test_several_places_do_not_overlap_and_a_small_fragment_is_taken_whole():
    boxes = places(fragment(), 100, 6)
    seen = np.zeros((300, 400), int)
    for box in boxes:
        seen[box.slices] += 1
    assert len(boxes) == 6
    assert seen.max() == 1
    assert places(fragment(), 900, 3) == [(0, 300, 0, 400)]


def test_no_papyrus_is_one_clear_error():
    with pytest.raises(SettingsError, match="f has no papyrus: check the mask"):
        places(fragment(np.zeros((300, 400), bool)), 100)


def test_sides_are_eight_millimetres_within_bounds():
    assert (usual_side(16.0), usual_side(7.91), usual_side(2.4)) == (500, 1011, 1024)
