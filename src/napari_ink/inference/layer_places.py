"""Where the layers of a prediction of many lie, and what they are called, from what it records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def layer_names(record: Mapping[str, Any], count: int) -> list[str]:
    """``z 7`` of a labelled volume; ``z 7–22``, first and last, of a window of a depth sweep.

    Parameters
    ----------
    record : mapping
        ``PredictionStore.provenance``.
    count : int
        How many layers there are.
    """
    windows = record.get("windows")
    if windows:
        return [f"z {first}–{end - 1}" for first, end in windows]
    first = record["settings"]["layers"][0]
    return [f"z {first + k}" for k in range(count)]


def layer_places(record: Mapping[str, Any]) -> tuple[float, int]:
    """Where the first lies in the stack, counted in its layers from 0, and how far on the next."""
    return record.get("first_z", 0), record.get("z_step", 1)
