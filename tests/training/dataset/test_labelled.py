"""Windows: where they lie, what they hold, and that volume and label never part."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Recipe
from training.dataset.augment import random_intensity, random_turns, turn
from training.dataset.labelled import LabelledFragment, RandomBatches

DEPTH, HEIGHT, WIDTH, SIDE = 6, 60, 90, 16


def coordinates(name="coordinates", mask=None, supervision=None, first_layer=0):
    """A fragment whose voxels say where they are, and whose label is a disc."""
    z, y, x = np.ogrid[:DEPTH, :HEIGHT, :WIDTH]
    volume = (z * 10000 + y * 100 + x).astype(np.uint16)
    label = ((y[0] - 30) ** 2 + (x[0] - 60) ** 2 < 15**2).astype(np.float32)
    return Fragment.from_array(
        volume, name=name, mask=mask, label=label, supervision=supervision, first_layer=first_layer
    )


def prepared(**kwargs):
    return LabelledFragment.prepare(coordinates(**kwargs), Recipe("fixed"), depth=DEPTH)


def batches(fragments, **kwargs):
    arguments = {"side": SIDE, "batch": 8, "steps": 5, "edges": 0.5, "seed": 3} | kwargs
    return RandomBatches(fragments, **arguments)


def test_window_label_and_weight_come_from_one_place():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, 20:] = True
    labelled = prepared(mask=mask)
    data = batches([labelled])
    volume, label, weight = data[2]
    assert volume.shape == (8, 1, DEPTH, SIDE, SIDE)
    assert label.shape == weight.shape == (8, 1, SIDE, SIDE)
    for i, (_, y0, x0) in enumerate(data.positions(2)):
        raw = np.rint(volume[i, 0] * 65535).astype(int)
        assert raw[0, 0, 0] == y0 * 100 + x0
        assert raw[1, 2, 3] == 10000 + (y0 + 2) * 100 + x0 + 3
        window = np.s_[y0 : y0 + SIDE, x0 : x0 + SIDE]
        assert (label[i, 0] == labelled.label[window]).all()
        assert (weight[i, 0] == mask[window]).all()


def test_a_step_depends_on_seed_and_step_only():
    fragments = [prepared(), prepared()]
    one, other = batches(fragments), batches(fragments)
    later = one.positions(4)
    assert [other.positions(step) for step in range(5)][4] == later
    assert batches(fragments, seed=4).positions(4) != later
    assert one.positions(3) != later
    assert {index for step in range(5) for index, _, _ in one.positions(step)} == {0, 1}


def test_windows_at_edges_hold_ink_and_bare_papyrus():
    data = batches([prepared()], edges=1.0, batch=64)
    for _, y0, x0 in data.positions(0):
        inside = data.fragments[0].label[y0 : y0 + SIDE, x0 : x0 + SIDE]
        assert 0 < inside.mean() < 1
    anywhere = batches([prepared()], edges=0.0, batch=64).positions(0)
    assert min(x0 for _, _, x0 in anywhere) < 20  # the disc begins at 45


def test_every_window_touches_what_counts_and_unlabelled_weighs_nothing():
    supervision = np.zeros((HEIGHT, WIDTH), bool)
    supervision[40:, :30] = True
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[:, :10] = False
    labelled = prepared(mask=mask, supervision=supervision)
    assert (labelled.weight == (mask & supervision)).all()
    for weights in batches([labelled], batch=32)[0][2]:
        assert weights.sum() > 0


@given(st.integers(0, 2**31), st.integers(SIDE, 40), st.integers(SIDE, 40))
@settings(max_examples=25, deadline=None)
def test_windows_never_leave_the_fragment(seed, height, width):
    label = np.zeros((height, width), np.float32)
    label[: height // 2] = 1
    fragment = Fragment.from_array(np.zeros((2, height, width), np.uint8), label=label)
    labelled = LabelledFragment.prepare(fragment, Recipe("fixed"), depth=2)
    for _, y0, x0 in batches([labelled], seed=seed).positions(0):
        assert 0 <= y0 <= height - SIDE
        assert 0 <= x0 <= width - SIDE


def test_depth_window_is_the_middle_or_as_stored():
    fragment = coordinates(first_layer=15)
    middle = LabelledFragment.prepare(fragment, Recipe("fixed"), depth=2)
    assert (middle.layers, middle.stored_layers) == (slice(2, 4), (17, 19))
    chosen = LabelledFragment.prepare(fragment, Recipe("fixed"), depth=2, layers=(19, 21))
    assert np.rint(chosen.cut(0, 0, 4)[0][0, 0, 0] * 65535) == 40000
    for depth, layers in ((7, None), (3, (15, 17)), (2, (20, 22))):
        with pytest.raises(SettingsError):
            LabelledFragment.prepare(fragment, Recipe("fixed"), depth=depth, layers=layers)


def test_what_cannot_be_learned_from_is_refused():
    bare = Fragment.from_array(np.zeros((2, 20, 20), np.uint8))
    with pytest.raises(FragmentError, match="no ink label"):
        LabelledFragment.prepare(bare, Recipe("fixed"), depth=2)
    with pytest.raises(FragmentError, match="no labelled papyrus"):
        prepared(mask=np.zeros((HEIGHT, WIDTH), bool))
    with pytest.raises(SettingsError, match="does not fit"):
        batches([prepared()], side=64)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(0, DEPTH - 1), st.integers(0, 7), st.integers(0, 7))
def test_a_marked_voxel_stays_over_its_marked_label(seed, z, y, x):
    """Fails where z is taken for y, or where volume and label are turned differently."""
    volume = torch.zeros(3, 1, DEPTH, 8, 8)
    label, weight = torch.zeros(3, 1, 8, 8), torch.zeros(3, 1, 8, 8)
    volume[:, 0, z, y, x] = 1
    label[:, 0, y, x] = 1
    weight[:, 0, y, x] = 1
    generator = torch.Generator().manual_seed(seed)
    turned, turned_label, turned_weight = random_turns(volume, label, weight, generator=generator)
    assert turned.shape == volume.shape
    assert (turned.sum(dim=(3, 4))[:, 0].argmax(dim=1) == z).all()
    assert (turned.sum(dim=2) == turned_label).all()
    assert (turned_label == turned_weight).all()


def test_the_marked_voxel_catches_the_published_axis_mix_up():
    """(z, y, x) flipped as (height, width, channel): the label goes one way, the volume another."""
    volume, label = torch.zeros(1, 1, 8, 8, 8), torch.zeros(1, 1, 8, 8)
    volume[0, 0, 1, 2, 3], label[0, 0, 2, 3] = 1, 1
    mixed_up = volume.flip(2), label.flip(2)
    assert (mixed_up[0].sum(dim=2) != mixed_up[1]).any()


def test_the_eight_turns_are_all_different_and_all_drawn():
    plane = torch.arange(6.0).view(1, 2, 3)
    images = {str(turn(plane, q, m).tolist()) for q in range(4) for m in (False, True)}
    assert len(images) == 8
    square = torch.arange(9.0).view(1, 1, 1, 3, 3).repeat(200, 1, 1, 1, 1)
    (turned,) = random_turns(square, generator=torch.Generator().manual_seed(0))
    assert len({str(one.tolist()) for one in turned}) == 8


def test_intensity_jitter_is_one_gain_and_one_offset_a_sample():
    volume = torch.randn(4, 1, 3, 5, 5)
    changed = random_intensity(volume, 0.1, torch.Generator().manual_seed(0))
    for before, after in zip(volume.flatten(1), changed.flatten(1), strict=True):
        gain, offset = np.polyfit(before.numpy(), after.numpy(), 1)
        assert np.allclose(gain * before.numpy() + offset, after.numpy(), atol=1e-5)
        assert abs(gain - 1) > 1e-4
        assert abs(offset) > 1e-4
    assert (random_intensity(volume, 0.0, torch.Generator()) == volume).all()
