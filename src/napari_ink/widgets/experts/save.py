"""What the Experts dock shows, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from napari_ink.widgets.experts.model import ExpertsModel

_SUFFIXES = (".png", ".svg", ".csv")


def save(model: ExpertsModel, path: str) -> None:
    """Write the chart on white as PNG or SVG, or its numbers as CSV.

    Raises
    ------
    SettingsError
        For another suffix, or where the file cannot be written.
    """
    from napari_ink.analysis import gates_figures, gates_table
    from napari_ink.analysis.gates_files import check_target, save_figure, save_text

    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise SettingsError(f"{Path(path).name} is no name for a chart", "end it in .png or .svg")
    check_target(path, suffix)
    first = model.sides[0]
    if suffix == ".csv":
        if model.block:
            save_text(gates_table.channels_csv(first, model.block), path)
        else:
            save_text(gates_table.gate_csv(model.shares, model.comparison), path)
    elif model.block:
        save_figure(gates_figures.channels_chart(first, model.block), path)
    elif model.comparison is not None:
        save_figure(gates_figures.compared_chart(model.comparison, *model.names), path)
    else:
        save_figure(gates_figures.gate_chart(model.shares, f"Task {model.shares.task}"), path)
