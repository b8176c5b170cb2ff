"""A run whose loss or gradient is no number stops at once, and keeps the batch that did it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from napari_ink.errors import InkError
from training.dataset.batch import Batch

NAME = "nan_batch.npz"


class NotANumber(InkError):
    """Loss or gradient is NaN or infinite."""


class NaNGuard(Callback):
    """Looks at loss and gradient before they change any weight.

    Parameters
    ----------
    folder : Path
        Where the batch goes.
    scaled : bool
        Gradients are scaled (fp16), and steps with infinite ones are skipped and the scale
        lowered: only the loss is looked at.
    """

    def __init__(self, folder: Path, scaled: bool) -> None:
        self.folder, self.scaled = folder, scaled
        self._batch: Batch | None = None

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Remember what the step is about to learn from."""
        self._batch = batch

    def on_after_backward(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Stop here, in all processes alike."""
        loss = module.measured["loss"]
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients) if not self.scaled else loss
        fine = torch.isfinite(torch.stack([loss.float(), norm.float()]))
        several = trainer.world_size > 1
        everyone = trainer.strategy.all_gather(fine) if several else fine[None]
        if bool(everyone.all()):
            return
        guilty = everyone.all(dim=1).logical_not().nonzero()[0, 0].item()
        own = everyone[:, 0].logical_not().nonzero()
        guilty = own[0, 0].item() if len(own) else guilty  # whose loss it was, if one's it was
        if trainer.global_rank == guilty:
            self._save(trainer, module, float(loss), float(norm))
        if not torch.isfinite(self._batch.volume).all():
            sources = sorted(set(module.whereabouts(self._batch)["source"].tolist()))
            raise NotANumber(
                f"step {trainer.global_step + 1}: a window of {', '.join(sources)} holds NaN or "
                "infinite intensities",
                f"look at {self.folder / NAME}, and mend the fragment or leave it out",
            )
        what = "loss" if len(own) else "gradient"
        raise NotANumber(
            f"the {what} of step {trainer.global_step + 1} is not finite "
            f"(loss {float(loss):g}, norm of the gradient {float(norm):g})",
            f"look at {self.folder / NAME}; try a lower rate, --learning.clip or "
            "--trainer.precision fp32",
        )

    def _save(self, trainer: Any, module: Any, loss: float, norm: float) -> None:
        batch = self._batch
        parts = {name: part.cpu().numpy() for name, part in batch._asdict().items()}
        parts |= module.whereabouts(batch)
        np.savez(
            self.folder / NAME, step=trainer.global_step + 1, loss=loss, gradient_norm=norm, **parts
        )
