"""The simulator's physics against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.muon.cosmic import draw_zeniths, highland, zenith_density
from training.muon.detector import ABOVE, RESOLUTION, seen
from training.muon.poca import closest_approach, with_errors
from training.muon.scene import simulate
from training.muon.transport import SOIL, STEP, WALL, Muons, draw_muons, scattered
from training.muon.walls import SIDE, draw_walls


def straight_down(count: int) -> Muons:
    middle = np.full(count, SIDE / 2)
    return Muons(middle, middle, np.zeros(count), np.zeros(count))


@pytest.mark.parametrize(("stone", "length"), [(False, SOIL), (True, WALL)])
def test_angles_in_a_plane_are_normal_with_the_width_of_all_steps(stone, length):
    walls = np.full((SIDE, SIDE, SIDE), stone)
    momentum = 20.0  # small angles: the way stays as long as it is
    found = scattered(straight_down(40_000), walls, np.random.default_rng(0), momentum=momentum)
    # Each step adds to the angle in a plane √2 z₂ θ₀ cos ψ, of variance θ₀².
    steps = SIDE / STEP
    width = float(np.sqrt(steps) * highland(np.array(STEP / length), momentum))
    for slopes in (found.slope_x, found.slope_y):
        quantiles = np.quantile(slopes, [0.023, 0.159, 0.5, 0.841, 0.977])
        np.testing.assert_allclose(
            quantiles, width * np.array([-2, -1, 0, 1, 2]), atol=0.04 * width
        )


def test_angle_of_one_step_has_the_quantiles_of_its_closed_form(monkeypatch):
    monkeypatch.setattr("training.muon.transport.STEP", 1.0)  # one step a layer
    walls = np.zeros((1, SIDE, SIDE), bool)
    found = scattered(straight_down(50_000), walls, np.random.default_rng(1), momentum=20.0)
    angle = np.hypot(found.slope_x, found.slope_y)
    width = float(highland(np.array(1 / SOIL), 20.0))
    # |√2 z| θ₀, z standard normal.
    expected = np.sqrt(2) * width * np.array([0.31864, 0.67449, 1.15035, 1.95996])
    np.testing.assert_allclose(np.quantile(angle, [0.25, 0.5, 0.75, 0.95]), expected, rtol=0.03)


def test_places_move_with_the_angles_as_thick_matter_makes_them():
    walls = np.zeros((SIDE, SIDE, SIDE), bool)
    found = scattered(straight_down(40_000), walls, np.random.default_rng(2), momentum=20.0)
    moved = found.x - SIDE / 2
    # Of a thick layer: width of the place a third root of the length times the angle's, and a
    # correlation of √3/2 (Particle Data Group, multiple scattering). Down: against the slope.
    assert moved.std() == pytest.approx(SIDE / np.sqrt(3) * found.slope_x.std(), rel=0.02)
    assert np.corrcoef(moved, found.slope_x)[0, 1] == pytest.approx(-np.sqrt(3) / 2, abs=0.01)


def test_outside_the_volume_muons_go_straight_on():
    muons = Muons(*(np.array([value]) for value in (-3.0, 5.0, 0.0, 0.0)))
    found = scattered(muons, np.ones((SIDE, SIDE, SIDE), bool), np.random.default_rng(0))
    assert [float(part[0]) for part in found] == pytest.approx([-3, 5, 0, 0])


def test_oblique_muons_keep_their_line_where_nothing_scatters():
    muons = draw_muons(np.random.default_rng(3), 1000)
    found = scattered(
        muons, np.zeros((SIDE, SIDE, SIDE), bool), np.random.default_rng(0), lengths=(1e12, 1e12)
    )
    expected = muons.moved(-SIDE)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_zenith_angles_follow_the_spectrum_at_sea_level():
    drawn = draw_zeniths(np.random.default_rng(0), 200_000)
    edges = np.radians(np.linspace(0, 70, 15))
    fine = np.radians(np.linspace(0, 70, 14 * 500 + 1))
    density = zenith_density((fine[1:] + fine[:-1]) / 2).reshape(14, -1).sum(axis=1)
    counts, _ = np.histogram(drawn, edges)
    np.testing.assert_allclose(counts / counts.sum(), density / density.sum(), atol=0.003)
    assert drawn.min() >= 0
    assert drawn.max() <= np.radians(70)


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_lines_that_cross_meet_where_they_cross(seed):
    random = np.random.default_rng(seed)
    place = random.uniform(0, 10, (3, 20))
    place[2] += 1
    slopes = random.normal(0, 0.5, (4, 20))
    above = Muons(place[0], place[1], slopes[0], slopes[1])
    below = Muons(place[0], place[1], slopes[2], slopes[3])
    above = Muons(*(above.moved(11.5 - place[2])[:2]), *above[2:])
    below = Muons(*(below.moved(0.5 - place[2])[:2]), *below[2:])
    found = closest_approach(above, 11.5, below, 0.5)
    np.testing.assert_allclose(found[:3], place, atol=1e-6)
    one = np.stack([slopes[0], slopes[1], np.ones(20)])
    two = np.stack([slopes[2], slopes[3], np.ones(20)])
    cosine = (one * two).sum(0) / np.linalg.norm(one, axis=0) / np.linalg.norm(two, axis=0)
    np.testing.assert_allclose(np.cos(found[3]), cosine, atol=1e-12)


def test_errors_of_the_points_are_those_of_many_measurements():
    random = np.random.default_rng(0)
    count = 4000
    line = Muons(*(np.full(count, value) for value in (4.0, 5.0, 0.3, -0.1)))
    bent = Muons(*(np.full(count, value) for value in (2.5, 5.5, 0.42, 0.03)))
    above, _ = seen(line, 11.0, ABOVE, random)
    below, _ = seen(bent, 1.0, (1.0, 0.75, 0.5, 0.25), random)
    values, errors = with_errors(above, below)
    np.testing.assert_allclose(values.std(axis=1), errors.mean(axis=1), rtol=0.05)


def test_fitted_lines_are_as_sure_as_four_hits_make_them():
    muons = straight_down(20_000)
    track, hit = seen(muons, 11.0, ABOVE, np.random.default_rng(0))
    assert hit.all()
    assert track.line.x.std() == pytest.approx(RESOLUTION / 2, rel=0.03)
    assert track.line.slope_x.std() == pytest.approx(track.slope_error, rel=0.03)
    far = Muons(*(np.array([value]) for value in (5.0, 5.0, 30.0, 0.0)))
    assert not seen(far, 11.0, ABOVE, np.random.default_rng(0))[1].any()


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_walls_stand_on_one_level_and_the_top_layer_is_soil(seed):
    walls = draw_walls(np.random.default_rng(seed))
    assert walls.any()
    assert not walls[-1].any()
    columns = walls.reshape(SIDE, -1)
    stone = columns[:, columns.any(axis=0)]
    ground = stone.argmax(axis=0)
    assert len(set(ground)) == 1
    assert ground[0] <= 4
    heights = stone.sum(axis=0)
    assert (heights >= 4).all()
    for column, height in zip(stone.T, heights, strict=True):
        assert column[ground[0] : ground[0] + height].all()
    assert len(set(heights)) <= 4


def test_walls_are_as_many_and_as_long_as_published():
    random = np.random.default_rng(0)
    scenes = [draw_walls(random) for _ in range(2000)]
    grounds = [int(scene.any(axis=(1, 2)).argmax()) for scene in scenes]
    np.testing.assert_allclose(np.bincount(grounds, minlength=5) / 2000, 0.2, atol=0.03)


def test_the_rule_of_the_challenge_finds_as_much_as_it_did_there():
    hits = []
    for index in range(60):
        x0, walls = simulate(0, index)
        guess = x0 < 0.015
        hits.append((guess & walls).sum() / (guess | walls).sum())
    assert 0.16 <= np.mean(hits) <= 0.22


def test_a_sample_follows_from_its_seed_and_index():
    one, again, other = simulate(3, 7, 500), simulate(3, 7, 500), simulate(3, 8, 500)
    np.testing.assert_array_equal(one[0], again[0])
    assert (one[0] != other[0]).any()
    assert np.isfinite(one[0]).all()
    assert one[0].dtype == np.float32
