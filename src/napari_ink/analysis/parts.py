"""Parts of a fragment's plane: what to fit on, and what else to report on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_ink.errors import SettingsError
from napari_ink.inference.settings import Box


@dataclass(frozen=True)
class Part:
    """What lies inside some rectangles, or all that does not.

    Attributes
    ----------
    boxes : tuple of Box
        They may overlap.
    outside : bool
        Everything but the rectangles; without any, everything.
    """

    boxes: tuple[Box, ...] = ()
    outside: bool = True

    def __str__(self) -> str:
        if not self.boxes:
            return "whole mask"
        named = " and ".join(f"{b.y0}:{b.y1},{b.x0}:{b.x1}" for b in self.boxes)
        return f"whole mask but {named}" if self.outside else named

    @property
    def rest(self) -> Part:
        """All that is not in this part."""
        return Part(self.boxes, not self.outside)

    def within(self, window: Box) -> np.ndarray:
        """Which pixels of a window belong to the part, ``(y, x)`` bool."""
        found = np.full(window.shape, self.outside)
        for box in self.boxes:
            y0, x0 = max(box.y0 - window.y0, 0), max(box.x0 - window.x0, 0)
            y1, x1 = max(box.y1 - window.y0, 0), max(box.x1 - window.x0, 0)
            found[y0:y1, x0:x1] = not self.outside
        return found

    def overlaps(self, other: Part) -> bool:
        """Whether a pixel may belong to both; complements and separate rectangles share none."""
        if self.outside or other.outside:
            return other != self.rest
        return any(_meet(one, another) for one in self.boxes for another in other.boxes)

    def check(self, shape: tuple[int, int], option: str) -> None:
        """Refuse rectangles that reach outside the plane.

        Raises
        ------
        SettingsError
            Naming the option.
        """
        for box in self.boxes:
            if box.y1 > shape[0] or box.x1 > shape[1]:
                raise SettingsError(
                    f"{option} {box.y0}:{box.y1},{box.x0}:{box.x1} reaches outside the prediction",
                    f"its rows are 0:{shape[0]}, its columns 0:{shape[1]}",
                )


#: Everything.
WHOLE = Part()


def inside(*boxes: Box) -> Part:
    """What lies in the rectangles."""
    return Part(tuple(boxes), outside=False)


def halves(shape: tuple[int, int]) -> tuple[Part, Part]:
    """The left and the right half of a plane."""
    middle = shape[1] // 2
    return inside(Box(0, shape[0], 0, middle)), inside(Box(0, shape[0], middle, shape[1]))


def _meet(one: Box, other: Box) -> bool:
    return max(one.y0, other.y0) < min(one.y1, other.y1) and max(one.x0, other.x0) < min(
        one.x1, other.x1
    )
