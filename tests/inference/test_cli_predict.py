"""``napari-ink predict`` from files to a store."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_ink.cli import main
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.models.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from napari_ink.models.registry import build
from napari_ink.volumes.fragment import ArrayVolume
from napari_ink.volumes.layouts import open_fragment


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A Kaggle folder of 8 layers and a RepMode checkpoint with random weights."""
    root = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    (root / "fragment/surface_volume").mkdir(parents=True)
    for layer in range(9):
        image = rng.integers(0, 65535, (150, 200), dtype=np.uint16)
        tifffile.imwrite(root / f"fragment/surface_volume/{layer:02}.tif", image)
    mask = np.zeros((150, 200), np.uint8)
    mask[10:140, 20:190] = 255
    Image.fromarray(mask).save(root / "fragment/mask.png")
    (root / "fragment/meta.json").write_text('{"voxelsize": 8.0}')
    torch.manual_seed(0)
    model = build("repmode", {"width": 4, "levels": 2, "depth": 8, "decoder": "2d"}).eval()
    info = CheckpointInfo.of(
        model,
        recipe={"kind": "fixed"},
        layers=(0, 8),
        voxel_size=8.0,
        window=64,
        halo=16,
        thresholds={"0": 0.5},
    )
    save_checkpoint(root / "c.safetensors", model, info)
    return root


def command(files, out, *extra):
    return [
        "predict", str(files / "fragment"), "--checkpoint", str(files / "c.safetensors"),
        "--out", str(out), "--device", "cpu", *extra,
    ]  # fmt: skip


def test_it_writes_the_same_ink_as_the_generator_and_only_json_on_stdout(files, tmp_path, capsys):
    out = tmp_path / "a.ink.zarr"
    assert main(command(files, out, "--tile", "64", "--json")) == 0
    summary = json.loads(capsys.readouterr().out)
    fragment = open_fragment(files / "fragment")
    model = load_checkpoint(files / "c.safetensors")
    settings = PredictionSettings(tile=64, device="cpu")
    list(predict(fragment, model, settings, store=tmp_path / "b.ink.zarr"))
    ours, theirs = (PredictionStore.open(tmp_path / f"{name}.ink.zarr") for name in "ab")
    np.testing.assert_array_equal(np.asarray(ours.ink), np.asarray(theirs.ink))
    assert np.isfinite(np.asarray(ours.ink)[20:130, 30:180]).all()
    assert summary["device"] == "cpu"
    assert summary["layers"] == [0, 8]
    assert summary["pixels_per_second"] > 0
    assert summary["notes"] == []


def test_options_reach_the_settings(files, tmp_path, capsys):
    out = tmp_path / "a.ink.zarr"
    options = "--region 20:90,30:120 --layers 1:9 --reverse --tile 48 --overlap .25 --batch 2"
    options += " --precision bf16 --focus 50,60 --without-expert avg5 --without-expert conv3"
    assert main(command(files, out, *options.split())) == 0
    settings = PredictionStore.open(out).attributes["settings"]
    expected = {
        "region": [20, 90, 30, 120], "layers": [1, 9], "reverse_depth": True, "tile": 48,
        "overlap": 0.25, "batch": 2, "precision": "bf16", "focus": [50, 60], "task": "0",
        "device": "cpu", "runtime": "torch", "experts_off": ["conv3", "avg5"],
    }  # fmt: skip
    assert settings == expected
    err = capsys.readouterr().err
    assert "layers 1:9 reversed, from layer 8 down to 1," in err
    assert "torch on cpu at bf16" in err


def test_a_depth_sweep_gives_a_layer_a_window(files, tmp_path, capsys):
    out = tmp_path / "a.ink.zarr"
    assert main(command(files, out, "--depth-sweep", "1", "--json")) == 0
    said = capsys.readouterr()
    store = PredictionStore.open(out)
    windows = store.provenance["windows"]
    assert f"{len(windows)} windows" in said.err
    assert len(windows) == store.ink.shape[0] > 1
    capsys.readouterr()
    assert main(["thresholds", str(out), "--percentile", "90", "--json"]) == 0
    names = [f"z {first}–{end - 1}" for first, end in windows]
    assert json.loads(capsys.readouterr().out)["layers"] == names


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([], "as trained, from layer 7 down to 0"),
        (["--reverse"], "reversed, from layer 0 up to 7"),
    ],
)
def test_reversed_means_against_training_in_every_place(files, tmp_path, capsys, extra, words):
    model = load_checkpoint(files / "c.safetensors")
    flipped = tmp_path / "flipped.safetensors"
    save_checkpoint(flipped, model, replace(model.info, reverse_depth=True))
    out = tmp_path / "a.ink.zarr"
    arguments = [
        *command(files, out, "--tile", "64", "--json", *extra),
        "--checkpoint",
        str(flipped),
    ]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert f"layers 0:8 {words}," in said.err
    assert json.loads(said.out)["direction"] == words
    store = PredictionStore.open(out)
    assert store.provenance["direction"] == words
    # the same ink as the forward checkpoint's on the layers in that order
    fragment = open_fragment(files / "fragment")
    order = slice(None, None, -1) if "down" in words else slice(None)
    turned = replace(fragment, volume=ArrayVolume(fragment.read()[:8][order]))
    settings = PredictionSettings(layers=(0, 8), tile=64, device="cpu")
    for tile in predict(turned, model, settings):
        np.testing.assert_allclose(store.read(tile.box), tile.probability, atol=1e-3)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--region", "20:90"], "--region"),
        (["--region", "a:90,0:5"], "--region"),
        (["--layers", "3"], "--layers"),
        (["--layers", "2:5"], "2:5"),
        (["--tile", "33"], "33"),
        (["--device", "cuda"], "cuda"),
        (["--task", "none"], "none"),
        (["--without-expert", "avg7"], "avg7"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_what_does_not_fit_is_one_line_exit_2_and_nothing_written(
    files, tmp_path, capsys, extra, named
):
    assert main(command(files, tmp_path / "a.ink.zarr", *extra)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert named in lines[0]
    assert not list(tmp_path.iterdir())


#: The command, waiting after its first block until it is interrupted.
WAITING = """
import sys, time
from napari_ink.cli import main
from napari_ink.inference.store_writing import StoreWriter

write = StoreWriter.write

def write_and_wait(*args, **records):
    write(*args, **records)
    time.sleep(100)

StoreWriter.write = write_and_wait
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_exits_130_says_how_to_go_on_and_the_same_command_does(files, tmp_path):
    out = tmp_path / "a.ink.zarr"
    arguments = command(files, out, "--tile", "48", "--overlap", ".8")
    child = subprocess.Popen(
        [sys.executable, "-c", WAITING, *arguments], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        # a chunk alone is no finished block: its record follows it
        if out.exists() and PredictionStore.open(out).finished > 0:
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert 0 < PredictionStore.open(out).finished < 1
    assert main(arguments) == 0
    assert main(command(files, tmp_path / "b.ink.zarr", *arguments[8:])) == 0
    np.testing.assert_array_equal(
        np.asarray(PredictionStore.open(out).ink),
        np.asarray(PredictionStore.open(tmp_path / "b.ink.zarr").ink),
    )


def test_samples_are_counted_said_and_gone_on_with(files, tmp_path, capsys):
    out = tmp_path / "a.ink.zarr"
    drawn = ("--dropout", ".2", "--gate-noise", ".5", "--json")
    assert main(command(files, out, "--samples", "3", *drawn)) == 0
    said = capsys.readouterr()
    assert "3 samples (dropout 0.2, gate noise 0.5, seed 0)" in said.err
    samples = json.loads(said.out)["samples"]
    assert (samples["least"], samples["most"], samples["mean"]) == (3, 3, 3)
    assert samples["standard_error"] > 0
    assert main(command(files, out, "--samples", "4", *drawn)) == 0
    assert json.loads(capsys.readouterr().out)["samples"]["most"] == 4
    assert main(command(files, out, "--samples", "1", "--tolerance", ".1")) == 2
    assert "for a single sample" in capsys.readouterr().err
