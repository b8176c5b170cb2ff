"""How the learning rate goes over the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CyclicLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from napari_ink.errors import SettingsError


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over the run; :func:`build_schedule` makes it.

    Each parameter group keeps its own largest rate, and all go alike in proportion.

    Attributes
    ----------
    name : str
        ``constant``; ``warm_up_cosine``: straight up, then down a half cosine to 0;
        ``one_cycle``: up and down by half cosines, momentum against it (Smith, 2018): from half
        as far from 1 as ``betas[0]`` to half as far again;
        ``triangular2``: up and down in straight lines, each peak half as high as the one before
        (Smith, 2017); ``plateau``: down whenever the validation score stops rising.
    warm_up : float
        Of ``warm_up_cosine`` and ``one_cycle``: below 1 the share of the steps in which the rate
        rises, otherwise the number of these steps.
    start : float
        The first rate as a share of the largest; of ``triangular2`` the lowest.
    cycle : float
        Of ``triangular2``: length of a cycle, as a share of the steps or their number.
    factor : float
        Of ``plateau``: what the rate is multiplied by.
    patience : int
        Of ``plateau``: looks without a better score that are put up with before that.
    """

    name: str = "one_cycle"
    warm_up: float = 0.2
    start: float = 0.04
    cycle: float = 0.25
    factor: float = 0.5
    patience: int = 3


def build_schedule(optimiser: Optimizer, config: ScheduleConfig, steps: int) -> LRScheduler:
    """The schedule, to be stepped after each optimiser step; ``plateau`` with each look's score.

    Parameters
    ----------
    optimiser : Optimizer
        Its groups' rates are the largest that are reached.
    config : ScheduleConfig
        Which.
    steps : int
        Optimiser steps of the run.

    Raises
    ------
    SettingsError
        If a setting is out of bounds or does not fit the number of steps.
    """
    check_schedule(config, steps)
    return SCHEDULES[config.name](optimiser, config, steps)


def check_schedule(config: ScheduleConfig, steps: int) -> None:
    """Raise SettingsError for a schedule that cannot be followed over so many steps."""

    def refuse(key: str, remedy: str) -> None:
        raise SettingsError(f"schedule.{key} is {getattr(config, key)!r}", remedy)

    if config.name not in SCHEDULES:
        refuse("name", f"choose among {', '.join(SCHEDULES)}")
    if not 0 < config.start <= 1:
        refuse("start", "give a share above 0, at most 1")
    if not 0 < config.factor < 1:
        refuse("factor", "give a number between 0 and 1")
    if config.patience < 0:
        refuse("patience", "give 0 or more")
    for key in ("warm_up", "cycle"):
        value = getattr(config, key)
        if not 0 <= value < math.inf or not (value < 1 or float(value).is_integer()):
            refuse(key, "give a share of the steps below 1, or a whole number of steps")
    # What the schedule's own length must leave room for.
    key, least, most = {
        "warm_up_cosine": ("warm_up", 0, steps - 1),
        "one_cycle": ("warm_up", 0, max(0, steps - 2)),
        "triangular2": ("cycle", 2, steps),
    }.get(config.name, (None, 0, 0))
    if key is not None and not least <= _count(getattr(config, key), steps) <= most:
        refuse(key, f"in a run of {steps} steps, give {least} to {most} of them")


def _count(value: float, steps: int) -> int:
    """Steps, from a share of them or their number."""
    return round(value * steps) if value < 1 else round(value)


def _constant(optimiser: Optimizer, config: ScheduleConfig, steps: int) -> LRScheduler:
    return ConstantLR(optimiser, factor=1.0)


def _warm_up_cosine(optimiser: Optimizer, config: ScheduleConfig, steps: int) -> LRScheduler:
    rising = _count(config.warm_up, steps)
    if not rising:
        return CosineAnnealingLR(optimiser, steps)
    up = LinearLR(optimiser, start_factor=config.start, total_iters=rising)
    down = CosineAnnealingLR(optimiser, steps - rising)
    return SequentialLR(optimiser, [up, down], milestones=[rising])


def _one_cycle(optimiser: Optimizer, config: ScheduleConfig, steps: int) -> LRScheduler:
    rising = _count(config.warm_up, steps)
    momentum = optimiser.defaults["betas"][0]
    swing = (1 - momentum) / 2
    return OneCycleLR(
        optimiser,
        max_lr=[group["lr"] for group in optimiser.param_groups],
        total_steps=steps,
        # It counts the peak as a step of the rise.
        pct_start=(rising + 1) / steps if rising else 0.0,
        div_factor=1 / config.start,
        base_momentum=max(momentum - swing, 0.0),
        max_momentum=momentum + swing,
    )


def _triangular2(optimiser: Optimizer, config: ScheduleConfig, steps: int) -> LRScheduler:
    highest = [group["lr"] for group in optimiser.param_groups]
    length = _count(config.cycle, steps)
    return CyclicLR(
        optimiser,
        base_lr=[config.start * rate for rate in highest],
        max_lr=highest,
        step_size_up=length // 2,
        step_size_down=length - length // 2,
        mode="triangular2",
        cycle_momentum=False,  # as in the muon challenge; Adam's is no plain momentum
    )


def _plateau(optimiser: Optimizer, config: ScheduleConfig, steps: int) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(
        optimiser, mode="max", factor=config.factor, patience=config.patience, threshold=1e-4
    )


SCHEDULES: dict[str, Callable[[Optimizer, ScheduleConfig, int], LRScheduler]] = {
    "constant": _constant,
    "warm_up_cosine": _warm_up_cosine,
    "one_cycle": _one_cycle,
    "triangular2": _triangular2,
    "plateau": _plateau,
}
