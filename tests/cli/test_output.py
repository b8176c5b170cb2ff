"""What is written to the screen: only ours, and nothing breaks when nobody reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from napari_ink.cli import main

NAPARI_INK = [sys.executable, "-m", "napari_ink"]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["info", "{}/fragment"], 141), (["--help"], 0), (["info", "x"], 2)]
)
def test_a_reader_that_leaves_early_is_no_traceback(data, arguments, code):
    arguments = [part.format(data) for part in arguments]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*NAPARI_INK, *arguments], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == (code == 2)
    assert done.returncode == code


def test_names_and_signs_that_the_terminal_cannot_show_do_no_harm(data, tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff\xfe fragment")  # no UTF-8, as on old disks
    shutil.copytree(data / "fragment", odd)
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    given = ["predict", odd, "--checkpoint", data / "c.safetensors", "--device", "cpu"]
    for arguments in (["info", odd], [*given, "--out", f"{odd}.ink.zarr"]):
        done = subprocess.run(
            [*NAPARI_INK, *arguments], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr


def test_int8_shows_only_our_own_progress_and_notes(data, tmp_path):
    pytest.importorskip("nncf")
    command = ["predict", str(data / "fragment"), "--checkpoint", str(data / "c.safetensors")]
    command += ["--out", str(tmp_path / "x.ink.zarr"), "--runtime", "openvino-int8", "--json"]
    done = subprocess.run(
        [*NAPARI_INK, *command], capture_output=True, text=True, env=os.environ | {"COLUMNS": "80"}
    )
    assert done.returncode == 0, done.stderr
    described, *others = done.stderr.strip().splitlines()
    assert described.startswith("fragment: layers 0:8 as trained")
    assert [line[:8] for line in others[:-1]] == ["note: in"]
    assert others[-1].startswith("cpu ")
    assert len(others[-1]) <= 80
    assert json.loads(done.stdout)["notes"] == [others[0].removeprefix("note: ")]


def test_info_for_a_checkpoint_tells_its_time_and_its_doubts(data, tmp_path, capsys):
    given = ["info", str(data / "fragment"), "--checkpoint", str(data / "c.safetensors")]
    assert main([*given, "--json"]) == 0
    prediction = json.loads(capsys.readouterr().out)["prediction"]
    assert prediction["seconds"] > 0
    assert prediction["checkpoint"].endswith("c.safetensors")
    assert prediction["notes"] == []
    assert main(given[:2]) == 0
    assert "RepMode of width 16" in capsys.readouterr().out
    assert main(given) == 0
    text = capsys.readouterr().out
    assert "layers 0:8" in text
    assert "RepMode of width 16" not in text


def test_a_network_twice_as_wide_is_expected_to_take_nearly_four_times_as_long():
    import numpy as np
    import torch

    from napari_ink.inference.duration import seconds_on_processor
    from napari_ink.inference.plan import plan_prediction
    from napari_ink.inference.settings import PredictionSettings
    from napari_ink.models.checkpoint import CheckpointInfo
    from napari_ink.models.registry import build
    from napari_ink.volumes.fragment import Fragment

    fragment = Fragment.from_array(np.zeros((16, 500, 500), np.uint8), voxel_size=8)
    found = []
    for width, settings in ((8, {}), (16, {}), (16, {"overlap": 0.5})):
        torch.manual_seed(0)
        model = build("repmode", {"width": width, "levels": 2, "depth": 16, "decoder": "3d"})
        model.info = CheckpointInfo.of(model, recipe={"kind": "fixed"}, voxel_size=8.0)
        model.halo = 16
        settings = PredictionSettings(tile=128, device="cpu", **settings)
        plan = plan_prediction(fragment, model.eval(), settings)
        found.append(seconds_on_processor(plan, model.fold(0)))
    assert 3 < found[1] / found[0] < 4
    assert found[2] > found[1]
