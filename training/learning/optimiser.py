"""What moves the weights: Adam or AdamW, and which parameters decay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from napari_ink.errors import SettingsError
from training.nearest import nearest

OPTIMISERS: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}


@dataclass(frozen=True)
class OptimiserConfig:
    """How the weights move; :func:`build_optimiser` makes it.

    Attributes
    ----------
    name : str
        ``adamw``, or ``adam`` (where decay is added to the gradient, as in its paper).
    learning_rate : float
        The largest rate that the schedule reaches.
    weight_decay : float
        Pull towards zero on parameters with two axes or more: the kernels of convolutions and the
        gates' weights. Biases (the gates' too), the scales and offsets of batch norm and the free
        vector of the collapse ``matmul_free`` have one axis and do not decay.
    betas : tuple of float
        Memory of the gradient's mean and of its square.
    rates : dict
        Other rates for parts of the network, as factors of ``learning_rate``, by the beginning of
        their names (``{"encoder": 0.2}``, ``{"encoder.0": 0.1}``); the longest that fits counts.
    """

    name: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    rates: dict[str, float] = field(default_factory=dict)


def build_optimiser(
    network: nn.Module, config: OptimiserConfig, *, mixed: bool = False
) -> Optimizer:
    """The optimiser of a network, in at most two groups a rate: with decay and without.

    Frozen parameters are left out. On the CPU the fused step is taken: one pass over the weights.
    Not with ``mixed`` precision, in which Lightning clips no gradients for it.

    Raises
    ------
    SettingsError
        If a setting is out of bounds, or a name of ``rates`` fits nothing.
    """
    check_optimiser(config)
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    for prefix in config.rates:
        if not any(_begins(name, prefix) for name in parameters):
            raise SettingsError(
                f"optimiser.rates: no part of the network that learns is called {prefix!r}",
                nearest(prefix, _prefixes(parameters), "name one as in network.named_parameters"),
            )
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        rate = config.learning_rate * _factor(name, config.rates)
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    on_cpu = all(parameter.device.type == "cpu" for parameter in parameters.values())
    return OPTIMISERS[config.name](
        [{"params": group, "lr": r, "weight_decay": d} for (r, d), group in groups.items()],
        lr=config.learning_rate,
        betas=tuple(config.betas),
        # Elsewhere a fused step unscales the gradients of fp16 itself, after they were clipped.
        fused=True if on_cpu and not mixed else None,
    )


def check_optimiser(config: OptimiserConfig) -> None:
    """Raise SettingsError for what no network can be trained with."""

    def refuse(key: str, value: object, remedy: str) -> None:
        raise SettingsError(f"optimiser.{key} is {value!r}", remedy)

    if config.name not in OPTIMISERS:
        refuse("name", config.name, f"choose {' or '.join(OPTIMISERS)}")
    if not 0 < config.learning_rate <= 1e3:
        refuse("learning_rate", config.learning_rate, "give a number above 0, at most 1000")
    if not 0 <= config.weight_decay <= 1e3:
        refuse("weight_decay", config.weight_decay, "give a number from 0 to 1000")
    if len(config.betas) != 2 or not all(0 <= beta < 1 for beta in config.betas):
        refuse("betas", config.betas, "give two numbers from 0 to below 1")
    for prefix, factor in config.rates.items():
        number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not number or not 0 < factor <= 1e3 or not math.isfinite(factor):
            refuse(f"rates.{prefix}", factor, "give a factor above 0, at most 1000")


def _begins(name: str, prefix: str) -> bool:
    """Whether a dotted name lies in the part called ``prefix``."""
    return f"{name}.".startswith(f"{prefix}.")


def _factor(name: str, rates: dict[str, float]) -> float:
    """The factor of the longest name that fits, or 1."""
    fitting = [prefix for prefix in rates if _begins(name, prefix)]
    return rates[max(fitting, key=len)] if fitting else 1.0


def _prefixes(names: Iterable[str]) -> list[str]:
    """Names of all parts, whole and in part."""
    parts = (name.split(".") for name in names)
    return sorted({".".join(part[: i + 1]) for part in parts for i in range(len(part))})
