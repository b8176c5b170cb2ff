"""A trained network takes up a new task: the old one's ink stays, to the bit."""

import numpy as np
import pytest
import torch
from small_run import small

from napari_ink import load_checkpoint, predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.volumes.synthetic import synthesise
from training.run import main


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A checkpoint, and what became of it."""
    tmp_path = tmp_path_factory.mktemp("extending")
    assert main([str(small(tmp_path))]) == 0
    old = tmp_path / "runs/small/small.safetensors"
    path = small(tmp_path, name="more", data={"recipe": {}}, network={"arguments": {"width": 99}})
    assert main([str(path), "--extend", str(old), "--new-task", "54 keV"]) == 0
    return old, tmp_path / "runs/more/more.safetensors", path


def ink(checkpoint, task):
    """The map of a whole fragment."""
    fragment = synthesise(3, depth=8, height=96, width=128, voxel_size=64.0)
    model = load_checkpoint(checkpoint)
    found = np.full(fragment.shape[1:], np.nan, np.float32)
    for done in predict(fragment, model, PredictionSettings(task=task)):
        found[done.box.slices] = done.probability
    return found


def test_old_task_is_predicted_bit_by_bit_as_before_and_the_new_one_learned(both):
    old, new, _ = both
    before = ink(old, "ink")
    assert np.array_equal(ink(new, "ink"), before, equal_nan=True)
    learned = ink(new, "54 keV")
    assert np.nanmax(np.abs(learned - before)) > 1e-4
    assert np.array_equal(ink(new, None), before, equal_nan=True)  # the first task is the default


def test_only_what_the_new_task_added_has_moved(both):
    old, new = (load_checkpoint(path) for path in both[:2])
    state = new.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in old.state_dict().items())
    assert new.tasks == ("ink", "54 keV")
    assert new.info.thresholds["ink"] == old.info.thresholds["ink"]
    assert (new.halo, new.info.recipe, new.info.layers) == (
        old.halo,
        old.info.recipe,
        old.info.layers,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--new-task", "ink"], "'ink' already"),
        (["--new-task", "more", "--data.recipe", "{kind: percentile}"], "leave data.recipe out"),
        (["--new-task", "more", "--extend", "nowhere.safetensors"], "nowhere"),
        (["--new-task", "more", "--data.window", "15"], "multiples of 2"),
    ],
)
def test_what_cannot_be_extended_is_refused(both, capsys, options, message):
    old, _, path = both
    if "--extend" not in options:
        options = [*options, "--extend", str(old)]
    assert main([str(path), "--name", "refused", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (old.parents[1] / "refused").exists()
