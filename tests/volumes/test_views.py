"""A fragment turned or patched: the same windows as numpy gives, and no copy of the whole."""

import numpy as np
import pytest

from napari_ink.volumes.fragment import ArrayVolume, Fragment
from napari_ink.volumes.views import patched, turned, turned_window

SHAPE = (3, 40, 56)


class Counting(ArrayVolume):
    """Remembers how many voxels were asked for."""

    def read(self, z, y, x):
        values = super().read(z, y, x)
        COUNT.append(values.size)
        return values


COUNT: list[int] = []


@pytest.fixture
def fragment():
    rng = np.random.default_rng(0)
    array = rng.integers(0, 255, SHAPE, dtype=np.uint8)
    whole = Fragment.from_array(
        array, mask=rng.random(SHAPE[1:]) < 0.5, voxel_size=(1.0, 2.0, 3.0), name="f"
    )
    whole.fingerprint()
    object.__setattr__(whole, "volume", Counting(array))
    COUNT.clear()
    return whole


@pytest.mark.parametrize("turns", [0, 1, 2, 3, -1, 5])
def test_turned_windows_are_those_of_the_turned_array(fragment, turns):
    view = turned(fragment, turns)
    expected = np.rot90(fragment.read(), turns, (1, 2))
    mask = np.rot90(np.asarray(fragment.mask), turns)
    assert view.shape == expected.shape
    window = (slice(1, 3), slice(5, 12), slice(20, 33))
    COUNT.clear()
    assert (view.read(*window) == expected[window]).all()
    assert sum(COUNT) == 2 * 7 * 13
    assert (view.mask.read(*window[1:]) == mask[window[1:]]).all()
    assert view.voxel_size == ((1, 3, 2) if turns % 2 else (1, 2, 3))
    assert view.fingerprint() == fragment.fingerprint()


@pytest.mark.parametrize("turns", [1, 2, 3, -2])
def test_a_window_is_found_again_after_turning(fragment, turns):
    array = np.arange(40 * 56).reshape(40, 56)
    y, x = slice(3, 11), slice(30, 47)
    there = turned_window(y, x, array.shape, turns)
    assert (np.rot90(array, turns)[there] == np.rot90(array[y, x], turns)).all()


def test_a_patch_replaces_its_part_only_and_answers_for_it_from_memory(fragment):
    before = fragment.read()
    patch = np.full((2, 10, 12), 77, np.uint8)
    view = patched(fragment, patch, (1, 20, 30))
    expected = before.copy()
    expected[1:3, 20:30, 30:42] = 77
    assert (view.read() == expected).all()
    assert (view.read(slice(0, 2), slice(25, 40), slice(0, 35)) == expected[:2, 25:40, :35]).all()
    COUNT.clear()
    inside = view.read(slice(1, 3), slice(22, 28), slice(30, 40))
    assert (inside == 77).all()
    assert not COUNT
    inside[:] = 0  # the caller's to change
    assert (view.read() == expected).all()
    assert (fragment.read() == before).all()
    with pytest.raises(ValueError, match="float32"):
        patched(fragment, patch.astype(np.float32), (0, 0, 0))
