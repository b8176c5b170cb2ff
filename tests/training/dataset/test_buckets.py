"""Buckets: equal bins, filled as evenly as what is there allows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.dataset.buckets import bucket_of, choose, spread


def test_bins_are_equal_and_the_last_one_holds_full_ink():
    ink = np.array([0.01, 0.0999, 0.1, 0.55, 0.9, 1.0], np.float32)
    assert bucket_of(ink, 10).tolist() == [0, 0, 1, 5, 9, 9]
    assert bucket_of(ink, 1).tolist() == [0] * 6


@pytest.mark.parametrize(
    ("quota", "available", "cap", "expected"),
    [
        (100, [100, 100, 100, 100], None, [25, 25, 25, 25]),
        (100, [10, 100, 100, 100], None, [10, 30, 30, 30]),
        (100, [10, 20, 0, 500], None, [10, 20, 0, 70]),
        (100, [10, 20, 0, 500], 40, [10, 20, 0, 40]),
        (10, [9, 9, 9, 9], None, [3, 3, 2, 2]),
        (0, [9, 9], None, [0, 0]),
        (5, [0, 0], None, [0, 0]),
    ],
)
def test_quota_is_shared_like_water(quota, available, cap, expected):
    assert spread(quota, np.array(available), cap).tolist() == expected


@given(
    st.integers(0, 300),
    st.lists(st.integers(0, 100), min_size=1, max_size=12),
    st.none() | st.integers(1, 60),
)
def test_no_bucket_has_more_than_another_that_still_held_some(quota, available, cap):
    room = np.minimum(available, 10**9 if cap is None else cap)
    taken = spread(quota, np.array(available), cap)
    assert taken.sum() == min(quota, room.sum())
    assert (taken <= room).all()
    for mine, limit in zip(taken, room, strict=True):
        if mine < limit:
            assert taken.max() <= mine + 1


def test_choice_takes_the_first_of_each_bucket():
    bucket = np.array([2, 0, 0, 2, 0, 2, 2])
    assert choose(bucket, 4, 4).tolist() == [1, 2, 0, 3]
    assert choose(bucket, 100, 4, cap=1).tolist() == [1, 0]
    assert choose(np.empty(0, np.int64), 5, 4).tolist() == []
