"""All that is done to a batch between the windows and the network."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from napari_ink.errors import SettingsError
from napari_ink.models.contract import InkNetwork
from training.augmentation.chance import Chance
from training.augmentation.config import AugmentationConfig
from training.augmentation.depth import drop_layers, reorder
from training.augmentation.geometry import resample, sampling_grid, turn_all
from training.augmentation.intensity import (
    add_noise,
    blur,
    change_contrast,
    cut_out,
    smooth_labels,
)
from training.augmentation.mixing import Mixture, mix, mixed_features, mixtures
from training.dataset.batch import Batch


class Augmentation:
    """Changes batches, on the device where they are.

    What happens to a sample follows from the seed and its number, never from the batch it is in;
    only whom it is mixed with is found among the batch, see :mod:`training.augmentation.mixing`.

    Parameters
    ----------
    config : AugmentationConfig
    seed : int
        Of the run.

    Examples
    --------
    >>> batch = augmentation(batch)
    >>> with augmentation.mixing(network, batch):
    ...     logits = network(batch.volume, batch.task)
    """

    def __init__(self, config: AugmentationConfig, seed: int) -> None:
        self.config, self.seed = config, seed

    def check(self, network: InkNetwork, side: int) -> None:
        """Raise SettingsError for what cannot be done to windows of this side and network."""
        largest = max(self.config.cutout.sides)
        if self.config.cutout.p and largest >= side:
            raise SettingsError(
                f"augmentation.cutout.sides holds {largest} px for windows of {side} px",
                f"choose sides below {side}",
            )
        if self.config.manifold_mixup.p and network.mix_at is None:
            raise SettingsError(
                f"augmentation.manifold_mixup.p is {self.config.manifold_mixup.p:g}, but "
                f"{network.architecture} names no place where features are mixed",
                "set it to 0, or use mixup",
            )
        if self.config.layer_dropout.p and self.config.layer_dropout.layers >= network.depth:
            raise SettingsError(
                f"augmentation.layer_dropout.layers is {self.config.layer_dropout.layers} of "
                f"{network.depth} layers",
                f"choose fewer than {network.depth}",
            )

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """A changed copy; the batch itself stays as it is.

        Parameters
        ----------
        batch : Batch
            Square windows. Label and weight may have one channel, or, of a labelled volume, one
            a layer; the weight of a labelled volume comes out with one a layer.
        """
        with torch.autocast(batch.volume.device.type, enabled=False):
            chances = self._chances(batch)
            volume, label, weight = batch.volume, batch.label, batch.weight.expand_as(batch.label)
            volume, label, weight = turn_all(chances, volume, label, weight)
            side = volume.shape[-1]
            rows, place = sampling_grid(self.config, chances, side, volume.device)
            if rows:
                parts = (volume, label, weight)
                moved = resample(*(part[rows] for part in parts), place)
                volume, label, weight = map(_with_rows(rows), parts, moved)
            volume, label, weight = reorder(self.config, chances, volume, label, weight)
            for change in (blur, add_noise, change_contrast, drop_layers):
                volume = change(self.config, chances, volume)
            volume, label = cut_out(self.config, chances, volume, label)
            batch = batch._replace(volume=volume, label=label, weight=weight)
            batch = mix(self._plan(chances, batch), batch)
            return batch._replace(label=smooth_labels(self.config, chances, batch.label))

    def mixing(self, network: InkNetwork, batch: Batch) -> AbstractContextManager[None]:
        """While open, the network mixes features of the samples whose labels were mixed for it."""
        return mixed_features(self._plan(self._chances(batch), batch), network, batch.task)

    def _chances(self, batch: Batch) -> list[Chance]:
        return [Chance(self.config, self.seed, sample) for sample in batch.sample.tolist()]

    def _plan(self, chances: list[Chance], batch: Batch) -> list[Mixture | None]:
        return mixtures(self.config, chances, batch.task.tolist())


def _with_rows(rows: list[int]):
    def put(whole: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        whole = whole.clone()
        whole[rows] = part
        return whole

    return put
