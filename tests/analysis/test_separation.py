"""Separation: large for strokes, small for everything that is none."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ink.analysis.separation import FAINT, separation
from napari_ink.volumes.synthetic.letters import write_text

PIXEL = 16.0
SHAPE = (400, 500)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


@pytest.fixture(scope="module")
def ink():
    return write_text(5, SHAPE, PIXEL)[0].astype(np.float32)


def noise(seed=0):
    return np.random.default_rng(seed).random(SHAPE).astype(np.float32)


def test_letters_separate(ink):
    assert separation(ink, PIXEL) > 2 * FAINT


@pytest.mark.parametrize(
    "bare",
    [
        np.full(SHAPE, 0.9, np.float32),
        noise(),
        (noise() < 0.1).astype(np.float32),
        X / SHAPE[1],
        (X // 250 == 0).astype(np.float32),
        ((X // 8 + Y // 8) % 2).astype(np.float32),
        ((X // 16 + Y // 16) % 2).astype(np.float32),
        ((X % 64 < 2) | (Y % 64 < 2)).astype(np.float32),
        gaussian_filter(noise(), 8) * 4 % 1 * 0.2,
    ],
    ids=["constant", "noise", "specks", "gradient", "step", "8 px", "16 px", "seams", "smears"],
)
def test_what_is_no_writing_does_not(bare):
    assert separation(bare.astype(np.float32), PIXEL) < 0.75 * FAINT


def test_fainter_and_noisier_letters_separate_less(ink):
    full = separation(ink, PIXEL)
    faint = separation(0.5 * ink + 0.2, PIXEL)
    noisy = separation(np.clip(0.7 * ink + 0.3 * noise(), 0, 1), PIXEL)
    assert faint < noisy < full


def test_it_depends_on_millimetres_not_on_pixels(ink):
    coarse = ink[::2, ::2]
    assert separation(coarse, 2 * PIXEL) == pytest.approx(separation(ink, PIXEL), rel=0.05)


def test_what_was_not_predicted_does_not_count(ink):
    cut = ink.copy()
    cut[:, :200] = np.nan
    assert separation(cut, PIXEL) == pytest.approx(separation(ink[:, 200:], PIXEL), rel=0.02)
    assert separation(np.full(SHAPE, np.nan, np.float32), PIXEL) == 0
    assert separation(np.full((1, 1), 0.5, np.float32), PIXEL) == 0
