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
import errno
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from napari_ink.errors import SettingsError
from napari_ink.inference.duration import seconds_on_processor
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.settings import PredictionSettings
from napari_ink.models.checkpoint import load_checkpoint
from napari_ink.models.contract import InkNetwork
from napari_ink.volumes.fragment import Fragment
from training.command_line import ended
from training.dataset.synthetic import is_kept
from training.detection_limit.figures import chart, words
from training.detection_limit.measure import DetectionLimit, measure
from training.detection_limit.unseen import fragments_for, seen_seeds
from training.settings.config import SyntheticConfig
from training.whole_files import written_whole

STRENGTHS = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
SEEDS = 5
FIRST_SEED = 3001  # far from those that the shipped configurations learn from
FILES = ("detection_limit.json", "detection_limit.png")
#: Voxels that the simulator makes in a second on one core, measured, two at work.
VOXELS_A_SECOND = 3.5e6


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

    def measured() -> None:
        # Standard output belongs to the JSON.
        with contextlib.redirect_stdout(sys.stderr) if given.json else contextlib.nullcontext():
            result, record = _run(given)
        print(json.dumps(record) if given.json else "\n".join(words(result)), flush=True)
        if given.out is not None:
            keep(given.out, given.checkpoint.stem, result, record)
            print(given.out / FILES[1], file=sys.stderr if given.json else sys.stdout)

    return ended("training.detection_limit", measured)


def _run(given: argparse.Namespace) -> tuple[DetectionLimit, dict]:
    if given.out is not None:
        with _refused(given.out):  # before the work, not after it
            given.out.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=given.out).close()
            for name in FILES:
                if (given.out / name).is_dir():
                    raise IsADirectoryError(errno.EISDIR, f"{name} is a directory")
    network = load_checkpoint(given.checkpoint)
    if network.output == "volume":
        raise SettingsError(f"{given.checkpoint} labels volumes", "choose one that finds ink")
    seen = seen_seeds(network.info)
    unseen = islice((seed for seed in count(FIRST_SEED) if seed not in seen), SEEDS)
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
    return result, record


def keep(folder: Path, title: str, result: DetectionLimit, record: dict) -> None:
    """Write the figures and the chart into a folder.

    Raises
    ------
    SettingsError
        Where they cannot be written.
    """
    figures, picture = (folder / name for name in FILES)
    with _refused(folder):
        with written_whole(figures) as beside:
            beside.write_text(json.dumps(record, indent=1) + "\n")
        with written_whole(picture) as beside:
            chart(result, title).savefig(beside, format="png", dpi=150)


@contextlib.contextmanager
def _refused(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"cannot write to {folder} ({error.strerror})", "choose another --out"
        ) from error


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


if __name__ == "__main__":
    raise SystemExit(main())
