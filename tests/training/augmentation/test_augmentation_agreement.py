"""A marked spot lies at the same (y, x) in volume and label, whatever was done to them."""

import numpy as np
import pytest
import torch
from augmentation_samples import STRONG, config
from hypothesis import given, settings
from hypothesis import strategies as st

from training.augmentation import Augmentation
from training.dataset.batch import Batch

SIDE, MARK = 16, 100.0  # windows are cubes: nothing but the content tells z from y
SAMPLES = 4
MOVING = ("flip", "turn", "affine", "elastic", "grid_distortion", "optical_distortion")
MOVING += ("piecewise_affine", "z_shift", "z_flip", "group_shuffle", "mixup", "cutmix")
TOLERANCE = 0.75  # pixels, from the middle of one spot to that of the other

#: (z, y, x) of each window's spot, which no z-shift moves out of the stack.
pixel = st.integers(1, SIDE - 2)
places = st.lists(
    st.tuples(st.integers(3, SIDE - 4), pixel, pixel), min_size=SAMPLES, max_size=SAMPLES
)


def marked(spots, channels=1, column=False, seed=0):
    """A spot of 3×3 pixels a window: on one layer or through all; in the label, and counted."""
    volume = torch.zeros(len(spots), 1, SIDE, SIDE, SIDE)
    label = torch.zeros(len(spots), channels, SIDE, SIDE)
    for i, (z, y, x) in enumerate(spots):
        spot = np.s_[y - 1 : y + 2, x - 1 : x + 2]
        volume[(i, 0, slice(None) if column else z, *spot)] = MARK
        label[(i, z if channels > 1 else 0, *spot)] = 1
    return Batch(
        volume,
        label,
        torch.ones(len(spots), 1, SIDE, SIDE),
        torch.zeros(len(spots), dtype=torch.int64),
        torch.arange(len(spots)) + 1000 * seed,
    )


def agree_exactly(batch):
    """Volume and label hold the same picture, wherever the label counts."""
    volume = batch.volume[:, 0] / MARK
    if batch.label.shape[1] == 1:
        volume = volume.sum(1, keepdim=True)
    counted = batch.weight.expand_as(batch.label) > 0
    assert counted.any()
    torch.testing.assert_close(volume[counted], batch.label[counted], atol=1e-4, rtol=0)


def agree_in_place(batch):
    """The spot in the volume's projection and the spot in the label have one middle.

    Of a spot that is half gone, no more is asked than that nobody has the whole of it.
    """
    for volume, label, weight in zip(*batch[:3], strict=True):
        counted = weight[0].numpy() > 0
        seen, brightness = spot(volume[0].amax(0).numpy() / MARK, counted)
        told, certainty = spot(label[0].numpy(), counted)
        if certainty >= 0.5:
            assert brightness > 0.2
            assert np.hypot(*(seen - told)) < TOLERANCE
        elif certainty <= 0.1:
            assert brightness < 0.4


def spot(plane, counted):
    """Middle of what stands out, and by how much it does."""
    plane = (plane - np.median(plane)) * counted
    weights = plane * (plane >= plane.max() / 2)
    middle = np.array([(weights * axis).sum() for axis in np.indices(plane.shape)])
    return middle / max(weights.sum(), 1e-9), plane.max()


@pytest.mark.parametrize("channels", [1, SIDE])
@pytest.mark.parametrize("name", MOVING)
@settings(deadline=None, max_examples=20)
@given(spots=places, seed=st.integers(0, 2**32 - 1))
def test_what_is_moved_is_moved_alike_in_volume_and_label(name, channels, spots, seed):
    batch = marked(spots, channels)
    agree_exactly(batch)
    agree_exactly(Augmentation(config(**{name: STRONG[name]}), seed)(batch))


@pytest.mark.parametrize("name", sorted(set(STRONG) - {"mixup", "cutmix"}))
@settings(deadline=None, max_examples=20)
@given(spots=places, seed=st.integers(0, 2**32 - 1))
def test_a_marked_spot_stays_over_its_label(name, spots, seed):
    batch = marked(spots, column=True)
    agree_in_place(batch)
    agree_in_place(Augmentation(config(**{name: STRONG[name]}), seed)(batch))


@settings(deadline=None, max_examples=40)
@given(spots=places, seed=st.integers(0, 2**32 - 1))
def test_all_together_keep_the_spot_over_its_label(spots, seed):
    names = set(STRONG) - {"mixup", "cutmix", "cutout", "blur", "noise"}
    weak = {name: STRONG[name] | {"p": 0.7} for name in names}
    agree_in_place(Augmentation(config(**weak), seed)(marked(spots, column=True)))


def mixed_up(name, seed):
    """The transform as published code has it: (z, y, x) taken for (height, width, channel)."""
    change = Augmentation(config(**{name: STRONG[name]}), seed)

    def changed(batch):
        wrong = change(batch._replace(volume=batch.volume.transpose(2, 3)))
        return change(batch)._replace(volume=wrong.volume.transpose(2, 3))

    return changed


@pytest.mark.parametrize("name", [*(n for n in MOVING if n != "mixup"), "cutout"])
def test_the_marked_spot_detects_the_published_axis_mix_up(name):
    """Without this, the properties above might hold for anything."""
    random = np.random.default_rng(0)
    found = 0
    for seed in range(8):
        spots = random.integers((3, 1, 1), (SIDE - 3, SIDE - 1, SIDE - 1), (SAMPLES, 3)).tolist()
        batch = marked(spots, column=name == "cutout", seed=seed)
        agree = agree_in_place if name == "cutout" else agree_exactly
        agree(Augmentation(config(**{name: STRONG[name]}), seed)(batch))
        try:
            agree(mixed_up(name, seed)(batch))
        except AssertionError:
            found += 1
    assert found >= 4


@pytest.mark.parametrize("name", MOVING)
def test_every_one_of_them_does_move_something(name):
    batch = marked([(8, 4, 5), (8, 11, 4), (3, 5, 12), (9, 10, 11)], seed=3)
    after = Augmentation(config(**{name: STRONG[name]}), 1)(batch)
    assert not torch.equal(after.volume, batch.volume)
