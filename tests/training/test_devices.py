"""Several processes and accumulated passes: the same curve as one process with the whole batch."""

import shutil
import sys

import numpy as np
import pytest
import torch
import yaml
from small_run import log, losses, merged, small, start

from napari_ink import load_checkpoint
from training.run import main

EXACT = {  # no window depends on those beside it, and the loss is a mean over pixels
    "network": {"arguments": {"tasks": ["ink"]}},
    "augmentation": {
        "affine": {"p": 0.5},  # how many pixels count differs from pass to pass
        "mixup": {"p": 0.3},
        "cutmix": {"p": 0.3},
    },
    "learning": {"steps": 5, "batch": 8, "freeze_norm": True, "losses": {"bce": 1.0}},
    "trainer": {"keep_every": 2},
}
HERE = "127.0.0.1"  # a bare machine may not know the name localhost
TORCHRUN = (
    *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
    *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{HERE}:0", "--local-addr", HERE, "-m"),
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process, the whole batch."""
    return finished(tmp_path_factory.mktemp("alone"))


def finished(tmp_path, *, program=(), **others):
    """The folder of a run in processes of its own."""
    tmp_path.mkdir(exist_ok=True)
    process = start(small(tmp_path, **merged(EXACT, others)), program=program)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert len(output.splitlines()) == len(set(output.splitlines())), output  # printed once
    return tmp_path / "runs" / "small"


def assert_same_curve(folder, alone):
    ours, theirs = losses(folder), losses(alone)
    assert list(ours) == list(theirs)
    assert [float(v) for v in ours.values()] == pytest.approx(
        [float(v) for v in theirs.values()], rel=2e-5
    )
    looks = [[row for row in log(f) if row["f05"]] for f in (folder, alone)]
    for one, other in zip(*looks, strict=True):
        for name in ("auc", "f05", "val_loss"):
            assert float(one[name]) == pytest.approx(float(other[name]), abs=2e-4)
    one, other = (load_checkpoint(f / "small.safetensors").state_dict() for f in (folder, alone))
    for name in one:
        assert torch.allclose(one[name].float(), other[name].float(), atol=2e-5), name


@pytest.mark.parametrize("launcher", ["Lightning", "torchrun"])
def test_two_processes_are_one_with_the_doubled_batch(alone, tmp_path, launcher):
    program = () if launcher == "Lightning" else TORCHRUN
    two = {"learning": {"batch": 4}, "trainer": {"devices": 2}}
    folder = finished(tmp_path, program=program, **two)
    assert_same_curve(folder, alone)
    assert not folder.with_name("small-2").exists()
    (look,) = (folder / "validation").iterdir()
    with np.load(look) as ours, np.load(alone / "validation" / look.name) as theirs:
        assert np.nanmax(np.abs(np.float32(ours["probability"]) - theirs["probability"])) < 2e-3


def test_accumulated_passes_are_one_with_the_whole_batch(alone, tmp_path):
    path = small(tmp_path, **merged(EXACT, {"learning": {"batch": 2, "accumulate": 4}}))
    assert main([str(path)]) == 0
    assert_same_curve(tmp_path / "runs" / "small", alone)


def test_another_batch_gives_another_curve(alone, tmp_path):
    """What the tests above compare can differ."""
    assert main([str(small(tmp_path, **merged(EXACT, {"learning": {"batch": 4}})))]) == 0
    assert [float(v) for v in losses(tmp_path / "runs" / "small").values()] != pytest.approx(
        [float(v) for v in losses(alone).values()], rel=1e-3
    )


@pytest.mark.slow
def test_two_processes_that_were_stopped_go_on(alone, tmp_path):
    """Both go on from the same step; the loss of a whole batch is a sum over both."""
    others = {"learning": {"batch": 4, "losses": {"dice": 1.0}}, "trainer": {"devices": 2}}
    whole = finished(tmp_path / "whole", **others)
    stopped = tmp_path / "stopped" / "runs" / "small"
    stopped.parents[1].mkdir()
    path = small(stopped.parents[1], **merged(EXACT, others))
    shutil.copytree(whole, stopped)
    (stopped / "small.safetensors").unlink()
    (stopped / "last.ckpt").unlink()
    tree = yaml.safe_load((whole / "config.yaml").read_text())
    tree["runs"] = str(stopped.parent)
    (stopped / "config.yaml").write_text(yaml.safe_dump(tree))
    process = start(path)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "going on from step 4 (previous.ckpt)" in output
    assert losses(stopped) == losses(whole)
