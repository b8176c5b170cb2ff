"""A probe finds the strength at which the simulator's own ink is lost, and nothing without ink."""

import json

import numpy as np
import pytest
import torch

from napari_ink import load_checkpoint
from napari_ink.analysis import metrics
from napari_ink.analysis.detection import limit
from napari_ink.analysis.probe import BLANK, plan_probe, probe
from napari_ink.analysis.probe_chart import probe_chart
from napari_ink.analysis.probe_records import ProbeResult
from napari_ink.analysis.sweep import Way, map_of_region
from napari_ink.errors import SettingsError
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.sample import sample_path
from napari_ink.volumes.synthetic import synthesise

CPU = PredictionSettings(device="cpu")
STRENGTHS = (0.5, 0.2, 0.1)
#: How far a probe's limit may lie from that of the simulator's own ink on the same fragment.
FACTOR = 1.3


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(2)
    return load_checkpoint(sample_path("repmode-sample.safetensors"))


def fragment(seed=6001, strength=0.0, **options):
    return synthesise(seed, height=320, width=384, ink_strength=strength, **options)


@pytest.fixture(scope="module")
def bare():
    return fragment()


def probed(source, model, settings=CPU, **options):
    told = []
    plan = plan_probe(source, model, settings, **options)
    return list(probe(source, model, plan, notice=told.append)), told


@pytest.fixture(scope="module")
def done(bare, model):
    return probed(bare, model, strengths=STRENGTHS, seeds=2)[0]


def own_limit(seed, model):
    """With the ink that the simulator itself writes."""
    found = []
    for strength in (*STRENGTHS, 0.0):
        made = fragment(seed, strength)
        box = Box(0, *made.shape[1:2], 0, made.shape[2])
        probability = map_of_region(made, model, CPU, box, Way(model.info.layers), print)
        found.append(metrics.auc(metrics.Histogram.of(probability, np.asarray(made.label))))
    return limit((*STRENGTHS, 0.0), found)


def test_limit_agrees_with_that_of_the_simulators_own_ink(done, model):
    own = own_limit(6001, model)
    for found in ProbeResult.of(done).limits:
        assert own / FACTOR < found < own * FACTOR


def test_without_ink_the_letters_do_not_show_and_stronger_ink_shows_more(done):
    result = ProbeResult.of(done)
    assert result.strengths == (0.5, 0.2, 0.1, 0.0)
    assert result.auc[:, -1] == pytest.approx(0.5, abs=0.05)
    assert (np.diff(result.auc, axis=1) < 0).all()
    assert [one.index for one in done] == list(range(1, 9))
    assert done[0].total == 8


def test_results_say_that_the_ink_is_simulated(done):
    result = ProbeResult.of(done)
    summary = result.summary()
    json.dumps(summary, allow_nan=False)
    assert summary["ink"] == "simulated"
    assert result.verdict().startswith("simulated ink is found here from strength 0.1")
    figure = probe_chart(done, "f")
    assert "simulated ink" in figure.get_suptitle()


def test_ink_that_is_never_found_makes_a_blank_map_say_nothing():
    result = ProbeResult((1.0, 0.0), (Box(0, 9, 0, 9),), np.array([[0.7, 0.5]]), (0.5,))
    assert result.summary()["limit"] is None
    assert "a blank map says nothing here" in result.verdict()


def test_the_fragment_itself_is_not_changed(bare, done):
    assert (bare.read() == fragment().read()).all()


def test_on_a_fragment_stored_reversed_the_ink_is_planted_the_other_way_round(bare, model, done):
    volume = bare.read()[::-1]
    reverse = Fragment.from_array(volume, mask=np.asarray(bare.mask), voxel_size=16.0, name="r")
    settings = PredictionSettings(device="cpu", layers=(9, 25), reverse_depth=True)
    other, _ = probed(reverse, model, settings, strengths=(0.2,), seeds=1)
    same = next(one for one in done if one.strength == 0.2)
    assert other[1].auc == pytest.approx(same.auc, abs=0.005)


def test_places_with_ink_of_their_own_are_left_or_their_ink_is_left_out(model):
    inked = fragment(6002, 1.0)
    done, told = probed(inked, model, strengths=(0.5,), seeds=1)
    assert any("letters are planted beside it" in line for line in told)
    seen = done[0].probability >= model.info.threshold("ink")
    assert np.nanmean(seen) > BLANK
    assert not (done[0].label & seen).any()
    assert done[1].auc > 0.9  # its own ink, which is found too, would pull this down


def test_what_cannot_be_probed_is_refused_in_one_line(bare, model):
    for options, said in (
        ({"seeds": 0}, "0 tries"),
        ({"strengths": ()}, "ink strengths none"),
        ({"strengths": (0.0,)}, "ink strengths 0"),
        ({"strengths": (1.0, -1.0)}, "give numbers above 0"),
        ({"strengths": (float("nan"),)}, "ink strengths nan"),
    ):
        with pytest.raises(SettingsError, match=said):
            plan_probe(bare, model, CPU, **options)
    few = Fragment.from_array(np.zeros((3, 40, 40), np.uint8), name="few")
    with pytest.raises(SettingsError, match="few has 3 layers, the checkpoint takes 16"):
        plan_probe(few, model)
    small = PredictionSettings(device="cpu", region=Box(100, 140, 100, 140))
    with pytest.raises(SettingsError, match="no room for a letter"):
        probed(bare, model, small, strengths=(1.0,), seeds=1)
