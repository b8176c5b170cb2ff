"""Layers: their order, their loss, and their labels."""

import numpy as np
import torch
from augmentation_samples import config, random_batch

from training.augmentation import Augmentation
from training.augmentation.chance import Chance
from training.augmentation.depth import layer_order

DEPTH = 8


def orders(change, samples=200, depth=DEPTH):
    drawn = [layer_order(change, Chance(change, 1, i), depth) for i in range(samples)]
    return [tuple(range(depth)) if each is None else tuple(int(z) for z in each) for each in drawn]


def test_shifts_are_whole_layers_up_to_the_furthest_equally_likely():
    shifts = [order[0] for order in orders(config(z_shift={"p": 1, "layers": 2}), 2000)]
    assert set(shifts) == {-2, -1, 0, 1, 2}
    counts = np.bincount(np.array(shifts) + 2)
    assert np.abs(counts - 400).max() < 4 * np.sqrt(400)
    for order in orders(config(z_shift={"p": 1, "layers": 2}), 20):
        assert np.diff(order).tolist() == [1] * (DEPTH - 1)


def test_flip_turns_the_stack_over():
    assert set(orders(config(z_flip={"p": 0.5}))) == {tuple(range(8)), tuple(range(8))[::-1]}


def test_layers_stay_in_their_group_and_take_every_order_there():
    found = orders(config(group_shuffle={"p": 1, "group": 3}))
    assert {order[6:] for order in found} == {(6, 7), (7, 6)}
    assert len({order[:3] for order in found}) == 6
    assert all(sorted(order[3:6]) == [3, 4, 5] for order in found)


def test_the_outermost_layer_fills_up_and_its_label_does_not_count():
    batch = random_batch(size=32, depth=DEPTH, channels=DEPTH)
    batch = batch._replace(weight=torch.ones_like(batch.weight))
    change = config(z_shift={"p": 1, "layers": 3})
    after = Augmentation(change, 1)(batch)
    assert after.weight.shape == after.label.shape
    for i, sample in enumerate(batch.sample.tolist()):
        order = layer_order(change, Chance(change, 1, sample), DEPTH)
        for z, source in enumerate(range(DEPTH) if order is None else order):
            known = 0 <= source < DEPTH
            source = min(max(int(source), 0), DEPTH - 1)
            assert torch.equal(after.volume[i, 0, z], batch.volume[i, 0, source])
            assert torch.equal(after.label[i, z], batch.label[i, source])
            assert (after.weight[i, z] == known).all()


def test_an_ink_layer_stays_as_it_is_when_layers_move():
    batch = random_batch(size=8, depth=DEPTH)
    change = config(z_shift={"p": 1}, z_flip={"p": 1}, group_shuffle={"p": 1})
    after = Augmentation(change, 1)(batch)
    assert torch.equal(after.label, batch.label)
    assert torch.equal(after.weight, batch.weight)
    assert not torch.equal(after.volume, batch.volume)


def test_dropped_layers_become_the_windows_mean_and_the_others_stay():
    batch = random_batch(size=200, depth=DEPTH, side=4)
    after = Augmentation(config(layer_dropout={"p": 1, "layers": 3}), 1)(batch)
    lost = (after.volume != batch.volume).flatten(3).all(-1)[:, 0]
    assert set(lost.sum(1).tolist()) == {1, 2, 3}
    assert lost.any(0).all()
    means = batch.volume.mean(dim=(1, 2, 3, 4), keepdim=True).expand_as(after.volume)
    assert torch.allclose(after.volume[:, 0][lost], means[:, 0][lost], atol=1e-6)
    assert torch.equal(after.volume[:, 0][~lost], batch.volume[:, 0][~lost])
    assert torch.equal(after.label, batch.label)
