"""The fragment turned, in a real window: chosen, shown, stopped, gone on with, opened again."""

from __future__ import annotations

import numpy as np
import pytest
from test_samples_dock import (  # noqa: F401 (fixtures)
    dock,
    gated,
    headless,
    layer_of,
    run,
    slow,
    small_folder,
    status,
    stop_at,
)

from napari_ink._layers import carried, is_doubt
from napari_ink._preferences import read_preferences
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore


@pytest.fixture
def one(dock):  # noqa: F811
    """The dock, asked for no samples."""
    dock.settings.samples.slider.number.setValue(1)
    return dock


def turn(dock, name):  # noqa: F811
    box = dock.settings.maps.turned
    box.setCurrentIndex(box.findData(name))


@pytest.fixture(scope="session")
def expected(small_folder, gated, tmp_path_factory):  # noqa: F811
    """Stores by symmetries, as the command line makes them."""
    from napari_ink import load_checkpoint, open_fragment, predict

    fragment, model = open_fragment(small_folder, voxel_size=16.0), load_checkpoint(gated)
    found = {}
    for name in ("turns", "flips"):
        path = tmp_path_factory.mktemp("turned") / f"{name}.ink.zarr"
        settings = PredictionSettings(tile=64, layers=(0, 8), symmetries=name)
        for _ in predict(fragment, model, settings, store=path):
            pass
        found[name] = PredictionStore.open(path)
    return found


def test_four_ways_are_averaged_as_headless_and_their_spread_comes(one, viewer, qtbot, expected):
    seen = []
    one.runner.progress.connect(lambda *args: seen.append(args[-1]))
    one._seen = seen
    turn(one, "flips")
    assert "4 × as long" in one.settings.samples.note.text()
    run(one, qtbot)
    for role in ("ink", "spread", "information"):
        np.testing.assert_allclose(
            layer_of(viewer, role).data, expected["flips"].images[role][0][:], atol=1e-3
        )
    assert np.nanmax(layer_of(viewer, "spread").data) > 0
    assert layer_of(viewer, "ink").name == "small ink 4 ways"
    assert any(line.startswith("pass 3 of 4") for line in seen)
    assert status(one).startswith("Done: the mean of 4 passes")


def test_each_tile_another_way_is_a_single_pass_without_spread(one, viewer, qtbot, expected):
    turn(one, "turns")
    run(one, qtbot)
    ink = layer_of(viewer, "ink")
    np.testing.assert_allclose(ink.data, expected["turns"].images["ink"][0][:], atol=1e-3)
    assert not [layer for layer in viewer.layers if is_doubt(layer)]
    assert ink.name == "small ink each tile turned"


def test_a_stopped_run_of_many_ways_goes_on_with_the_next_pass(
    slow,  # noqa: F811
    one,
    viewer,
    qtbot,
    expected,
    preferences,
):
    turn(one, "flips")
    stop_at(one, "pass 2 of 4")
    run(one, qtbot)
    assert " of 4 passes are kept: Predict goes on with pass " in status(one)
    one.runner.progress.disconnect(one._test_stop)
    run(one, qtbot)
    assert len(list(preferences.glob("*.ink.zarr"))) == 1
    ink = layer_of(viewer, "ink")
    np.testing.assert_allclose(ink.data, expected["flips"].images["ink"][0][:], atol=1e-3)


def test_the_way_is_remembered_and_comes_back_with_what_is_opened(one, viewer, expected):
    turn(one, "all")
    assert read_preferences().symmetries == "all"
    viewer.open(expected["flips"].path, plugin="napari-ink")
    assert one.settings.maps.turned.currentData() == "flips"
    assert carried(layer_of(viewer, "ink"))["provenance"]["settings"]["symmetries"] == "flips"
    assert layer_of(viewer, "spread").name == "small ink 4 ways uncertainty"


def test_doubts_with_and_without_samples_have_names_of_their_own(one, viewer, qtbot):
    turn(one, "flips")
    for samples in (1, 4):
        one.settings.samples.slider.number.setValue(samples)
        run(one, qtbot)
    names = [layer.name for layer in viewer.layers if is_doubt(layer)]
    assert sorted(names) == [
        f"small ink 4 ways {words}"
        for words in ("disagreement", "sampled disagreement", "sampled uncertainty", "uncertainty")
    ]


def test_a_short_look_is_not_turned(one):
    turn(one, "all")
    assert one.model.settings().symmetries == "all"
    assert one.model.settings(plain=True).symmetries == "none"
