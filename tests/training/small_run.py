"""A run of seconds, for the tests of the trainer."""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

DEPTH = 8
ROOT = Path(__file__).parents[2]
_KEPT = tempfile.TemporaryDirectory(prefix="napari-ink-tests-")
#: Fragments of all small runs of a session, each simulated once.
CACHE = Path(_KEPT.name)


def small(tmp_path, **others):
    """The settings of a small run as a YAML file; groups are merged into those here."""
    tree = {
        "name": "small",
        "seed": 4,
        "runs": str(tmp_path / "runs"),
        "data": {
            "window": 16,
            "recipe": {"kind": "fixed", "mean": 0.45, "std": 0.15},
            "selection": {"windows": 30, "void": 30},
            "synthetic": {
                "fragments": 2,
                "depth": DEPTH,
                "height": 96,
                "width": 128,
                "voxel_size": 64.0,  # a letter has some 40 pixels
                "cache": str(CACHE),
            },
        },
        "network": {
            "arguments": {
                "width": 4,
                "levels": 1,
                "depth": DEPTH,
                "decoder": "2d",
                "collapse": "conv2d",
                "tasks": ["ink"],
            }
        },
        "augmentation": {"flip": {"p": 0.5}, "noise": {"p": 0.5}},
        "learning": {"steps": 6, "batch": 4, "validate_every": 3},
        "trainer": {"accelerator": "cpu", "threads": 1, "log_every": 1, "keep_every": 2},
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(merged(tree, others)))
    return path


def merged(tree, others):
    """One tree of two; the second wins."""
    tree = dict(tree)
    for key, value in others.items():
        both = isinstance(value, dict) and isinstance(tree.get(key), dict)
        tree[key] = merged(tree[key], value) if both else value
    return tree


def start(path, *options, program=(), **environment):
    """The run as a process of its own."""
    words = [*(program or (sys.executable, "-m")), "training.run", str(path), *options]
    return subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def log(folder):
    """``metrics.csv`` without what the clock says."""
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    clock = ("samples_per_second", "seconds")
    return [{k: v for k, v in row.items() if k not in clock} for row in rows]


def losses(folder):
    """Loss by step, as written."""
    return {int(row["step"]): row["loss"] for row in log(folder) if row["loss"]}
