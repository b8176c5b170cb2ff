"""Two windows in one: shares, areas, partners, and features inside the network."""

import numpy as np
import pytest
import torch
from augmentation_samples import config, random_batch
from scipy import stats
from torch.nn import functional

from napari_ink.models.registry import build
from training.augmentation import Augmentation
from training.augmentation.chance import Chance
from training.augmentation.mixing import Mixture, mix, mixed_features, mixtures

SAMPLES = 600


def plan_of(change, samples=SAMPLES, tasks=None):
    chances = [Chance(change, 1, i) for i in range(samples)]
    return mixtures(change, chances, tasks or [0] * samples)


@pytest.mark.parametrize(
    ("name", "alpha"), [("mixup", 0.2), ("manifold_mixup", 0.2), ("cutmix", 1)]
)
def test_shares_follow_their_beta_distribution(name, alpha):
    shares = [mixture.own for mixture in plan_of(config(**{name: {"p": 1, "alpha": alpha}}))]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def partners_of(tasks, first=0):
    change = config(mixup={"p": 1})
    chances = [Chance(change, 1, first + i) for i in range(len(tasks))]
    return [mixture and mixture.partner for mixture in mixtures(change, chances, tasks)]


def test_partners_are_others_of_the_same_task():
    assert partners_of([0, 1, 0, 1, 0, 2]) == [2, 3, 0, 1, 0, None]


@pytest.mark.parametrize("batch", [2, 4, 6, 12])
def test_partners_are_the_same_however_many_devices_share_a_batch(batch):
    found = [first + i for first in range(0, 12, batch) for i in partners_of([0] * batch, first)]
    assert found == partners_of([0] * 12) == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]


def test_mixup_is_a_weighted_sum_of_volumes_and_labels():
    batch = random_batch(size=2)._replace(weight=torch.ones(2, 1, 16, 16))
    after = mix([Mixture("mixup", 1, 0.7, (0, 0)), None], batch)
    for part in ("volume", "label"):
        before, now = getattr(batch, part), getattr(after, part)
        assert torch.allclose(now[0], 0.7 * before[0] + 0.3 * before[1], atol=1e-6)
        assert torch.equal(now[1], before[1])
    assert torch.allclose(after.weight, batch.weight)


def test_the_loss_of_a_mixup_is_the_mixture_of_the_losses_of_what_counts():
    batch = random_batch(size=2)
    after = mix([Mixture("mixup", 1, 0.7, (0, 0)), None], batch)
    logits = torch.randn(1, 16, 16)

    def loss(label, weight):
        each = functional.binary_cross_entropy_with_logits(logits, label, reduction="none")
        return (each * weight).sum()

    own, other = (loss(batch.label[i], batch.weight[i]) for i in (0, 1))
    torch.testing.assert_close(loss(after.label[0], after.weight[0]), 0.7 * own + 0.3 * other)
    nowhere = (batch.weight[0] == 0) & (batch.weight[1] == 0)
    assert nowhere.any()
    assert (after.weight[0][nowhere] == 0).all()


@pytest.mark.parametrize("channels", [1, 8])
def test_cutmix_takes_a_rectangle_of_everything_from_the_partner(channels):
    batch = random_batch(size=40, channels=channels)
    batch = batch._replace(weight=batch.weight.expand_as(batch.label))
    plan = plan_of(config(cutmix={"p": 1}), 40)
    after = mix(plan, batch)
    for i, mixture in enumerate(plan):
        box = torch.zeros(16, 16, dtype=torch.bool)
        box[mixture.box(16)] = True
        for before, now in zip(batch[:3], after[:3], strict=True):
            assert torch.equal(now[i, ..., box], before[mixture.partner, ..., box])
            assert torch.equal(now[i, ..., ~box], before[i, ..., ~box])


def test_the_rectangles_area_is_the_partners_share_and_lies_anywhere():
    side = 1000  # so that rounding to pixels is small
    touched = np.zeros(4)
    for mixture in plan_of(config(cutmix={"p": 1})):
        y, x = mixture.box(side)
        assert 0 <= y.start <= y.stop <= side
        assert 0 <= x.start <= x.stop <= side
        area = (y.stop - y.start) * (x.stop - x.start) / side**2
        assert abs(area - (1 - mixture.own)) < 2 / side
        touched += (y.start < 100, y.stop > 900, x.start < 100, x.stop > 900)
    assert touched.min() > 0.2 * SAMPLES


def test_a_window_alone_in_its_batch_is_not_mixed():
    batch = random_batch(size=1)
    for name in ("mixup", "cutmix", "manifold_mixup"):
        after = Augmentation(config(**{name: {"p": 1}}), 1)(batch)
        assert all(map(torch.equal, after, batch))


@pytest.fixture(params=["3d", "2d"])
def network(request):
    torch.manual_seed(0)
    arguments = {"width": 4, "levels": 2, "depth": 8, "tasks": ["a", "b"], "decoder": request.param}
    network = build("repmode", arguments).train()
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0  # one look at normal features, or all maps would look alike
    batch = random_batch(size=8, tasks=[0, 1] * 4, seed=9)
    network(batch.volume, batch.task)
    return network.eval()


@torch.no_grad()
def test_features_of_the_partner_alone_give_the_partners_ink(network):
    """λ = 0: all that the decoder sees is the partner's, whatever the order of the tasks."""
    batch = random_batch(size=6, tasks=[1, 0, 1, 0, 0, 1])
    partners = {0: 5, 1: 4, 3: 1, 5: 2}
    plan = [
        Mixture("manifold_mixup", partners[i], 0.0, (0, 0)) if i in partners else None
        for i in range(6)
    ]
    plain = network(batch.volume, batch.task)
    assert (plain[0] - plain[2]).abs().max() > 1e-3
    with mixed_features(plan, network, batch.task):
        logits = network(batch.volume, batch.task)
    sources = [partners.get(i, i) for i in range(6)]
    torch.testing.assert_close(logits, plain[sources])
    torch.testing.assert_close(network(batch.volume, batch.task), plain)  # the hook is gone


@torch.no_grad()
def test_skips_and_bottleneck_are_mixed_by_the_shares_of_the_labels(network):
    batch = random_batch(size=4, tasks=[1, 0, 0, 1])
    change = Augmentation(config(manifold_mixup={"p": 1, "alpha": 2}), 7)
    plan = mixtures(
        change.config, [Chance(change.config, 7, i) for i in batch.sample.tolist()], [1, 0, 0, 1]
    )
    crossing = network.get_submodule(network.mix_at)

    def seen():
        passed = []
        handle = crossing.register_forward_hook(lambda *all: passed.append(all[2]))
        network(batch.volume, batch.task)
        handle.remove()
        return passed[0]

    before = seen()
    with change.mixing(network, batch):
        after = seen()
    assert len(before) == 3  # two skips and the bottleneck
    order = network.passing_order(batch.task)
    assert order == [1, 2, 0, 3]
    for plain, mixed in zip(before, after, strict=True):
        for row, sample in enumerate(order):
            own, partner = plan[sample].own, order.index(plan[sample].partner)
            torch.testing.assert_close(mixed[row], own * plain[row] + (1 - own) * plain[partner])
    augmented = change(batch)
    assert torch.equal(augmented.volume, batch.volume)
    expected = mix([Mixture("mixup", m.partner, m.own, m.corner) for m in plan], batch)
    assert torch.equal(augmented.label, expected.label)
    assert torch.equal(augmented.weight, expected.weight)


def test_gradients_reach_both_windows_through_the_mixed_features(network):
    batch = random_batch(size=2)
    volume = batch.volume.requires_grad_()
    plan = [Mixture("manifold_mixup", 1, 0.5, (0, 0)), None]
    with mixed_features(plan, network, batch.task):
        network(volume, batch.task)[0].sum().backward()
    assert (volume.grad.flatten(1).abs().sum(1) > 0).all()


def test_the_hook_is_gone_after_an_error(network):
    plan = [Mixture("manifold_mixup", 1, 0.5, (0, 0)), None]
    with (
        pytest.raises(RuntimeError),
        mixed_features(plan, network, torch.zeros(2, dtype=torch.int64)),
    ):
        raise RuntimeError
    assert not network.get_submodule(network.mix_at)._forward_hooks
