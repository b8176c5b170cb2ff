"""A fragment of arrays: windows, ranges, fingerprints and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes.fragment import Fragment, Plane, Volume

RAW = np.arange(6 * 40 * 50, dtype=np.uint16).reshape(6, 40, 50)
slices = st.one_of(
    st.none(),
    st.builds(
        slice,
        st.one_of(st.none(), st.integers(-60, 60)),
        st.one_of(st.none(), st.integers(-60, 60)),
    ),
)


@given(slices, slices, slices)
def test_windows_follow_numpy(z, y, x):
    everything = slice(None)
    expected = RAW[z or everything, y or everything, x or everything]
    window = Fragment.from_array(RAW).read(z, y, x)
    assert window.dtype == RAW.dtype
    np.testing.assert_array_equal(window, expected)


def test_a_window_is_the_callers_own():
    raw = RAW.copy()
    fragment = Fragment.from_array(raw)
    fragment.read()[:] = 0
    np.testing.assert_array_equal(raw, RAW)


def test_a_step_is_refused():
    with pytest.raises(ValueError, match="step"):
        Fragment.from_array(RAW).read(slice(None, None, 2))


def test_protocols_hold():
    fragment = Fragment.from_array(RAW, mask=RAW[0] > 5, label=RAW[0] > 9, infrared=RAW[0])
    assert isinstance(fragment.volume, Volume)
    for plane in (fragment.mask, fragment.label, fragment.infrared):
        assert isinstance(plane, Plane)
        np.testing.assert_array_equal(
            np.asarray(plane)[3:9, 4:], plane.read(slice(3, 9), slice(4, None))
        )
    assert (fragment.ndim, fragment.shape, fragment.dtype) == (3, RAW.shape, RAW.dtype)
    assert np.asarray(fragment.mask).dtype == bool


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (np.uint8([[0, 255], [51, 0]]), [[0, 1], [0.2, 0]]),
        (np.uint8([[0, 1], [1, 0]]), [[0, 1], [1, 0]]),
        (np.uint16([[0, 65535], [0, 13107]]), [[0, 1], [0, 0.2]]),
        (np.uint16([[0, 255], [0, 51]]), [[0, 1], [0, 0.2]]),
        (np.uint16([[0, 1], [0, 0]]), [[0, 1], [0, 0]]),
        (np.float64([[0, 0.5], [1, 0.25]]), [[0, 0.5], [1, 0.25]]),
        (np.bool_([[0, 1], [1, 1]]), [[0, 1], [1, 1]]),
        (np.zeros((2, 2), np.uint8), [[0, 0], [0, 0]]),
        (np.full((2, 2), 255, np.uint8), [[1, 1], [1, 1]]),
    ],
)
def test_labels_come_out_in_zero_to_one(label, expected):
    fragment = Fragment.from_array(np.zeros((3, 2, 2), np.uint8), label=label)
    assert fragment.label.dtype == np.float32
    np.testing.assert_allclose(np.asarray(fragment.label), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([[0, np.nan], [0, 0]], "NaN"),
        ([[0, 255.0], [0, 0]], "255"),
        ([[0, -0.5], [0, 0]], "-0.5"),
        ([[0.0, 1.0]], "label"),
    ],
)
def test_unusable_labels_are_refused(label, message):
    with pytest.raises(FragmentError, match=message):
        Fragment.from_array(np.zeros((3, 2, 2), np.uint8), label=np.array(label))


@pytest.mark.parametrize(
    "arguments",
    [
        {"volume": RAW[0]},
        {"volume": RAW[None]},
        {"volume": RAW[:0]},
        {"volume": RAW.astype(np.int64)},
        {"volume": RAW.astype(complex)},
        {"volume": RAW, "mask": np.ones((40, 51))},
        {"volume": RAW, "infrared": np.ones((39, 50))},
        {"volume": RAW, "voxel_size": 0},
        {"volume": RAW, "voxel_size": (1, 2)},
        {"volume": RAW, "voxel_size": float("nan")},
    ],
)
def test_parts_that_do_not_fit_are_refused(arguments):
    with pytest.raises(FragmentError):
        Fragment.from_array(**arguments)


def test_layer_range_counts_from_the_first_stored_layer():
    fragment = Fragment.from_array(RAW, first_layer=20)
    assert fragment.layer_range(21, 24) == slice(1, 4)
    assert fragment.layer_range(20, 26) == slice(0, 6)
    for outside in ((0, 3), (19, 22), (24, 27), (23, 23), (24, 22)):
        with pytest.raises(SettingsError, match="20:26"):
            fragment.layer_range(*outside)


def test_fingerprint_is_of_the_pixels_and_nothing_else():
    first = Fragment.from_array(RAW, name="a", voxel_size=8)
    assert Fragment.from_array(RAW.copy(), name="b").fingerprint() == first.fingerprint()
    changed = RAW.copy()
    changed[3, 12, 15] += 1
    assert Fragment.from_array(changed).fingerprint() != first.fingerprint()
    assert Fragment.from_array(RAW[:5]).fingerprint() != first.fingerprint()
    assert Fragment.from_array(RAW.astype(np.float32)).fingerprint() != first.fingerprint()


def test_voxel_size_is_one_number_or_three():
    assert Fragment.from_array(RAW, voxel_size=7.91).voxel_size == (7.91, 7.91, 7.91)
    assert Fragment.from_array(RAW, voxel_size=(8, 4, 4)).voxel_size == (8.0, 4.0, 4.0)
    assert Fragment.from_array(RAW).voxel_size is None
