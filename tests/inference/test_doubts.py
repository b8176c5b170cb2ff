"""What is doubtful about a pair is said, and finding it out needs no network."""

import subprocess
import sys

import numpy as np
import pytest

from napari_ink.errors import FragmentError
from napari_ink.inference.doubts import doubts, doubts_at_sight, trained_on
from napari_ink.models.info import CheckpointInfo
from napari_ink.volumes.fragment import ArrayVolume, Fragment


def a_fragment(voxel=8.0):
    return Fragment.from_array(np.zeros((4, 48, 48), np.uint8), voxel_size=voxel)


def an_info(**others):
    given = {"architecture": "a", "arguments": {}, "tasks": ("ink",), "depth": 4, "recipe": {}}
    return CheckpointInfo(
        **given | {"voxel_size": 8.0, "window": 64, "thresholds": {"ink": 0.5}} | others
    )


def test_they_load_no_torch():
    code = "import sys; import napari_ink.inference.doubts; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pair_that_fits_leaves_no_doubt():
    assert doubts(a_fragment(), an_info()) == []


def test_a_fragment_of_the_training_set_is_told_by_its_pixels():
    entry = {"name": "under another name", "fingerprint": a_fragment().fingerprint()}
    assert doubts(a_fragment(), an_info(dataset=(entry,))) == [
        "the checkpoint was trained on this fragment: its ink proves nothing here"
    ]
    assert trained_on(a_fragment(), an_info(dataset=({"name": "array"},))) is None


def test_no_pixel_is_read_for_what_is_seen_at_sight_or_where_no_data_is_named():
    class Unreadable(ArrayVolume):
        def read(self, z, y, x):
            raise FragmentError("a layer is gone", "bring it back")

    volume = Unreadable(np.zeros((4, 48, 48), np.uint8))
    fragment = Fragment("gone", "", "array", volume)
    entry = {"name": "x", "fingerprint": "0" * 32}
    assert doubts(fragment, an_info()) == doubts_at_sight(fragment, an_info(dataset=(entry,)))
    with pytest.raises(FragmentError):
        trained_on(fragment, an_info(dataset=(entry,)))


@pytest.mark.parametrize(("ours", "theirs"), [(None, 8.0), (8.0, None), (None, None)])
def test_an_unknown_scale_is_said_once_with_the_size_that_is_known(ours, theirs):
    (line,) = doubts(a_fragment(ours), an_info(voxel_size=theirs))
    assert "voxel size is unknown" in line
    assert ("checkpoint's is 8 µm" in line) == (theirs is not None)


def test_without_a_fragment_the_checkpoint_alone_is_doubted():
    (line,) = doubts_at_sight(None, an_info(window=80))
    assert "0.64 mm" in line
