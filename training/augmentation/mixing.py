"""Two windows of a batch in one: mixup, CutMix, and mixup of features inside the network.

Sources: Zhang et al. 2018 (arXiv 1710.09412), Yun et al. 2019 (1905.04899v2), Verma et al. 2019
(1806.05236); from their mathematics. Unlike there, every sample draws its own λ, and its partner
has the same task: features of different experts have nothing in common.

Windows come in random order, so that any is as good a partner as another. It is the nearest one:
with one task, samples 2 k and 2 k + 1 of the run have each other, whichever process they are in,
and an even batch mixes alike on one device and on many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_ink.models.contract import InkNetwork
from training.augmentation.chance import Chance
from training.augmentation.config import MIXING, AugmentationConfig
from training.dataset.batch import Batch


@dataclass(frozen=True)
class Mixture:
    """Whom a sample is mixed with.

    Attributes
    ----------
    how : str
        ``mixup``, ``manifold_mixup`` or ``cutmix``.
    partner : int
        Place in the batch.
    own : float
        λ, the sample's own share.
    corner : tuple of float
        ``cutmix``: where the rectangle lies, as shares of the room it has along y and x.
    """

    how: str
    partner: int
    own: float
    corner: tuple[float, float]

    def box(self, side: int) -> tuple[slice, slice]:
        """The partner's rectangle in a window: ``1 − own`` of its area, all of it inside."""
        length = round(side * math.sqrt(1 - self.own))
        y, x = (round(share * (side - length)) for share in self.corner)
        return slice(y, y + length), slice(x, x + length)


def mixtures(
    config: AugmentationConfig, chances: list[Chance], tasks: list[int]
) -> list[Mixture | None]:
    """Each sample's partner and share; ``None`` for a sample that stays alone."""
    samples = [chance.sample for chance in chances]
    return [
        _mixture(config, chance, _partner(i, samples, tasks)) for i, chance in enumerate(chances)
    ]


def _partner(place: int, samples: list[int], tasks: list[int]) -> int | None:
    """Place of the sample of the same task whose number differs in the lowest binary digits."""
    others = [i for i, task in enumerate(tasks) if task == tasks[place] and i != place]
    return min(others, key=lambda i: samples[i] ^ samples[place], default=None)


def _mixture(config: AugmentationConfig, chance: Chance, partner: int | None) -> Mixture | None:
    for how in MIXING:
        random = chance.draw(how)
        if random is not None and partner is not None:
            alpha = getattr(config, how).alpha
            corner = (random.random(), random.random())
            return Mixture(how, partner, float(random.beta(alpha, alpha)), corner)
    return None


def mix(plan: list[Mixture | None], batch: Batch) -> Batch:
    """Mix volumes, labels and weights; of ``manifold_mixup`` only labels and weights.

    Each pixel of a mixup has the label of both windows, each as far as it counts there, and
    the weight of both: for a loss that is linear in the label, λ of one loss plus 1 − λ of the
    other.
    """
    if not any(plan):
        return batch
    volume, label, weight = batch.volume.clone(), batch.label.clone(), batch.weight.clone()
    for i, mixture in enumerate(plan):
        if mixture is None:
            continue
        j, own = mixture.partner, mixture.own
        if mixture.how == "cutmix":
            y, x = mixture.box(volume.shape[-1])
            for new, old in zip((volume, label, weight), batch[:3], strict=True):
                new[i, ..., y, x] = old[j, ..., y, x]
            continue
        if mixture.how == "mixup":
            volume[i] = torch.lerp(batch.volume[j], batch.volume[i], own)
        mine, theirs = own * batch.weight[i], (1 - own) * batch.weight[j]
        weight[i] = mine + theirs
        counted = mine * batch.label[i] + theirs * batch.label[j]
        label[i] = torch.where(weight[i] > 0, counted / weight[i].clamp_min(1e-12), 0)
    return batch._replace(volume=volume, label=label, weight=weight)


@contextmanager
def mixed_features(plan: list[Mixture | None], network: InkNetwork, task: Tensor) -> Iterator[None]:
    """While open, what leaves ``network.mix_at`` is mixed as the labels were."""
    chosen = [m if m is not None and m.how == "manifold_mixup" else None for m in plan]
    if not any(chosen):
        yield
        return
    order = network.passing_order(task)
    rows = {sample: row for row, sample in enumerate(order)}
    partners = [rows[i if chosen[i] is None else chosen[i].partner] for i in order]
    shares = torch.tensor([1.0 if chosen[i] is None else chosen[i].own for i in order])

    def mixed(features: Tensor) -> Tensor:
        own = shares.to(features).view(-1, *(1,) * (features.ndim - 1))
        return torch.lerp(features[partners], features, own)

    def hook(module, inputs, output):
        return mixed(output) if isinstance(output, Tensor) else tuple(map(mixed, output))

    handle = network.get_submodule(network.mix_at).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
