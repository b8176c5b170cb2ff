"""napari's grid of cells, changed at one go."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

#: In the order in which they are set; the last one that changes is told.
GRID = ("shape", "stride", "spacing", "enabled")


def grid_state(grid) -> dict[str, Any]:
    """How the grid of a viewer is now.

    Parameters
    ----------
    grid : GridCanvas
        ``viewer.canvas.grid``.
    """
    return {name: getattr(grid, name) for name in GRID}


def set_grid(grid, **values: Any) -> None:
    """Change a viewer's grid, and have the canvas laid out once instead of once a value.

    napari takes every layer out of its cell and puts it back for each of them: twenty
    milliseconds a time.

    Parameters
    ----------
    grid : GridCanvas
        ``viewer.canvas.grid``.
    **values
        Any of :data:`GRID`.
    """
    changed = [name for name in GRID if name in values and getattr(grid, name) != values[name]]
    with ExitStack() as quiet:
        for name in changed[:-1]:
            quiet.enter_context(getattr(grid.events, name).blocker())
            setattr(grid, name, values[name])
    for name in changed[-1:]:
        setattr(grid, name, values[name])
