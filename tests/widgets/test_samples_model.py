"""Samples in the dock's model and words, without a window."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_ink.inference.settings import Box, PredictionSettings, TileDone
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.volumes.fragment import Fragment
from napari_ink.widgets.predict.model import PredictModel, Region
from napari_ink.widgets.predict.recall import recall_samples
from napari_ink.widgets.predict.samples_progress import SamplesProgress
from napari_ink.widgets.predict.samples_words import samples_note
from napari_ink.widgets.sweep.model import for_a_look


def a_model(architecture="repmode", side=64, layers=16, **arguments) -> PredictModel:
    model = PredictModel()
    volume = np.broadcast_to(np.uint8(0), (layers, side, side))
    model.choose_fragment(Fragment.from_array(volume, voxel_size=8.0))
    arguments = {"collapse": "conv2d", "levels": 2, "dropout": 0.2, "gate_noise": 0.5} | arguments
    info = CheckpointInfo(architecture, arguments, ("ink",), 16, {}, voxel_size=8.0)
    model.choose_checkpoint("c.safetensors", info)
    return model


def test_a_single_pass_says_nothing_of_samples():
    model = a_model()
    model.tolerance, model.dropout, model.seed = 0.01, 0.3, 7
    assert model.settings() == PredictionSettings(layers=(0, 16), task="ink", interactive=True)
    assert samples_note(model) == ""


def test_what_was_chosen_of_samples_goes_into_the_settings():
    model = a_model()
    model.samples, model.tolerance, model.gate_noise, model.seed = 60, 0.01, 0.25, 7
    settings = model.settings()
    drawn = (settings.samples, settings.tolerance, settings.dropout, settings.gate_noise)
    assert drawn == (60, 0.01, None, 0.25)
    assert settings.seed == 7
    model.tolerance = 0.0
    assert model.settings().tolerance is None


def test_a_look_before_a_long_run_is_a_single_pass():
    model = a_model()
    model.samples, model.tolerance, model.dropout = 60, 0.01, 0.3
    look = for_a_look(model.settings())
    assert (look.samples, look.tolerance, look.dropout) == (1, None, None)
    assert model.settings().single_pass == a_model().settings()


def test_a_network_without_gates_makes_one_pass_and_says_why():
    model = a_model("unet")
    model.samples = 60
    assert not model.can_sample
    assert model.settings().samples == 1
    assert "no gates" in samples_note(model)


def test_samples_in_int8_are_refused_before_anything_begins():
    model = a_model()
    model.runtime = "openvino-int8"
    assert model.problem is None
    model.samples = 60
    assert "openvino" in model.problem


def test_the_note_tells_what_samples_cost():
    model = a_model()
    model.samples = 60
    assert "60 networks" in samples_note(model)
    assert "About 43 ×" in samples_note(model)  # .72 of a pass each at a dropout of .2
    model.dropout = 0.0
    assert "About 60 ×" in samples_note(model)
    model.tolerance = 0.01
    assert "At most 60 ×" in samples_note(model)


def test_on_a_large_fragment_chosen_samples_cost_half():
    model = a_model(side=4000)
    model.samples = 60
    assert "About 21 ×" in samples_note(model)
    model.region = Region.VISIBLE  # may be too small to choose for
    assert "About 43 ×" in samples_note(model)


def test_a_depth_sweep_takes_its_passes_at_every_place():
    model = a_model(layers=32)
    model.samples, model.depth_sweep = 60, 4
    assert model.windows == 5
    assert "About 215 ×" in samples_note(model)
    model.samples, model.symmetries = 1, "flips"
    assert "About 20 ×" in samples_note(model)


def test_samples_that_would_all_be_the_same_are_told_of():
    model = a_model(dropout=0.0, gate_noise=0.0)
    model.samples = 60
    assert "the same" in samples_note(model)
    model.dropout = 0.1
    assert "the same" not in samples_note(model)


def test_an_opened_prediction_brings_back_how_it_was_sampled():
    model = a_model()
    record = {"samples": 60, "tolerance": 0.01, "dropout": 0.2, "gate_noise": 0.25, "seed": 3}
    recall_samples(model, record)
    found = (model.samples, model.tolerance, model.dropout, model.gate_noise, model.seed)
    assert found == (60, 0.01, None, 0.25, 3)  # a dropout of .2 is that of training
    recall_samples(model, {"layers": [0, 16]})
    assert model.samples == 1


BOXES = [Box(0, 1000, 1000 * k, 1000 * k + 1000) for k in range(4)]


def run_of(progress, asked, *, first=1, last, enough=None):
    """Lines of a run over four blocks, one sample after the other."""
    done, lines = 4 * (first - 1), []
    for samples in range(first, last + 1):
        for box in BOXES:
            done += asked - samples + 1 if samples == enough else 1
            progress.add(TileDone(done, 4 * asked, box, np.zeros(0), samples=samples))
            lines.append(progress.line())
    return lines


def ticking(**more):
    return SamplesProgress(4 * 60, "cpu", clock=itertools.count().__next__, samples=60, **more)


def test_progress_names_the_sample_and_the_time_left():
    progress = ticking(needed=60)
    lines = run_of(progress, 60, last=7)
    assert lines[-1] == "sample 7 of 60 · 4 min left · cpu"  # 212 blocks of 1 s
    assert progress.bar == (28, 240)


def test_chosen_samples_are_counted_by_those_that_are_needed():
    progress = ticking(needed=60, chosen=True)
    assert run_of(progress, 60, last=1)[-1] == "sample 1 of 60 · choosing the others · cpu"
    progress.needed = 20
    assert run_of(progress, 60, first=2, last=10)[-1].startswith("sample 10 of 20 · 4")
    run_of(progress, 60, first=11, last=20, enough=20)
    assert progress.left == 0
    assert progress.bar == (80, 80)


def test_a_block_that_comes_again_while_samples_are_tried_counts_once():
    progress = ticking(needed=60)
    run_of(progress, 60, last=2)
    again = TileDone(8, 240, BOXES[-1], np.zeros(0), samples=2)
    progress.add(again)
    assert progress.line() == "sample 2 of 60 · choosing the others · cpu"
    assert progress._times[-1][2] == 8


def test_with_a_tolerance_time_left_is_a_bound():
    progress = ticking(needed=60, tolerance=True)
    line = run_of(progress, 60, last=2)[-1]
    assert line.startswith("sample 2 of up to 60 · up to ")


@pytest.mark.parametrize("samples", [1, 7, 60, 359])
def test_every_number_has_a_place_on_the_slider(samples):
    from napari_ink.widgets.predict.samples_slider import MARKS, STEPS, nearest_step

    assert list(STEPS) == sorted(set(STEPS))
    assert set(MARKS) <= set(STEPS)
    step = STEPS[nearest_step(samples)]
    assert abs(np.log(step / samples)) <= np.log(1.25)
