"""Reliability of predictions side by side: numbers, curves, the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from sampled_stores import store
from sklearn.calibration import calibration_curve

from napari_ink.analysis.calibration import reliability
from napari_ink.analysis.evaluate import count, evaluate
from napari_ink.analysis.metrics import CALIBRATION_BINS, Histogram, ece
from napari_ink.analysis.reliability_chart import reliability_figure
from napari_ink.cli import main
from napari_ink.inference.store import PredictionStore

SHAPE = (150, 200)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A calibrated map, one that is too sure of itself, and the label that they are about."""
    root, random = tmp_path_factory.mktemp("pair"), np.random.default_rng(0)
    ink = random.random(SHAPE).astype(np.float16)
    label = random.random(SHAPE) < ink
    sure = np.where(ink > 0.5, 0.95, 0.05)
    counts = {"good": 9, "sure": [[5]]}
    for name, values in (("good", ink), ("sure", sure)):
        store(root / f"{name}.ink.zarr", values, 0.1 * ink, counts=counts[name])
    Image.fromarray((label * 255).astype(np.uint8)).save(root / "label.png")
    return [str(root / f"{name}.ink.zarr") for name in counts], str(root / "label.png")


def test_reliability_is_scikit_learns():
    random = np.random.default_rng(1)
    ink = (random.random(5000) ** 2).astype(np.float16)
    label = random.random(5000) < ink**0.5
    parts = reliability(Histogram.of(ink, label))
    share, mean = calibration_curve(label, ink.astype(float), n_bins=CALIBRATION_BINS)
    np.testing.assert_allclose(parts.ink, share)
    np.testing.assert_allclose(parts.probability, mean)
    gap = np.abs(parts.ink - parts.probability) @ parts.pixels / 5000
    assert ece(Histogram.of(ink, label)) == pytest.approx(gap)


def test_each_curve_goes_through_its_points_and_names_its_error(pair):
    paths, label = pair
    histograms = {path: count(PredictionStore.open(path), label) for path in paths}
    axes = reliability_figure(histograms).axes[0]
    for line, (path, histogram) in zip(axes.lines[1:], histograms.items(), strict=True):
        parts = reliability(histogram)
        there = parts.pixels > 0
        np.testing.assert_array_equal(line.get_xdata(), parts.probability[there])
        np.testing.assert_array_equal(line.get_ydata(), parts.ink[there])
        assert line.get_label() == f"{ece(histogram):.4f}  {path}"
    good, sure = (ece(histogram) for histogram in histograms.values())
    assert good < 0.02 < 0.15 < sure


def test_a_picture_of_two_predictions_and_the_scores_of_both(pair, tmp_path, capsys):
    paths, label = pair
    for target in (tmp_path / "r.png", tmp_path / "r.svg"):
        given = ["evaluate", *paths, "--labels", label, "--reliability", str(target), "--json"]
        assert main(given) == 0
        first, second = json.loads(capsys.readouterr().out)
        assert [first["prediction"], second["prediction"]] == paths
        assert first["ece"] == evaluate(paths[0], label)["ece"] < second["ece"]
        assert target.stat().st_size > 10_000
    assert "good, mean of 9 samples" in target.read_text()
    assert "sure, mean of 5 samples" in target.read_text()


def test_scores_of_two_predictions_stand_below_one_another(pair, capsys):
    paths, label = pair
    assert main(["evaluate", *paths, "--labels", label]) == 0
    printed = capsys.readouterr().out
    assert [line.split(":")[0] for line in printed.splitlines() if ".ink.zarr" in line] == paths
    assert printed.count("calibration error") == 2


def test_a_picture_that_cannot_be_is_refused_before_anything_is_counted(pair, tmp_path, capsys):
    paths, _ = pair
    for more, target in (([], "r.jpg"), (paths[:1] * 5, "r.png")):
        given = [*paths, *more, "--labels", "nowhere.png"]
        assert main(["evaluate", *given, "--reliability", str(tmp_path / target)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "r.jpg" in line or "7 curves" in line
