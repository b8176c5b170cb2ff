"""Default tile and batch, from what the network costs and what the machine has."""

from __future__ import annotations

from napari_ink.inference.device import NetworkCost
from napari_ink.inference.tiles import make_grid, round_up

#: Share of the free memory that feature maps may take: the rest is for weights, the library's
#: own copies of the maps (about as much again on the CPU), the viewer, and other programs.
_MEMORY_SHARE = {"cuda": 0.6, "mps": 0.4, "cpu": 0.3}
_MOST_BYTES = {"cuda": 32 << 30, "mps": 4 << 30, "cpu": 3 << 29}
#: Where somebody watches, a block should take two cores half a second or so, that the first ink is
#: soon seen; but a tile that is more than half halo wastes more than that is worth.
_BLOCK_MACS = 50e9
_LEAST_USE = 0.5
_LARGEST_TILE = 512
_LARGEST_BATCH = 8


def choose_tile(
    shape: tuple[int, int],
    cost: NetworkCost,
    *,
    halo: int,
    multiple_of: int,
    overlap: float | None,
    memory: int,
    device: str,
    interactive: bool = False,
) -> int:
    """The side, within memory, that predicts the plane with the fewest input pixels.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` of the plane.
    cost : NetworkCost
    halo, multiple_of : int
        Of the network, px.
    overlap : float, optional
        As in the settings.
    memory : int
        Free bytes of the device.
    device : str
    interactive : bool
        As in the settings.

    Returns
    -------
    int
        Pixels, a multiple of ``multiple_of``. If memory is too small for any, the smallest.
    """
    context = 0 if overlap is not None else round_up(halo, multiple_of) + halo
    smallest = round_up(context + multiple_of, multiple_of)
    sides = range(smallest, max(smallest, _LARGEST_TILE) + 1, multiple_of)
    budget = min(memory * _MEMORY_SHARE[device], _MOST_BYTES[device])
    sides = [side for side in sides if side**2 * cost.bytes_per_pixel <= budget] or [smallest]
    if device == "cpu" and interactive:
        quick = [side for side in sides if side**2 * cost.macs_per_pixel <= _BLOCK_MACS]
        useful = [side for side in sides if (1 - context / side) ** 2 >= _LEAST_USE]
        largest = max(max(quick, default=0), min(useful, default=sides[-1]))
        sides = [side for side in sides if side <= largest]

    def pixels(side: int) -> int:
        grid = make_grid(shape, side, halo=halo, multiple_of=multiple_of, overlap=overlap)
        return len(grid.y.starts) * len(grid.x.starts) * grid.tile[0] * grid.tile[1]

    return min(sides, key=lambda side: (pixels(side), -side))


def choose_batch(tile: int, cost: NetworkCost, memory: int, device: str) -> int:
    """Tiles that run together: a power of two within memory; one on the CPU, where it only waits.

    Parameters
    ----------
    tile : int
        Side, px.
    cost : NetworkCost
    memory : int
        Free bytes of the device.
    device : str

    Returns
    -------
    int
    """
    if device == "cpu":
        return 1
    budget = min(memory * _MEMORY_SHARE[device], _MOST_BYTES[device])
    batch = 1
    while batch < _LARGEST_BATCH and 2 * batch * tile**2 * cost.bytes_per_pixel <= budget:
        batch *= 2
    return batch
