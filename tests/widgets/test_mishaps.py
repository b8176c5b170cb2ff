"""What should not happen, and does: half-made layers, odd names, bad preferences, lost files."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from napari_ink import open_fragment
from napari_ink._layers import ink_metadata
from napari_ink._preferences import Preferences, remember
from napari_ink._writer import write_picture, write_store
from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.volumes.fragment import Fragment
from napari_ink.widgets.checkpoints import known_checkpoints, sample_checkpoint
from napari_ink.widgets.folders import prediction_folder
from napari_ink.widgets.predict.request import PredictionRequest, store_path
from napari_ink.widgets.predict.steps import prediction_steps


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


_ARRAY = Fragment.from_array(np.zeros((2, 8, 8), np.uint8), name="array")


@given(name=st.text(), stem=st.text())
@example(name="../../etc/x", stem="../y")
@example(name="..", stem=".")
@example(name="/", stem="C:\\x")
@example(name="CON.a", stem="nul.b")
@example(name="\ud800con.a", stem=" .")
@example(name="字" * 300, stem="x" * 300)
@example(name="\ud800", stem="\x00")
def test_no_name_leads_out_of_the_folder_or_is_refused_by_a_system(name, stem):
    folder = Path("/predictions")
    request = PredictionRequest(
        replace(_ARRAY, name=name), SimpleNamespace(stem=stem), PredictionSettings(), folder
    )
    path = store_path(request, "0" * 64)
    assert path.parent == folder
    assert PureWindowsPath(path.name).name == path.name
    assert not PureWindowsPath(path.name).is_reserved()
    assert not set('<>:"/\\|?*') & set(path.name)
    assert all(ord(letter) > 31 for letter in path.name)
    assert not path.name.startswith((".", " "))
    assert len(os.fsencode(path.name)) <= 200
    assert path.name.endswith(".ink.zarr")


def test_a_fragment_named_like_a_path_is_predicted_within_the_folder(
    fragment_folder, checkpoint, tmp_path
):
    folder = tmp_path / "predictions"
    fragment = replace(open_fragment(fragment_folder), name="../out/frag")
    request = PredictionRequest(fragment, checkpoint, PredictionSettings(tile=64), folder)
    for _ in prediction_steps(request, Event()):
        pass
    (store,) = folder.iterdir()
    assert store.name.startswith("_out_frag-tiny-")
    assert list(tmp_path.iterdir()) == [folder]


TOO_LONG = "/" + "x" * 300
NOWHERE = ["~nobodyx/foo", TOO_LONG, "/" + "x/" * 3000, "a\x00b"]


@pytest.mark.parametrize("path", NOWHERE)
def test_a_checkpoint_folder_that_can_be_none_offers_nothing(checkpoint, path):
    told = Preferences(checkpoint=str(checkpoint), checkpoint_folder=path)
    assert known_checkpoints(told) == [checkpoint, sample_checkpoint()]
    told = Preferences(checkpoint=path, checkpoint_folder=str(checkpoint.parent))
    assert known_checkpoints(told) == [sample_checkpoint(), checkpoint]


@pytest.mark.parametrize("path", [*NOWHERE, "relative/folder", "."])
def test_a_folder_for_predictions_that_can_be_none_is_refused_by_name(path):
    with pytest.raises(SettingsError, match=r"^the folder for predictions .*: choose another one"):
        prediction_folder(_ARRAY, Preferences(store_folder=path))


def test_a_file_is_no_folder_for_predictions(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        with pytest.raises(SettingsError, match="choose another one"):
            prediction_folder(_ARRAY, Preferences(store_folder=str(path)))


def test_a_folder_for_predictions_may_still_be_made(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert prediction_folder(_ARRAY, Preferences(store_folder=str(folder))) == folder
    at_home = prediction_folder(_ARRAY, Preferences(store_folder="~/nowhere/ink"))
    assert at_home == Path.home() / "nowhere" / "ink"


def test_the_dock_opens_whatever_the_checkpoint_folder_is(viewer, checkpoint):
    remember(checkpoint_folder="~nobodyx/foo")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    assert dock.model.checkpoint == checkpoint


def test_the_dock_opens_whatever_the_folder_for_predictions_is(dock):
    for folder in (*NOWHERE[:3], "relative"):
        remember(store_folder=folder)
        dock.source.layer_chosen.emit(dock.source.layers.currentData())
        dock.run.predict.click()
        assert not dock.model.running
        assert "choose another one" in dock.run.status.text()


def test_a_checkpoint_replaced_after_it_was_chosen_is_not_predicted_with(
    dock, viewer, qtbot, checkpoint, altered, preferences
):
    other = altered(thresholds={"ink": 0.25})
    chosen = other.with_name("chosen.safetensors")
    shutil.copy(checkpoint, chosen)
    dock.source.choose_checkpoint(chosen)
    shutil.copy(other, chosen)
    dock.run.predict.click()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=60_000)
    message = "chosen.safetensors changed since it was chosen: choose it again"
    assert dock.run.status.text().startswith(message)
    assert not list(preferences.iterdir())
    dock.source.choose_checkpoint(chosen)
    dock.run.predict.click()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=60_000)
    assert dock.run.status.text().startswith("Done")


def test_a_store_removed_during_a_run_ends_it_with_one_line(
    dock, qtbot, preferences, tmp_path, monkeypatch
):
    run_plan = predict.run_plan

    def slowly(*args, **kwargs):
        for tile in run_plan(*args, **kwargs):
            yield tile
            time.sleep(0.15)

    def _on_progress(done, total, line):
        for store in preferences.glob("*.ink.zarr"):  # not one that is only being made
            store.rename(tmp_path / "removed.ink.zarr")

    monkeypatch.setattr(predict, "run_plan", slowly)
    dock.runner.progress.connect(_on_progress)
    dock.run.predict.click()
    qtbot.waitUntil(lambda: not dock.model.running, timeout=60_000)
    assert "was removed while" in dock.run.status.text()
    assert "predict again" in dock.run.status.text()
    assert "kept" not in dock.run.status.text()
    assert not list(preferences.iterdir())
