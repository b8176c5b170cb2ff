"""What each entry of ``data.sources`` asks for, checked against its fragment and the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_ink.errors import SettingsError
from napari_ink.inference.settings import Box
from napari_ink.volumes.fragment import Fragment
from training.dataset.config import SourceConfig
from training.dataset.planes import Planes
from training.dataset.splits import band, parse_part


@dataclass(frozen=True, eq=False)
class Part:
    """A source before it is known what the others forbid it.

    Attributes
    ----------
    config : SourceConfig
    fragment : Fragment
    planes : Planes
        The fragment's.
    name : str
        The fragment's, its region and part; other parts may have the same.
    task : str
        One of the network's.
    layers : slice
        Depth window, as indices.
    box : Box
        Rows and columns.
    """

    config: SourceConfig
    fragment: Fragment
    planes: Planes
    name: str
    task: str
    layers: slice
    box: Box

    @property
    def area(self) -> int:
        """Pixels of papyrus."""
        if self.planes.mask is None:
            height, width = self.box.shape
            return height * width
        return int(self.planes.mask[self.box.slices].sum())


def name_of(config: SourceConfig, fragment: Fragment) -> str:
    """The fragment's name, with the region and the part."""
    region = "" if config.region is None else f" {_words(Box(*config.region))}"
    part = f" part {config.part.replace(' ', '')}" if config.part else ""
    return f"{fragment.name}{region}{part}"


def check_numbers(config: SourceConfig, fragment: Fragment) -> None:
    """Refuse a negative number of windows or fold, or a source that never joins."""
    if not 0 <= config.joins < 1:
        raise SettingsError(
            f"{fragment.name}: joins is {config.joins}", "give a share of the run, 0 to below 1"
        )
    for what in ("windows", "void", "anywhere", "fold"):
        number = getattr(config, what)
        if number is not None and number < 0:
            raise SettingsError(f"{fragment.name}: {what} is {number}", "give 0 or more")


def task_of(config: SourceConfig, fragment: Fragment, tasks: Sequence[str]) -> str:
    """The task, which the network must have; by default its first."""
    task = config.task or tasks[0]
    if task not in tasks:
        raise SettingsError(
            f"{fragment.name}: the network has no task {task!r}",
            f"choose one of {', '.join(tasks)}, or name it in network.arguments.tasks",
        )
    return task


def layers_of(
    config: SourceConfig, fragment: Fragment, depth: int, default: tuple[int, int] | None
) -> slice:
    """The depth window as indices, as many layers as the network takes."""
    wanted = config.layers or default
    if wanted is None:
        if fragment.shape[0] < depth:
            raise SettingsError(
                f"{fragment.name} has {fragment.shape[0]} layers, the network takes {depth}",
                "choose a network of less depth",
            )
        first = fragment.first_layer + (fragment.shape[0] - depth) // 2
        wanted = (first, first + depth)
    elif wanted[1] - wanted[0] != depth:
        raise SettingsError(
            f"{fragment.name}: the depth window {wanted[0]}:{wanted[1]} holds "
            f"{wanted[1] - wanted[0]} layers, the network takes {depth}",
            "make layers and network.arguments.depth agree",
        )
    return fragment.layer_range(*wanted)


def region_of(config: SourceConfig, fragment: Fragment) -> Box:
    """The region, or the whole plane."""
    height, width = fragment.shape[1:]
    if config.region is None:
        return Box(0, height, 0, width)
    box = Box(*config.region)
    if not (0 <= box.y0 < box.y1 <= height and 0 <= box.x0 < box.x1 <= width):
        raise SettingsError(
            f"the region {_words(box)} does not lie in {fragment.name}, {height}×{width} px",
            "give [y0, y1, x0, x1] inside, counted from 0",
        )
    return box


def box_of(config: SourceConfig, fragment: Fragment, region: Box, planes: Planes) -> Box:
    """The region, or the band of it, of equal mask area, that is asked for."""
    if not config.part:
        return region
    try:
        number, of = parse_part(config.part)
        if planes.mask is None:
            area = np.full(region.shape[0], region.shape[1])
        else:
            area = planes.mask[region.slices].sum(1)
        y0, y1 = band(area, number, of)
    except SettingsError as error:
        raise SettingsError(f"{fragment.name}: {error.problem}", error.remedy) from None
    return Box(region.y0 + y0, region.y0 + y1, region.x0, region.x1)


def _words(box: Box) -> str:
    return f"{box.y0}:{box.y1},{box.x0}:{box.x1}"
