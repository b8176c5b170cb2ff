"""What should not happen, and does: half-made layers, odd names, bad preferences, lost files."""

from __future__ import annotations

import pytest

from napari_ink._layers import ink_metadata
from napari_ink._writer import write_picture, write_store
from napari_ink.errors import StoreError


def saved_as(store):
    """The attributes of an ink layer with a store."""
    return {"name": "frag ink", "metadata": ink_metadata(None, str(store), {})}


@pytest.mark.parametrize(("write", "name"), [(write_store, "x.ink.zarr"), (write_picture, "x.png")])
def test_ink_before_its_first_block_is_not_saved(tmp_path, monkeypatch, write, name):
    here = tmp_path / "here"
    here.mkdir()
    (here / "private.txt").write_text("not yours")
    monkeypatch.chdir(here)
    target = tmp_path / name
    with pytest.raises(StoreError, match=r"frag ink holds no prediction yet: wait"):
        write(str(target), None, saved_as(""))
    assert not target.exists()


@pytest.mark.parametrize(("write", "name"), [(write_store, "x.ink.zarr"), (write_picture, "x.png")])
def test_a_folder_that_is_no_prediction_is_not_saved_as_one(tmp_path, write, name):
    here = tmp_path / "here.ink.zarr"
    here.mkdir()
    (here / "private.txt").write_text("not yours")
    target = tmp_path / name
    with pytest.raises(StoreError, match="is not a prediction"):
        write(str(target), None, saved_as(here))
    assert not target.exists()
