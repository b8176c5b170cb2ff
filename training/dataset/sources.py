"""Sources: the labelled fragments of a run, in parts that learn and parts that are validated on.

No training window holds a pixel that is validated on, nor one that the network sees when it is
asked for such a pixel. The rule is kept by place, whatever the source, layers or task: fragments
with the same pixels are one, under whatever path.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_ink.errors import FragmentError, SettingsError
from napari_ink.inference.settings import Box
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Normaliser, Recipe
from napari_ink.volumes.layouts import open_fragment
from training.dataset.config import SourceConfig
from training.dataset.splits import band, deal, near, parse_part

_ROWS = 256  # of a plane that is converted at a time


@dataclass(frozen=True, eq=False)
class Source:
    """One labelled fragment, or a part of it: label in memory, the volume where it is.

    Planes are ``(y, x)`` of the whole fragment, and shared by all its parts.

    Attributes
    ----------
    name : str
        The fragment's, its region and part; no other source of the run has it.
    fragment : Fragment
        Supplies the windows.
    layers : slice
        Depth window, as indices.
    reverse : bool
        Whether windows are flipped in depth.
    task : str
        One of the network's.
    box : Box
        Rows and columns of the part.
    validation : bool
        Only looked at.
    windows, void : int or None
        How many windows with ink and without; ``None``: as the selection says.
    label : numpy.ndarray
        Ink, uint8, 0 … 255 for 0 … 1.
    counts : numpy.ndarray
        Where the label counts, bool: on papyrus and, if the fragment says where it was looked at,
        there only.
    closed : numpy.ndarray or None
        Pixels that no window of this source may hold, bool; ``None``: there are none in the box.
    normaliser : Normaliser
        The intensity recipe bound to this fragment and depth window.
    """

    name: str
    fragment: Fragment
    layers: slice
    reverse: bool
    task: str
    box: Box
    validation: bool
    windows: int | None
    void: int | None
    label: np.ndarray
    counts: np.ndarray
    closed: np.ndarray | None
    normaliser: Normaliser

    @property
    def allowed(self) -> np.ndarray:
        """Where a window may lie, bool: all its pixels must. Made anew at every call."""
        allowed = np.zeros(self.label.shape, bool)
        allowed[self.box.slices] = self.allowed_in(self.box)
        return allowed

    def allowed_in(self, box: Box) -> np.ndarray:
        """:attr:`allowed` inside a box that lies in this source's own, a copy."""
        if self.closed is None:
            return np.ones(box.shape, bool)
        return ~self.closed[box.slices]

    @property
    def stored_layers(self) -> tuple[int, int]:
        """The depth window in stored numbering, half-open."""
        first = self.fragment.first_layer
        return first + self.layers.start, first + self.layers.stop

    def cut(self, y0: int, x0: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One window inside the fragment: normalised volume, label, weight.

        Returns
        -------
        tuple of numpy.ndarray
            ``(z, side, side)``, and two ``(side, side)``, all float32; label and weight in [0, 1].
        """
        y, x = slice(y0, y0 + side), slice(x0, x0 + side)
        volume = self.normaliser(self.fragment.read(self.layers, y, x))
        if self.reverse:
            volume = np.ascontiguousarray(volume[::-1])
        label = self.label[y, x].astype(np.float32) / np.float32(255)
        return volume, label, self.counts[y, x].astype(np.float32)


@dataclass(eq=False)
class _Opened:
    """A fragment of the run, and its planes once they are read."""

    fragment: Fragment
    key: str
    label: np.ndarray | None = None
    counts: np.ndarray | None = None
    validation: np.ndarray | None = None
    mask: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _Part:
    """A source before it is known what the others forbid it."""

    config: SourceConfig
    opened: _Opened
    name: str
    layers: slice
    task: str
    box: Box
    validation: bool


def open_sources(
    configs: Sequence[SourceConfig],
    *,
    recipe: Recipe,
    depth: int,
    context: int,
    tasks: Sequence[str],
    fold: int | None = None,
    folds: int | None = None,
    layers: tuple[int, int] | None = None,
    simulated: Iterable[tuple[Fragment, bool]] = (),
) -> list[Source]:
    """Open all that a run learns from and validates on.

    Parameters
    ----------
    configs : sequence of SourceConfig
        Fragments on disk. Where a training source and a validation source overlap, what they
        share is validated on, and the first one learns from the rest. What a fragment's own
        validation mask marks is never learned from; inside a training source it becomes a
        validation source of its own.
    recipe : Recipe
        Of intensity.
    depth : int
        Layers that the network takes.
    context : int
        Pixels along y and x that the network sees around one that it predicts.
    tasks : sequence of str
        The network's.
    fold : int, optional
        Validate on the sources of this fold too, learn from all others; those with
        ``validation`` are validated on in every fold.
    folds : int, optional
        Deal sources without a fold of their own out to this many, of like mask area. ``None``:
        each is the fold of its place among those that are not for validation alone, from 0.
    layers : tuple of int, optional
        Depth window of sources that have none of their own, in stored numbering.
    simulated : iterable of (Fragment, bool)
        Fragments in memory beside those on disk, and whether they are validated on.

    Returns
    -------
    list of Source
        In the order given.

    Raises
    ------
    InkError
        In one line, for what cannot be learned from or validated on, and why.
    """
    fragments: dict[str, Fragment] = {}
    entries: list[tuple[SourceConfig, Fragment]] = []
    for config in configs:
        place = config.path if "://" in config.path else os.path.realpath(config.path)
        if place not in fragments:
            fragments[place] = open_fragment(config.path)
        entries.append((config, fragments[place]))
    for fragment, validation in simulated:
        entries.append((SourceConfig(fragment.name, validation=validation), fragment))

    # What takes no time to find wrong comes before anything is read.
    tasks_of = [_task(config, fragment, tasks) for config, fragment in entries]
    layers_of = [_layers(config, fragment, depth, layers) for config, fragment in entries]
    regions = [_region(config, fragment) for config, fragment in entries]
    for config, fragment in entries:
        _quotas(config, fragment)

    opened = {id(f): _read(f) for f in {id(f): f for _, f in entries}.values()}
    of = [opened[id(fragment)] for _, fragment in entries]
    boxes = [_part_box(*entry) for entry in zip(entries, regions, of, strict=True)]
    names = _unique(_name(config, fragment) for config, fragment in entries)
    held_out = _validated(entries[: len(configs)], boxes, of, fold, folds)
    held_out += [config.validation for config, _ in entries[len(configs) :]]
    parts = [
        _Part(config, o, name, window, task, box, validation)
        for (config, _), o, name, window, task, box, validation in zip(
            entries, of, names, layers_of, tasks_of, boxes, held_out, strict=True
        )
    ]
    for one in of:
        one.mask = None
    closed = _closed(parts, context)
    bound: dict[tuple, Normaliser] = {}
    sources: list[Source] = []
    for part in parts:
        window = (id(part.opened), part.layers.start, part.layers.stop)
        if window not in bound:
            bound[window] = recipe.bind(part.opened.fragment, part.layers)
        sources += _sources(part, closed.get(part.opened.key), bound[window])
    for validation, purpose in ((False, "learn from"), (True, "validate on")):
        if not any(source.validation is validation for source in sources):
            raise SettingsError(
                f"there is no fragment to {purpose}",
                "set data.sources with and without validation, a part, a region or data.fold",
            )
    return sources


def _quotas(config: SourceConfig, fragment: Fragment) -> None:
    for what, quota in (("windows", config.windows), ("void", config.void)):
        if quota is not None and quota < 0:
            raise SettingsError(f"{fragment.name}: {what} is {quota}", "give 0 or more")


def _task(config: SourceConfig, fragment: Fragment, tasks: Sequence[str]) -> str:
    task = config.task or tasks[0]
    if task not in tasks:
        raise SettingsError(
            f"{fragment.name}: the network has no task {task!r}",
            f"choose one of {', '.join(tasks)}, or name it in network.arguments.tasks",
        )
    return task


def _layers(
    config: SourceConfig, fragment: Fragment, depth: int, default: tuple[int, int] | None
) -> slice:
    """The depth window as indices."""
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


def _region(config: SourceConfig, fragment: Fragment) -> Box:
    """The region, or the whole plane."""
    height, width = fragment.shape[1:]
    if config.region is None:
        return Box(0, height, 0, width)
    box = Box(*config.region)
    if not (0 <= box.y0 < box.y1 <= height and 0 <= box.x0 < box.x1 <= width):
        raise SettingsError(
            f"the region {_box(box)} does not lie in {fragment.name}, {height}×{width} px",
            "give [y0, y1, x0, x1] inside, counted from 0",
        )
    return box


def _part_box(entry: tuple[SourceConfig, Fragment], region: Box, opened: _Opened) -> Box:
    """The region, or its band of equal mask area."""
    config, fragment = entry
    if not config.part:
        return region
    try:
        number, of = parse_part(config.part)
        if opened.mask is None:
            area = np.full(region.shape[0], region.shape[1])
        else:
            area = opened.mask[region.slices].sum(1)
        y0, y1 = band(area, number, of)
    except SettingsError as error:
        raise SettingsError(f"{fragment.name}: {error.problem}", error.remedy) from None
    return Box(region.y0 + y0, region.y0 + y1, region.x0, region.x1)


def _read(fragment: Fragment) -> _Opened:
    """Label and masks.

    They come from an opening of their own, since image files keep what they decoded.
    """
    if fragment.label is None:
        raise FragmentError(f"{fragment.name} has no ink label", "add inklabels.png")
    if len(fragment.label.shape) != 2:
        raise FragmentError(
            f"{fragment.name} is labelled voxel by voxel", "give fragments with one label (y, x)"
        )
    fresh = open_fragment(fragment.path) if fragment.path else fragment
    opened = _Opened(fragment, fragment.fingerprint())
    opened.label = np.empty(fragment.shape[1:], np.uint8)
    for y, values in fresh.label.bands():
        for row in range(0, len(values), _ROWS):
            rows = np.rint(values[row : row + _ROWS] * 255)
            opened.label[y.start + row : y.start + row + len(rows)] = rows
    opened.mask, supervision, opened.validation = (
        None if plane is None else np.asarray(plane, bool)
        for plane in (fresh.mask, fresh.supervision, fresh.validation)
    )
    if opened.mask is None:
        opened.counts = np.ones(opened.label.shape, bool) if supervision is None else supervision
    else:
        opened.counts = opened.mask if supervision is None else opened.mask & supervision
    if not opened.counts.any():
        raise FragmentError(
            f"{fragment.name} has no labelled papyrus", "check mask and supervision mask"
        )
    if opened.validation is not None and not opened.validation.any():
        opened.validation = None
    return opened


def _name(config: SourceConfig, fragment: Fragment) -> str:
    region = "" if config.region is None else f" {_box(Box(*config.region))}"
    part = f" part {config.part.replace(' ', '')}" if config.part else ""
    return f"{fragment.name}{region}{part}"


def _box(box: Box) -> str:
    return f"{box.y0}:{box.y1},{box.x0}:{box.x1}"


def _unique(names: Iterable[str]) -> list[str]:
    """Names of which the second and later ones of a kind are numbered."""
    taken: dict[str, int] = {}
    unique = []
    for name in names:
        taken[name] = taken.get(name, 0) + 1
        unique.append(name if taken[name] == 1 else f"{name} #{taken[name]}")
    return unique


def _validated(
    entries: Sequence[tuple[SourceConfig, Fragment]],
    boxes: Sequence[Box],
    opened: Sequence[_Opened],
    fold: int | None,
    folds: int | None,
) -> list[bool]:
    """Which of the sources are validated on."""
    validated = [config.validation for config, _ in entries]
    for config, fragment in entries:
        if config.validation and config.fold is not None:
            raise SettingsError(
                f"{fragment.name} is for validation and has the fold {config.fold} too",
                "leave one of the two out",
            )
    if fold is None:
        return validated
    if folds is not None and folds < 1:
        raise SettingsError(f"data.folds is {folds}", "give 2 or more")
    dealt = [i for i, alone in enumerate(validated) if not alone]
    areas = []
    for i in dealt:
        mask, box = opened[i].mask, boxes[i]
        height, width = box.shape
        areas.append(height * width if mask is None else int(mask[box.slices].sum()))
    found = deal(areas, [entries[i][0].fold for i in dealt], folds)
    if fold not in found:
        there = ", ".join(str(number) for number in sorted(set(found))) or "none"
        raise SettingsError(f"no source is of fold {fold}", f"choose from those there: {there}")
    for i, number in zip(dealt, found, strict=True):
        validated[i] = number == fold
    return validated


def _closed(parts: Sequence[_Part], context: int) -> dict[str, np.ndarray]:
    """By fragment: what no training window may hold, where there is such and a source minds."""
    closed = {}
    for key in {part.opened.key for part in parts if not part.validation}:
        same = [part for part in parts if part.opened.key == key]
        boxes = [part.box for part in same if part.validation]
        masks = {id(p.opened): p.opened.validation for p in same}
        masks = [mask for mask in masks.values() if mask is not None]
        if boxes or masks:
            closed[key] = near(same[0].opened.label.shape, boxes, masks, context)
    return closed


def _sources(part: _Part, closed: np.ndarray | None, normaliser: Normaliser) -> list[Source]:
    """A part as a source, and what its fragment's own validation mask marks in it as another."""
    counts = part.opened.counts[part.box.slices]
    if part.validation:
        closed = None
    source = Source(
        name=part.name,
        fragment=part.opened.fragment,
        layers=part.layers,
        reverse=part.config.reverse,
        task=part.task,
        box=part.box,
        validation=part.validation,
        windows=part.config.windows,
        void=part.config.void,
        label=part.opened.label,
        counts=part.opened.counts,
        closed=closed,
        normaliser=normaliser,
    )
    if not counts.any():
        raise FragmentError(
            f"{part.name} has no labelled papyrus to "
            f"{'validate on' if part.validation else 'learn from'}",
            "choose another region or part, or check mask and supervision mask",
        )
    if not (counts & source.allowed_in(part.box)).any():
        raise SettingsError(
            f"{part.name} is both learned from and validated on: nothing of it is left to learn "
            "from beside what is validated on and its context",
            "leave it out of one, or validate on a smaller part",
        )
    mask = part.opened.validation
    if part.validation or mask is None or not (counts & mask[part.box.slices]).any():
        return [source]
    own = replace(source, name=f"{part.name} held out", validation=True, closed=~mask)
    return [source, own]
