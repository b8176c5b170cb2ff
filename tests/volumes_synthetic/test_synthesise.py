import numpy as np
import pytest

from napari_ink.errors import SettingsError
from napari_ink.volumes.synthetic import statistics, synthesise
from napari_ink.volumes.synthetic.fields import smooth_noise, stream
from napari_ink.volumes.synthetic.ink import Ink
from napari_ink.volumes.synthetic.letters import write_text
from napari_ink.volumes.synthetic.placement import place_text
from napari_ink.volumes.synthetic.render import render
from napari_ink.volumes.synthetic.sheets import lay_papyrus

SMALL = {"depth": 12, "height": 330, "width": 400}


def test_same_seed_gives_the_same_bytes():
    first, again = (synthesise(5, **SMALL) for _ in range(2))
    np.testing.assert_array_equal(first.read(), again.read())
    for part in ("label", "mask", "infrared"):
        np.testing.assert_array_equal(
            np.asarray(getattr(first, part)), np.asarray(getattr(again, part))
        )
    assert (first.read() != synthesise(6, **SMALL).read()).mean() > 0.5


def test_shape_dtype_and_what_is_known():
    fragment = synthesise(5, **SMALL)
    assert fragment.shape == (12, 330, 400)
    assert fragment.dtype == np.uint8
    assert fragment.voxel_size == (16.0, 16.0, 16.0)
    assert fragment.simulated
    ink, mask = np.asarray(fragment.label) > 0.5, np.asarray(fragment.mask, bool)
    assert ink.any()
    assert not (ink & ~mask).any()


def test_reversed_depth_flips_the_layers_only():
    forward, back = synthesise(5, **SMALL), synthesise(5, **SMALL, reversed_depth=True)
    np.testing.assert_array_equal(forward.read()[::-1], back.read())
    np.testing.assert_array_equal(np.asarray(forward.label), np.asarray(back.label))


def test_fewer_bits_round_to_the_nearest_step():
    full, six = synthesise(5, **SMALL).read(), synthesise(5, **SMALL, bits=6).read()
    assert not (six % 4).any()
    assert np.abs(full.astype(int) - six).max() <= 3  # 255 goes down to 252


def test_strength_zero_leaves_no_trace():
    bare = synthesise(5, **SMALL, ink_strength=0)
    papyrus = lay_papyrus(5, 12, (330, 400), 16.0)
    unwritten = Ink(papyrus.surface, np.zeros((330, 400), bool), 5, 16.0)
    np.testing.assert_array_equal(bare.read(), render(5, papyrus, None, 12, 16.0))
    np.testing.assert_array_equal(bare.read(), render(5, papyrus, unwritten, 12, 16.0))
    inked = synthesise(5, **SMALL).read()
    changed = (bare.read() != inked).any(axis=0)
    ink = np.asarray(bare.label) > 0.5
    assert changed[ink].mean() > 0.9
    assert changed[~ink].mean() < 0.5  # only the fringes of ink reach beyond it


@pytest.mark.parametrize("strength", [0.25, 0.5, 2.0])
def test_texture_and_thickening_are_linear_in_strength(strength):
    surface = 200 + 10 * smooth_noise(stream(1, "test"), (96, 96), (20, 20))
    label = np.zeros((96, 96), bool)
    label[30:60, 20:80] = True
    one, other = (Ink(surface, label, 3, 16.0, s) for s in (1.0, strength))
    texture = one.texture(216.0)
    assert np.abs(texture).max() > 5
    np.testing.assert_allclose(other.texture(216.0), strength * texture, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(other.thickening, strength * one.thickening, rtol=1e-6)


def test_ink_can_be_planted_on_any_surface():
    surface = np.full((64, 80), 150.0, np.float32)
    label = np.zeros((64, 80), np.float32)
    label[20:50, 20:60] = 0.5
    ink = Ink(surface, label, 9, 8.0)
    inside, outside = ink.texture(165.0)[25:45, 25:55], ink.texture(165.0)[:10]
    assert inside.std() > 3
    assert outside.std() < 0.2
    assert not ink.texture(80.0).any()  # above the surface
    assert not ink.texture(260.0).any()  # deep in the sheet


def test_local_variance_grows_with_ink_strength():
    curve = []
    for strength in (0, 0.5, 1, 1.5, 2.5):
        fragment = synthesise(1, height=640, width=640, ink_strength=strength)
        ink, mask = np.asarray(fragment.label) > 0.5, np.asarray(fragment.mask, bool)
        layers = fragment.read(slice(12, 17))
        curve.append(statistics.local_variance_auc(layers, ink, mask, (3, 9)).mean())
    assert (np.diff(curve) > 0.01).all()
    assert curve[-1] - curve[0] > 0.12


@pytest.mark.parametrize("voxel_size", [8.0, 16.0, 32.0])
def test_letters_keep_their_size_in_micrometres(voxel_size):
    shape = (round(10_000 / voxel_size), round(20_000 / voxel_size))
    page, letters = write_text(11, shape, voxel_size)
    assert len(letters) >= 6
    assert statistics.stroke_width(page, voxel_size) == pytest.approx(7.91 * 52, rel=0.1)
    heights = statistics.letter_heights(page, voxel_size)
    assert heights.min() > 7.91 * 300
    assert heights.max() < 7.91 * 600


def test_texture_keeps_its_size_in_micrometres():
    area = {"height": 3840, "width": 3840}
    lengths = []
    for voxel_size in (12.0, 24.0):
        size = {name: round(um / voxel_size) for name, um in area.items()}
        fragment = synthesise(8, depth=round(480 / voxel_size), voxel_size=voxel_size, **size)
        edge = round(500 / voxel_size)
        inner = fragment.read()[:, edge:-edge, edge:-edge]
        lengths.append(statistics.correlation_lengths(inner, voxel_size))
    fine, coarse = np.array(lengths)
    assert (fine / coarse).min() > 0.5
    assert (fine / coarse).max() < 2


def test_text_does_not_move_the_papyrus():
    papyrus = lay_papyrus(5, 12, (330, 400), 16.0)
    again = lay_papyrus(5, 12, (330, 400), 16.0)
    place_text(5, papyrus, 12, 16.0)
    np.testing.assert_array_equal(papyrus.surface, again.surface)
    np.testing.assert_array_equal(papyrus.opening, again.opening)


def test_infrared_shows_the_ink_dark():
    fragment = synthesise(5, **SMALL)
    photo, ink = np.asarray(fragment.infrared), np.asarray(fragment.label) > 0.5
    mask = np.asarray(fragment.mask, bool)
    assert statistics.auc(-photo.astype(float)[mask], ink[mask]) > 0.9
    assert photo[~mask].mean() < 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": 0},
        {"height": 3},
        {"voxel_size": 0.0},
        {"voxel_size": float("nan")},
        {"ink_strength": -1},
        {"ink_strength": float("nan")},
        {"bits": 9},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(SettingsError):
        synthesise(0, **{**SMALL, **wrong})


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 300), (2, 150, 90)])
def test_crumbs_too_small_for_text_are_made_all_the_same(shape):
    depth, height, width = shape
    fragment = synthesise(2, depth=depth, height=height, width=width)
    assert fragment.shape == shape
    assert fragment.read().std() > 3


def test_negative_seed_is_refused():
    with pytest.raises(SettingsError, match="seed"):
        synthesise(-1)


@pytest.mark.parametrize("sigma", [(1.0, 1.0), (2.0, 15.0), (40.0, 4.0)])
def test_smooth_noise_has_unit_variance(sigma):
    fields = [smooth_noise(stream(i, "x"), (300, 300), sigma) for i in range(6)]
    assert np.std(fields) == pytest.approx(1, rel=0.12)
