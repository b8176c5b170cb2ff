"""What the commands that look at a small region share."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_ink.inference.settings import PredictionSettings
    from napari_ink.models.contract import InkNetwork
    from napari_ink.volumes.fragment import Fragment


def opened(args: argparse.Namespace) -> tuple[Fragment, InkNetwork]:
    """The fragment, with the label that was given, and the checkpoint."""
    from napari_ink.models.checkpoint import load_checkpoint
    from napari_ink.volumes.layouts import open_fragment
    from napari_ink.volumes.layouts.side_cars import as_side_car, open_plane

    fragment = open_fragment(args.fragment, voxel_size=args.voxel_size)
    if getattr(args, "label", None) is not None:
        label = as_side_car("label", open_plane(args.label, fragment.shape[0]))
        fragment = replace(fragment, label=label)
    return fragment, load_checkpoint(args.checkpoint)


def settings_from(args: argparse.Namespace) -> PredictionSettings:
    """Region, task, device and, where the command has them, layers and direction."""
    from napari_ink.cli.numbers import whole_box, whole_range
    from napari_ink.inference.settings import Box, PredictionSettings

    region = None if args.region is None else Box(*whole_box(args.region, "--region"))
    layers = getattr(args, "layers", None)
    return PredictionSettings(
        layers=None if layers is None else whole_range(layers, "--layers"),
        reverse_depth=getattr(args, "reverse", False),
        region=region,
        task=args.task,
        device=args.device,
    )


def refuse_picture(path: str, option: str) -> None:
    """Raise, before the work, what :func:`save_picture` would raise after it."""
    from napari_ink.analysis.figures import new_figure

    new_figure(1, 1)  # matplotlib is there
    folder = Path(path).parent
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise SettingsError(f"{option} {path}", "let the name end in .png, .svg or .pdf")
    if not folder.is_dir() or Path(path).is_dir():
        raise SettingsError(f"{option} {path} cannot be written", "choose a file in a folder")


def save_picture(figure: Figure, path: str, option: str) -> None:
    """Write a figure.

    Raises
    ------
    SettingsError
        Where it cannot be written.
    """
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise SettingsError(
            f"{option} {path} cannot be written ({error.strerror})", "choose another file"
        ) from error
