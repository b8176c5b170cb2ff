"""The network as Lightning trains it: one pass, and what a look means."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from napari_ink.analysis.metrics import Histogram
from napari_ink.models.contract import InkNetwork
from training.augmentation import Augmentation
from training.dataset.batch import Batch
from training.dataset.windows import WindowBatches
from training.learning.look import (
    Look,
    count,
    keep_map,
    predict_part,
    scores_of,
    weigh_once,
    whole_map,
)
from training.learning.optimiser import build_optimiser
from training.learning.schedule import build_schedule
from training.losses import WeightedLoss
from training.settings.config import RunConfig


class InkModule(lightning.LightningModule):
    """Learns from batches of windows; is judged by predicting as a reader would.

    Everything random of a pass follows from the seed, its number and, for the noise inside the
    network, the process: what a pass does depends on nothing before it.

    Attributes
    ----------
    network : InkNetwork
        What is trained; its ``info`` says how a fragment is to be read.
    measured : dict
        Of the pass just done: ``loss``, the learning rates and so on, for the logs.
    scores : dict
        Of the last look.
    data : Data or None
        What there is to learn from and to look at.
    """

    def __init__(self, network: InkNetwork, config: RunConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.loss = WeightedLoss(config.learning.losses)
        self.augmentation = Augmentation(config.augmentation, config.seed)
        self.measured: dict[str, Any] = {}
        self.scores: dict[str, float] = {}
        self.data: Data | None = None
        self._histogram = Histogram()
        self._weight = 0.0  # of a pass, mean over those of the step

    def feed(self, windows: WindowBatches, look: Look) -> None:
        """What there is to learn from and to look at, before Lightning begins."""
        self.data = Data(windows, look)

    @property
    def samples_a_step(self) -> int:
        """Windows of a step, over all passes and processes."""
        return self.data.windows.order.batch * self.data.look.world * self._passes

    @property
    def _passes(self) -> int:
        return self.config.learning.accumulate

    def train(self, mode: bool = True) -> InkModule:
        """Training mode, in which batch norm keeps its statistics if it is frozen."""
        super().train(mode)
        if self.config.learning.freeze_norm:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def on_train_start(self) -> None:
        """Lightning trains in the mode that it finds."""
        self.train()

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Loss of one pass, after augmentation."""
        learning, look = self.config.learning, self.data.look
        torch.manual_seed(_seed(self.config.seed, number, look.rank))
        counted_weight = None
        if learning.accumulate > 1:
            if number % learning.accumulate == 0:
                passes = range(number, number + learning.accumulate)
                self._weight = sum(map(self._weight_of, passes)) / len(passes)
            counted_weight = batch.weight.new_tensor(self._weight)
        batch = self.augmentation(batch)
        with self.augmentation.mixing(self.network, batch):
            logits = self.network(batch.volume, batch.task)
        loss = self.loss(logits, batch.label, batch.weight, counted_weight=counted_weight)
        self._measure(loss.detach(), number)
        return loss

    def _weight_of(self, number: int) -> float:
        """Sum of the weights of a pass, after augmentation, without reading its volumes."""
        windows = self.data.windows
        blank = torch.zeros(windows.order.batch, 1, 1, windows.windows.side, windows.windows.side)
        batch = windows.with_labels(number, blank)
        batch = Batch(*(part.to(self.device) for part in batch))
        return float(self.augmentation(batch).weight.sum())

    def _measure(self, loss: Tensor, number: int) -> None:
        """Note the loss of the step so far: with several passes, the mean of theirs."""
        done = number % self._passes
        before = self.measured["loss"] * done if done else 0.0
        self.measured = {"loss": (before + loss) / (done + 1)}
        rates = {f"lr-group{i}": g["lr"] for i, g in enumerate(self.optimizers().param_groups)}
        if len(set(rates.values())) == 1:
            rates = {"lr": next(iter(rates.values()))}
        self.measured |= rates
        self.log("loss", self.measured["loss"], prog_bar=True, logger=False)

    def looks_at(self, step: int) -> bool:
        """Whether a look follows a step."""
        learning = self.config.learning
        return step % learning.validate_every == 0 or step >= learning.steps

    def on_validation_epoch_start(self) -> None:
        """Forget the last look."""
        self._histogram = Histogram()
        self.scores = {}

    def validation_step(self, index: int, number: int) -> None:
        """One source by its index, shared out among the processes; after the last, the loss."""
        look = self.data.look
        if index == len(look.sources):
            if look.windows is not None:
                self.scores["val_loss"] = self._validation_loss(look.windows)
            return
        source = look.sources[index]
        part = look.part(source)
        with torch.autocast(self.device.type, enabled=False):  # at a reader's precision
            own = predict_part(self.network, source, part, self.device.type, self._end_if_told)
        self._histogram += count(source, part, own)
        height = source.box.shape[0]
        probability = whole_map(own, height, look, self.all_gather, self.device)
        if look.folder is not None and self.trainer.is_global_zero:
            keep_map(look.folder, source, probability)

    def _validation_loss(self, windows: WindowBatches) -> float:
        """Mean over the pixels of all validation windows, without augmentation."""
        total, seen = 0.0, 0.0
        for step in range(len(windows)):
            batch = weigh_once(windows[step], windows.order.rows)
            batch = Batch(*(part.to(self.device) for part in batch))
            logits = self.network(batch.volume, batch.task)
            weight = float(self.all_gather(batch.weight.sum()).sum())
            self._end_if_told()
            total += float(self.loss(logits, batch.label, batch.weight)) * weight
            seen += weight
        return total / seen if seen else math.nan

    def _end_if_told(self) -> None:
        """Obey SIGTERM within a look too, which may take long: Lightning asks after a source."""
        if self.trainer.received_sigterm:
            raise SIGTERMException

    def on_validation_epoch_end(self) -> None:
        """Pooled scores of all sources and processes, at the best threshold for now."""
        histogram = self._histogram
        if self.data.look.world > 1:
            counts = torch.from_numpy(histogram.counts).to(self.device)
            histogram = Histogram(self.all_gather(counts).sum(dim=0).cpu().numpy())
        self.scores = scores_of(histogram) | self.scores
        self._step_plateau()
        for name in ("auc", "f05"):
            self.log(name, self.scores[name], prog_bar=True, logger=False)

    def whereabouts(self, batch: Batch) -> dict[str, np.ndarray]:
        """Names of sources and places of a batch's windows."""
        windows = self.data.windows
        order = windows.order
        rows = order.rows_of(int(batch.sample[0]) // (order.batch * order.world))
        names = [windows.sources[i].name for i in windows.windows.source[rows]]
        y, x = windows.windows.y[rows], windows.windows.x[rows]
        return {"source": np.array(names), "y": y, "x": x}

    def configure_optimizers(self) -> dict[str, Any]:
        """Optimiser and schedule of the settings."""
        learning = self.config.learning
        mixed = self.config.trainer.precision != "fp32"
        optimiser = build_optimiser(self.network, learning.optimiser, mixed=mixed)
        scheduler = build_schedule(optimiser, learning.schedule, learning.steps)
        schedule: dict[str, Any] = {"scheduler": scheduler, "interval": "step"}
        if isinstance(scheduler, ReduceLROnPlateau):
            # Stepped at the looks by ourselves: Lightning would do it after the checkpoint of the
            # look is written, and not at all in a run that goes on from there.
            schedule |= {"monitor": learning.score, "strict": False, "frequency": 2**62}
        return {"optimizer": optimiser, "lr_scheduler": schedule}

    def _step_plateau(self) -> None:
        """A plateau is told the score of each look, before the checkpoint is written."""
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(self.scores[self.config.learning.score])


@dataclass(frozen=True, eq=False)
class Data:
    """What a module learns from and looks at; not copied with it."""

    windows: WindowBatches
    look: Look

    def __deepcopy__(self, memo: dict) -> Data:
        return self


def _seed(*numbers: int) -> int:
    """One seed of several numbers."""
    words = ",".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.sha256(words).digest()[:8], "little") >> 1
