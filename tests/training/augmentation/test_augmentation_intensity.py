"""Grey levels, holes and certainty: against scipy and closed forms."""

import math

import numpy as np
import torch
from augmentation_samples import config, random_batch
from scipy import ndimage, stats

from training.augmentation import Augmentation
from training.augmentation.chance import Chance


def test_blur_equals_scipy_layer_by_layer():
    batch = random_batch(size=6)
    change = config(blur={"p": 0.7, "sigma": 1.5})
    after = Augmentation(change, 1)(batch)
    blurred = 0
    for before, now, sample in zip(batch.volume, after.volume, batch.sample.tolist(), strict=True):
        random = Chance(change, 1, sample).draw("blur")
        if random is None:
            assert torch.equal(now, before)
            continue
        sigma = random.uniform(0, 1.5)
        expected = ndimage.gaussian_filter(
            before[0].double().numpy(), (0, sigma, sigma), mode="nearest", radius=(0, 6, 6)
        )
        assert np.abs(now[0].numpy() - expected).max() < 1e-5
        blurred += 1
    assert 0 < blurred < 6


def test_blur_as_wide_as_the_window_is_possible():
    batch = random_batch(side=8)
    after = Augmentation(config(blur={"p": 1, "sigma": 30}), 1)(batch)
    assert after.volume.isfinite().all()


def test_noise_is_white_and_normal_and_its_strength_drawn_from_zero():
    batch = random_batch(size=40, depth=16, side=16)
    added = Augmentation(config(noise={"p": 1, "sigma": 0.5}), 1)(batch).volume - batch.volume
    sigmas = added.flatten(1).std(1).numpy()
    assert stats.kstest(sigmas, stats.uniform(0, 0.5).cdf).pvalue > 1e-3
    one = added[sigmas.argmax()][0].double().numpy() / sigmas.max()
    assert stats.kstest(one.ravel(), stats.norm.cdf).pvalue > 1e-3
    for axis in range(3):
        assert abs((one.take(range(15), axis) * one.take(range(1, 16), axis)).mean()) < 0.08
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.08


def test_contrast_is_one_gain_and_one_offset_a_sample():
    batch = random_batch(size=300, depth=2, side=4)
    after = Augmentation(config(contrast={"p": 1, "gain": 0.3, "offset": 0.1}), 1)(batch)
    changes = []
    for before, now in zip(batch.volume.flatten(1), after.volume.flatten(1), strict=True):
        gain, offset = np.polyfit(before.double().numpy(), now.double().numpy(), 1)
        assert np.allclose(gain * before.numpy() + offset, now.numpy(), atol=1e-5)
        changes.append((gain - 1, offset))
    gains, offsets = np.transpose(changes)
    assert stats.kstest(gains, stats.uniform(-0.3, 0.6).cdf).pvalue > 1e-3
    assert stats.kstest(offsets, stats.uniform(-0.1, 0.2).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(gains, offsets)[0, 1]) < 0.25


def test_the_hole_lies_on_the_grid_and_holds_no_ink():
    batch = random_batch(size=200, depth=3, side=32)
    batch = batch._replace(label=torch.ones_like(batch.label))
    after = Augmentation(config(cutout={"p": 1, "sides": (8, 16), "grid": 8}), 1)(batch)
    corners = set()
    for i, plane in enumerate(after.label[:, 0]):
        y, x = torch.nonzero(plane == 0).T
        side = int(y.max() - y.min()) + 1
        assert len(y) == side**2 == (int(x.max() - x.min()) + 1) ** 2
        hole = torch.zeros(32, 32, dtype=torch.bool)
        hole[y, x] = True
        mean = batch.volume[i].mean().item()
        assert torch.allclose(after.volume[i, 0][:, hole], torch.tensor(mean), atol=1e-6)
        assert torch.equal(after.volume[i, 0][:, ~hole], batch.volume[i, 0][:, ~hole])
        corners.add((side, int(y.min()), int(x.min())))
    assert corners == {(8, y, x) for y in range(0, 25, 8) for x in range(0, 25, 8)} | {
        (16, y, x) for y in range(0, 17, 8) for x in range(0, 17, 8)
    }
    assert torch.equal(after.weight, batch.weight)


def test_smoothing_takes_a_tenth_from_certainty():
    batch = random_batch()
    after = Augmentation(config(label_smoothing={"p": 1, "amount": 0.1}), 1)(batch)
    assert torch.allclose(after.label, batch.label * 0.8 + 0.1, atol=1e-6)
    assert torch.equal(after.volume, batch.volume)
    half = Augmentation(config(label_smoothing={"p": 0.5}), 1)(random_batch(size=64))
    changed = (half.label != random_batch(size=64).label).flatten(1).all(1)
    assert math.isclose(changed.float().mean(), 0.5, abs_tol=0.25)
