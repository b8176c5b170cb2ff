"""Buried walls: which voxels of the volume are stone.

The published scene: a 10 m cube of soil in voxels of 1 m, one to four walls that all stand on one
level, each of its own height, running straight with turns until they end or meet something.
"""

from __future__ import annotations

import numpy as np

SIDE = 10
LEAST_HEIGHT = 4
LEAST_LENGTH = 4
MOST_WALLS = 4
_GROUND = 5
_STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])


def draw_walls(random: np.random.Generator) -> np.ndarray:
    """One scene.

    Parameters
    ----------
    random : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        ``(z, x, y)`` bool, layer 0 at the bottom: wall. The top layer is always soil.
    """
    scene = np.zeros((SIDE, SIDE, SIDE), bool)
    ground = int(random.integers(_GROUND))
    taken = np.zeros((SIDE, SIDE), bool)
    for _ in range(int(random.integers(1, MOST_WALLS + 1))):
        top = int(random.integers(ground + LEAST_HEIGHT, SIDE))
        cells = draw_path(random, taken)
        for x, y in cells:
            taken[x, y] = True
            scene[ground:top, x, y] = True
    return scene


def draw_path(random: np.random.Generator, taken: np.ndarray) -> list[tuple[int, int]]:
    """Cells of one wall, from its random start to where it stops.

    From :data:`LEAST_LENGTH` cells on it stops with probability exp(−10 / length) after each; it
    turns with probability exp(−5 / cells since the last turn); it stops at what is taken, itself
    included, and at the border.

    Parameters
    ----------
    random : numpy.random.Generator
    taken : numpy.ndarray
        ``(x, y)`` bool: other walls.
    """
    free = np.argwhere(~taken)
    x, y = free[random.integers(len(free))]
    turn = int(random.integers(4))
    cells, straight = [(int(x), int(y))], 1
    while True:
        if len(cells) >= LEAST_LENGTH and random.random() < np.exp(-10 / len(cells)):
            return cells
        if random.random() < np.exp(-5 / straight):
            turn, straight = (turn + (1 if random.random() < 0.5 else -1)) % 4, 0
        x, y = np.array(cells[-1]) + _STEPS[turn]
        if not (0 <= x < SIDE and 0 <= y < SIDE) or taken[x, y] or (int(x), int(y)) in cells:
            return cells
        cells.append((int(x), int(y)))
        straight += 1
