"""Ranges, boxes and points as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ink.cli.numbers import point, whole_box, whole_range
from napari_ink.errors import SettingsError


@given(first=st.integers(0, 10**6), length=st.integers(1, 10**6))
def test_a_range_is_its_first_number_and_the_one_after_its_last(first, length):
    assert whole_range(f"{first}:{first + length}", "--layers") == (first, first + length)


def test_boxes_and_points_are_rows_first():
    assert whole_box("0:512,1024:2048", "--region") == (0, 512, 1024, 2048)
    assert point("3,4.5", "--focus") == (3.0, 4.5)


@pytest.mark.parametrize(
    "text", ["", " ", "7", "7:", ":7", "7:7", "9:7", "-1:3", "1:2:3", "a:b", "1.5:3", "7-23"]
)
def test_what_is_no_range_is_refused_with_the_form(text):
    with pytest.raises(SettingsError, match=r"--layers .* a:b"):
        whole_range(text, "--layers")


@pytest.mark.parametrize("text", ["", "0:5", "0:5,", "0:5,9:7", "0:5,0:5,0:5", "0:5;0:5"])
def test_what_is_no_box_is_refused_with_the_form(text):
    with pytest.raises(SettingsError, match=r"--region .* y0:y1,x0:x1"):
        whole_box(text, "--region")


@pytest.mark.parametrize("text", ["", "1", "1,", "x,y", "1,2,3"])
def test_what_is_no_point_is_refused_with_the_form(text):
    with pytest.raises(SettingsError, match=r"--focus .* y,x"):
        point(text, "--focus")
