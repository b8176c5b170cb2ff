"""Checkpoints of a run on the way: written whole or not at all, the last two and the best.

``last.ckpt`` and, of the checkpoint before it, ``previous.ckpt``, are what a run goes on from;
``best.ckpt`` is that of the look with the best score. All are Lightning's files, of tensors,
numbers and words only: they are read without unpickling anything else. The weights in them, under
``state_dict``, are the averaged ones, where weights are averaged.
"""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from napari_ink.errors import CheckpointError

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


class Keeper(Checkpoint):
    """Writes the checkpoints of a run.

    Parameters
    ----------
    folder : Path
    every : int
        Steps from one to the next. At a step with a look, the checkpoint is written after it.
    score : str
        Of the looks, the higher the better.
    begun : Path, optional
        Checkpoint that the run goes on from.

    Attributes
    ----------
    best : float or None
        The best score so far; ``None``: none yet.
    best_step : int
        When that was.
    """

    def __init__(self, folder: Path, every: int, score: str, begun: Path | None = None) -> None:
        self.folder, self.every, self.score, self.begun = folder, every, score, begun
        self.best: float | None = None
        self.best_step = -1
        self._kept = -1

    def state_dict(self) -> dict[str, Any]:
        """What goes into each checkpoint."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What came out of one."""
        self.best, self.best_step = state["best"], state["best_step"]

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """The step that the run goes on from has its checkpoint already."""
        self._kept = trainer.global_step
        if trainer.is_global_zero and self.begun and self.best_step == trainer.global_step:
            self._link_best(self.begun)  # it may have been killed just before

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *args: Any
    ) -> None:
        """Keep the step, if it is its turn and no look follows."""
        step = trainer.global_step
        if step % self.every == 0 and step != self._kept and not module.looks_at(step):
            self._keep(trainer)

    def on_validation_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Keep the step of a look, as the best one if it is."""
        score = module.scores[self.score]
        better = score == score and (self.best is None or score > self.best)
        if better or self.best_step < 0:
            self.best, self.best_step = (score if score == score else None), trainer.global_step
        self._keep(trainer)
        if self.best_step == trainer.global_step and trainer.is_global_zero:
            self._link_best(self.folder / LAST)

    def _keep(self, trainer: lightning.Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()  # what the logs say up to this step is not lost after it
        self._kept = trainer.global_step
        trainer.save_checkpoint(self.folder / LAST)

    def _link_best(self, checkpoint: Path) -> None:
        """A checkpoint is the best one too: another name of the same file, if it can be."""
        if checkpoint.name == BEST:
            return
        beside = self.folder / f"{BEST}.part"
        beside.unlink(missing_ok=True)
        try:
            os.link(checkpoint, beside)
        except OSError:
            shutil.copyfile(checkpoint, beside)
        os.replace(beside, self.folder / BEST)


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place, flushes it to the disk, then renames it.

    What was in its place becomes the previous one. Killed at any moment, a run has at least one
    whole checkpoint of those that it had.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any = None
    ) -> None:
        """Write one file, or raise CheckpointError."""
        path = Path(path)
        beside = path.with_name(f"{path.name}.part")
        try:
            with open(beside, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                os.replace(path, path.with_name(PREVIOUS))
            os.replace(beside, path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            beside.unlink(missing_ok=True)
            reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
            raise CheckpointError(
                f"cannot write {path} ({reason})",
                "make room on the disk; the same command then goes on from the one before",
            ) from error


def read_checkpoint(path: Path, weights: dict[str, Tensor]) -> dict[str, Any]:
    """A checkpoint of a run, read without unpickling any class, every byte checked.

    Parameters
    ----------
    path : Path
    weights : dict
        Those of the module that it is for, whose names and shapes it must have.

    Raises
    ------
    CheckpointError
        For a file that is damaged or belongs to another network.
    """
    try:
        with zipfile.ZipFile(path) as parts:  # torch itself does not compare the checksums
            if (damaged := parts.testzip()) is not None:
                raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        found = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
        if found != {name: tensor.shape for name, tensor in weights.items()}:
            raise ValueError("weights of another network")
        if not {"loops", "callbacks", "optimizer_states"} <= checkpoint.keys():
            raise ValueError("not the checkpoint of a run")
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        NotImplementedError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise CheckpointError(f"{path} is damaged ({reason})", "it is left out") from error
    return checkpoint
