"""The benchmarks run and print what they promise; their figures are another matter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script, *arguments):
    found = subprocess.run(
        [sys.executable, "-W", "ignore", BENCHMARKS / script, *arguments, "--json"],
        check=True, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return json.loads(found.stdout)


@pytest.mark.slow
def test_predict_prints_every_ratio():
    pytest.importorskip("openvino")
    found = run("predict.py", "--width", "2", "--depth", "16", "--tile", "128")
    for key in ("vs_published", "vs_published_int8", "vs_monai", "network_share"):
        assert found[key] > 0
    assert found["conv_rate_share"] > 0


@pytest.mark.slow
def test_memory_prints_the_peaks_of_equal_work():
    found = run("memory.py", "--small", "600", "--large", "1200")
    assert found["peak_small"] > 1e8
    assert found["blocks"][0] > 0


@pytest.mark.slow
def test_train_compares_steps_that_find_the_same_gradient():
    found = run("train.py", "--width", "4", "--batch", "2", "--sides", "16", "--rounds", "1")
    assert found["gradient"] < 1e-9
    figures = found["sides"]["16"]
    assert figures["vs_published"] > 0
    assert figures["peak"] > 1e8
    assert figures["memory_ratio"] > 0


@pytest.mark.slow
def test_recipe_chooses_every_window_it_was_asked_for_and_times_each_part():
    found = run("recipe.py", "--height", "4000", "--width", "3000")
    parts = [found[f"{part}_seconds"] for part in ("open", "select", "write")]
    assert min(parts) > 0
    assert found["seconds"] == pytest.approx(sum(parts))
    assert found["memory"] > 1e6
    assert found["shortfalls"] == []
    assert found["train"] == 36000
    assert found["rows"] > found["train"]


@pytest.mark.slow
def test_thresholds_moves_the_real_sliders_and_prints_every_figure():
    found = run("thresholds.py", "--side", "4000", "--layers", "3")
    for key in ("lookup_ms", "tick_ms", "percentile_tick_ms", "curve_ms", "optimum_ms", "count_ns"):
        assert found[key] > 0
    assert found["vs_pixels"] > 10
    assert set(found["missed"]) <= {"tick_p95_ms", "percentile_tick_p95_ms", "optimum_ms"}
