"""The whole run, small: settings in, checkpoint out."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_run import DEPTH, log, small

from napari_ink import load_checkpoint, predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Recipe
from training.keeping.checkpoints import BEST
from training.keeping.journal import Journal, Table
from training.run import main, open_all
from training.settings.load import load_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run's folder and configuration file."""
    tmp_path = tmp_path_factory.mktemp("training")
    path = small(tmp_path)
    assert main([str(path), "--learning.averaging", "0.5"]) == 0
    return tmp_path / "runs" / "small", path


def opened(path, model):
    config = load_config(path)
    return open_all(config, model, Recipe.from_dict(model.info.recipe))


def test_run_leaves_a_checkpoint_with_all_that_is_needed_to_use_it(finished):
    folder, path = finished
    model = load_checkpoint(folder / "small.safetensors")
    info, config = model.info, load_config(path)
    assert not model.training
    assert info.depth == DEPTH
    assert info.layers == (0, DEPTH)
    assert info.recipe == Recipe.from_dict(config.data.recipe).to_dict()
    assert (info.voxel_size, info.window) == (64.0, 16)
    assert info.halo == model.halo
    assert info.simulated
    assert info.training["config"]["learning"]["averaging"] == 0.5
    assert str(folder.parent) not in info.to_json()
    assert {"torch", "lightning", "napari-ink"} <= set(info.versions)
    sources = opened(path, model)
    assert [entry["fingerprint"] for entry in info.dataset] == [
        source.fragment.fingerprint() for source in sources if not source.validation
    ]
    assert 0 < info.thresholds["ink"] < 1


def test_scores_and_threshold_are_those_of_the_prediction_that_a_reader_gets(finished):
    folder, path = finished
    model = load_checkpoint(folder / "small.safetensors")
    (look,) = (source for source in opened(path, model) if source.validation)
    ink = np.full(look.label.shape, np.nan)
    for done in predict(look.fragment, model):
        ink[done.box.slices] = done.probability
    inside = look.counts
    assert model.info.metrics["pixels"] == inside.sum()
    label, found = look.label[inside] > 127, np.float64(np.float16(ink[inside]))

    def f05(threshold):
        hits = (label & (found >= threshold)).sum()
        return 1.25 * hits / (0.25 * label.sum() + (found >= threshold).sum())

    reached = f05(model.info.thresholds["ink"])
    assert reached == pytest.approx(model.info.metrics["f05"])
    assert reached >= max(f05(value) for value in np.unique(found))
    with np.load(folder / "validation" / f"{look.name}.npz") as kept:
        assert np.array_equal(kept["probability"], np.float16(ink), equal_nan=True)
        assert np.array_equal(kept["label"], look.label)
        assert np.array_equal(kept["counts"], look.counts)


def test_the_weights_that_are_kept_are_the_averaged_ones_of_the_best_look(finished):
    folder, _ = finished
    looks = {int(row["step"]): float(row["f05"]) for row in log(folder) if row["f05"]}
    assert list(looks) == [3, 6]
    best = max(looks, key=lambda step: (looks[step], -step))
    model = load_checkpoint(folder / "small.safetensors")
    checkpoint = torch.load(folder / BEST, weights_only=True)
    assert model.info.training["kept"] == {
        "weights": "best",
        "score": "f05",
        "step": best,
        "averaged": True,
    }
    assert checkpoint["global_step"] == best
    averaged, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    state = model.state_dict()
    assert all(torch.equal(averaged[f"network.{name}"], state[name]) for name in state)
    assert any(not torch.equal(current[name], averaged[name]) for name in averaged)


def test_what_a_look_judges_is_what_it_keeps(finished):
    """The averaged weights of best.ckpt give the very scores that the log has for its step."""
    folder, _ = finished
    model = load_checkpoint(folder / "small.safetensors")
    step = model.info.training["kept"]["step"]
    row = next(row for row in log(folder) if row["f05"] and int(row["step"]) == step)
    assert model.info.metrics["auc"] == pytest.approx(float(row["auc"]), abs=1e-3)
    assert model.info.metrics["f05"] == pytest.approx(float(row["f05"]), abs=1e-3)


def test_run_leaves_its_settings_versions_windows_and_report(finished):
    folder, path = finished
    assert load_config(folder / "config.yaml") == load_config(path, ["--learning.averaging", "0.5"])
    versions = json.loads((folder / "versions.json").read_text())
    assert {"torch", "lightning", "napari-ink", "python", "platform"} <= set(versions)
    names = {file.name for file in folder.iterdir()}
    assert {"windows.parquet", "windows.png", "intensity.npz", "report.html"} <= names
    assert {"last.ckpt", "previous.ckpt", "best.ckpt", "tensorboard"} <= names
    assert not [name for name in names if name.endswith(".part")]
    with np.load(folder / "intensity.npz") as parts:
        assert parts["ink"].shape == parts["bare"].shape == (DEPTH, len(parts["edges"]) - 1)
        assert parts["ink"].sum() > 0
        assert len(parts["names"]) == 2


def test_no_column_is_lost_and_every_step_has_its_row(finished):
    folder, _ = finished
    rows = log(folder)
    assert [int(row["step"]) for row in rows if row["loss"]] == [1, 2, 3, 4, 5, 6]
    assert all(row["val_loss"] and row["ece"] for row in rows if row["auc"])


def test_the_time_at_work_is_kept_with_every_row_and_in_the_checkpoint(finished):
    folder = finished[0]
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    info = load_checkpoint(folder / "small.safetensors").info
    assert info.training["seconds"] == seconds[-1]


def test_time_goes_on_where_a_run_was_stopped(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text("step,loss,seconds\n4,0.5,10.0\n6,0.5,20.0\n")
    table = Table(file, 4)  # the last checkpoint: what came later is lost work
    table.cut()
    assert table.seconds == 10.0
    journal = Journal(1)
    trainer = SimpleNamespace(loggers=[table], global_step=4)
    journal.on_train_start(trainer, None)
    journal.on_validation_end(trainer, SimpleNamespace(scores={"f05": 0.5}))
    assert 10.0 <= table.seconds < 15.0


def test_same_seed_gives_the_same_weights_and_no_run_is_written_over(finished):
    folder, path = finished
    assert main([str(path), "--learning.averaging", "0.5"]) == 0
    one, other = (
        load_checkpoint(parent / "small.safetensors").state_dict()
        for parent in (folder, folder.with_name("small-2"))
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_with_a_score_of_each_window_ends_in_a_network_that_predicts(tmp_path):
    """The window is the tile: validation, halo and prediction must all keep to it."""
    path = small(tmp_path)
    options = ("--data.recipe", '{"kind": "zscore", "window": 16}', "--learning.steps", "2")
    assert main([str(path), *options]) == 0
    model = load_checkpoint(tmp_path / "runs" / "small" / "small.safetensors")
    assert 2 * model.halo < 16
    fragment = Fragment.from_array(
        np.random.default_rng(0).integers(0, 255, (DEPTH, 30, 50), np.uint8), voxel_size=64.0
    )
    blocks = list(predict(fragment, model, PredictionSettings()))
    assert all(np.isfinite(done.probability).all() for done in blocks)
