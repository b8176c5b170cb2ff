"""From the settings to the sources of a run: what learns, what is validated on, what is closed.

No training window holds a pixel that is validated on, nor one that the network sees when it is
asked for such a pixel. The rule is kept by place, whatever the source, layers or task: fragments
with the same pixels are one, under whatever path.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Normaliser, Recipe
from napari_ink.volumes.layouts import open_fragment
from training.dataset.config import SourceConfig
from training.dataset.parts import (
    Part,
    box_of,
    check_numbers,
    layers_of,
    name_of,
    region_of,
    task_of,
)
from training.dataset.planes import read_planes
from training.dataset.sources import Source
from training.dataset.splits import deal, near


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
    simulated: Iterable[tuple[SourceConfig, Fragment]] = (),
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
    simulated : iterable of (SourceConfig, Fragment)
        Fragments in memory beside those on disk; of no fold.

    Returns
    -------
    list of Source
        In the order given.

    Raises
    ------
    InkError
        In one line, for what cannot be learned from or validated on, and why.
    """
    entries = [*_opened(configs)]
    entries += simulated
    parts = _parts(entries, tasks, depth, layers)
    validated = _validated(parts[: len(configs)], fold, folds)
    validated += [part.config.validation for part in parts[len(configs) :]]
    for part in parts:
        part.planes.mask = None  # 48 MB of a large fragment
    closed = _closed(parts, validated, context)

    bound: dict[tuple, Normaliser] = {}
    sources: list[Source] = []
    for part, name, held_out in zip(parts, _unique(parts), validated, strict=True):
        window = (id(part.fragment), part.layers.start, part.layers.stop)
        if window not in bound:
            bound[window] = recipe.bind(part.fragment, part.layers)
        source = Source(
            name=name,
            fragment=part.fragment,
            layers=part.layers,
            reverse=part.config.reverse,
            task=part.task,
            box=part.box,
            validation=held_out,
            joins=part.config.joins,
            windows=part.config.windows,
            void=part.config.void,
            anywhere=part.config.anywhere,
            label=part.planes.label,
            counts=part.planes.counts,
            closed=None if held_out else closed.get(part.planes.key),
            normaliser=bound[window],
        )
        _check_left(source)
        sources.append(source)
        sources += _marked(source, part.planes.validation)
    for validation, purpose in ((False, "learn from"), (True, "validate on")):
        if not any(source.validation is validation for source in sources):
            raise SettingsError(
                f"there is no fragment to {purpose}",
                "set data.sources with and without validation, a part, a region or data.fold",
            )
    return sources


def _opened(configs: Sequence[SourceConfig]) -> Iterable[tuple[SourceConfig, Fragment]]:
    """Each with its fragment, which those of the same path share."""
    fragments: dict[str, Fragment] = {}
    for config in configs:
        place = config.path if "://" in config.path else os.path.realpath(config.path)
        if place not in fragments:
            fragments[place] = open_fragment(config.path)
        yield config, fragments[place]


def _parts(
    entries: Sequence[tuple[SourceConfig, Fragment]],
    tasks: Sequence[str],
    depth: int,
    layers: tuple[int, int] | None,
) -> list[Part]:
    """What each entry asks for. What takes no time to find wrong comes before anything is read."""
    asked = []
    for entry in entries:
        asked.append((task_of(*entry, tasks), layers_of(*entry, depth, layers), region_of(*entry)))
        check_numbers(*entry)
    planes = {id(f): read_planes(f) for f in {id(f): f for _, f in entries}.values()}
    parts = []
    for (config, fragment), (task, window, region) in zip(entries, asked, strict=True):
        own = planes[id(fragment)]
        box = box_of(config, fragment, region, own)
        name = name_of(config, fragment)
        parts.append(Part(config, fragment, own, name, task, window, box))
    return parts


def _unique(parts: Sequence[Part]) -> list[str]:
    """Their names, of which the second and later ones of a kind are numbered."""
    taken: dict[str, int] = {}
    unique = []
    for part in parts:
        number = taken[part.name] = taken.get(part.name, 0) + 1
        unique.append(part.name if number == 1 else f"{part.name} #{number}")
    return unique


def _validated(parts: Sequence[Part], fold: int | None, folds: int | None) -> list[bool]:
    """Which of the parts on disk are validated on."""
    validated = [part.config.validation for part in parts]
    for part in parts:
        if part.config.validation and part.config.fold is not None:
            raise SettingsError(
                f"{part.fragment.name} is for validation and has the fold {part.config.fold} too",
                "leave one of the two out",
            )
    if fold is None:
        return validated
    if folds is not None and folds < 2:
        raise SettingsError(f"data.folds is {folds}", "give 2 or more")
    dealt = [i for i, alone in enumerate(validated) if not alone]
    areas = [parts[i].area for i in dealt]
    found = deal(areas, [parts[i].config.fold for i in dealt], folds)
    if fold not in found:
        there = ", ".join(str(number) for number in sorted(set(found))) or "none"
        raise SettingsError(f"no source is of fold {fold}", f"choose from those there: {there}")
    for i, number in zip(dealt, found, strict=True):
        validated[i] = number == fold
    return validated


def _closed(
    parts: Sequence[Part], validated: Sequence[bool], context: int
) -> dict[str, np.ndarray]:
    """By fragment: what no training window may hold, where there is such and a source minds."""
    pairs = list(zip(parts, validated, strict=True))
    closed = {}
    for key in {part.planes.key for part, held_out in pairs if not held_out}:
        boxes = [part.box for part, held_out in pairs if held_out and part.planes.key == key]
        same = {id(part.planes): part.planes for part in parts if part.planes.key == key}.values()
        masks = [planes.validation for planes in same if planes.validation is not None]
        if boxes or masks:
            shape = next(iter(same)).label.shape
            closed[key] = near(shape, boxes, masks, context)
    return closed


def _check_left(source: Source) -> None:
    """Refuse a source of which nothing is left to look at."""
    counts = source.counts[source.box.slices]
    if not counts.any():
        raise FragmentError(
            f"{source.name} has no labelled papyrus to "
            f"{'validate on' if source.validation else 'learn from'}",
            "choose another region or part, or check mask and supervision mask",
        )
    if not (counts & source.allowed_in(source.box)).any():
        raise SettingsError(
            f"{source.name} is both learned from and validated on, or lies too near: nothing of it "
            "is left to learn from beside what is validated on and its context",
            "leave it out of one, or validate on a smaller part",
        )


def _marked(source: Source, mask: np.ndarray | None) -> list[Source]:
    """What its fragment's own validation mask marks in a training source, as another source."""
    if source.validation or mask is None:
        return []
    if not (source.counts[source.box.slices] & mask[source.box.slices]).any():
        return []
    return [replace(source, name=f"{source.name} held out", validation=True, closed=~mask)]
