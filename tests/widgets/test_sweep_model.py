"""What the windows say, without a window."""

import numpy as np

from napari_ink.analysis.probe_records import Planted
from napari_ink.analysis.sweep import Candidate, Way
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.widgets.sweep.model import (
    ProbeModel,
    ShownMap,
    SweepModel,
    for_a_look,
    looked_at,
    thumbnails,
)

BOX, MAP = Box(0, 40, 0, 50), np.full((40, 50), 0.2, np.float32)


def candidate(index, separation, **way):
    return Candidate(index, 3, Way((4, 8), **way), BOX, MAP, separation)


def planted(index, strength, auc):
    return Planted(index, 2, 1, BOX, strength, auc, MAP, MAP > 0, 0.5)


def test_the_best_so_far_is_framed_and_maps_keep_their_places():
    model = SweepModel()
    assert model.best is None
    assert model.verdict() == ""
    model.add(candidate(1, 0.2))
    model.add(candidate(2, 0.3, reverse_depth=True))
    assert [one.best for one in model.maps()] == [False, True]
    model.add(candidate(3, 0.4, turns=1))
    assert [one.best for one in model.maps()] == [False, False, True]
    assert model.maps()[1].text == "layers 4–7\nreversed\nseparation 0.300"


def test_what_shows_no_strokes_is_the_best_of_nothing():
    model = SweepModel()
    assert model.verdict(complete=False) == "Stopped."
    model.add(candidate(1, 0.02))
    assert model.clearest is None
    assert not any(one.best for one in model.maps())
    assert model.verdict(complete=False) == "Stopped."
    model.add(candidate(2, 0.3))
    assert model.verdict(complete=False) == "Stopped. Best so far: layers 4–7, as trained."


def test_the_verdict_names_the_way_or_says_that_nothing_shows():
    model = SweepModel()
    model.add(candidate(1, 0.02))
    assert model.verdict().startswith("No map shows strokes")
    model.add(candidate(2, 0.3, reverse_depth=True))
    assert model.verdict() == "Best: layers 4–7, reversed."
    model.add(candidate(3, 0.4, turns=1))
    assert "turned 90°. It shows best when turned" in model.verdict()


def test_a_probe_shows_the_letters_and_says_that_the_ink_is_simulated():
    model = ProbeModel()
    model.add(planted(1, 0.0, 0.5))
    model.add(planted(2, 1.0, 0.95))
    texts = [one.text for one in model.maps()]
    assert texts[0].startswith("planted letters\nsimulated ink")
    assert texts[1:] == ["without ink\nAUC 0.500\n", "strength 1\nAUC 0.950\n"]
    assert model.verdict().startswith(
        "Simulated ink is found here from strength 0.889 on (one try)"
    )


def test_a_look_at_what_is_visible_is_small_and_in_its_middle():
    assert looked_at(None, 100) is None
    assert looked_at(Box(0, 1000, 0, 400), 100) == (450, 550, 150, 250)
    assert looked_at(Box(10, 60, 20, 500), 100) == (10, 60, 210, 310)


def test_a_look_takes_one_sample_and_no_focus():
    given = PredictionSettings(samples=60, focus=(1, 2), overlap=0.5, layers=(1, 5), device="cpu")
    assert for_a_look(given) == PredictionSettings(layers=(1, 5), device="cpu")


def test_thumbnails_are_thinned_out():
    (small,) = thumbnails([ShownMap("", np.zeros((300, 1000)))], 100)
    assert small.shape == (30, 100)
