"""Simulated muon tomography: ``python -m training.muon.simulate OUT.h5 --samples N --seed S``.

Writes the layout of the published challenge data (Zenodo record 7050560): ``x0``, float32, and
``targs``, 1 for wall and 0 for soil, both ``(samples, z, x, y)`` of 10 × 10 × 10 voxels of 1 m,
layer 0 at the bottom. Everything is simulated, and the file says so in its attributes.

A sample follows from the seed and its index, whatever the number of processes. What is done is kept
beside OUT.h5 in parts; a run that was stopped goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import h5py
import numpy as np
from rich.progress import track

import napari_ink
from napari_ink.errors import SettingsError
from training.command_line import ended
from training.muon.scene import MUONS, simulate
from training.muon.walls import SIDE
from training.whole_files import written_whole

PART = 250  # samples
_RECORD = "simulation.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 and one line on an error the user can mend."""
    parser = argparse.ArgumentParser(
        prog="training.muon.simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT.h5")
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--muons", type=int, default=MUONS, help=f"a sample; default: {MUONS}")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: all cores")
    given = parser.parse_args(arguments)
    return ended(
        "training.muon.simulate",
        lambda: simulate_file(
            given.out, given.samples, given.seed, muons=given.muons, processes=given.processes
        ),
        stopped=f"stopped; the same command goes on from what is in {parts_of(given.out)}",
    )


def parts_of(out: Path) -> Path:
    """Where the parts of a file lie until it is finished."""
    return out.with_name(f"{out.name}.parts")


def simulate_file(
    out: Path, samples: int, seed: int = 0, *, muons: int = MUONS, processes: int | None = None
) -> None:
    """Simulate samples into a file, or go on with it.

    Parameters
    ----------
    out : pathlib.Path
        Must not exist.
    samples, seed : int
    muons : int
        A sample.
    processes : int, optional
        ``None``: as many as there are cores.

    Raises
    ------
    SettingsError
    """
    for name, value in (("samples", samples), ("muons", muons), ("processes", processes or 1)):
        if value < 1:
            raise SettingsError(f"{value} {name}", "choose 1 or more")
    if seed < 0:
        raise SettingsError(f"a seed of {seed}", "choose a whole number from 0")
    if out.exists():
        raise SettingsError(f"{out} is there already", "choose another name, or remove it")
    record = {"samples": samples, "seed": seed, "muons": muons, "version": napari_ink.__version__}
    parts = parts_of(out)
    try:
        begin(parts, record)
        left = [start for start in range(0, samples, PART) if not part_file(parts, start).exists()]
        work = [(parts, start, min(start + PART, samples), seed, muons) for start in left]
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begin_process) as pool:
            futures = [pool.submit(simulate_part, *one) for one in work]
            try:
                for future in track(
                    as_completed(futures), "simulating", len(futures), transient=True
                ):
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        assemble(parts, out, record)
    except OSError as error:
        raise SettingsError(f"{out} cannot be written ({error})", "choose another place") from error
    shutil.rmtree(parts)
    print(out)


def begin(parts: Path, record: dict) -> None:
    """Make the folder of the parts, or see that those in it are of the same simulation."""
    parts.mkdir(parents=True, exist_ok=True)
    kept = parts / _RECORD
    if not kept.exists():
        with written_whole(kept) as beside:
            beside.write_text(json.dumps(record))
    elif json.loads(kept.read_text()) != record:
        raise SettingsError(
            f"{parts} holds parts of another simulation ({kept.read_text()})",
            "give the same numbers again, or remove it",
        )


def part_file(parts: Path, start: int) -> Path:
    """The part that begins with a sample."""
    return parts / f"{start:07d}.npz"


def simulate_part(parts: Path, start: int, end: int, seed: int, muons: int) -> None:
    """Simulate samples of one part and keep them."""
    x0 = np.empty((end - start, SIDE, SIDE, SIDE), np.float32)
    walls = np.empty(x0.shape, np.uint8)
    for place, index in enumerate(range(start, end)):
        x0[place], walls[place] = simulate(seed, index, muons)
    with written_whole(part_file(parts, start)) as beside, beside.open("wb") as file:
        np.savez(file, x0=x0, targs=walls)


def assemble(parts: Path, out: Path, record: dict) -> None:
    """Put the parts into one file, which is there whole or not at all."""
    shape = (record["samples"], SIDE, SIDE, SIDE)
    with written_whole(out) as beside, h5py.File(beside, "w") as file:
        file.attrs.update({"simulated": True, **record})
        x0 = file.create_dataset("x0", shape, np.float32)
        targs = file.create_dataset("targs", shape, np.int64)
        for start in range(0, record["samples"], PART):
            with np.load(part_file(parts, start)) as part:
                x0[start : start + PART] = part["x0"]
                targs[start : start + PART] = part["targs"]


def _begin_process() -> None:
    """One thread each, since samples are computed side by side; Ctrl-C is for who started them."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
