"""A remedy for a name that there is not: the one that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def nearest(name: object, known: Collection[str], otherwise: str = "", cutoff: float = 0.6) -> str:
    """What to try instead of a name.

    Parameters
    ----------
    name : object
        As given; no word at all, perhaps.
    known : collection of str
    otherwise : str
        The remedy where none is near; by default all that there are.
    cutoff : float
        How near is near, from 0: any, to 1: the same.
    """
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=cutoff)
    if near:
        return f"did you mean {near[0]!r}?"
    return otherwise or f"choose among {', '.join(known)}"
