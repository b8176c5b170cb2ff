"""The network as Lightning trains it: one step, and what a look at a fragment means."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor

from napari_ink.analysis import metrics
from napari_ink.analysis.metrics import Histogram
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.models.contract import InkNetwork
from training.config import RunConfig
from training.dataset.augment import random_intensity, random_turns
from training.dataset.labelled import LabelledFragment
from training.losses import WeightedLoss
from training.schedule import build_optimiser


class InkModule(lightning.LightningModule):
    """Learns from batches of windows; is judged by predicting whole fragments.

    Attributes
    ----------
    network : InkNetwork
        What is trained; its ``info`` says how a fragment is to be read.
    look : list of LabelledFragment
        To validate on.
    histogram : Histogram
        Probability by label over the validation fragments, of the last look at them.
    """

    def __init__(
        self, network: InkNetwork, config: RunConfig, look: list[LabelledFragment]
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.look = look
        self.loss = WeightedLoss(config.learning.losses)
        self.histogram = Histogram()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> Tensor:
        """Loss of one batch ``(volume, label, weight)`` after augmentation."""
        # Seeded by (seed, step), like the windows: what a step does depends on nothing before.
        generator = torch.Generator().manual_seed((self.config.seed << 32) + self.global_step)
        volume, label, weight = random_turns(*batch, generator=generator)
        volume = random_intensity(volume, self.config.data.jitter, generator)
        volume = volume.contiguous(memory_format=torch.channels_last_3d)
        task = torch.zeros(len(volume), dtype=torch.int64, device=volume.device)
        loss = self.loss(self.network(volume, task), label, weight)
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last look."""
        self.histogram = Histogram()

    def validation_step(self, fragment: int, index: int) -> None:
        """Predict one fragment, by its index, and count it."""
        self.histogram += count(self.network, self.look[fragment], self.device.type)

    def on_validation_epoch_end(self) -> None:
        """Log the pooled scores, at the best threshold for now."""
        threshold = metrics.best_threshold(self.histogram)
        values = metrics.summary(self.histogram, threshold)
        shown = {"auc", "f05"}
        for name in ("auc", "f05", "iou", "ece", "threshold"):
            self.log(name, values[name], prog_bar=name in shown)

    def configure_optimizers(self) -> dict:
        """AdamW, its rate set every step."""
        optimiser, schedule = build_optimiser(self.network, self.config.learning)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def count(network: InkNetwork, labelled: LabelledFragment, device: str = "cpu") -> Histogram:
    """Probability by label over a fragment that is predicted exactly as a reader would.

    What is normalised, tiled and blended is what :func:`napari_ink.predict` does with the
    checkpoint, so that a threshold chosen from the counts holds there.
    """
    histogram = Histogram()
    settings = PredictionSettings(layers=labelled.stored_layers, device=device)
    for done in predict(labelled.fragment, network, settings, notice=lambda line: None):
        y, x = done.box.slices
        histogram.add(done.probability, labelled.label[y, x], labelled.weight[y, x])
    return histogram
