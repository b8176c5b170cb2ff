"""The weakest ink that a checkpoint finds: ``python -m training.detection_limit CHECKPOINT``.

Simulated fragments that the checkpoint never saw are predicted with their ink at full strength,
then weaker and weaker down to none. What is compared is the area under the ROC curve (AUC), which
needs no cut; the detection limit is the strength at which it falls below .90. Other scores
saturate on simulated ink, this one never does: the weaker ink a network finds, the better it is.

Without any ink the AUC must be about .5: more would mean that something other than the ink, in
the simulator or in the network, gives the letters away.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count as numbers
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis import metrics
from napari_ink.analysis.metrics import Histogram
from napari_ink.errors import InkError, SettingsError
from napari_ink.inference.duration import seconds_on_processor
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.models.checkpoint import load_checkpoint
from napari_ink.models.contract import InkNetwork
from napari_ink.models.info import CheckpointInfo
from napari_ink.volumes.fragment import Fragment
from training.config import SyntheticConfig
from training.dataset.synthetic import is_kept, simulated_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET = 0.90
STRENGTHS = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
SEEDS = 5
FIRST_SEED = 3001  # far from those that the shipped configurations learn from
#: How far the mean AUC without ink may lie from one half before it is remarked upon.
LEAK = 0.05
#: Voxels that the simulator makes in a second on one core, measured, two at work.
VOXELS_A_SECOND = 3.5e6


@dataclass(frozen=True, eq=False)
class DetectionLimit:
    """What was measured.

    Attributes
    ----------
    seeds : tuple of int
        Of the fragments.
    strengths : tuple of float
        Descending; the last is 0.
    auc : numpy.ndarray
        ``(seeds, strengths)``.
    """

    seeds: tuple[int, ...]
    strengths: tuple[float, ...]
    auc: np.ndarray

    @property
    def limits(self) -> list[float | None]:
        """The limit on each fragment; None where not even the strongest ink was found."""
        return [limit(self.strengths, row) for row in self.auc]

    def summary(self) -> dict:
        """All figures, JSON-able."""
        reached = [value for value in self.limits if value is not None]
        whole = len(reached) == len(self.seeds)
        return {
            "target": TARGET,
            "seeds": list(self.seeds),
            "strengths": list(self.strengths),
            "auc": self.auc.tolist(),
            "mean_auc": self.auc.mean(axis=0).tolist(),
            "limits": self.limits,
            "reached": len(reached),
            "limit": spread(reached) if whole else None,
            "auc_without_ink": spread(self.auc[:, -1]),
        }


def limit(strengths: Sequence[float], auc: Sequence[float], target: float = TARGET) -> float | None:
    """The weakest strength down to which the AUC holds the target, interpolated linearly.

    Parameters
    ----------
    strengths, auc : sequence of float
        Descending strengths, and what was reached at each.
    target : float

    Returns
    -------
    float or None
        None if the target is not even reached at the first strength. A recovery further down
        counts for nothing.
    """
    if not auc[0] >= target:
        return None
    for i in range(1, len(auc)):
        if not auc[i] >= target:
            share = (auc[i - 1] - target) / (auc[i - 1] - auc[i])
            return float(strengths[i - 1] + share * (strengths[i] - strengths[i - 1]))
    return float(strengths[-1])


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation (of a sample; 0 for one value) and range."""
    values = np.asarray(values, float)
    sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return {
        "mean": float(values.mean()),
        "sd": sd,
        "min": float(values.min()),
        "max": float(values.max()),
    }


def measure(
    network: InkNetwork,
    seeds: Sequence[int],
    strengths: Sequence[float],
    fragments: SyntheticConfig,
    settings: PredictionSettings = PredictionSettings(),  # noqa: B008 (frozen)
) -> DetectionLimit:
    """Predict every seed at every strength.

    Parameters
    ----------
    network : InkNetwork
        With its metadata.
    seeds, strengths : sequence
        Of the fragments, and of their ink; 0 is added.
    fragments : SyntheticConfig
        Their size, and where they are kept.
    settings : PredictionSettings

    Raises
    ------
    SettingsError
        If the checkpoint has seen one of the seeds.
    """
    strengths = tuple(sorted({*map(float, strengths), 0.0}, reverse=True))
    seeds = tuple(dict.fromkeys(map(int, seeds)))
    if not seeds or strengths == (0.0,):
        raise SettingsError("nothing to measure on", "give one seed and one strength above 0")
    seen = sorted(seen_seeds(network.info) & set(seeds))
    if seen:
        raise SettingsError(
            f"the checkpoint has seen {', '.join(map(str, seen))}", "choose other --seeds"
        )
    known = {entry.get("fingerprint") for entry in network.info.dataset}
    wanted = [(seed, strength) for seed in seeds for strength in strengths]
    found = []
    for (seed, _), fragment in zip(wanted, simulated_at(fragments, wanted), strict=True):
        if fragment.fingerprint() in known:
            raise SettingsError(f"the checkpoint has seen {seed}", "choose other --seeds")
        found.append(metrics.auc(count(network, fragment, settings)))
    return DetectionLimit(seeds, strengths, np.array(found).reshape(len(seeds), -1))


def count(
    network: InkNetwork,
    fragment: Fragment,
    settings: PredictionSettings = PredictionSettings(),  # noqa: B008 (frozen)
) -> Histogram:
    """Probability by label within the mask of a simulated fragment, predicted as a reader would."""
    label, mask = np.asarray(fragment.label), np.asarray(fragment.mask)
    histogram = Histogram()
    for done in predict(fragment, network, settings, notice=lambda line: None):
        histogram.add(done.probability, label[done.box.slices], mask[done.box.slices])
    return histogram


def seen_seeds(info: CheckpointInfo) -> set[int]:
    """Seeds of the simulated fragments that a checkpoint was trained or validated on."""
    names = [str(entry.get("name", "")) for entry in info.dataset]
    names += map(str, info.metrics.get("validation", ()))
    seen = {
        int(seed) for name in names for seed in re.findall(r"(?:synthetic|simulated)-(\d+)", name)
    }
    recorded = _recorded(info)
    if recorded.get("fragments"):
        seen |= {recorded["first_seed"] + i for i in range(recorded["fragments"])}
        seen.add(recorded["validation_seed"])
    return seen


def _recorded(info: CheckpointInfo) -> dict:
    """The simulator's settings in a checkpoint's record; empty where there are none."""
    tree = info.training
    for name in ("config", "data", "synthetic"):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def fragments_for(info: CheckpointInfo, cache: str) -> SyntheticConfig:
    """Fragments like those that the checkpoint learned from: same size, same voxels.

    One that learned from scans gets the simulator's default plane, as deep as its layers reach.
    """
    recorded = _recorded(info)
    default = SyntheticConfig()
    size = {
        name: recorded.get(name, getattr(default, name)) for name in ("depth", "height", "width")
    }
    if not recorded.get("fragments"):
        size["depth"] = max(info.depth, info.layers[1] if info.layers else 0)
    voxel_size = info.voxel_size or recorded.get("voxel_size", default.voxel_size)
    return SyntheticConfig(**size, voxel_size=voxel_size, cache=cache)


def estimate(
    network: InkNetwork,
    wanted: Sequence[tuple[int, float]],
    fragments: SyntheticConfig,
    settings: PredictionSettings,
) -> tuple[float, float]:
    """Seconds for the simulator and for the network, roughly, at most."""
    shape = (fragments.depth, fragments.height, fragments.width)
    missing = sum(not is_kept(fragments, *pair) for pair in wanted)
    workers = max(1, min(missing, os.cpu_count() or 1))
    simulating = missing * np.prod(shape) / VOXELS_A_SECOND / workers
    blank = Fragment.from_array(
        np.broadcast_to(np.uint8(0), shape), voxel_size=fragments.voxel_size, simulated=True
    )
    plan = plan_prediction(blank, network, settings)
    return float(simulating), len(wanted) * seconds_on_processor(plan, network.fold())


def chart(result: DetectionLimit, title: str = "") -> Figure:
    """AUC against ink strength: each fragment, their mean, and the limit with its range."""
    from napari_ink.analysis.figures import BLACK, BLUE, GREY, ORANGE, new_figure, tidy

    figure, axes = new_figure(7.6, 4.4)
    for i, row in enumerate(result.auc):
        label = "single fragments" if i == 0 else None
        axes.plot(result.strengths, row, color="#b9cfe6", lw=1, marker=".", ms=4, label=label)
    mean = result.auc.mean(axis=0)
    axes.plot(result.strengths, mean, "o-", color=BLUE, lw=2.2, ms=5, label="mean")
    axes.axhline(TARGET, color=BLACK, lw=1, ls="--")
    axes.annotate(
        f"found: AUC {TARGET:.2f}",
        (1, TARGET),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
    )
    axes.axhline(0.5, color=GREY, lw=1, ls=":")
    axes.annotate(
        "guessing",
        (1, 0.5),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
        color="#555555",
    )
    found = result.summary()["limit"]
    if found is not None:
        axes.axvspan(found["min"], found["max"], color=ORANGE, alpha=0.18, lw=0)
        axes.axvline(found["mean"], color=ORANGE, lw=2)
        axes.annotate(
            f"detection limit {found['mean']:.2f} ± {found['sd']:.2f}",
            (found["mean"], 0.03),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            color="#9a4f06",
            fontweight="bold",
        )
    low = min(0.45, float(np.nanmin(result.auc)) - 0.02)
    axes.set(xlim=(0, max(result.strengths)), ylim=(low, 1.01), ylabel="AUC")
    axes.set_xlabel("ink strength (1: as in the simulator's fragments, 0: no ink)")
    axes.legend(frameon=False, loc="center right")
    tidy(axes, title)
    return figure


def words(result: DetectionLimit) -> list[str]:
    """The result in lines of text."""
    summary = result.summary()
    lines = ["strength   AUC mean      sd     min     max"]
    for strength, column in zip(result.strengths, result.auc.T, strict=True):
        s = spread(column)
        lines.append(
            f"{strength:8.2f}   {s['mean']:8.3f}  {s['sd']:6.3f}  {s['min']:6.3f}  {s['max']:6.3f}"
        )
    total, found = len(result.seeds), summary["limit"]
    if found is not None:
        lines.append(
            f"detection limit {found['mean']:.3f} (sd {found['sd']:.3f}, {found['min']:.3f} to "
            f"{found['max']:.3f} over {total} fragments): the weakest ink with AUC ≥ {TARGET:.2f}"
        )
    else:
        kept = [value for value in summary["limits"] if value is not None]
        some = f"; on the others it is {min(kept):.3f} to {max(kept):.3f}" if kept else ""
        lines.append(
            f"no detection limit: on {total - len(kept)} of {total} fragments the AUC is below "
            f"{TARGET:.2f} even at strength {result.strengths[0]:g}{some}"
        )
    blank = summary["auc_without_ink"]
    verdict = "as it must be about one half"
    if abs(blank["mean"] - 0.5) > LEAK:
        verdict = "NOT about one half: something other than ink gives the letters away"
    lines.append(f"without ink: AUC {blank['mean']:.3f} (sd {blank['sd']:.3f}), {verdict}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 and one line on an error the user can mend."""
    parser = argparse.ArgumentParser(
        prog="training.detection_limit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", help=f"default: {SEEDS} unseen ones")
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS, help="0 is added")
    parser.add_argument("--task", help="default: the checkpoint's first")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", default=SyntheticConfig().cache, help="kept fragments")
    parser.add_argument("--json", action="store_true", help="figures to standard output")
    parser.add_argument("--out", type=Path, help="folder for detection_limit.{json,png}")
    given = parser.parse_args(arguments)
    try:
        # Standard output belongs to the JSON.
        with contextlib.redirect_stdout(sys.stderr) if given.json else contextlib.nullcontext():
            result, record = _run(given)
    except InkError as error:
        print(f"training.detection_limit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training.detection_limit: stopped", file=sys.stderr)
        return 130
    print(json.dumps(record) if given.json else "\n".join(words(result)))
    return 0


def _run(given: argparse.Namespace) -> tuple[DetectionLimit, dict]:
    if given.out is not None:
        try:
            given.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"cannot make {given.out} ({error.strerror})", "choose another --out"
            ) from error
    network = load_checkpoint(given.checkpoint)
    if network.output == "volume":
        raise SettingsError(f"{given.checkpoint} labels volumes", "choose one that finds ink")
    seen = seen_seeds(network.info)
    unseen = islice((seed for seed in numbers(FIRST_SEED) if seed not in seen), SEEDS)
    seeds = given.seeds or list(unseen)
    fragments = fragments_for(network.info, given.cache)
    settings = PredictionSettings(task=given.task, device=given.device)
    wanted = [(seed, strength) for seed in seeds for strength in {*given.strengths, 0.0}]
    simulating, predicting = estimate(network, wanted, fragments, settings)
    print(
        f"{len(wanted)} fragments of {fragments.depth} × {fragments.height} × {fragments.width} "
        f"at {fragments.voxel_size:g} µm: about {(simulating + predicting) / 60:.1f} minutes "
        f"({simulating:.0f} s to simulate what is not kept, {predicting:.0f} s to predict on "
        "this processor)",
        flush=True,
    )
    started = time.perf_counter()
    result = measure(network, seeds, given.strengths, fragments, settings)
    record = {
        "checkpoint": str(given.checkpoint),
        "fingerprint": network.info.fingerprint,
        **result.summary(),
        "shape": [fragments.depth, fragments.height, fragments.width],
        "voxel_size": fragments.voxel_size,
        "seconds": round(time.perf_counter() - started, 1),
        "estimated_seconds": round(simulating + predicting, 1),
    }
    if given.out is not None:
        (given.out / "detection_limit.json").write_text(json.dumps(record, indent=1) + "\n")
        chart(result, given.checkpoint.stem).savefig(given.out / "detection_limit.png", dpi=150)
        print(f"{given.out / 'detection_limit.png'}")
    return result, record


if __name__ == "__main__":
    raise SystemExit(main())
