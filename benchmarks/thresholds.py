"""A slider of the Thresholds dock over 10,000 × 10,000 px × 16 layers: how long a step takes.

    python benchmarks/thresholds.py [--json] [--side PX] [--layers N]

Histograms are counted beforehand, as the dock does in a thread. Here they come from a few simulated
blocks of 1,000 × 1,000 px, whose counts are multiplied up to the size: 16 layers of 10,000 × 10,000
are never in memory. The handler is that of the real dock over a real, lazily read napari layer of
that size, every control of it included; without a screen, so that drawing is not. Every step is a
move to another place, by turns of the master and of single layers.

lookup_ms, lookup_p95_ms    the part without Qt: new cuts, pooled scores; median and 95th percentile
tick_ms, tick_p95_ms        from the moved slider to the end of its handler: sliders, scores,
                            buttons, contrast limits; budget of the 95th percentile < 16 ms
percentile_tick_p95_ms      the same with percentiles in place of probabilities; same budget
curve_ms                    the numbers of the curve, which waits until the slider rests
optimum_ms                  the exact best cut of every layer, the slowest metric; budget < 200 ms
vs_pixels                   a score from the pixels in place of a step: how many times longer, from
                            one block scored with numpy
count_ns                    counting, a pixel and layer, in nanoseconds
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time

import numpy as np

SIDE, LAYERS, BLOCK, BLOCKS = 10_000, 16, 1000, 2
STEPS = 300
BUDGET = {"tick_p95_ms": 16.0, "percentile_tick_p95_ms": 16.0, "optimum_ms": 200.0}


def simulated(layers: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``(z, y, x)`` of one block, each layer with ink at its own level, and ink."""
    random = np.random.default_rng(seed)
    label = random.random((BLOCK, BLOCK)) < 0.1
    values = np.empty((layers, BLOCK, BLOCK), np.float16)
    for z in range(layers):
        logit = random.normal(-2 + z / layers, 1.5, label.shape) + label * (1 + z % 5)
        values[z] = 1 / (1 + np.exp(-logit))
    return values, label


def milliseconds(call, times: int = 1) -> np.ndarray:
    """How long each of several calls takes."""
    taken = []
    for k in range(times):
        start = time.perf_counter()
        call(k)
        taken.append(1e3 * (time.perf_counter() - start))
    return np.array(taken)


def headless(side: int, layers: int) -> tuple[dict, object]:
    """What needs no window: counting, look-ups, optima; and the counts."""
    from napari_ink.analysis.layer_histograms import LayerHistograms
    from napari_ink.analysis.parts import halves
    from napari_ink.analysis.thresholds import METRICS, best_thresholds
    from napari_ink.widgets.thresholds.counted import Counted
    from napari_ink.widgets.thresholds.model import ThresholdsModel

    counted, spent = [], 0.0
    for seed in range(2 * BLOCKS):
        values, label = simulated(layers, seed)
        start = time.perf_counter()
        counted.append(LayerHistograms.of(values, label, np.ones(label.shape, bool)))
        spent += time.perf_counter() - start
    times = max(1, side**2 // (2 * BLOCKS * BLOCK**2))
    half = [
        LayerHistograms(layers, times * sum(each.counts for each in counted[part::2]))
        for part in range(2)
    ]
    both = Counted(*half, halves((side, side)), ("left half", "right half"))

    cuts = np.linspace(0.3, 0.7, layers)
    found = values >= cuts[:, None, None].astype(np.float16)  # warm

    def pixels(_) -> None:
        ink = np.greater_equal(values, cuts[:, None, None].astype(np.float16), out=found)
        np.count_nonzero(ink & label), np.count_nonzero(ink)

    by_pixels = np.median(milliseconds(pixels, 3)) * side**2 / BLOCK**2
    optima = []
    for metric in METRICS:
        fresh = LayerHistograms(layers, both.whole.counts)
        optima.append(milliseconds(lambda _, h=fresh, m=metric: best_thresholds(h, m))[0])

    model = ThresholdsModel("iou")
    model.choose(tuple(f"z {k}" for k in range(layers)), (0.5,) * layers)
    model.take_counts(both)
    random = np.random.default_rng(0)
    positions = random.uniform(0.05, 0.95, STEPS)
    model.move(None, 0.5)

    def look_up(k: int) -> None:
        model.move(None if k % 2 else k % layers, positions[k])
        _ = model.scores

    taken = milliseconds(look_up, STEPS)
    figures = {
        "lookup_ms": float(np.median(taken)),
        "lookup_p95_ms": float(np.percentile(taken, 95)),
        "curve_ms": float(np.median(milliseconds(lambda _: model.curve(), 20))),
        "optimum_ms": float(max(optima)),
        "pixels_ms": float(by_pixels),
        "count_ns": 1e9 * spent / (2 * BLOCKS * layers * BLOCK**2),
    }
    return figures, both


def in_the_dock(side: int, layers: int, counted) -> dict:
    """Steps of the real dock's sliders, without a screen."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from napari.components import ViewerModel
    from qtpy.QtCore import QThreadPool
    from qtpy.QtWidgets import QApplication

    from napari_ink._layers import ink_levels, ink_look, ink_metadata
    from napari_ink._lazy import LazyArray
    from napari_ink.widgets.thresholds.dock import ThresholdsDock

    class Nothing:
        """A volume that is nowhere."""

        shape, dtype = (layers, side, side), np.dtype(np.float32)

        def read(self, *window: slice) -> np.ndarray:
            return np.zeros([part.stop - part.start for part in window], self.dtype)

    application = QApplication.instance() or QApplication([])
    viewer = ViewerModel()
    step = -(-side // 2048)
    coarse = np.zeros((layers, -(-side // step), -(-side // step)), np.float32)
    record = {"settings": {"layers": [0, layers]}, "threshold": 0.5}
    viewer.add_image(
        [LazyArray(Nothing()), ink_levels(coarse)] if step > 1 else LazyArray(Nothing()),
        multiscale=step > 1,
        metadata=ink_metadata(None, "counted.ink.zarr", record),
        **ink_look(),
    )
    dock = ThresholdsDock(viewer)
    dock.resize(320, 760)
    dock.show()
    dock.desk.counter.cancel()
    QThreadPool.globalInstance().waitForDone()
    dock.model.take_counts(counted)
    application.processEvents()
    random = np.random.default_rng(1)
    figures = {}
    for name, percent in (("tick", False), ("percentile_tick", True)):
        dock.model.choose_kind(percent)
        positions = random.uniform(5, 95, STEPS) / (1 if percent else 100)

        def tick(k: int, positions=positions) -> None:
            slider = dock.sliders.master if k % 2 else dock.sliders.layers[k % layers]
            slider.setValue(positions[k])

        tick(0), tick(1)
        before = dock.model.cuts
        taken = milliseconds(tick, STEPS)
        low, high = viewer.layers[0].contrast_limits
        if dock.model.cuts == before or not dock.model.scores or high - low > 0.01:
            raise RuntimeError("the sliders moved nothing")
        figures[f"{name}_ms"] = float(np.median(taken))
        figures[f"{name}_p95_ms"] = float(np.percentile(taken, 95))
    dock._leave()
    return figures


def main() -> int:
    """Measure, print, and say which budgets were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", type=int, default=SIDE, metavar="PX")
    parser.add_argument("--layers", type=int, default=LAYERS, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        os.environ["NAPARI_CONFIG"] = f"{own}/settings.yaml"
        found, counted = headless(args.side, args.layers)
        found |= in_the_dock(args.side, args.layers, counted)
    found["vs_pixels"] = found.pop("pixels_ms") / found["tick_ms"]
    found["missed"] = [key for key, limit in BUDGET.items() if found[key] > limit]
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for key, value in found.items():
        print(f"{key:<24}{value:.3g}" if isinstance(value, float) else f"{key:<24}{value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
