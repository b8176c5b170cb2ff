"""Where candidates for samples are tried: how many windows, how large, and for which maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from napari_ink.errors import SettingsError
from napari_ink.inference.monte_carlo import FEWEST_CHOSEN
from napari_ink.inference.settings import Box
from napari_ink.inference.tiles import round_up

if TYPE_CHECKING:
    from napari_ink.inference.plan import PredictionPlan
    from napari_ink.inference.work import TileReader

#: So many windows, each somewhere else: a fragment is not the same all over.
PLACES = 24
#: Side of what counts of a window, at least, in pixels.
INSIDE = 32
#: Trying is worth it on maps this many times larger than what is tried on.
WORTH = 24
#: At most a 16th of the work of the samples asked for goes into trying candidates, as far as there
#: are at least twice, and no more than nine times, as many of them as samples: among many more,
#: some look like the mean of all on these windows by luck.
_TRIAL_SHARE, _FEWEST, _MOST = 1 / 16, 2, 9
_MOST_AT_ALL = 2048
#: For more samples there would be too many candidates to hold.
MOST_CHOSEN = _MOST_AT_ALL // _FEWEST


class TrialWindows(NamedTuple):
    """Size of the windows, in pixels.

    Attributes
    ----------
    side : int
    rim : int
        On each side, that does not count: what a network sees at the rim of a window it sees
        nowhere in the map.
    """

    side: int
    rim: int

    @property
    def area(self) -> int:
        """Of all windows, in pixels: what one candidate costs."""
        return PLACES * self.side**2


def trial_windows(multiple_of: int, halo: int, window: int | None) -> TrialWindows:
    """Size for a network: a quarter of its halo is context enough to tell candidates apart.

    With half of it, and half as many windows for the same price, the choice is worse.

    Parameters
    ----------
    multiple_of, halo : int
        Of the network, in pixels.
    window : int, optional
        Fixed by the checkpoint's recipe.
    """
    if window is not None:
        return TrialWindows(window, 0)
    rim = round_up(-(-halo // 4), multiple_of)
    return TrialWindows(round_up(2 * rim + INSIDE, multiple_of), rim)


def is_worth_choosing(map_area: int, windows: TrialWindows) -> bool:
    """Whether a map of so many pixels is large enough to try candidates first."""
    return map_area >= WORTH * windows.area


def whether_to_choose(
    sampling: str, samples: int, shape: tuple[int, int], map_area: int, windows: TrialWindows
) -> tuple[bool, str | None]:
    """Whether samples are chosen, and what to say if they come as they are against the wish.

    Parameters
    ----------
    sampling : str
        One of :data:`napari_ink.inference.monte_carlo.SAMPLINGS`.
    samples : int
        Asked for.
    shape : tuple of int
        ``(height, width)`` of the fragment's plane.
    map_area : int
        In pixels.
    windows : TrialWindows

    Raises
    ------
    SettingsError
        For too many to choose.
    """
    if sampling == "auto":
        fits = samples <= MOST_CHOSEN and min(shape) >= windows.side
        return fits and is_worth_choosing(map_area, windows), None
    if sampling == "random":
        return False, None
    if samples > MOST_CHOSEN:
        raise SettingsError(
            f"{samples} chosen samples", f"choose at most {MOST_CHOSEN}, or random ones"
        )
    if min(shape) < windows.side:
        return False, (
            f"the fragment is smaller than the windows of {windows.side} px on which samples are "
            "chosen: they are run as they come"
        )
    few = f"{samples} samples are run as they come: choosing is worth it from {FEWEST_CHOSEN} on"
    return True, few if samples < FEWEST_CHOSEN else None


def candidates_for(
    samples: int, map_area: int, windows: TrialWindows, begun: Sequence[int] = ()
) -> int:
    """How many candidates to try: a power of two, the more the larger the map.

    Parameters
    ----------
    samples : int
        Asked for.
    map_area : int
        In pixels.
    windows : TrialWindows
    begun : sequence of int
        Samples that have been run already, which are candidates, too.
    """
    affordable = int(samples * map_area * _TRIAL_SHARE / windows.area)
    least = max(_FEWEST * samples, *begun, 1)
    most = min(_MOST * samples, _MOST_AT_ALL)
    return 1 << max(least.bit_length(), min(affordable, most).bit_length() - 1)


def trial_boxes(plan: PredictionPlan, reader: TileReader, windows: TrialWindows) -> list[Box]:
    """Windows on papyrus, spread over the whole fragment whatever the region.

    Points of a plastic-number sequence (Roberts, *The unreasonable effectiveness of quasirandom
    sequences*, 2018), in turn; those whose window lies on papyrus for the most part are taken.

    Returns
    -------
    list of Box
        Fewer than :data:`PLACES` where there is little papyrus, but one at least.
    """
    plastic = 1.32471795724474602596
    rows, columns = (max(1, size - windows.side) for size in plan.grid.shape)
    found: list[Box] = []
    best: tuple[float, Box | None] = (-1.0, None)
    for turn in range(1, 100 * PLACES):
        if len(found) == PLACES:
            break
        y = int(turn / plastic % 1 * rows) // plan.multiple_of * plan.multiple_of
        x = int(turn / plastic**2 % 1 * columns) // plan.multiple_of * plan.multiple_of
        box = Box(y, y + windows.side, x, x + windows.side)
        share = reader.papyrus_share(box)
        if share >= 0.5 and box not in found:
            found.append(box)
        elif share > best[0]:
            best = share, box
    return found or [best[1]]
