"""How much context a block needs: measured on real windows, not guessed from the architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_ink.errors import SettingsError
from napari_ink.models.contract import InkNetwork


@dataclass(frozen=True)
class HaloMeasurement:
    """A halo and the curve it was read from.

    It speaks of the windows that were looked at. The pixel that changes most of ten thousand
    changes less than that of a million, so ``change`` is no bound on what a whole fragment, another
    fragment or a reversed one shows: count on several times as much at single pixels.

    Attributes
    ----------
    halo : int
        Context, px, along y and x; a multiple of the network's ``multiple_of``.
    change : float
        Absolute change of the probability with this halo against full context, at ``quantile``.
    tolerance : float
        What it had to stay below.
    quantile : float
        Which pixel counts: 1 is the one that changes most, .999 leaves one in a thousand aside.
    largest : float
        Change of the pixel that changes most, whatever ``quantile``.
    p999 : float
        99.9th percentile of the change, whatever ``quantile``.
    pixels, windows : int
        How many pixels were compared, in the middles of how many windows.
    full_context : int
        Context, px, that counted as full.
    reached : bool
        False: no measured halo stayed below the tolerance, ``halo`` is the full context.
    curve : tuple of (int, float, float)
        Halo, largest change, 99.9th percentile of the change.
    """

    halo: int
    change: float
    tolerance: float
    quantile: float
    largest: float
    p999: float
    pixels: int
    windows: int
    full_context: int
    reached: bool
    curve: tuple[tuple[int, float, float], ...]

    def record(self) -> dict[str, Any]:
        """What a checkpoint says of its halo, and with it every prediction; JSON-able."""
        names = ("change", "tolerance", "quantile", "largest", "p999", "pixels", "windows")
        return {
            "statistic": "absolute change of probability against full context, at the quantile, "
            "of the pixels measured: no bound on other windows",
            **{name: getattr(self, name) for name in names},
            "full_context": self.full_context,
        }


@torch.no_grad()
def measure_halo(
    model: InkNetwork,
    task: int | str,
    volume_window: Tensor,
    tolerance: float = 0.01,
    *,
    core: int | None = None,
    quantile: float = 1.0,
) -> HaloMeasurement:
    """The smallest halo beyond which a block's probabilities change less than ``tolerance``.

    The block in the middle of the window is predicted with the whole window around it, then with
    less and less. Pixels count by the largest change, because a seam is made of the few pixels at
    the block's rim; ``quantile`` softens that.

    Parameters
    ----------
    model : InkNetwork
        The network; it is folded for the task.
    task : int or str
        Task.
    volume_window : Tensor
        ``(batch, 1, z, y, x)`` normalised, on the model's device; every window counts. Wide
        windows are worth their time: what they hold around the block is the full context.
    tolerance : float
        Largest accepted change of probability.
    core : int, optional
        Side of the block, px; default about a quarter of the window.
    quantile : float
        1 for the largest change of any pixel, less to leave the worst pixels aside.

    Raises
    ------
    SettingsError
        If the window does not fit the network or is too small to hold a block with context.
    """
    model.check_shape(volume_window.shape)
    step = model.multiple_of
    side = min(volume_window.shape[3:])
    core = max(step, side // 4 // step * step) if core is None else core
    full = (side - core) // 2 // step * step
    if core % step or full < step:
        raise SettingsError(
            f"a window of {side} px around a block of {core} px",
            f"give a window of at least {3 * step} px and a block that is a multiple of {step} px",
        )
    folded = model.fold(task)
    y0, x0 = ((length - core) // 2 // step * step for length in volume_window.shape[3:])

    def block(halo: int) -> Tensor:
        rows, columns = (slice(start - halo, start + core + halo) for start in (y0, x0))
        inner = slice(halo // model.output_stride, (halo + core) // model.output_stride)
        middles = [  # one by one: a dozen wide windows at once are much memory
            folded(window[..., rows, columns].contiguous())[..., inner, inner]
            for window in volume_window.split(1)
        ]
        return torch.cat(middles).sigmoid().double().flatten()

    truth = block(full)
    curve, best, change, largest, p999 = [], full, 0.0, 0.0, 0.0
    for halo in range(full - step, -1, -step):
        difference = (block(halo) - truth).abs()
        ordered = difference.sort().values

        def at(share: float, ordered: Tensor = ordered) -> float:
            return float(ordered[round(share * (len(ordered) - 1))])

        curve.append((halo, at(1.0), at(0.999)))
        if best == halo + step and at(quantile) < tolerance:
            best, change, largest, p999 = halo, at(quantile), at(1.0), at(0.999)
    return HaloMeasurement(
        halo=best,
        change=change,
        tolerance=tolerance,
        quantile=quantile,
        largest=largest,
        p999=p999,
        pixels=truth.numel(),
        windows=len(volume_window),
        full_context=full,
        reached=best < full,
        curve=tuple(reversed(curve)),
    )
