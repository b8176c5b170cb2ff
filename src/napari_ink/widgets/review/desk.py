"""What the Blind review dock does: plans, goes on, shows, keeps every answer; no Qt of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path
from psygnal import Signal

from napari_ink.analysis.blind_review import KEYS, Choice, Review
from napari_ink.analysis.blind_review_file import SUFFIX, ReviewFile
from napari_ink.errors import StoreError
from napari_ink.widgets.folders import file_name
from napari_ink.widgets.latest import Latest

if TYPE_CHECKING:
    import numpy as np

    from napari_ink.analysis.blind_review_pictures import Pair
    from napari_ink.widgets.review.stage import ReviewStage


@dataclass(frozen=True)
class Asked:
    """What to review.

    Attributes
    ----------
    paths : tuple of str
        Of both predictions, with ``#LAYER`` where they have many.
    cuts : tuple
        What to show of each, as :class:`Side` takes it.
    regions, repeats : int
    side : float
        Of a region: µm where the size of a pixel is known, else pixels.
    reader : str
    """

    paths: tuple[str, str]
    cuts: tuple[float | str | None, float | str | None]
    regions: int
    repeats: int
    side: float
    reader: str = ""


class ReviewDesk:
    """One review at a time, from its plan to its end.

    Signals
    -------
    changed
        Another region, another state.
    progress : float
        How much of the planning is done.
    failed : str
        What went wrong, and what to do.

    Parameters
    ----------
    stage : ReviewStage
    """

    changed = Signal()
    progress = Signal(float)
    failed = Signal(str)

    def __init__(self, stage: ReviewStage) -> None:
        self.stage = stage
        self.file: ReviewFile | None = None
        self.inverted_grey = False
        self._pair: Pair | None = None
        self._opener, self._reader = Latest(), Latest()
        self._pictures: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._reading: int | None = None
        self._shown: int | None = None
        self._opener.progress.connect(self.progress.emit)
        self._opener.done.connect(self._on_opened)
        self._opener.failed.connect(self._on_failed)
        self._reader.done.connect(self._on_read)
        self._reader.failed.connect(self._on_failed)
        stage.disturbed.connect(self._on_disturbed)

    @property
    def review(self) -> Review | None:
        """The review under way, or the one that has just ended."""
        return None if self.file is None else self.file.review

    @property
    def opening(self) -> bool:
        """Whether a review is being planned or read."""
        return self._opener.running

    @property
    def judging(self) -> bool:
        """Whether the canvas shows a review."""
        return self.stage.active

    @property
    def ready(self) -> bool:
        """Whether the region to judge is on the canvas."""
        return self.judging and not self.review.all_judged and self._shown == self.review.place

    # --- begin, go on, end ----------------------------------------------------------------------

    def start(self, asked: Asked, seed: int | None = None) -> None:
        """Plan a review, keep it, and show its first region."""
        self.stop()
        self.file = None
        self._opener.start(_planned(asked, secrets.randbelow(2**31) if seed is None else seed))
        self.changed.emit()

    def go_on(self, path: str | os.PathLike) -> None:
        """Take up a review where it stopped; of a finished one, its outcome."""
        self.stop()
        self.file = None
        self._opener.start(_opened(Path(path)))
        self.changed.emit()

    def stop(self) -> None:
        """Give the canvas back; every answer is kept already."""
        self.cancel()
        self.stage.leave()
        self._pair, self._reading, self._shown = None, None, None
        self._pictures.clear()

    def cancel(self) -> None:
        """Let the threads go; the canvas is gone with its window."""
        self._opener.cancel()
        self._reader.cancel()

    def pause(self) -> None:
        """The same, and say so."""
        self.stop()
        self.changed.emit()

    # --- judge ----------------------------------------------------------------------------------

    def answer(self, choice: Choice) -> None:
        """Keep an answer and show the next region; nothing while its pictures are not there."""
        if self.ready:
            self._keep(self.review.answered(choice))

    def undo(self) -> None:
        """Take the last answer back and show its region again."""
        if self.judging and self.review.place:
            self._keep(self.review.undone())

    def finish(self) -> None:
        """End a review of which all is judged: now it may be told which was which."""
        if self.judging and self.review.all_judged:
            try:
                self.file.keep(self.review.closed())
            except StoreError as error:
                self._on_failed(str(error))
            else:
                self.pause()

    def _keep(self, review: Review) -> None:
        try:
            self.file.keep(review)
        except StoreError as error:
            self._on_failed(str(error))
        else:
            self._show()

    # --- show -----------------------------------------------------------------------------------

    def _on_opened(self, opened: tuple[ReviewFile, Pair | None]) -> None:
        self.file, self._pair = opened
        if self._pair is not None:
            self.stage.enter((self.review.shown(key).path for key in KEYS), self.inverted_grey)
            self._show()
        else:
            self.changed.emit()

    def _show(self) -> None:
        """Show the region to judge, or have it read; of a review that is judged, the last one."""
        place = min(self.review.place, len(self.review.regions) - 1)
        if place in self._pictures and place != self._shown:
            self.stage.show(*self._pictures[place], self.review.fragment["pixel_um"])
            self._shown = place
        self.changed.emit()
        for wanted in (place, place + 1):
            if wanted not in self._pictures and wanted < len(self.review.regions):
                self._read(wanted)
                break
        for far in [known for known in self._pictures if abs(known - place) > 1]:
            del self._pictures[far]

    def _read(self, place: int) -> None:
        if self._reading != place:
            self._reading = place
            self._reader.start(_read(self._pair, place))

    def _on_read(self, read: tuple) -> None:
        place, pictures = read
        self._reading, self._pictures[place] = None, pictures
        self._show()

    def _on_failed(self, problem: str) -> None:
        self.pause()
        self.failed.emit(problem)

    def _on_disturbed(self, reason: str) -> None:
        self.pause()
        self.failed.emit(f"{reason}, so the review has stopped. Go on with its file.")


def _planned(asked: Asked, seed: int) -> Generator[float, None, tuple[ReviewFile, Pair]]:
    """Runs in a worker thread; touches no Qt."""
    from napari_ink.analysis.blind_review_pictures import Pair, Side
    from napari_ink.analysis.blind_review_plan import pixel_size, plan_review

    a, b = (Side(path, cut) for path, cut in zip(asked.paths, asked.cuts, strict=True))
    review = yield from plan_review(
        a,
        b,
        regions=asked.regions,
        side=round(asked.side / (pixel_size(a) or 1)),
        repeats=asked.repeats,
        seed=seed,
        reader=asked.reader,
    )
    file = ReviewFile.create(_new_path(a.store.path.absolute().parent, review), review)
    return file, Pair(review)


def _opened(path: Path) -> Generator[float, None, tuple[ReviewFile, Pair | None]]:
    """Runs in a worker thread; touches no Qt."""
    from napari_ink.analysis.blind_review_pictures import Pair

    yield 0.0
    file = ReviewFile.open(path)
    return file, None if file.review.finished else Pair(file.review, beside=path.parent)


def _read(pair: Pair, place: int) -> Generator[float, None, tuple]:
    """Runs in a worker thread; touches no Qt."""
    yield 0.0
    return place, pair.read(place)


def _new_path(beside: Path, review: Review) -> Path:
    """A name that is free, beside the prediction or, where one may not write, in a cache."""
    folder = beside
    if not os.access(folder, os.W_OK):
        folder = user_cache_path("napari-ink", appauthor=False) / "reviews"
        folder.mkdir(parents=True, exist_ok=True)
    stem = file_name(review.fragment["name"])
    number = 1
    while (path := folder / f"{stem}{f'-{number}' if number > 1 else ''}{SUFFIX}").exists():
        number += 1
    return path
