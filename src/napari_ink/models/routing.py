"""The way of a batch of mixed tasks through a network: runs of samples of one task."""

from __future__ import annotations

#: Tasks of a batch sorted by task: ``(task, samples)`` runs, see :func:`route`.
Routing = tuple[tuple[int, int], ...]


def route(tasks: list[int]) -> tuple[list[int] | None, Routing]:
    """Order that brings samples of one task together, and the lengths of the runs.

    Each distinct task of a batch then costs one merge and one convolution. The order is ``None``
    where the batch is sorted already.
    """
    order = sorted(range(len(tasks)), key=tasks.__getitem__)
    runs: dict[int, int] = {}
    for sample in order:
        runs[tasks[sample]] = runs.get(tasks[sample], 0) + 1
    return (None if order == list(range(len(tasks))) else order), tuple(runs.items())
