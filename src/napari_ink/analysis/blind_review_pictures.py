"""The two predictions of a blind review: opened, compared, and read as pictures of one region."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.blind_review import KEYS, Key, Review, Shown
from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference.settings import Box
from napari_ink.inference.store import PredictionStore

if TYPE_CHECKING:
    from collections.abc import Sequence

#: In place of a number: the cut kept in the store, else its checkpoint's threshold.
OWN = "own"


class Side:
    """A prediction with what is shown of it.

    Parameters
    ----------
    path : path
        ``NAME.ink.zarr``, with ``#LAYER`` behind it for one of many layers.
    cut : float or str, optional
        Show what is ink from this probability on; :data:`OWN`: from the prediction's own cut on;
        ``None``: show the probability.

    Raises
    ------
    StoreError
        When there is no such prediction.
    SettingsError
        For a cut outside [0, 1], or a layer that is not there.
    """

    def __init__(self, path: str | os.PathLike, cut: float | str | None = None) -> None:
        text, _, layer = str(path).partition("#")
        self.store = PredictionStore.open(text)
        self.layer = _layer(self.store, layer)
        if isinstance(cut, float | int) and not 0 <= cut <= 1:
            raise SettingsError(f"cut {cut:g}", "give a probability from 0 to 1")
        self.cut = self.own_cut if cut == OWN else cut
        if self.cut is not None and self.cut > 1:
            raise SettingsError(
                f"{text} keeps no ink in layer {self.layer}", "choose another layer or cut"
            )

    @property
    def own_cut(self) -> float:
        """The cut kept in the store, else its checkpoint's threshold."""
        cuts = self.store.cuts
        return float(cuts if np.ndim(cuts) == 0 else cuts[self.layer or 0])

    @property
    def shown(self) -> Shown:
        """For the record."""
        kept = self.store.provenance
        checkpoint = kept["checkpoint"]
        told = {
            "fragment": kept["fragment"]["fingerprint"],
            "checkpoint": {key: checkpoint[key] for key in ("path", "fingerprint", "architecture")},
            **{key: kept[key] for key in ("settings", "direction", "recipe", "versions")},
        }
        if "members" in kept:
            told["members"] = [one["checkpoint"]["fingerprint"] for one in kept["members"]]
        if self.store.samples is not None:
            told["samples"] = self.store.sampled()
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        path = str(Path(self.store.path).absolute())
        return Shown(path, self.layer, self.cut, told, digest)

    def probability(self, box: Box) -> np.ndarray:
        """Probability in a box, ``(y, x)`` float32, NaN where nothing was predicted.

        Raises
        ------
        StoreError
            When a chunk is damaged.
        """
        values = self.store.read(box)
        return values if values.ndim == 2 else values[self.layer]

    def picture(self, box: Box) -> np.ndarray:
        """What is shown: the probability, or 1 for ink and 0 for none."""
        values = self.probability(box)
        if self.cut is None:
            return values
        return np.where(np.isnan(values), np.float32(np.nan), (values >= self.cut).astype("f4"))


def check_pair(a: Side, b: Side) -> None:
    """Refuse two predictions that cannot be compared region by region.

    Raises
    ------
    SettingsError
        When they are of different fragments, or show the same.
    """
    ours, theirs = (side.store.provenance["fragment"] for side in (a, b))
    shapes = [side.store.ink.shape[-2:] for side in (a, b)]
    if ours["fingerprint"] != theirs["fingerprint"] or shapes[0] != shapes[1]:
        told = (
            f"{side.store.path} is of {fragment['name']}, {shape[0]} × {shape[1]} px"
            for side, fragment, shape in zip((a, b), (ours, theirs), shapes, strict=True)
        )
        raise SettingsError(
            " and ".join(told) + ", another fragment", "choose two predictions of one fragment"
        )
    if a.shown.same_as == b.shown.same_as:
        raise SettingsError(
            "the two predictions show the same",
            "choose another network, another number of samples or another cut",
        )


def pictures(a: Side, b: Side, box: Box) -> dict[Key, np.ndarray]:
    """Both pictures of a region, ``(y, x)`` float32; what one does not know, neither shows."""
    found = dict(zip(KEYS, (a.picture(box), b.picture(box)), strict=True))
    unknown = np.isnan(found["a"]) | np.isnan(found["b"])
    for picture in found.values():
        picture[unknown] = np.nan
    return found


def digest_of(found: dict[Key, np.ndarray]) -> str:
    """SHA-256 of the two pictures of a region."""
    digest = hashlib.sha256()
    for key in KEYS:
        digest.update(np.ascontiguousarray(found[key], "<f4"))
    return digest.hexdigest()


class Pair:
    """The two predictions of a review that is under way.

    Parameters
    ----------
    review : Review
    beside : path, optional
        Folder to look in too, that of the review's file: it may have been moved with them.

    Raises
    ------
    StoreError
        When one is no longer there, or is another than when the review was planned.
    """

    def __init__(self, review: Review, beside: str | os.PathLike | None = None) -> None:
        self._review = review
        self._a, self._b = (_again(review.shown(key), beside) for key in KEYS)

    def read(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Left and right picture of a region.

        Raises
        ------
        StoreError
            When a prediction is not what it was when the review was planned.
        """
        region = self._review.regions[place]
        found = pictures(self._a, self._b, region.box)
        if digest_of(found) != region.pixels:
            raise _changed("one of the two predictions")
        right = KEYS[1 - KEYS.index(region.left)]
        return found[region.left], found[right]


def _again(shown: Shown, beside: str | os.PathLike | None) -> Side:
    layer = "" if shown.layer is None else f"#{shown.layer}"
    places: Sequence[Path] = [Path(shown.path)]
    if beside is not None:
        places = [*places, Path(beside) / Path(shown.path).name]
    there = next((place for place in places if place.exists()), places[0])
    try:
        side = Side(f"{there}{layer}", shown.cut)
    except SettingsError as error:  # its layers are others
        raise _changed(str(there)) from error
    if side.shown.digest != shown.digest:
        raise _changed(str(there))
    return side


def _changed(what: str) -> StoreError:
    return StoreError(
        f"{what} has changed since the review was planned",
        "plan a new review; the answers so far stay in their file",
    )


def _layer(store: PredictionStore, text: str) -> int | None:
    if store.ink.ndim == 2:
        if text:
            raise SettingsError(f"{store.path} has one layer", f"leave out #{text}")
        return None
    count = store.ink.shape[0]
    if not text.isdecimal() or int(text) >= count:
        raise SettingsError(
            f"{store.path} has {count} layers, a picture is of one",
            f"write the path with #0 to #{count - 1} behind it",
        )
    return int(text)
