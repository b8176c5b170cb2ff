"""What to predict and how: the one record that docks, command line and scripts hand over."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """A half-open rectangle of the fragment's plane, in full-resolution pixels."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rectangle as ``(y, x)`` slices."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""
        return self.y1 - self.y0, self.x1 - self.x0


#: Settings of Monte Carlo, which mean nothing for a single pass.
MONTE_CARLO = ("samples", "tolerance", "dropout", "gate_noise", "seed", "sampling")


@dataclass(frozen=True)
class PredictionSettings:
    """Settings of one prediction; the defaults of every driver live here and nowhere else.

    Attributes
    ----------
    layers : tuple of int, optional
        Depth window ``(first, end)``, half-open, in the numbering of the stored layers.
        ``None``: the window of the checkpoint. Of a depth sweep, the layers to slide over;
        ``None``: all.
    depth_sweep : int, optional
        Slide the checkpoint's window over the layers in steps of so many: an ink layer a place,
        a ``(z, y, x)`` stack (:mod:`napari_ink.inference.depth_sweep`).
    reverse_depth : bool
        Read the layers against the way the checkpoint was trained: a checkpoint that learned
        from flipped windows gets them by default, and stored order with this.
    task : str, optional
        Name of the task; ``None``: the checkpoint's first.
    region : Box, optional
        Predict only here; ``None``: wherever there is papyrus.
    focus : tuple of float, optional
        ``(y, x)`` of the point whose surroundings come first. Orders the work, never changes it.
    tile : int, optional
        Side of a network input in pixels, halo included; ``None``: chosen from halo and memory.
    overlap : float, optional
        ``None``: tiles overlap by the halo, which is cropped. A fraction in [0, 1): tiles overlap
        by that share of their side and are blended with Gaussian weights (σ = tile / 8).
    batch : int, optional
        Tiles a forward pass; ``None``: chosen from memory.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision : str
        ``auto``, ``fp32``, ``bf16`` or ``fp16``.
    runtime : str
        ``torch``, ``openvino`` or ``openvino-int8``.
    experts_off : tuple of str
        Experts of a gated network to leave out (``avg5``, …); the gates of the others are
        renormalised.
    symmetries : str
        Which way the fragment lies for the network: ``none``, as it is; ``flips``, ``all``: the
        mean of four, eight ways; ``turns``: each tile another way, at the cost of one pass
        (:mod:`napari_ink.inference.symmetries`).
    samples : int
        Sub-networks over which ink is averaged, for its uncertainty
        (:mod:`napari_ink.inference.monte_carlo`); 1: the network itself, once.
    tolerance : float, optional
        A block takes no more samples once the standard error of its mean is below this; ``None``:
        all samples everywhere.
    dropout, gate_noise : float, optional
        Of the samples; ``None``: what the checkpoint was trained with.
    seed : int
        Of the samples.
    sampling : str
        ``random``: sub-networks as they come; ``chosen``: few that stand for as many random ones,
        if ten or more are asked for (:mod:`napari_ink.inference.chosen_order`); ``auto``: chosen
        where the map is large enough for the choice to be worth its time.
    interactive : bool
        Somebody is watching: a first block soon rather than the shortest whole. Guides the choice
        of a tile that was left open, on a CPU; a store goes on with the tile that it has.
    """

    layers: tuple[int, int] | None = None
    depth_sweep: int | None = None
    reverse_depth: bool = False
    task: str | None = None
    region: Box | None = None
    focus: tuple[float, float] | None = None
    tile: int | None = None
    overlap: float | None = None
    batch: int | None = None
    device: str = "auto"
    precision: str = "auto"
    runtime: str = "torch"
    experts_off: tuple[str, ...] = ()
    symmetries: str = "none"
    samples: int = 1
    tolerance: float | None = None
    dropout: float | None = None
    gate_noise: float | None = None
    seed: int = 0
    sampling: str = "auto"
    interactive: bool = False

    @property
    def single_pass(self) -> PredictionSettings:
        """The same for the network itself, once: of Monte Carlo nothing is left."""
        return replace(self, **{f.name: f.default for f in fields(self) if f.name in MONTE_CARLO})


@dataclass(frozen=True)
class TileDone:
    """One finished output block.

    Attributes
    ----------
    index, total : int
        Blocks done, this one included, and blocks in all.
    box : Box
        Where the block lies.
    probability : numpy.ndarray
        Ink probability, float32, ``(y, x)``, or ``(z, y, x)`` for a network that labels volumes;
        NaN where nothing was predicted.
    spread, information : numpy.ndarray or None
        Standard deviation over Monte Carlo samples, and their mutual information in bits, same
        shape; ``None`` for a single pass.
    samples : int
        Over how many samples ``probability`` is the mean so far. With Monte Carlo a block is
        yielded once a sample, and ``index`` and ``total`` count blocks times samples.
    """

    index: int
    total: int
    box: Box
    probability: np.ndarray
    spread: np.ndarray | None = None
    information: np.ndarray | None = None
    samples: int = 1
