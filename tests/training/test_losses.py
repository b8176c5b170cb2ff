"""Losses against two independent libraries."""

import pytest
import torch
from monai.losses import DiceLoss
from segmentation_models_pytorch.losses import DiceLoss as SmpDice
from segmentation_models_pytorch.losses import SoftBCEWithLogitsLoss

from napari_ink.errors import SettingsError
from training.losses import LOSSES, WeightedLoss, soft_bce, soft_dice


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(5)
    logits = torch.randn(4, 1, 8, 8, generator=random, dtype=torch.float64) * 3
    target = torch.rand(4, 1, 8, 8, generator=random, dtype=torch.float64)
    return logits, target, torch.ones_like(logits)


def test_bce_equals_segmentation_models(batch):
    logits, target, weight = batch
    assert soft_bce(logits, target, weight).item() == pytest.approx(
        SoftBCEWithLogitsLoss()(logits, target).item()
    )


def test_dice_equals_monai_over_the_batch(batch):
    logits, target, weight = batch
    theirs = DiceLoss(sigmoid=True, batch=True, smooth_nr=1, smooth_dr=1)(logits, target)
    assert soft_dice(logits, target, weight).item() == pytest.approx(theirs.item())


def test_dice_equals_segmentation_models(batch):
    logits, target, weight = batch
    # Hard labels: with soft ones its Tversky form defines the overlap differently. It halves the
    # sums, so that its smoothing counts twice.
    target = (target > 0.7).double()
    theirs = SmpDice("binary", smooth=0.5)(logits, target)
    assert soft_dice(logits, target, weight).item() == pytest.approx(theirs.item())


@pytest.mark.parametrize("name", LOSSES)
def test_pixels_without_weight_neither_count_nor_pull(name, batch):
    logits, target, weight = batch
    weight = weight.clone()
    weight[2:] = 0
    logits = logits.clone().requires_grad_()
    loss = LOSSES[name](logits, target, weight)
    alone = LOSSES[name](logits[:2], target[:2], weight[:2])
    assert loss.item() == pytest.approx(alone.item())
    loss.backward()
    assert logits.grad[:2].abs().min() > 0
    assert logits.grad[2:].abs().max() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_with_nothing_to_learn_from_stays_finite(name, batch):
    logits, target, weight = batch
    logits = logits.clone().requires_grad_()
    loss = LOSSES[name](logits, target, torch.zeros_like(weight))
    loss.backward()
    assert loss.isfinite()
    assert (logits.grad == 0).all()


def test_weighted_sum_and_unknown_name(batch):
    logits, target, weight = (part.float() for part in batch)
    expected = 0.25 * soft_bce(logits, target, weight) + 2 * soft_dice(logits, target, weight)
    ours = WeightedLoss({"bce": 0.25, "dice": 2})
    assert ours(logits, target, weight).item() == pytest.approx(expected.item())
    assert ours(logits.bfloat16(), target, weight).dtype == torch.float32
    for weights, message in (({"dise": 1}, "dise"), ({}, "without a loss")):
        with pytest.raises(SettingsError, match=message):
            WeightedLoss(weights)
