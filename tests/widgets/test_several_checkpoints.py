"""Several checkpoints in a real window: added, refused, averaged, opened again."""

from __future__ import annotations

import numpy as np
import pytest
from test_samples_dock import (  # noqa: F401 (fixtures)
    dock,
    gated,
    layer_of,
    run,
    small_folder,
    status,
)

from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.widgets.predict.request import PredictionRequest, file_fingerprint, store_path


@pytest.fixture
def another(gated, tmp_path):  # noqa: F811
    """Makes a checkpoint of the same kind with other weights, and other metadata if wanted."""
    from dataclasses import replace

    import torch

    from napari_ink.models.checkpoint import load_checkpoint, save_checkpoint

    def _another(name="another", scale=0.1, **metadata):
        model = load_checkpoint(gated)
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(scale * torch.randn_like(parameter))
        path = tmp_path / f"{name}.safetensors"
        save_checkpoint(path, model, replace(model.info, **metadata))
        return path

    return _another


@pytest.fixture
def one(dock):  # noqa: F811
    """The dock, asked for no samples."""
    dock.settings.samples.slider.number.setValue(1)
    return dock


def test_the_mean_of_two_is_as_headless_and_comes_back_when_it_is_opened(
    one,
    viewer,
    qtbot,
    small_folder,  # noqa: F811
    gated,  # noqa: F811
    another,
    tmp_path,
):
    from napari_ink import open_fragment, predict

    other = another()
    others = one.settings.maps.others
    others.add([other])
    assert "mean of 2 checkpoints" in one.settings.samples.note.text()
    seen = []
    one.runner.progress.connect(lambda *args: seen.append(args[-1]))
    one._seen = seen
    run(one, qtbot)
    path = tmp_path / "expected.ink.zarr"
    fragment = open_fragment(small_folder, voxel_size=16.0)
    list(predict(fragment, [gated, other], PredictionSettings(tile=64), store=path))
    expected = PredictionStore.open(path)
    for role in ("ink", "spread"):
        layer = layer_of(viewer, role)
        np.testing.assert_allclose(layer.data, expected.images[role][0][:], atol=1e-3)  # float16
    assert np.nanmax(layer_of(viewer, "spread").data) > 0
    assert layer_of(viewer, "ink").name == "small ink 2 checkpoints"
    assert any(line.startswith("pass 2 of 2") for line in seen)
    assert status(one).startswith("Done: the mean of 2 passes")

    others.removers[0].click()
    assert one.model.others == ()
    viewer.open(path, plugin="napari-ink")
    assert [path for path, _ in one.model.others] == [other]
    assert len(others.removers) == 1


@pytest.fixture
def letters(tmp_path):
    """A checkpoint for another task."""
    from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
    from napari_ink.models.repmode import RepMode

    model = RepMode(width=2, levels=1, depth=8, decoder="2d", tasks=("letters",))
    path = tmp_path / "letters.safetensors"
    save_checkpoint(path, model, CheckpointInfo.of(model, recipe={"kind": "fixed"}))
    return path


def test_what_does_not_go_together_is_said_with_the_way_out(one, letters):
    others = one.settings.maps.others
    others.add([one.model.checkpoint])
    assert "is chosen already" in status(one)
    assert one.model.others == ()
    others.add([letters])
    assert status(one) == "letters does not look for ink. Remove it under Advanced."
    assert not one.run.predict.isEnabled()
    others.removers[0].click()
    assert one.run.predict.isEnabled()


def test_a_file_that_is_no_checkpoint_is_refused_in_a_line(one, tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no")
    one.settings.maps.others.add([path])
    assert "broken" in status(one)
    assert "\n" not in status(one)
    assert one.model.others == ()


def test_that_another_learned_from_this_fragment_is_said(one, qtbot, another):
    dataset = [{"name": "small", "fingerprint": one.model.fragment.fingerprint()}]
    one.settings.maps.others.add([another("taught", dataset=dataset)])
    qtbot.waitUntil(lambda: "trained on this fragment" in one.model.trained_on, timeout=10_000)
    assert any("trained on this fragment" in doubt for doubt in one.model.doubts)
    one.settings.maps.others.removers[0].click()
    assert one.model.trained_on == ""


def test_the_name_of_the_result_depends_on_every_checkpoint(one, another, tmp_path):
    from napari_ink.models.checkpoint import load_checkpoint

    paths = [another("a"), another("b", voxel_size=15.0), another("c", scale=0.2)]
    prints = [file_fingerprint(path) for path in paths]
    assert prints == [load_checkpoint(path).info.fingerprint for path in paths]
    model = one.model
    request = PredictionRequest(
        model.fragment, model.checkpoint, PredictionSettings(), tmp_path, model.info
    )
    chosen = ((), prints[:1], prints[1:2], prints[2:], prints)
    assert len({store_path(request, "first", others).name for others in chosen}) == 5


def test_the_mean_with_another_second_checkpoint_is_another_prediction(
    one, viewer, qtbot, another, preferences
):
    others = one.settings.maps.others
    for name, scale in (("a", 0.1), ("b", 0.2)):  # alike but for their weights
        others.add([another(name, scale=scale)])
        run(one, qtbot)
        assert status(one).startswith("Done: the mean of 2 passes")
        others.removers[0].click()
    assert len(list(preferences.iterdir())) == 2


def test_a_checkpoint_that_is_gone_is_named_when_its_prediction_is_opened(
    one,
    viewer,
    small_folder,  # noqa: F811
    gated,  # noqa: F811
    another,
    tmp_path,
):
    from napari_ink import open_fragment, predict

    kept, gone = another("kept"), another("gone", scale=0.2)
    path, fragment = tmp_path / "three.ink.zarr", open_fragment(small_folder, voxel_size=16.0)
    list(predict(fragment, [gated, kept, gone], PredictionSettings(tile=64), store=path))
    gone.unlink()
    viewer.open(path, plugin="napari-ink")
    assert [other for other, _ in one.model.others] == [kept]
    assert "gone.safetensors is no longer in" in one.run.notes.text()
    assert "Predict does without it" in one.run.notes.text()
    one.settings.maps.others.removers[0].click()  # now it is the user's own choice
    assert "gone.safetensors" not in one.run.notes.text()


def test_the_first_checkpoint_that_is_gone_is_named_too(
    one,
    viewer,
    small_folder,  # noqa: F811
    another,
    tmp_path,
):
    from napari_ink import open_fragment, predict

    gone, path = another("gone"), tmp_path / "one.ink.zarr"
    fragment = open_fragment(small_folder, voxel_size=16.0)
    list(predict(fragment, gone, PredictionSettings(tile=64), store=path))
    gone.unlink()
    viewer.open(path, plugin="napari-ink")
    assert "gone.safetensors is no longer in" in one.run.notes.text()
    assert one.run.predict.isEnabled()  # with the checkpoint that is chosen


def test_a_long_name_leaves_the_dock_as_narrow_as_it_is(one, another):
    width = one.width()
    one.settings.advanced.expand()
    one.settings.maps.others.add([another("a-network-with-a-name-" * 5)])
    assert one.settings.sizeHint().width() <= 320
    assert one.width() == width
