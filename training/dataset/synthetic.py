"""Simulated fragments to learn from, made once by worker processes and kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from napari_ink.errors import InkError, SettingsError
from napari_ink.volumes.fragment import Fragment
from training.dataset.config import SourceConfig
from training.settings.config import SyntheticConfig
from training.whole_files import written_whole


def synthetic_sources(config: SyntheticConfig) -> Iterator[tuple[SourceConfig, Fragment]]:
    """The fragments to learn from, then, last, the one to validate on; nothing if none is set.

    A fragment is read from the cache if the same simulator made it before with the same settings.

    Yields
    ------
    tuple of (SourceConfig, Fragment)
        In memory, in the order of the seeds; the first one once all are made.

    Raises
    ------
    SettingsError
        If the fragment to validate on is one of those to learn from.
    """
    if not config.fragments:
        return
    seeds = [config.first_seed + i for i in range(config.fragments)]
    if config.validation_seed in seeds:
        raise SettingsError(
            f"the validation seed {config.validation_seed} is among those learned from",
            "choose another data.synthetic.validation_seed",
        )
    strengths = [config.strengths[i % len(config.strengths)] for i in range(config.fragments)]
    wanted = [*zip(seeds, strengths, strict=True), (config.validation_seed, 1.0)]
    joins = joining(strengths, config.curriculum)
    for number, fragment in enumerate(simulated_at(config, wanted)):
        if number < config.fragments:
            yield SourceConfig(fragment.name, joins=joins[number]), fragment
        else:
            yield SourceConfig(fragment.name, validation=True), fragment


def joining(strengths: Sequence[float], curriculum: float) -> list[float]:
    """Share of the run after which each fragment is learned from: the clearest ink at once.

    The other strengths follow at equal distances, the weakest after the share ``curriculum``.
    """
    distinct = sorted(set(strengths), reverse=True)
    last = max(len(distinct) - 1, 1)
    return [curriculum * distinct.index(strength) / last for strength in strengths]


def is_kept(config: SyntheticConfig, seed: int, strength: float) -> bool:
    """Whether a fragment of this seed and ink strength is in the cache."""
    return _file(config, seed, strength).exists()


def simulated_at(
    config: SyntheticConfig, wanted: Sequence[tuple[int, float]]
) -> Iterator[Fragment]:
    """The fragments of these ``(seed, ink strength)``; size and cache as configured.

    Yields
    ------
    Fragment
        In memory, in the order given; the first one once all are made.
    """
    size = (config.depth, config.height, config.width, config.voxel_size)
    files = [_file(config, seed, strength) for seed, strength in wanted]
    missing = [i for i, file in enumerate(files) if not file.exists()]
    if missing:
        try:
            Path(config.cache).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"data.synthetic.cache: cannot make {config.cache} ({error.strerror})",
                "choose another folder",
            ) from error
        # Fresh processes: a forked one would inherit torch's threads in whatever state they are.
        workers = min(len(missing), os.cpu_count() or 1)
        try:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                jobs = [pool.submit(_make, files[i], *wanted[i], size) for i in missing]
                for done, job in enumerate(as_completed(jobs), start=1):
                    job.result()
                    print(f"\rsimulated {done}/{len(jobs)} fragments", end="", flush=True)
        except BrokenProcessPool as error:
            raise InkError(
                "a process that simulates fragments was ended from outside, as by a lack of memory",
                "start the run again: the fragments made so far are kept",
            ) from error
        print()
    for file, (seed, _) in zip(files, wanted, strict=True):
        with np.load(file) as parts:
            yield Fragment.from_array(
                parts["volume"],
                name=f"synthetic-{seed}",
                voxel_size=config.voxel_size,
                mask=parts["mask"],
                label=parts["label"],
                simulated=True,
            )


def _file(config: SyntheticConfig, seed: int, strength: float) -> Path:
    """Where a fragment is kept: the name holds all that it depends on, the simulator included."""
    size = f"{config.depth}x{config.height}x{config.width}-{config.voxel_size:g}um"
    name = f"{_simulator()}-{size}-ink{strength:g}-seed{seed}.npz"
    return Path(config.cache) / name


def _simulator() -> str:
    """Short hash of the simulator's source: another one makes other fragments."""
    root = Path(find_spec("napari_ink.volumes.synthetic").origin).parent
    digest = hashlib.sha256()
    for source in sorted(root.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:8]


def _make(file: Path, seed: int, strength: float, size: tuple[int, int, int, float]) -> None:
    from napari_ink.volumes.synthetic import synthesise

    depth, height, width, voxel_size = size
    fragment = synthesise(
        seed,
        depth=depth,
        height=height,
        width=width,
        voxel_size=voxel_size,
        ink_strength=strength,
    )
    with written_whole(file, shared=True) as beside, beside.open("wb") as stream:
        np.savez(
            stream,
            volume=fragment.read(),
            mask=np.asarray(fragment.mask),
            label=np.asarray(fragment.label),
        )
