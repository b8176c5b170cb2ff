"""A run that was stopped, in whatever way, ends as if it had not been."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
import yaml
from small_run import log, losses, merged, small, start
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from napari_ink import load_checkpoint
from napari_ink.errors import CheckpointError
from training.keeping.checkpoints import BEST, LAST, PREVIOUS, read_checkpoint
from training.learning import look, module
from training.run import main

STEPS = 14
#: Everything that remembers: dropout and gate noise, averaging, a plateau, accumulated passes.
BUSY = {
    "network": {"arguments": {"dropout": 0.2, "gate_noise": 0.3, "stochastic_depth": 0.1}},
    "augmentation": {"elastic": {"p": 0.5}, "mixup": {"p": 0.3}},
    "learning": {
        "steps": STEPS,
        "batch": 2,
        "accumulate": 2,
        "validate_every": 3,
        "averaging": 0.8,
        "schedule": {"name": "plateau", "patience": 0},
    },
    "trainer": {"keep_every": 3},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A whole run's folder and settings."""
    tmp_path = tmp_path_factory.mktemp("undisturbed")
    path = small(tmp_path, **BUSY)
    process = start(path)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return tmp_path / "runs" / "small", path


def copied(undisturbed, tmp_path, **others):
    """The same settings for a run elsewhere."""
    tree = merged(yaml.safe_load(undisturbed[1].read_text()), others)
    tree["runs"] = str(tmp_path / "runs")
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def scalars(folder, name):
    """``{step: value}`` of TensorBoard, which drops what a later start purged."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def assert_same_end(folder, undisturbed):
    """Logs and weights, to the bit."""
    whole = undisturbed[0]
    assert log(folder) == log(whole)
    assert scalars(folder, "loss") == scalars(whole, "loss")
    assert scalars(folder, "f05") == scalars(whole, "f05")
    one, other = (
        load_checkpoint(parent / "small.safetensors").state_dict() for parent in (folder, whole)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in (LAST, PREVIOUS, BEST):
        assert (
            torch.load(folder / name, weights_only=True)["global_step"]
            == (torch.load(whole / name, weights_only=True)["global_step"])
        )


def test_the_undisturbed_run_has_a_row_a_step_and_a_plateau_that_fell(undisturbed):
    rows = log(undisturbed[0])
    assert [int(row["step"]) for row in rows if row["loss"]] == list(range(1, STEPS + 1))
    assert [int(row["step"]) for row in rows if row["f05"]] == [3, 6, 9, 12, 14]
    rate, best, expected = 0.002, 0.0, []
    for row in rows:
        if row["loss"]:
            expected.append(rate)
        elif float(row["f05"]) > best * (1 + 1e-4):
            best = float(row["f05"])
        else:
            rate /= 2
    assert [float(row["lr"]) for row in rows if row["lr"]] == pytest.approx(expected)
    assert rate < 0.002


def wait_for(process, condition, seconds=240):
    """Until something is so, or the process has ended."""
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.parametrize(
    "how",
    ["between", "writing"]
    + [pytest.param(how, marks=pytest.mark.slow) for how in ("early", "look", "renaming", "late")],
)
def test_killed_run_goes_on_and_ends_as_if_undisturbed(undisturbed, tmp_path, how):
    path = copied(undisturbed, tmp_path)
    folder = tmp_path / "runs" / "small"
    part = folder / f"{LAST}.part"

    def reached(step):
        with contextlib.suppress(OSError, KeyError, ValueError, TypeError):
            return max(losses(folder), default=0) >= step
        return False

    process = start(path)
    wait_for(
        process,
        {
            "early": lambda: reached(2),
            "between": lambda: reached(7),
            "look": lambda: (folder / "validation").exists(),
            "writing": lambda: reached(4) and part.exists(),
            "renaming": lambda: (folder / PREVIOUS).exists(),
            "late": lambda: reached(STEPS),
        }[how],
    )
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "small.safetensors").exists()

    process = start(path)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    first = output.splitlines()[0]
    assert first.startswith(f"{folder} was stopped")
    assert not folder.with_name("small-2").exists()
    assert_same_end(folder, undisturbed)


@pytest.mark.slow
def test_run_killed_again_and_again_at_random_moments_ends_as_if_undisturbed(undisturbed, tmp_path):
    path = copied(undisturbed, tmp_path)
    folder = tmp_path / "runs" / "small"
    chance = random.Random(os.environ.get("SEED", 3))
    kills = 0
    while not (folder / "small.safetensors").exists():
        process = start(path)
        before = (folder / LAST).stat().st_mtime_ns if (folder / LAST).exists() else 0
        wait_for(
            process,
            lambda before=before: (
                (folder / LAST).exists() and (folder / LAST).stat().st_mtime_ns > before
            ),
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=chance.uniform(0, 0.3))
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
    assert kills > 2
    assert_same_end(folder, undisturbed)


def unfinished(undisturbed, tmp_path):
    """A copy of the run as it was before its end: its last two checkpoints, no result."""
    path = copied(undisturbed, tmp_path)
    folder = tmp_path / "runs" / "small"
    shutil.copytree(undisturbed[0], folder)
    (folder / "small.safetensors").unlink()
    shutil.copyfile(path, folder / "config.yaml")
    from training.settings.config import to_tree
    from training.settings.load import load_config

    (folder / "config.yaml").write_text(yaml.safe_dump(to_tree(load_config(path))))
    return path, folder


def spoil(file, how):
    data = bytearray(file.read_bytes())
    if how == "truncated":
        data = data[: len(data) // 2]
    elif how == "one bit":
        data[len(data) // 2] ^= 1
    elif how == "garbage":
        data = bytearray(random.Random(0).randbytes(len(data)))
    elif how == "empty":
        data = bytearray()
    file.unlink()  # not through the other names of the same file
    file.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "one bit", "garbage", "empty", "another network"])
def test_damaged_last_checkpoint_is_said_and_the_one_before_is_used(
    undisturbed, tmp_path, capsys, how
):
    path, folder = unfinished(undisturbed, tmp_path)
    if how == "another network":
        checkpoint = torch.load(folder / LAST, weights_only=True)
        name = next(iter(checkpoint["state_dict"]))
        checkpoint["state_dict"][name] = torch.zeros(1)
        torch.save(checkpoint, folder / LAST)
    else:
        spoil(folder / LAST, how)
    step = torch.load(folder / PREVIOUS, weights_only=True)["global_step"]
    assert main([str(path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "last.ckpt is damaged" in said[0]
    assert f"going on from step {step} (previous.ckpt)" in said[1]
    assert_same_end(folder, undisturbed)


def test_run_whose_checkpoints_are_all_damaged_starts_again(undisturbed, tmp_path, capsys):
    path, folder = unfinished(undisturbed, tmp_path)
    for name in (LAST, PREVIOUS, BEST):
        spoil(folder / name, "truncated")
    assert main([str(path)]) == 0
    assert "starting it again" in capsys.readouterr().out
    assert_same_end(folder, undisturbed)


class Trap:
    """What a hostile checkpoint would run."""

    def __reduce__(self):
        return os.mkdir, (str(Path(os.environ["TRAP"])),)


def test_no_class_of_a_checkpoint_is_unpickled(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    checkpoint = torch.load(undisturbed[0] / LAST, weights_only=True)
    weights = checkpoint["state_dict"]
    checkpoint["more"] = Trap()
    torch.save(checkpoint, tmp_path / "hostile.ckpt")
    with pytest.raises(CheckpointError, match=r"hostile\.ckpt is damaged"):
        read_checkpoint(tmp_path / "hostile.ckpt", weights)
    assert not (tmp_path / "sprung").exists()


def test_finished_run_and_other_settings_get_a_folder_of_their_own(undisturbed, tmp_path, capsys):
    path, folder = unfinished(undisturbed, tmp_path)
    assert main([str(path), "--learning.steps", "3"]) == 0
    assert folder.with_name("small-2").exists()
    assert not (folder / "small.safetensors").exists()
    assert "was stopped" not in capsys.readouterr().out
    assert main([str(path), "--learning.steps", "3"]) == 0
    assert (folder.with_name("small-3") / "small.safetensors").exists()


def test_two_at_once_do_not_write_into_one_folder(undisturbed, tmp_path):
    path = copied(undisturbed, tmp_path, learning={"steps": 3})
    both = [start(path), start(path)]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    for name in ("small", "small-2"):
        assert list(losses(tmp_path / "runs" / name)) == [1, 2, 3]


@pytest.mark.parametrize("moment", ["map", "loss"])
def test_sigterm_ends_a_long_look_soon_and_leaves_a_run_to_go_on_with(
    moment, tmp_path, monkeypatch, capsys
):
    """As a cluster sends it before it kills; a look at large fragments takes many minutes."""
    seen = []

    def told(blocks):
        for block in [block for block in blocks for _ in range(3)]:  # as if there were more
            if not seen:
                os.kill(os.getpid(), signal.SIGTERM)
            seen.append(block)
            yield block

    if moment == "map":
        original = look.predict
        monkeypatch.setattr(look, "predict", lambda *a, **kw: told(original(*a, **kw)))
    else:
        original = module.weigh_once
        monkeypatch.setattr(module, "weigh_once", lambda *a: next(told([original(*a)])))
    path = small(tmp_path, learning={"steps": 6, "batch": 4, "validate_every": 3})
    with contextlib.suppress(KeyboardInterrupt):
        assert main([str(path)]) != 0
    assert len(seen) == 1
    assert "goes on from here" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([str(path)]) == 0
    assert len(losses(tmp_path / "runs" / "small")) == 6


def test_ctrl_c_leaves_a_run_to_go_on_with_and_says_how(undisturbed, tmp_path):
    path = copied(undisturbed, tmp_path)
    folder = tmp_path / "runs" / "small"
    process = start(path)
    wait_for(process, lambda: (folder / LAST).exists())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert [line for line in errors.splitlines() if "training:" in line] == [
        "training: stopped; the same command goes on from here"
    ]
    assert "Traceback" not in errors
    assert main([str(path)]) == 0
    assert_same_end(folder, undisturbed)
