"""The dock's model and words, without a window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ink.inference.doubts import doubts
from napari_ink.inference.settings import Box, TileDone
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.volumes.fragment import Fragment
from napari_ink.widgets.predict.layer_window import fit_window
from napari_ink.widgets.predict.model import PredictModel
from napari_ink.widgets.predict.progress import RunProgress, duration
from napari_ink.widgets.predict.provenance import readable
from napari_ink.widgets.predict.words import checkpoint_line, fragment_line, scale_line


def a_fragment(layers=32, voxel=8.0, first=0):
    volume = np.zeros((layers, 64, 96), np.uint8)
    return Fragment.from_array(volume, voxel_size=voxel, first_layer=first)


def an_info(**others):
    given = {"architecture": "repmode", "arguments": {"collapse": "conv2d"}, "tasks": ("ink",)}
    return CheckpointInfo(
        **given
        | {"depth": 16, "recipe": {}, "voxel_size": 8.0, "window": 64, "thresholds": {"ink": 0.5}}
        | others
    )


def test_who_sits_at_the_dock_wants_a_first_block_soon():
    assert PredictModel().settings().interactive


def test_what_is_missing_is_said_as_the_next_thing_to_do():
    model = PredictModel()
    assert "Open a fragment" in model.problem
    model.choose_fragment(a_fragment())
    assert "Choose a checkpoint" in model.problem
    model.choose_checkpoint("c.safetensors", an_info(depth=65))
    assert "65 layers" in model.problem
    model.choose_checkpoint("d.safetensors", an_info())
    assert model.problem is None


def test_layer_window_is_the_checkpoints_own_or_the_middle():
    model = PredictModel()
    model.choose_fragment(a_fragment(first=10))
    model.choose_checkpoint("c", an_info(layers=(12, 28)))
    assert model.layers == (12, 28)
    model.choose_checkpoint("d", an_info(layers=(0, 16)))  # not all there
    assert model.layers == (18, 34)


@given(
    start=st.integers(0, 40),
    depth=st.integers(1, 30),
    moved=st.integers(0, 70),
    which=st.integers(0, 1),
)
def test_moved_layer_window_keeps_its_depth_and_stays_inside(start, depth, moved, which):
    bounds = (0, start + depth + 20)
    last = (start, start + depth)
    wanted = list(last)
    wanted[which] = moved
    fitted = fit_window(sorted(wanted), last, depth, bounds)
    assert fitted[1] - fitted[0] == depth
    assert bounds[0] <= fitted[0] < fitted[1] <= bounds[1]


@pytest.mark.parametrize("trained_flipped", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_dock_says_which_layer_the_network_sees_first(trained_flipped, reverse):
    model = PredictModel()
    assert model.reading_order == ""
    model.choose_fragment(a_fragment())
    model.choose_checkpoint("c", an_info(layers=(7, 23), reverse_depth=trained_flipped))
    model.reverse_depth = reverse
    down = reverse != trained_flipped
    assert model.reading_order == ("from layer 22 down to 7" if down else "from layer 7 up to 22")


def test_settings_carry_the_choices_and_leave_open_what_was_not_chosen():
    model = PredictModel()
    model.choose_fragment(a_fragment())
    model.choose_checkpoint("c", an_info())
    model.reverse_depth, model.tile = True, 128
    settings = model.settings(Box(0, 10, 0, 20), (5, 5))
    assert settings.layers == (8, 24)
    assert settings.reverse_depth
    assert (settings.tile, settings.overlap, settings.region) == (128, None, (0, 10, 0, 20))


@pytest.mark.parametrize(
    ("fragment", "info"),
    [
        (a_fragment(), an_info(window=80)),
        (a_fragment(voxel=3.24), an_info()),
        (a_fragment(voxel=None), an_info(thresholds={})),
    ],
)
def test_the_dock_says_before_predicting_what_the_plan_says(fragment, info):
    model = PredictModel()
    model.choose_fragment(fragment)
    model.choose_checkpoint("c", info)
    assert model.doubts
    assert model.doubts == doubts(fragment, info)


def test_what_was_seen_of_one_pair_is_not_said_of_another():
    model = PredictModel()
    model.choose_fragment(a_fragment())
    model.choose_checkpoint("c", an_info())
    model.trained_on = "trained on this"
    assert model.doubts == ["trained on this"]
    model.choose_checkpoint("d", an_info(depth=8))
    assert model.doubts == []
    model.trained_on = "trained on this"
    model.choose_fragment(a_fragment())
    assert model.doubts == []


def test_nothing_is_said_where_nothing_is_wrong():
    model = PredictModel()
    assert model.doubts == []
    model.choose_fragment(a_fragment())
    model.choose_checkpoint("c", an_info())
    assert model.doubts == []
    assert scale_line(a_fragment(), an_info()) == "window 0.51 mm · scale matches"
    assert scale_line(a_fragment(voxel=3.24), an_info()).endswith("scale differs")


def test_lines_about_fragment_and_checkpoint():
    assert fragment_line(a_fragment()) == "32×64×96 · 8 µm"
    line = checkpoint_line(an_info(metrics={"f05": 0.86}))
    assert line == "2D · F0.5 .86 · window 0.51 mm"
    assert checkpoint_line(an_info(arguments={"collapse": "none"})).startswith("3D labels")


def test_rate_and_time_left_leave_out_blocks_from_the_store():
    now = iter(range(100))
    progress = RunProgress(4, "cpu", clock=lambda: next(now))

    def tile(k):
        return TileDone(k, 4, Box(0, 1000, 0, 1000), np.zeros(0))

    progress.add(tile(1), from_store=True)
    assert progress.line() == "blocks 1/4 · cpu"
    progress.add(tile(2))
    assert progress.line() == "blocks 2/4 · 1 Mpx/s · 2 s left · cpu"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (41, "41 s"), (180, "3 min"), (7800, "2 h 10 min")]
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_provenance_reads_as_lines():
    text = readable({"settings": {"tile": 64, "reverse_depth": False}, "warnings": []})
    assert text.splitlines() == ["settings:", "  tile: 64", "  reverse depth: no", "warnings: –"]
