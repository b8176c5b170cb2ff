"""Numbers as people write them in arguments: ranges, boxes, points; each mistake one line."""

from __future__ import annotations

from napari_ink.errors import SettingsError


def whole_range(text: str, option: str) -> tuple[int, int]:
    """``7:23`` as (7, 23): the first number, and the one after the last.

    Raises
    ------
    SettingsError
        Naming the option, when these are not two whole numbers from 0 on, the first the smaller.
    """
    pair = _range(text)
    if pair is None:
        raise SettingsError(f"{option} {text!r}", "write it as a:b, whole numbers, a < b")
    return pair


def whole_box(text: str, option: str) -> tuple[int, int, int, int]:
    """``0:512,1024:2048`` as rows and columns, (0, 512, 1024, 2048).

    Raises
    ------
    SettingsError
        Naming the option, when these are not two ranges as above.
    """
    pairs = [_range(part) for part in text.split(",")]
    if len(pairs) != 2 or None in pairs:
        raise SettingsError(
            f"{option} {text!r}", "write it as y0:y1,x0:x1, whole numbers, y0 < y1 and x0 < x1"
        )
    return *pairs[0], *pairs[1]


def point(text: str, option: str) -> tuple[float, float]:
    """``1024,512.5`` as (y, x).

    Raises
    ------
    SettingsError
        Naming the option, when these are not two numbers.
    """
    try:
        y, x = map(float, text.split(","))
    except ValueError:
        raise SettingsError(f"{option} {text!r}", "write it as y,x, two numbers") from None
    return y, x


def _range(text: str) -> tuple[int, int] | None:
    try:
        first, end = map(int, text.split(":"))
    except ValueError:
        return None
    return (first, end) if 0 <= first < end else None
