"""Where pixels go: against closed forms and against scipy, matplotlib and numpy."""

import numpy as np
import pytest
import torch
from augmentation_samples import STRONG, config, random_batch
from matplotlib import tri
from scipy import interpolate, ndimage

from training.augmentation import Augmentation, fields, geometry
from training.augmentation.chance import Chance

CPU = torch.device("cpu")


class Drawn:
    """A generator that yields what it was given, one draw after the other."""

    def __init__(self, *values):
        self.values = list(values)

    def uniform(self, low, high, size=None):
        value = np.broadcast_to(self.values.pop(0), () if size is None else size)
        assert (np.minimum(low, high) <= value).all()
        assert (value <= np.maximum(low, high)).all()
        return value


def grid(change, side, samples=1, seed=4):
    return geometry.sampling_grid(
        change, [Chance(change, seed, i) for i in range(samples)], side, CPU
    )


def resampled(batch, place):
    return geometry.resample(batch.volume, batch.label, batch.weight, place)


def test_flips_and_turns_move_every_value_exactly():
    batch = random_batch(size=64)._replace(weight=torch.rand(64, 1, 16, 16))
    after = Augmentation(config(flip=STRONG["flip"], turn=STRONG["turn"]), 1)(batch)
    seen = set()
    for before, now in zip(zip(*batch[:3], strict=True), zip(*after[:3], strict=True), strict=True):
        ways = [
            way
            for way in range(8)
            if torch.equal(
                now[0], torch.rot90(before[0].flip(-1) if way > 3 else before[0], way, (-2, -1))
            )
        ]
        assert len(ways) == 1
        seen.add(ways[0])
        for a, b in zip(before[1:], now[1:], strict=True):
            assert torch.equal(b, torch.rot90(a.flip(-1) if ways[0] > 3 else a, ways[0], (-2, -1)))
    assert seen == set(range(8))


def test_a_sample_that_is_only_turned_is_not_resampled_with_the_others():
    batch = random_batch(size=32)
    change = config(flip={"p": 1}, affine={"p": 0.5})
    after = Augmentation(change, 1)(batch)
    affine = [Chance(change, 1, int(i)).draw("affine") is not None for i in batch.sample]
    kept = [
        set(before.tolist()) == set(now.tolist())
        for before, now in zip(batch.volume.flatten(1), after.volume.flatten(1), strict=True)
    ]
    assert kept == [not each for each in affine]
    assert 0 < sum(affine) < 32


def test_affine_magnifies_turns_and_shifts_about_the_middle():
    """A point p of the window comes to lie at scale · R(angle) · p + shift."""
    change = config(affine={"p": 1, "shift": 0.25, "scale": 0.5, "degrees": 90}).affine
    drawn = Drawn([0.125, -0.25], 1.5, 30.0)
    matrix = geometry.affine_matrices(change, [drawn], side=32)[0].double().numpy()
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    forth = 1.5 * np.array([[cos, sin], [-sin, cos]])  # (y, x)
    for point in ([0, 0], [3, 5], [-7.5, 2]):
        there = forth @ point + [4, -8]
        assert np.allclose(matrix[:, :2] @ there + matrix[:, 2], point, atol=1e-5)
    still = geometry.affine_matrices(change, [None], side=32)[0]
    assert torch.equal(still, torch.eye(2, 3))


def test_affine_equals_scipy():
    batch = random_batch(size=3, side=24)._replace(weight=torch.ones(3, 1, 24, 24))
    change = config(affine=STRONG["affine"])
    rows, place = grid(change, 24, samples=3)
    assert rows == [0, 1, 2]
    volume, label, weight = resampled(batch, place)
    drawn = [Chance(change, 4, i).draw("affine") for i in rows]
    matrices = geometry.affine_matrices(change.affine, drawn, 24).double().numpy()
    middle = np.array([11.5, 11.5])
    for i, matrix in enumerate(matrices):
        offset = middle + matrix[:, 2] - matrix[:, :2] @ middle
        for layer in range(batch.volume.shape[2]):
            expected = ndimage.affine_transform(
                batch.volume[i, 0, layer].double().numpy(),
                matrix[:, :2],
                offset,
                order=1,
                mode="reflect",
            )
            assert np.abs(volume[i, 0, layer].numpy() - expected).max() < 1e-4
        expected = ndimage.affine_transform(
            batch.label[i, 0].double().numpy(), matrix[:, :2], offset, order=1, mode="reflect"
        )
        inside = weight[i, 0].numpy() > 0
        assert np.abs(label[i, 0].numpy() - expected)[inside].max() < 1e-4
        assert 0.3 < inside.mean() < 1


@pytest.mark.parametrize(
    "name", ["elastic", "grid_distortion", "optical_distortion", "piecewise_affine"]
)
def test_every_field_is_applied_as_scipy_would(name):
    batch = random_batch(size=2, depth=3, side=24)
    _, place = grid(config(**{name: STRONG[name]}, affine={"p": 1}), 24, samples=2)
    volume, label, weight = resampled(batch, place)
    for i in range(2):
        points = place[i].double().numpy().transpose(2, 0, 1) + 11.5

        def sample(plane, points=points):
            return ndimage.map_coordinates(
                np.asarray(plane, np.float64), points, order=1, mode="reflect"
            )

        for layer in range(3):
            assert (
                np.abs(volume[i, 0, layer].numpy() - sample(batch.volume[i, 0, layer])).max() < 1e-3
            )
        share = sample(batch.weight[i, 0])
        told = sample(batch.label[i, 0] * batch.weight[i, 0])
        inside = ((points >= -0.5) & (points <= 23.5)).all(0)
        counted = inside & (share > 0.01)
        assert np.abs(weight[i, 0].numpy() - share)[inside].max() < 1e-3
        assert np.abs(label[i, 0].numpy() - told / np.maximum(share, 0.01))[counted].max() < 2e-3
        assert (weight[i, 0].numpy()[~inside] == 0).all()


def test_elastic_is_a_cubic_spline_through_its_nodes():
    side, cell = 20, 8
    basis = fields.spline_basis(side, cell).double().numpy()
    assert np.allclose(basis.sum(1), 1)
    places = (np.arange(side) + 0.5) / cell
    for node in range(basis.shape[1]):
        spline = interpolate.BSpline.basis_element(np.arange(5) + node - 3, extrapolate=False)
        assert np.allclose(basis[:, node], np.nan_to_num(spline(places)), atol=1e-6)
    change = config(elastic={"p": 1, "cell": cell, "amplitude": 3}).elastic
    nodes = np.random.default_rng(0).uniform(-3, 3, (2, basis.shape[1], basis.shape[1]))
    field = fields.elastic(change, [Drawn(nodes), None], side, CPU)
    expected = np.einsum("yi,cij,xj->cyx", basis, nodes, basis)
    assert np.abs(field[0].numpy() - expected).max() < 1e-5
    assert np.abs(expected).max() <= 3
    assert (field[1] == 0).all()


def test_grid_distortion_stretches_rows_and_columns_between_fixed_borders():
    side, cells = 24, 4
    change = config(grid_distortion={"p": 1, "cells": cells, "limit": 0.5}).grid_distortion
    widths = np.random.default_rng(0).uniform(-0.5, 0.5, (2, cells))
    field = fields.grid_distortion(change, [Drawn(widths)], side, CPU)[0].numpy()
    pixels = np.arange(side) + 0.5
    for axis in (0, 1):
        wide = 1 + widths[axis]
        knots = side * np.concatenate([[0], wide.cumsum() / wide.sum()])
        expected = np.interp(pixels, np.linspace(0, side, cells + 1), knots) - pixels
        lines = field[axis] if axis == 0 else field[axis].T
        assert np.allclose(lines, expected[:, None], atol=1e-4)


def test_piecewise_affine_is_linear_in_each_triangle():
    side, cells = 21, 3
    change = config(piecewise_affine={"p": 1, "cells": cells, "jitter": 0.25}).piecewise_affine
    limit = 0.25 * side / cells
    nodes = np.random.default_rng(0).uniform(-limit, limit, (2, cells + 1, cells + 1))
    field = fields.piecewise_affine(change, [Drawn(nodes)], side, CPU)[0].numpy()
    y, x = (each.ravel() for each in np.mgrid[: cells + 1, : cells + 1] * (side / cells))
    corner = np.add.outer((cells + 1) * np.arange(cells), np.arange(cells)).ravel()
    opposite = corner + cells + 2
    triangles = [
        *zip(corner, corner + 1, opposite, strict=True),
        *zip(corner, corner + cells + 1, opposite, strict=True),
    ]
    mesh = tri.Triangulation(x, y, triangles)
    py, px = np.mgrid[:side, :side] + 0.5
    for axis in (0, 1):
        expected = tri.LinearTriInterpolator(mesh, nodes[axis].ravel())(px, py)
        assert np.abs(field[axis] - expected).max() < 1e-4


def test_optical_distortion_moves_by_the_square_of_the_radius():
    side = 16
    change = config(optical_distortion={"p": 1, "limit": 0.15})
    _, place = grid(change, side)
    k = Chance(change, 4, 0).draw("optical_distortion").uniform(-0.15, 0.15)
    raster = np.stack(np.mgrid[:side, :side], -1) - 7.5
    radius = np.linalg.norm(raster, axis=-1, keepdims=True) / 8
    assert abs(k) > 0.01
    assert np.allclose(place[0].numpy(), raster * (1 + k * radius**2), atol=1e-4)


@pytest.mark.parametrize(
    "strongest",
    [
        {"elastic": {"p": 1, "cell": 8, "amplitude": 3.84}},
        {"grid_distortion": {"p": 1, "cells": 5, "limit": 0.9}},
        {"optical_distortion": {"p": 1, "limit": 1 / 6}},
        {"piecewise_affine": {"p": 1, "cells": 4, "jitter": 0.25}},
    ],
    ids=lambda strongest: next(iter(strongest)),
)
def test_no_field_folds_the_papyrus_even_at_its_bounds(strongest):
    _, place = grid(config(**strongest), 32, samples=100)
    rows, columns = place[:, 1:, :-1] - place[:, :-1, :-1], place[:, :-1, 1:] - place[:, :-1, :-1]
    area = rows[..., 0] * columns[..., 1] - rows[..., 1] * columns[..., 0]
    assert area.min() > 0


def test_what_does_not_count_leaves_no_trace_in_the_label():
    """Uncounted pixels are full of ink, counted ones have none: nothing of the ink may appear."""
    batch = random_batch(size=16, side=24)
    batch = batch._replace(label=1 - batch.weight)
    names = ("affine", "elastic", "grid_distortion", "optical_distortion", "piecewise_affine")
    after = Augmentation(config(**{name: STRONG[name] for name in names}, flip={"p": 0.5}), 1)(
        batch
    )
    assert (after.label * after.weight).max() < 1e-4
    assert 0.3 < after.weight.mean() < 0.8


def test_what_comes_from_outside_does_not_count_and_what_comes_from_inside_does():
    side = 16
    batch = random_batch(size=1, side=side)._replace(weight=torch.ones(1, 1, side, side))
    place = torch.stack(torch.meshgrid(*[torch.arange(side) - 7.5] * 2, indexing="ij"), -1)[None]
    volume, label, weight = resampled(batch, place + torch.tensor([3.0, -2.0]))
    assert (weight[..., :13, 2:] > 0.9999).all()
    assert (weight[..., 13:, :] == 0).all()
    assert (weight[..., :2] == 0).all()
    assert torch.allclose(volume[..., :13, 2:], batch.volume[..., 3:, :-2], atol=1e-4)
    assert torch.allclose(label[..., :13, 2:], batch.label[..., 3:, :-2], atol=1e-4)
    assert torch.allclose(volume[..., 13:, 2:], batch.volume[..., 13:, :-2].flip(-2), atol=1e-4)


def test_an_uncounted_window_stays_uncounted():
    batch = random_batch(size=8)
    batch = batch._replace(weight=torch.zeros_like(batch.weight))
    after = Augmentation(
        config(**{name: STRONG[name] for name in ("affine", "elastic", "cutout")}), 1
    )(batch)
    assert (after.weight == 0).all()
    assert after.label.isfinite().all()
