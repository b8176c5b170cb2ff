"""The settings of a run as frozen dataclasses, read by :mod:`training.settings.load`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from training.augmentation.config import AugmentationConfig
from training.dataset.config import SelectionConfig, SourceConfig
from training.learning.optimiser import OptimiserConfig
from training.learning.schedule import ScheduleConfig


@dataclass(frozen=True)
class SyntheticConfig:
    """Fragments made by the simulator, one a seed.

    Attributes
    ----------
    fragments : int
        How many to learn from; 0: none.
    first_seed : int
        The first one's seed; the others follow.
    validation_seed : int
        Seed of the fragment that is only looked at, never learned from.
    strengths : tuple of float
        Ink strengths, dealt out to the fragments in turn. Validation is at strength 1.
    curriculum : float
        Share of the steps over which the weaker strengths join the strongest; 0: all at once.
    depth, height, width : int
        Size in voxels.
    voxel_size : float
        In µm.
    cache : str
        Folder where fragments are kept from one run to the next.
    """

    fragments: int = 0
    first_seed: int = 1000
    validation_seed: int = 900
    strengths: tuple[float, ...] = (1.0,)
    curriculum: float = 0.0
    depth: int = 32
    height: int = 640
    width: int = 1280
    voxel_size: float = 16.0
    cache: str = "runs/synthetic"


@dataclass(frozen=True)
class DataConfig:
    """What to learn from.

    Attributes
    ----------
    sources : tuple of SourceConfig
        Labelled fragments and parts of them, to learn from or to validate on.
    synthetic : SyntheticConfig
        Simulated fragments, beside those or instead.
    selection : SelectionConfig
        Which windows of them.
    layers : tuple of int, optional
        Depth window ``(first, end)`` in stored numbering of sources that have none of their own;
        ``None``: the network's depth, centred.
    window : int
        Side of a training window in pixels. Above 0.55 mm a network learns letter shapes.
    recipe : dict
        Intensity recipe, see :class:`napari_ink.volumes.intensity.Recipe`.
    fold : int, optional
        Validate on the sources of this fold, learn from all others.
    folds : int, optional
        How many folds sources without one of their own are dealt out to.
    cache : str
        Folder in which raw windows are kept, for fragments that are slow to read; empty: nowhere.
    """

    sources: tuple[SourceConfig, ...] = ()
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    layers: tuple[int, int] | None = None
    window: int = 32
    recipe: dict[str, Any] = field(default_factory=dict)
    fold: int | None = None
    folds: int | None = None
    cache: str = ""


@dataclass(frozen=True)
class NetworkConfig:
    """Which network: a name of ``napari_ink.models.registry`` and its arguments."""

    architecture: str = "repmode"
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LearningConfig:
    """How to learn.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    batch : int
        Windows a pass, on each device.
    accumulate : int
        Passes a step: their gradients are averaged.
    freeze_norm : bool
        Batch norm keeps its statistics, so that no window depends on those beside it.
    optimiser : OptimiserConfig
        How the weights move.
    schedule : ScheduleConfig
        How the learning rate goes over the run.
    clip : float
        Largest norm of the gradient.
    averaging : float
        Decay of the moving average of the weights, which is what is kept, reached gradually; 0:
        none.
    losses : dict
        Weight of each loss by name, or its weight and parameters; see
        :class:`training.losses.WeightedLoss`.
    validate_every : int
        Steps between looks at the validation fragments; there is one at the end in any case.
    score : str
        Of those looks, which decides what is kept: ``f05``, ``auc``, ``iou`` or ``ap``.
    """

    steps: int = 2000
    batch: int = 16
    accumulate: int = 1
    freeze_norm: bool = False
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    clip: float = 1.0
    averaging: float = 0.99
    losses: dict[str, Any] = field(default_factory=lambda: {"bce": 0.5, "dice": 0.5})
    validate_every: int = 250
    score: str = "f05"


@dataclass(frozen=True)
class TrainerConfig:
    """The machine: where and how fast, and what is kept on the way. Nothing of it changes the task.

    Attributes
    ----------
    accelerator : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    devices : int
        Processes a node, each with a device of its own; 0: all GPUs there are.
    nodes : int
        Machines; more than one are started by torchrun or SLURM.
    precision : str
        ``fp32``, ``bf16``, or ``fp16`` (CUDA only).
    threads : int
        Threads of PyTorch on the CPU, a process; 0: its own choice.
    workers : int
        Processes that read windows ahead, a device; 0: none, right for fragments in memory.
    keep_every : int
        Steps between checkpoints; the last two are kept.
    log_every : int
        Steps between rows of the logs.
    wandb : bool
        Log to Weights & Biases too.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str = "fp32"
    threads: int = 0
    workers: int = 0
    keep_every: int = 100
    log_every: int = 10
    wandb: bool = False


@dataclass(frozen=True)
class RunConfig:
    """One run, whose files go to ``runs/NAME``.

    Attributes
    ----------
    name : str
        Of the run, its folder and its checkpoint.
    seed : int
        Of everything random here.
    runs : str
        Folder of all runs.
    extend : str
        Checkpoint to start from, whose tasks stay as they are; empty: a fresh network.
    new_task : str
        The task that is added to it, and alone is learned.
    """

    name: str
    seed: int = 1
    runs: str = "runs"
    extend: str = ""
    new_task: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


#: The smallest and the largest value of a number that has such; both included. Groups that are made
#: elsewhere check their own.
BOUNDS = {
    "seed": (0, 2**32 - 1),
    "data.window": (1, 2**16),
    "data.synthetic.fragments": (0, 2**20),
    "data.synthetic.first_seed": (0, 2**31),
    "data.synthetic.validation_seed": (0, 2**31),
    "data.synthetic.voxel_size": (1e-3, 1e4),
    "data.synthetic.curriculum": (0, 0.95),
    "learning.steps": (1, 2**31),
    "learning.batch": (1, 2**16),
    "learning.accumulate": (1, 2**16),
    "learning.clip": (1e-12, 1e12),
    "learning.averaging": (0, 0.999999),
    "learning.validate_every": (1, 2**31),
    "trainer.devices": (0, 4096),
    "trainer.nodes": (1, 65536),
    "trainer.threads": (0, 4096),
    "trainer.workers": (0, 1024),
    "trainer.keep_every": (1, 2**31),
    "trainer.log_every": (1, 2**31),
}

#: The values of a word that has only some.
CHOICES = {
    "learning.score": ("f05", "auc", "iou", "ap"),
    "trainer.accelerator": ("auto", "cpu", "cuda", "mps"),
    "trainer.precision": ("fp32", "bf16", "fp16"),
}


def to_tree(config: Any) -> Any:
    """Plain dicts, lists and numbers of a configuration, for YAML and JSON."""
    if is_dataclass(config):
        return {f.name: to_tree(getattr(config, f.name)) for f in fields(config)}
    if isinstance(config, Mapping):
        return {key: to_tree(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_tree(value) for value in config]
    return config
