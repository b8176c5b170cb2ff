"""Where a run runs: devices, precision and processes, checked before any work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    import lightning

    from napari_ink.models.contract import InkNetwork
    from training.settings.config import RunConfig, TrainerConfig

T = TypeVar("T")

#: Lightning's names.
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}

#: Tells the processes that Lightning starts what the first one decided.
_TOLD = "NAPARI_INK_RUN"


def is_first() -> bool:
    """Whether this process is the one of a run that writes and speaks."""
    return rank_zero_only.rank == 0


def say(line: str) -> None:
    """One line to the user, from the first process only."""
    if is_first():
        print(line, flush=True)


def check_machine(settings: TrainerConfig) -> tuple[str, int]:
    """Kind and number of the devices of a node.

    Returns
    -------
    device : str
        ``cpu``, ``cuda`` or ``mps``.
    devices : int

    Raises
    ------
    SettingsError
        For what this machine or the way the run was started cannot give.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    device = settings.accelerator
    if device == "auto":
        device = next(name for name, there in present.items() if there)
    elif not present[device]:
        raise SettingsError(
            f"no {device} device was found",
            "set trainer.accelerator to cpu, or install its driver and torch",
        )
    if settings.precision == "fp16" and device != "cuda":
        raise SettingsError(
            f"trainer.precision fp16 needs CUDA, this run is on {device}", "choose fp32"
        )
    if settings.precision == "bf16" and device == "cpu":
        say("bf16 on the CPU: gradients of small volumes may overflow (torch 2.14), fp32 does not")
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device)
    devices = settings.devices or there or 1
    if there is not None and devices > there:
        raise SettingsError(
            f"trainer.devices is {devices}, there are {there} of {device}",
            f"choose {there} or fewer; 0 takes all",
        )
    _check_launch(devices, settings.nodes)
    if settings.wandb and find_spec("wandb") is None:
        raise SettingsError(
            "trainer.wandb needs wandb, which is not installed", "pip install wandb"
        )
    return device, devices


def _check_launch(devices: int, nodes: int) -> None:
    """Whether as many processes were started as the settings say."""
    world = os.environ.get("WORLD_SIZE") if "TORCHELASTIC_RUN_ID" in os.environ else None
    if world is not None and int(world) != devices * nodes:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
        raise SettingsError(
            f"torchrun started {world} processes, the settings ask for {devices * nodes}",
            f"give --trainer.devices {local} --trainer.nodes {int(world) // local}",
        )
    if nodes > 1 and world is None and "SLURM_JOB_ID" not in os.environ:
        raise SettingsError(
            f"trainer.nodes is {nodes}, but nothing started the run on the others",
            "start it with torchrun or srun on every node",
        )


def check_space(config: RunConfig, network: InkNetwork, pixels: int) -> None:
    """Raise SettingsError unless the disk has room for all that the run will write.

    Weights, their average and two moments of the optimiser make a checkpoint, of which there are
    four: the last two, the best, and one that is being written. Beside them the maps of
    ``pixels`` validation pixels, the network itself, and 16 MB for logs, report and pictures.
    """
    weights = sum(p.numel() * p.element_size() for p in network.state_dict().values())
    checkpoint = 4 * weights + 2**18
    needed = 4 * checkpoint + weights + 8 * pixels + 2**24 + 200 * config.learning.steps
    place = Path(config.runs).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise SettingsError(
            f"the run writes up to {needed / 1e6:,.0f} MB, {place} has {free / 1e6:,.0f} MB free",
            "free some space, or choose another --runs folder",
        )


def agreed(trainer: lightning.Trainer, decide: Callable[[], T]) -> T:
    """What the first process decides, in every process of the run.

    ``decide`` gives a string or None, and is called once. Its :class:`SettingsError` is raised
    everywhere.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if environment is None or trainer.world_size == 1:
        return decide()
    if not environment.creates_processes_externally:
        decided = os.environ[_TOLD] = decide()  # the others are started with this environment
        return decided
    if _TOLD in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ:
        return os.environ[_TOLD]
    trainer.strategy.setup_environment()
    answer: tuple[str, object] = ("", None)
    if trainer.is_global_zero:
        try:
            answer = ("decided", decide())
        except SettingsError as error:
            answer = ("refused", error)
    kind, value = trainer.strategy.broadcast(answer)
    if kind == "refused":
        raise value
    return value
