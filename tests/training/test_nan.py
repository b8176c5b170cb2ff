"""A run whose loss is no number stops, keeps the batch that did it, and spoils nothing."""

import numpy as np
import pytest
import torch
from small_run import losses, small

from training.augmentation import Augmentation
from training.dataset.windows import WindowBatches
from training.learning.module import InkModule
from training.run import main


@pytest.fixture
def poisoned(monkeypatch):
    """From sample 12 on, which with batches of 4 is in step 4, volumes hold a NaN."""
    whole = Augmentation.__call__

    def poison(self, batch):
        batch = whole(self, batch)
        bad = (batch.sample >= 12).view(-1, 1, 1, 1, 1)
        return batch._replace(volume=torch.where(bad, torch.nan, batch.volume))

    monkeypatch.setattr(Augmentation, "__call__", poison)


def test_run_stops_at_once_with_one_line_and_the_batch_that_did_it(tmp_path, capsys, poisoned):
    path = small(tmp_path, trainer={"keep_every": 1})
    assert main([str(path)]) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("training:")]
    assert len(lines) == 1
    assert "the loss of step 4 is not finite" in lines[0]
    assert "nan_batch.npz" in lines[0]
    folder = tmp_path / "runs" / "small"
    assert list(losses(folder)) == [1, 2, 3]
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 3
    state = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.isfinite(tensor).all() for tensor in state.values())
    assert not (folder / "small.safetensors").exists()
    with np.load(folder / "nan_batch.npz") as batch:
        assert batch["step"] == 4
        assert batch["sample"].tolist() == [12, 13, 14, 15]
        assert batch["volume"].shape == (4, 1, 8, 16, 16)
        assert batch["label"].shape == batch["weight"].shape == (4, 1, 16, 16)
        assert len(batch["y"]) == len(batch["x"]) == 4
        assert set(batch["source"]) <= {"synthetic-1000", "synthetic-1001"}
        assert np.isfinite(batch["volume"]).all()  # as it was fed: augmentation did it


def test_the_pass_that_did_it_is_kept_of_several_that_make_a_step(tmp_path, capsys, poisoned):
    path = small(tmp_path, learning={"batch": 2, "accumulate": 4})  # 12 is in the third pass of 2
    assert main([str(path)]) == 2
    with np.load(tmp_path / "runs" / "small" / "nan_batch.npz") as batch:
        assert batch["step"] == 2
        assert batch["sample"].tolist() == [12, 13]


def test_a_fragment_that_holds_no_numbers_is_named(tmp_path, capsys, monkeypatch):
    plain = WindowBatches.with_labels
    monkeypatch.setattr(
        WindowBatches,
        "with_labels",
        lambda self, step, volume: plain(self, step, volume.fill_(torch.nan) if step else volume),
    )
    assert main([str(small(tmp_path))]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "step 2: a window of synthetic-100" in line
    assert "holds NaN" in line


def test_gradient_that_is_no_number_stops_the_run_before_it_moves_a_weight(
    tmp_path, capsys, monkeypatch
):
    whole = InkModule.training_step

    def step(self, batch, number):
        loss = whole(self, batch, number)
        if number == 1:
            weight = next(self.network.parameters())
            weight.register_hook(lambda gradient: gradient * torch.inf)
        return loss

    monkeypatch.setattr(InkModule, "training_step", step)
    assert main([str(small(tmp_path, trainer={"keep_every": 1}))]) == 2
    assert "the gradient of step 2 is not finite" in capsys.readouterr().err
    assert list(losses(tmp_path / "runs" / "small")) == [1]
