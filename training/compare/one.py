"""One run of a comparison, in a process of its own: train, score on unseen fragments, write down.

``python -m training.compare.one FOLDER ROW SEED``, as :mod:`training.compare.queue` starts it. It
reads what was written into the comparison's folder: a file edited meanwhile changes no run.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from napari_ink.analysis import metrics
from napari_ink.analysis.metrics import BIN_VALUES, Histogram
from napari_ink.errors import InkError, SettingsError
from napari_ink.inference.settings import PredictionSettings
from napari_ink.models.checkpoint import load_checkpoint
from training.compare.processes import end_with_parent
from training.compare.settings import Comparison, Task, load_comparison
from training.dataset.synthetic import simulated_at
from training.detection_limit.measure import count, measure
from training.detection_limit.unseen import fragments_for
from training.keeping.folder import versions
from training.run import run
from training.settings.config import RunConfig, to_tree
from training.settings.load import load_config
from training.whole_files import written_whole

_FLOOR = 1e-6  # a probability of 0 would make one wrong pixel outweigh the map


def comparison_file(folder: Path) -> Path:
    """Where a comparison is written as it is run, base and rows in one."""
    return folder / "comparison.yaml"


def settings_file(comparison: Comparison, task: Task) -> Path:
    """Where the settings of a run are written for it."""
    return comparison.folder / "settings" / f"{task.name}.yaml"


def result_file(comparison: Comparison, task: Task) -> Path:
    """Where its result is written, last of all."""
    return comparison.folder / "results" / f"{task.name}.json"


def write_whole(file: Path, text: str | bytes) -> None:
    """Write a file, and make its folder if need be.

    Raises
    ------
    SettingsError
        Where it cannot be written.
    """
    data = text.encode() if isinstance(text, str) else text
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file, shared=True) as beside:
            beside.write_bytes(data)
    except OSError as error:
        raise SettingsError(
            f"cannot write {file} ({error.strerror})", "make room, or choose another runs folder"
        ) from error


def train_and_score(comparison: Comparison, task: Task) -> dict[str, Any]:
    """The result of one run, which is also written to its file.

    A run that had been trained already, but not scored, is not trained again; one that was
    stopped goes on (see :mod:`training.keeping.folder`).
    """
    config = load_config(settings_file(comparison, task))
    checkpoint = trained(config) or run(config)
    network = load_checkpoint(checkpoint)
    learned = config.new_task or network.tasks[0]
    settings = PredictionSettings(task=learned)
    fragments = fragments_for(network.info, config.data.synthetic.cache)
    wanted = list(product(comparison.test_seeds, comparison.test_strengths))
    histogram = Histogram()
    for fragment in simulated_at(fragments, wanted):
        histogram += count(network, fragment, settings)
    values = metrics.summary(histogram, network.info.threshold(learned))
    result = {
        "digest": comparison.digest(task),
        "row": task.row,
        "seed": task.seed,
        "checkpoint": str(checkpoint),
        "loss": report_loss(histogram),
        **metrics.json_ready(values),
        **speed(checkpoint.parent, config),
        "parameters": sum(p.numel() for p in network.parameters()),
        "versions": versions(),
    }
    if comparison.limit_seeds:
        limits = measure(
            network, comparison.limit_seeds, comparison.limit_strengths, fragments, settings
        )
        # Never found counts as the strongest that was tried: a bound from below, said in the table.
        known = [limits.strengths[0] if value is None else value for value in limits.limits]
        result |= {"limit": float(np.mean(known)), "limits": limits.summary()}
    write_whole(result_file(comparison, task), json.dumps(result, indent=1) + "\n")
    return result


def trained(config: RunConfig) -> Path | None:
    """The checkpoint of a finished run with exactly these settings, if there is one."""
    tree = to_tree(config)
    for folder in sorted(Path(config.runs).glob(f"{config.name}*")):
        checkpoint = folder / f"{config.name}.safetensors"
        try:
            same = yaml.safe_load((folder / "config.yaml").read_text()) == tree
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        if same and checkpoint.exists():
            return checkpoint
    return None


def report_loss(histogram: Histogram) -> float:
    """(BCE + Dice) / 2 of the map, the loss of the report's table, whatever was trained with."""
    bare, ink = histogram.counts
    value = np.clip(BIN_VALUES, _FLOOR, 1 - _FLOOR)
    bce = -(ink @ np.log(value) + bare @ np.log1p(-value)) / histogram.pixels
    dice = 1 - (2 * ink @ BIN_VALUES) / ((ink + bare) @ BIN_VALUES + ink.sum())
    return float(bce + dice) / 2


def speed(folder: Path, config: RunConfig) -> dict[str, float | None]:
    """Samples a second and seconds of learning, from the log: also right for resumed runs."""
    learning = config.learning
    samples = learning.steps * learning.batch * learning.accumulate
    try:
        with (folder / "metrics.csv").open(newline="") as stream:
            values = [row.get("samples_per_second") for row in csv.DictReader(stream)]
        rates = [float(value) for value in values if value]
    except (OSError, ValueError):
        rates = []
    if not rates:
        return {"samples_per_second": None, "seconds": None}
    seconds = samples * float(np.mean(1 / np.array(rates)))
    return {"samples_per_second": round(samples / seconds, 3), "seconds": round(seconds, 2)}


def main(arguments: Sequence[str] | None = None) -> int:
    """2 and one line, last on standard error, for what the user can mend."""
    folder, row, seed = sys.argv[1:] if arguments is None else arguments
    try:
        comparison = load_comparison(comparison_file(Path(folder)))
        task = next(t for t in comparison.tasks() if (t.row, t.seed) == (row, int(seed)))
        train_and_score(comparison, task)
    except InkError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    end_with_parent()
    raise SystemExit(main())
