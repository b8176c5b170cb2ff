"""What happens to a sample follows from the seed and its number, and happens as often as asked."""

import numpy as np
import pytest
import torch
from augmentation_samples import STRONG, config, everything_but_mixing, random_batch

from training.augmentation import Augmentation
from training.augmentation.chance import Chance
from training.augmentation.config import MIXING, TRANSFORMS, OneOf
from training.dataset.batch import Batch

SAMPLES = 4000


def rows(batch, chosen):
    return Batch(*(part[chosen] for part in batch))


@pytest.mark.parametrize("channels", [1, 8])
def test_a_sample_does_not_depend_on_the_batch_it_is_in(channels):
    change = Augmentation(everything_but_mixing(), seed=5)
    batch = random_batch(channels=channels)
    whole = change(batch)
    for pieces in ([[0, 1], [2, 3]], [[0], [1], [2], [3]], [[0], [1, 2, 3]]):
        apart = [change(rows(batch, chosen)) for chosen in pieces]
        assert all(map(torch.equal, whole, map(torch.cat, zip(*apart, strict=True))))
    shuffled = change(rows(batch, [2, 0, 3, 1]))
    assert all(
        torch.equal(one[[2, 0, 3, 1]], other) for one, other in zip(whole, shuffled, strict=True)
    )
    assert not torch.equal(whole.volume, batch.volume)


@pytest.mark.parametrize("name", STRONG)
def test_seed_and_sample_number_both_matter_and_nothing_else(name):
    batch = random_batch(size=8)
    change = config(**{name: STRONG[name]})
    first = Augmentation(change, 5)(batch)
    assert all(map(torch.equal, first, Augmentation(change, 5)(batch)))
    if name == "label_smoothing":  # alike for every sample
        return
    for other in (
        Augmentation(change, 6)(batch),
        Augmentation(change, 5)(batch._replace(sample=batch.sample + 8)),
    ):
        assert not all(map(torch.equal, first[:3], other[:3]))


def test_the_batch_itself_is_left_as_it_was():
    batch = random_batch()
    copy = Batch(*(part.clone() for part in batch))
    settings = {name: STRONG[name] for name in STRONG if name not in MIXING}
    for extra in ({}, {"mixup": {"p": 1}}, {"cutmix": {"p": 1}}):
        Augmentation(config(**settings, **extra), 1)(batch)
        Augmentation(config(**extra), 1)(batch)
        assert all(map(torch.equal, batch, copy))


def test_without_settings_nothing_is_done():
    batch = random_batch()
    assert all(map(torch.equal, Augmentation(config(), 1)(batch), batch))


def test_memory_layout_and_autocast_change_nothing():
    change = Augmentation(everything_but_mixing(), seed=5)
    batch = random_batch()
    expected = change(batch)
    layout = batch._replace(volume=batch.volume.contiguous(memory_format=torch.channels_last_3d))
    assert all(map(torch.equal, change(layout), expected))
    with torch.autocast("cpu", torch.bfloat16):
        assert all(map(torch.equal, change(batch), expected))


def test_one_transform_more_leaves_the_others_numbers_alone():
    few = config(affine={"p": 0.5}, noise={"p": 0.5})
    more = config(affine={"p": 0.5}, noise={"p": 0.5}, elastic={"p": 1}, flip={"p": 0.3})
    for sample in range(50):
        for name in ("affine", "noise"):
            a, b = (Chance(each, 1, sample).draw(name) for each in (few, more))
            assert (a is None) == (b is None)
            assert a is None or a.random() == b.random()


def often(change, names=TRANSFORMS, seed=2):
    """Share of samples each transform happens to, and the number a sample has of them."""
    happened = np.array(
        [
            [chance.draw(name) is not None for name in names]
            for chance in (Chance(change, seed, sample) for sample in range(SAMPLES))
        ]
    )
    return dict(zip(names, happened.mean(0), strict=True)), happened.sum(1)


def close(share, expected):
    """Within four standard deviations of a binomial count."""
    return abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / SAMPLES)


def test_each_happens_as_often_as_its_p_says_and_by_itself():
    expected = {name: 0.1 + 0.04 * i for i, name in enumerate(TRANSFORMS) if name not in MIXING}
    shares, number = often(config(**{name: {"p": p} for name, p in expected.items()}))
    for name in TRANSFORMS:
        assert close(shares[name], expected.get(name, 0))
    p = np.array(list(expected.values()))
    assert abs(number.var() / (p * (1 - p)).sum() - 1) < 0.1  # a sum of independent events


def test_a_window_is_mixed_in_one_way_at_most():
    expected = {"mixup": 0.25, "manifold_mixup": 0.25, "cutmix": 0.3}
    shares, number = often(config(**{n: {"p": p} for n, p in expected.items()}), MIXING)
    assert number.max() == 1
    assert all(close(shares[name], p) for name, p in expected.items())


def test_one_of_them_is_chosen_in_proportion_to_p():
    among = {"elastic": 0.3, "blur": 0.3, "grid_distortion": 0.1}
    settings = {name: {"p": p} for name, p in among.items()}
    one_of = {"p": 0.9, "among": tuple(among)}
    shares, number = often(config(**settings, one_of=one_of, flip={"p": 0.5}), (*among, "flip"))
    assert close(shares["flip"], 0.5)
    assert all(close(shares[name], 0.9 * p / 0.7) for name, p in among.items())
    _, number = often(config(**settings, one_of=one_of), tuple(among))
    assert number.max() == 1
    assert OneOf().among == ()
