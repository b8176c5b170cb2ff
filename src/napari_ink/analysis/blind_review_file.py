"""A blind review as a file, ``NAME.review.json``: whole after every answer, whatever happens."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_ink.analysis.blind_review import CHOICES, KEYS, Answer, Region, Review, Shown
from napari_ink.errors import StoreError
from napari_ink.inference.settings import Box

SUFFIX = ".review.json"
_FORMAT = "napari-ink blind review"
_VERSION = 1


class ReviewFile:
    """A review and the file that always holds it.

    Parameters
    ----------
    path : Path
    review : Review
    written : bytes
        What the file holds.
    """

    def __init__(self, path: Path, review: Review, written: bytes) -> None:
        self.path, self.review = path, review
        self._written = written

    @classmethod
    def create(cls, path: str | os.PathLike, review: Review) -> ReviewFile:
        """Write a new file.

        Raises
        ------
        StoreError
            When there is one of that name, or it cannot be written.
        """
        path = Path(path)
        if path.exists():
            raise StoreError(f"{path} is there already", "choose another name, or go on with it")
        data = _encoded(review)
        _write(path, data)
        return cls(path, review, data)

    @classmethod
    def open(cls, path: str | os.PathLike) -> ReviewFile:
        """Read a file, to go on with it.

        Raises
        ------
        StoreError
            When there is none, or it is something else, damaged, or of a later version.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise StoreError(f"{path} does not exist", f"give a NAME{SUFFIX}") from None
        except OSError as error:
            raise StoreError(
                f"{path} cannot be read ({error.strerror})", f"give a NAME{SUFFIX}"
            ) from error
        return cls(path, _decoded(path, data), data)

    def keep(self, review: Review) -> None:
        """Write the review in place of what the file holds.

        Raises
        ------
        StoreError
            When somebody else changed or removed the file since, or it cannot be written.
        """
        try:
            found = self.path.read_bytes()
        except OSError:
            found = None
        if found != self._written:
            raise StoreError(
                f"{self.path} was changed or removed by somebody else",
                "go on with the file as it is now, or plan a new review",
            )
        data = _encoded(review)
        _write(self.path, data)
        self.review, self._written = review, data

    def save_as(self, path: str | os.PathLike) -> None:
        """Write it under another name too, over what is there, and keep it there from now on.

        Raises
        ------
        StoreError
            When it cannot be written.
        """
        _write(Path(path), self._written)
        self.path = Path(path)


def _encoded(review: Review) -> bytes:
    record = {"format": _FORMAT, "version": _VERSION, **asdict(review)}
    return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()


def _decoded(path: Path, data: bytes) -> Review:
    try:
        record = json.loads(data)
        foreign = record["format"] != _FORMAT
        version = record["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        foreign, version = True, None
    if foreign:
        raise StoreError(f"{path} is no blind review", f"give a NAME{SUFFIX}; it was left alone")
    if version != _VERSION:
        raise StoreError(
            f"{path} has format version {version}, this program knows {_VERSION}",
            "update napari-ink",
        )
    try:
        return _review(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"{path} is damaged ({error or type(error).__name__})",
            "take a copy of it, or plan a new review",
        ) from error


def _review(record: dict[str, Any]) -> Review:
    regions = tuple(_region(entry, place) for place, entry in enumerate(record["regions"]))
    answers = tuple(_answer(entry) for entry in record["answers"])
    fragment = record["fragment"]
    if not regions or len(answers) > len(regions):
        raise ValueError(f"{len(answers)} answers to {len(regions)} regions")
    moments = [record["created"], *(answer.at for answer in answers)]
    if record["finished"] is not None:
        moments.append(record["finished"])
    for moment in moments:
        datetime.fromisoformat(moment)
    return Review(
        fragment={
            **fragment,
            "name": _text(fragment["name"]),
            "fingerprint": _text(fragment["fingerprint"]),
        },
        a=_shown(record["a"]),
        b=_shown(record["b"]),
        regions=regions,
        seed=int(record["seed"]),
        created=record["created"],
        answers=answers,
        finished=record["finished"],
        reader=_text(record["reader"]),
    )


def _shown(entry: dict[str, Any]) -> Shown:
    layer, cut = entry["layer"], entry["cut"]
    return Shown(
        path=_text(entry["path"]),
        layer=None if layer is None else int(layer),
        cut=None if cut is None else float(cut),
        provenance=dict(entry["provenance"]),
        digest=_text(entry["digest"]),
    )


def _region(entry: dict[str, Any], place: int) -> Region:
    box, left, repeats = Box(*map(int, entry["box"])), entry["left"], entry["repeats"]
    if not all(0 <= first < end for first, end in (box[:2], box[2:])):
        raise ValueError(f"region {entry['box']}")
    if left not in KEYS:
        raise ValueError(f"{left!r} on the left")
    if repeats is not None and not (isinstance(repeats, int) and 0 <= repeats < place):
        raise ValueError(f"region {place} repeats {repeats!r}")
    return Region(box, left, repeats, _text(entry["pixels"]))


def _answer(entry: dict[str, Any]) -> Answer:
    if entry["choice"] not in CHOICES:
        raise ValueError(f"answer {entry['choice']!r}")
    return Answer(entry["choice"], _text(entry["at"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where a text belongs")
    return value


def _write(path: Path, data: bytes) -> None:
    """Beside the name, then renamed: there is never half a file."""
    partial = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error})", "choose another place"
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
