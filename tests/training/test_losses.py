"""Losses against independent libraries and closed forms."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss, FocalLoss, TverskyLoss
from segmentation_models_pytorch import losses as smp
from torch import nn
from torchmetrics.functional.classification import binary_fbeta_score, binary_jaccard_index

from napari_ink.errors import SettingsError
from training.losses import (
    LOSSES,
    WeightedLoss,
    bce,
    dice,
    fbeta,
    focal,
    mse,
    power_jaccard,
    soft_iou,
    tversky,
)


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(5)
    logits = torch.randn(4, 1, 8, 8, generator=random, dtype=torch.float64) * 3
    target = torch.rand(4, 1, 8, 8, generator=random, dtype=torch.float64)
    return logits, target, torch.ones_like(logits)


@pytest.fixture
def hard(batch):
    """Labels of 0 and 1: for soft ones, libraries define the overlap differently."""
    logits, target, weight = batch
    return logits, (target > 0.7).double(), weight


def test_mse_is_that_of_the_probability(batch):
    logits, target, weight = batch
    assert mse(logits, target, weight).item() == pytest.approx(
        nn.MSELoss()(logits.sigmoid(), target).item()
    )


@pytest.mark.parametrize("smoothing", [0, 0.25])
def test_bce_equals_segmentation_models(batch, smoothing):
    logits, target, weight = batch
    theirs = smp.SoftBCEWithLogitsLoss(smooth_factor=smoothing or None)(logits, target)
    assert bce(logits, target, weight, smoothing=smoothing).item() == pytest.approx(theirs.item())


def test_smoothed_labels_are_the_second_places(batch):
    logits, target, weight = batch
    theirs = bce(logits, target * 0.8 + 0.1, weight)
    assert bce(logits, target, weight, smoothing=0.1).item() == pytest.approx(theirs.item())


@pytest.mark.parametrize(("alpha", "gamma"), [(0.3, 2), (0.25, 1), (0.8, 0.5), (0.5, 0)])
def test_focal_equals_segmentation_models_and_monai(batch, hard, alpha, gamma):
    theirs = smp.FocalLoss("binary", alpha=alpha, gamma=gamma)
    for logits, target, weight in (batch, hard):
        ours = focal(logits, target, weight, alpha=alpha, gamma=gamma)
        assert ours.item() == pytest.approx(theirs(logits, target).item())
    monai = FocalLoss(alpha=alpha, gamma=gamma)(logits, target)
    assert ours.item() == pytest.approx(monai.item())


def test_dice_equals_monai_over_the_batch(batch):
    logits, target, weight = batch
    theirs = DiceLoss(sigmoid=True, batch=True, smooth_nr=1, smooth_dr=1)(logits, target)
    assert dice(logits, target, weight).item() == pytest.approx(theirs.item())


def test_dice_equals_segmentation_models(hard):
    # It halves the sums, so that its smoothing counts twice.
    theirs = smp.DiceLoss("binary", smooth=0.5)(*hard[:2])
    assert dice(*hard).item() == pytest.approx(theirs.item())


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.5, 0.5), (1, 2)])
def test_tversky_equals_monai_and_segmentation_models(hard, alpha, beta):
    ours = tversky(*hard, alpha=alpha, beta=beta, smooth=0.5).item()
    monai = TverskyLoss(
        sigmoid=True, batch=True, alpha=alpha, beta=beta, smooth_nr=0.5, smooth_dr=0.5
    )
    assert ours == pytest.approx(monai(*hard[:2]).item())
    theirs = smp.TverskyLoss("binary", alpha=alpha, beta=beta, smooth=0.5)
    assert ours == pytest.approx(theirs(*hard[:2]).item())


def test_soft_iou_equals_monai_and_segmentation_models(hard):
    ours = soft_iou(*hard).item()
    monai = DiceLoss(sigmoid=True, jaccard=True, batch=True, smooth_nr=2, smooth_dr=2)
    assert ours == pytest.approx(monai(*hard[:2]).item())
    assert ours == pytest.approx(smp.JaccardLoss("binary", smooth=1)(*hard[:2]).item())


def test_power_jaccard_is_its_formula_and_soft_iou_at_one(batch):
    probability, target = batch[0].sigmoid().numpy(), batch[1].numpy()
    both = (probability * target).sum()
    below = (probability**1.75 + target**1.75).sum() - both + 0.01
    assert power_jaccard(*batch).item() == pytest.approx(1 - (both + 0.01) / below)
    plain = power_jaccard(*batch, power=1, smooth=1)
    assert plain.item() == pytest.approx(soft_iou(*batch).item())


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_fbeta_is_a_tversky_loss_and_one_less_the_score_of_certain_predictions(batch, hard, beta):
    logits, target, weight = hard
    share = beta**2 / (1 + beta**2)
    monai = TverskyLoss(
        sigmoid=True, batch=True, alpha=1 - share, beta=share, smooth_nr=0, smooth_dr=0
    )
    ours = fbeta(logits, target, weight, beta=beta, smooth=0)
    assert ours.item() == pytest.approx(monai(logits, target).item())
    certain = fbeta(logits * 1e6, target, weight, beta=beta, smooth=0)
    score = binary_fbeta_score(logits.sigmoid(), target.int(), beta=beta)
    assert certain.item() == pytest.approx(1 - score.item())
    iou = soft_iou(logits * 1e6, target, weight, smooth=0)
    assert iou.item() == pytest.approx(
        1 - binary_jaccard_index(logits.sigmoid(), target.int()).item()
    )


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_right(name, batch):
    logits, target, weight = (part[:2, :, :3, :3] for part in batch)
    weight = weight * torch.rand(weight.shape, generator=torch.Generator().manual_seed(1))
    logits = logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(LOSSES[name], (logits, target, weight))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95))
def test_what_is_masked_neither_counts_nor_pulls(name, seed, share):
    random = torch.Generator().manual_seed(seed)
    logits, target, drawn = torch.randn(3, 3, 1, 5, 5, generator=random, dtype=torch.float64)
    target, inside = target.sigmoid(), drawn.sigmoid() < share
    inside[0, 0, 0, 0] = True
    alone = LOSSES[name](logits[inside], target[inside], torch.ones_like(logits[inside]))
    # What lies outside may be anything.
    logits = logits.masked_fill(~inside, float("inf")).requires_grad_()
    loss = LOSSES[name](logits, target.masked_fill(~inside, float("nan")), inside.double())
    loss.backward()
    assert loss.item() == pytest.approx(alone.item())
    assert logits.grad[inside].abs().min() > 0
    assert (logits.grad[~inside] == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_weight_is_how_often_a_pixel_counts(name, batch):
    logits, target, weight = batch
    twice = weight.clone()
    twice[0] = 2
    repeated = [torch.cat([part[:1], part]) for part in batch]
    assert LOSSES[name](logits, target, twice).item() == pytest.approx(
        LOSSES[name](*repeated).item()
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("smooth", [0, 1])
def test_a_batch_with_nothing_to_learn_from_pulls_at_nothing(name, smooth, batch):
    parameters = {"smooth": smooth} if "smooth" in accepts(name) else {}
    logits, target, weight = batch
    logits = logits.float().requires_grad_()
    loss = LOSSES[name](logits, target, torch.zeros_like(weight), **parameters)
    loss.backward()
    assert loss.isfinite()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("parameters", [{}, {"smooth": 0}, {"gamma": 0.5}])
@pytest.mark.parametrize("name", LOSSES)
def test_the_largest_logits_of_half_precision_are_safe(name, parameters):
    logits = torch.tensor([-65504.0, 65504.0, -65504.0, 65504.0, 0.0], dtype=torch.float16)
    for target in (torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0]), torch.zeros(5)):
        for taken in ([0, 1, 2, 3, 4], [0], [1]):
            some = logits[taken].clone().requires_grad_()
            mine = WeightedLoss({name: {k: v for k, v in parameters.items() if k in accepts(name)}})
            loss = mine(some[None], target[taken][None], torch.ones(1, len(taken)))
            loss.backward()
            assert loss.dtype == torch.float32
            assert loss.isfinite()
            assert some.grad.isfinite().all()


def accepts(name):
    return LOSSES[name].__kwdefaults__


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_in_single_precision_under_autocast(name, batch):
    logits, target, weight = (part.float() for part in batch)
    half = logits.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        ours = LOSSES[name](half, target, weight)
    assert ours.dtype == torch.float32
    assert ours.item() == LOSSES[name](half.float(), target, weight).item()


def test_the_reports_code_loss_and_the_slides(hard):
    code = WeightedLoss(
        {
            "focal": {"weight": 1 / 3, "alpha": 0.3, "gamma": 2},
            "dice": {"weight": 1 / 3, "smooth": 0},
            "bce": {"weight": 1 / 3, "smoothing": 0.25},
        }
    )
    parts = [
        smp.FocalLoss("binary", alpha=0.3, gamma=2),
        smp.DiceLoss("binary"),
        smp.SoftBCEWithLogitsLoss(smooth_factor=0.25),
    ]
    theirs = sum(part(*hard[:2]) for part in parts) / 3
    assert code(*hard).item() == pytest.approx(theirs.item())
    slides = WeightedLoss({"dice": {"weight": 0.5, "smooth": 0}, "bce": 0.5})
    theirs = (smp.DiceLoss("binary")(*hard[:2]) + smp.SoftBCEWithLogitsLoss()(*hard[:2])) / 2
    assert slides(*hard).item() == pytest.approx(theirs.item())


def test_weighted_sum_of_the_second_place(batch):
    logits, target, weight = batch
    expected = 0.5 * bce(logits, target, weight) + 0.5 * fbeta(logits, target, weight, beta=0.5)
    ours = WeightedLoss({"bce": 0.5, "fbeta": {"weight": 0.5, "beta": 0.5}})
    assert ours(logits, target, weight).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", LOSSES)
def test_a_flat_label_is_that_of_every_layer_of_a_volume(name, batch):
    logits, target, weight = batch
    volume = torch.cat([logits, logits.flip(0), -logits], dim=1)
    weight = weight * (target > 0.2)
    spread = (target.repeat(1, 3, 1, 1), weight.repeat(1, 3, 1, 1))
    ours = WeightedLoss({name: 1})
    assert ours(volume, target, weight).item() == pytest.approx(ours(volume, *spread).item())
    half = WeightedLoss({name: 1})(volume, target, weight, counted_weight=2 * weight.sum())
    plain = ours(volume, target, weight)
    assert half.item() == pytest.approx(
        plain.item() / (2 if name in ("bce", "focal", "mse") else 1)
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"dise": 1}, "no loss 'dise': did you mean 'dice'"),
        ({}, "without a loss"),
        ({"bce": 0}, "all losses weigh nothing"),
        ({"fbeta": {"bta": 0.5}}, "fbeta has no setting 'bta': did you mean 'beta'"),
        ({"bce": {"counted_weight": 1}}, "no setting 'counted_weight'"),
        ({"bce": "much"}, "weight = 'much': give a number from 0"),
        ({"bce": {"smoothing": 0.6}}, "smoothing = 0.6: give a number from 0 to 0.5"),
        ({"bce": True}, "weight = True"),
        ({"dice": {"smooth": float("nan")}}, "smooth = nan"),
    ],
)
def test_what_is_no_loss_is_refused_by_name(weights, message):
    with pytest.raises(SettingsError, match=message):
        WeightedLoss(weights)
