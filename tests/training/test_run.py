"""The whole run, small: settings in, checkpoint out."""

import csv

import numpy as np
import pytest
import tifffile
import torch
import yaml
from PIL import Image

from napari_ink import load_checkpoint, predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.models.registry import build
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Recipe
from training.config import load_config
from training.dataset.labelled import LabelledFragment
from training.module import count
from training.run import main, open_fragments

DEPTH = 8


def small(tmp_path, **others):
    """A run of seconds, as a YAML file."""
    tree = {
        "name": "small",
        "seed": 4,
        "runs": str(tmp_path / "runs"),
        "accelerator": "cpu",
        "data": {
            "window": 16,
            "recipe": {"kind": "fixed", "mean": 0.45, "std": 0.15},
            "synthetic": {
                "fragments": 2,
                "depth": DEPTH,
                "height": 96,
                "width": 128,
                "voxel_size": 64.0,  # a letter has some 40 pixels
                "cache": str(tmp_path / "cache"),
            },
        },
        "network": {
            "arguments": {
                "width": 4,
                "levels": 1,
                "depth": DEPTH,
                "decoder": "2d",
                "collapse": "conv2d",
                "tasks": ["ink"],
            }
        },
        "learning": {"steps": 6, "batch": 4, "validate_every": 3},
    } | others
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run's folder and configuration file."""
    tmp_path = tmp_path_factory.mktemp("training")
    path = small(tmp_path)
    assert main([str(path), "--learning.averaging", "0.5"]) == 0
    return tmp_path / "runs" / "small", path


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
    learn, look = open_fragments(config, model, Recipe.from_dict(info.recipe))
    assert [entry["fingerprint"] for entry in info.dataset] == [
        part.fragment.fingerprint() for part in learn
    ]
    histogram = count(model, look[0])
    assert info.metrics["pixels"] == histogram.pixels == look[0].weight.sum()
    assert 0 < info.thresholds["ink"] < 1


def test_threshold_is_the_validation_fragments_best(finished):
    folder, path = finished
    model = load_checkpoint(folder / "small.safetensors")
    _, look = open_fragments(load_config(path), model, Recipe.from_dict(model.info.recipe))
    ink = np.full(look[0].label.shape, np.nan)
    for done in predict(look[0].fragment, model):
        ink[done.box.slices] = done.probability
    inside = look[0].weight
    label, ink = look[0].label[inside] >= 0.5, np.float64(np.float16(ink[inside]))

    def f05(threshold):
        hits = (label & (ink >= threshold)).sum()
        return 1.25 * hits / (0.25 * label.sum() + (ink >= threshold).sum())

    reached = f05(model.info.thresholds["ink"])
    assert reached == pytest.approx(model.info.metrics["f05"])
    assert reached >= max(f05(value) for value in np.unique(ink))


def test_run_logs_every_look_and_keeps_its_settings(finished):
    folder, path = finished
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert sum(bool(row["auc"]) for row in rows) == 2
    kept = load_config(folder / "config.yaml")
    assert kept == load_config(path, ["--learning.averaging", "0.5"])


def test_same_seed_gives_the_same_weights_and_no_run_is_written_over(finished):
    folder, path = finished
    assert main([str(path), "--learning.averaging", "0.5"]) == 0
    one, other = (
        load_checkpoint(parent / "small.safetensors").state_dict()
        for parent in (folder, folder.with_name("small-2"))
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


class Spy(torch.nn.Module):
    """Takes the place of a folded network and keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, volume):
        self.seen.append(volume.clone())
        return volume.mean(dim=2)


@pytest.mark.parametrize(
    ("values", "tile", "corner"),
    [
        ({"kind": "fixed", "low": 0.1, "high": 0.8}, 40, (16, 16)),
        ({"kind": "percentile", "low": 1, "high": 99}, 40, (16, 16)),
        ({"kind": "layer_zscore"}, 40, (16, 16)),
        ({"kind": "zscore", "window": 16}, 16, (0, 0)),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_trainer_and_prediction_see_the_same_numbers(values, tile, corner):
    """One recipe, one window, both ways into the network."""
    random = np.random.default_rng(0)
    fragment = Fragment.from_array(
        random.integers(0, 65535, (12, 40, 40), np.uint16), label=np.ones((40, 40)), first_layer=3
    )
    recipe = Recipe.from_dict(values)
    labelled = LabelledFragment.prepare(fragment, recipe, depth=4, layers=(5, 9))
    trained_on, _, _ = labelled.cut(16, 16, 16)
    network = build(
        "repmode", {"width": 2, "levels": 1, "depth": 4, "decoder": "2d", "collapse": "conv2d"}
    )
    network.info = CheckpointInfo.of(network, recipe=recipe.to_dict(), layers=(5, 9))
    network.halo = 0
    spy = Spy()
    network.fold = lambda task=0, gates=None: spy
    list(predict(fragment, network, PredictionSettings(tile=tile)))
    rows, columns = (slice(start, start + 16) for start in corner)
    predicted_on = [
        seen[0, 0, :, rows, columns].numpy() for seen in spy.seen if seen.shape[-1] == tile
    ]
    assert any(np.array_equal(window, trained_on) for window in predicted_on)


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


def write_bare(folder, value):
    """A fragment on disk whose label holds no ink."""
    (folder / "surface_volume").mkdir(parents=True)
    for layer in range(DEPTH):
        pixels = np.full((96, 96), value, np.uint8)
        tifffile.imwrite(folder / "surface_volume" / f"{layer:02}.tif", pixels)
    Image.fromarray(np.zeros((96, 96), np.uint8)).save(folder / "inklabels.png")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"synthetic": {"fragments": 0}}, "without fragments"),
        ({"window": 998}, "does not fit"),
        ({"window": 15}, "multiples of 2"),
        ({"fragments": ["bare"], "synthetic": {"fragments": 0}}, "without fragments"),
        (
            {"fragments": ["bare"], "validation": ["bare"], "synthetic": {"fragments": 0}},
            "both learned from and validated on",
        ),
        (
            {"fragments": ["bare"], "validation": ["other"], "synthetic": {"fragments": 0}},
            "no ink to learn from",
        ),
        ({"recipe": {"kind": "guess"}}, "guess"),
        ({"recipe": {"kind": "zscore", "window": 32}}, "agree"),
        ({"window": 4, "recipe": {"kind": "zscore", "window": 4}}, "halo cannot be measured"),
        ({"synthetic": {"validation_seed": 1001}}, "among those learned from"),
        ({"synthetic": {"height": 4}}, "too small"),  # found out by another process
        ({"fragments": ["nowhere"], "synthetic": {"fragments": 0}}, "nowhere"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_file(
    tmp_path, capsys, finished, data, message
):
    for number, name in enumerate(("bare", "other")):
        write_bare(tmp_path / name, number)
    tree = yaml.safe_load(finished[1].read_text())
    tree["runs"] = str(tmp_path / "runs")
    for key, value in data.items():
        if key in ("fragments", "validation"):
            value = [str(tmp_path / name) for name in value]
        if isinstance(value, dict) and key != "recipe":
            tree["data"][key] |= value
        else:
            tree["data"][key] = value
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(tree))
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
