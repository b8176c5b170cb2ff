"""Gated samples: which sub-network of a mixture one sample is.

A sample takes channels away before the gated convolutions, as dropout does while training
(Gal and Ghahramani, *Dropout as a Bayesian Approximation*, ICML 2016), and shakes the gates. It
is drawn once, from the seed and its index alone, and used for every tile: a sample is a network,
its map has no seams, and it is the same on any machine and in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_ink.inference.settings import PredictionSettings
    from napari_ink.models.contract import InkNetwork
    from napari_ink.models.narrowing import ChannelFactors

#: More have no use: the error of the mean is then a hundredth of the spread.
MOST_SAMPLES = 10_000
#: A tile is not left before so many samples, however much they agree: the spread of fewer is luck.
LEAST_SAMPLES = 5
#: Fewer samples come as they are: the first ones are run in any case, and trying costs some, too.
FEWEST_CHOSEN = 10
#: Which samples are run: as is worth it, all as they come, or few that were chosen.
SAMPLINGS = ("auto", "random", "chosen")


@dataclass(frozen=True)
class MonteCarlo:
    """How samples are drawn, and how many.

    Attributes
    ----------
    samples : int
        At most so many, 2 or more.
    tolerance : float or None
        A tile is left as soon as the standard error of its mean is below this, in probability:
        the root mean square over its papyrus.
    dropout : float
        Share of the channels dropped before each gated convolution, in [0, 1).
    gate_noise : float
        Standard deviation of the normal noise on the gates' logits.
    seed : int
        From which, with the sample's index, everything random follows.
    choosing : bool
        Whether few samples are chosen that stand for ``samples`` random ones
        (:mod:`napari_ink.inference.chosen_order`), as soon as so many are asked for that it is
        worth it.
    """

    samples: int
    tolerance: float | None
    dropout: float
    gate_noise: float
    seed: int
    choosing: bool = False

    @property
    def identity(self) -> dict[str, float | int]:
        """What fixes each sample and which ones are run; how many there are does not."""
        fixed = {name: getattr(self, name) for name in ("dropout", "gate_noise", "seed")}
        return fixed | {"chosen": self.choosing}

    @property
    def chosen(self) -> bool:
        """Whether so many samples are chosen; fewer than :data:`FEWEST_CHOSEN` are not."""
        return self.choosing and self.samples >= FEWEST_CHOSEN

    @property
    def is_certain(self) -> bool:
        """Whether all samples are the network itself."""
        return self.dropout == 0 and self.gate_noise == 0


def monte_carlo_of(settings: PredictionSettings, model: InkNetwork) -> MonteCarlo | None:
    """The settings' Monte Carlo, with what the checkpoint was trained with where nothing is said.

    ``None`` for a single sample: that is the network itself, nothing dropped.

    Raises
    ------
    SettingsError
        For numbers that make no sense, and for a network without gated convolutions.
    """
    if type(settings.samples) is not int or not 1 <= settings.samples <= MOST_SAMPLES:
        raise SettingsError(
            f"{settings.samples} samples", f"choose a whole number from 1 to {MOST_SAMPLES}"
        )
    given = {
        "tolerance": settings.tolerance,
        "dropout": settings.dropout,
        "gate noise": settings.gate_noise,
    }
    if type(settings.seed) is not int or not 0 <= settings.seed < 2**63:
        raise SettingsError(f"a seed of {settings.seed}", "choose a whole number from 0")
    if settings.samples == 1:
        for name, value in given.items():
            if value is not None:
                raise SettingsError(
                    f"a {name} of {value:g} for a single sample",
                    "it belongs to Monte Carlo: ask for 2 samples or more, for instance 60",
                )
        return None
    bounds = {"tolerance": (0, 1), "dropout": (0, 1), "gate noise": (0, 1000)}
    for name, (low, high) in bounds.items():
        value = given[name]
        if value is not None and not low <= value < high:
            raise SettingsError(f"a {name} of {value:g}", f"choose from {low} to below {high}")
    if not model.mode_layers():
        raise SettingsError(
            f"{settings.samples} samples of a {model.architecture} network, which has no gates",
            "Monte Carlo needs a gated network (RepMode)",
        )
    if settings.runtime == "openvino-int8":
        raise SettingsError(
            "Monte Carlo in int8, which would be calibrated anew for each sample",
            "choose the runtime torch or openvino",
        )
    if settings.sampling not in SAMPLINGS:
        raise SettingsError(
            f"sampling {settings.sampling!r}", f"choose one of {', '.join(SAMPLINGS)}"
        )
    own = model.arguments
    return MonteCarlo(
        samples=settings.samples,
        tolerance=settings.tolerance,
        dropout=own.get("dropout", 0.0) if settings.dropout is None else settings.dropout,
        gate_noise=own.get("gate_noise", 0.0)
        if settings.gate_noise is None
        else settings.gate_noise,
        seed=settings.seed,
    )


def draw(
    monte_carlo: MonteCarlo, model: InkNetwork, task: int, index: int
) -> tuple[dict[str, Tensor], ChannelFactors]:
    """One sample: gates and channel factors by layer, as :meth:`InkNetwork.fold` takes them.

    Parameters
    ----------
    monte_carlo : MonteCarlo
    model : InkNetwork
        With gated layers.
    task : int
    index : int
        Of the sample, from 0.

    Returns
    -------
    gates : dict
        ``(experts, out_channels)`` float64 by layer; empty without noise.
    factors : dict
        ``(in_channels,)`` by layer: 0 for dropped channels, ``1 / (1 − dropout)`` for the others.
        None for a layer with one input channel, the fragment itself, nor without dropout.
    """
    import torch  # late: stores know of samples, too, and open without it
    from scipy.special import ndtri

    source = np.random.Philox(key=np.array([monte_carlo.seed, index], np.uint64))
    gates, factors = {}, {}
    for name, conv in model.mode_layers().items():
        # Both are drawn whatever the rates are: another rate leaves the other's draws alone.
        channels = _uniform(source, conv.in_channels)
        noise = _uniform(source, conv.logits(task).numel())
        if monte_carlo.dropout > 0 and conv.in_channels > 1:
            kept = torch.from_numpy(channels >= monte_carlo.dropout)
            factors[name] = kept.double() / (1 - monte_carlo.dropout)
        if monte_carlo.gate_noise > 0:
            shaken = conv.logits(task).detach().double().cpu()
            shaken = shaken + monte_carlo.gate_noise * torch.from_numpy(ndtri(noise))
            gates[name] = shaken.view(-1, conv.out_channels).softmax(dim=0)
    return gates, factors


def sub_network(
    monte_carlo: MonteCarlo,
    model: InkNetwork,
    task: int,
    index: int,
    without: Callable[[str, Tensor], Tensor] | None = None,
) -> nn.Module:
    """One sample as an ordinary network, as narrow as what it computes.

    Parameters
    ----------
    monte_carlo, model, task, index
        As in :func:`draw`.
    without : callable, optional
        Further changes of each layer's gates, after the noise.
    """
    gates, factors = draw(monte_carlo, model, task, index)

    def override(name: str, own: Tensor) -> Tensor:
        shaken = gates.get(name, own)
        return shaken if without is None else without(name, shaken)

    return model.fold(task, override, factors)


def _uniform(source: np.random.Philox, count: int) -> np.ndarray:
    """Numbers in (0, 1) from the generator's own bits, which no version of numpy changes."""
    return ((source.random_raw(count) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
