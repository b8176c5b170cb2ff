"""Gates of a checkpoint, and of what it is compared with, read while the window goes on."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ink.widgets.experts.source import Other

if TYPE_CHECKING:
    from napari_ink.analysis.gates import GateComparison, GateShares


@dataclass(frozen=True)
class GatesRequest:
    """Whose gates to read."""

    checkpoint: Path
    task: str
    other: Other | None = None


@dataclass(frozen=True, eq=False)
class GatesRead:
    """What was read.

    Attributes
    ----------
    shares : GateShares
    comparison : GateComparison or None
    names : tuple of str
        Of the two that are compared, as short as tells them apart.
    """

    shares: GateShares
    comparison: GateComparison | None = None
    names: tuple[str, str] = ("", "")


def read_steps(request: GatesRequest) -> Generator[float, None, GatesRead]:
    """Read them. Runs in a worker thread; touches no Qt.

    Raises
    ------
    InkError
        If a file cannot be read, has no gates or no such task.
    """
    from napari_ink.analysis.gates import compare_gates, gate_shares
    from napari_ink.models.checkpoint import load_checkpoint
    from napari_ink.widgets.warm_up import keep_triton_out

    keep_triton_out()
    with suppress(ModuleNotFoundError):
        import matplotlib.figure  # noqa: F401  (half a second that the window need not wait)
    yield 0.0
    network = load_checkpoint(request.checkpoint)
    shares = gate_shares(network, request.task or 0)
    other = request.other
    if other is None:
        return GatesRead(shares)
    if other.checkpoint is None:
        second = gate_shares(network, other.task)
        names = shares.task, second.task
    else:
        theirs = load_checkpoint(other.checkpoint)
        second = gate_shares(theirs, shares.task if shares.task in theirs.tasks else 0)
        names = request.checkpoint.stem, other.checkpoint.stem
    return GatesRead(shares, compare_gates(shares, second), names)
