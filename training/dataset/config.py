"""Settings of what is learned from: labelled fragments, and which of their windows."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ink.errors import SettingsError


@dataclass(frozen=True)
class SourceConfig:
    """A labelled fragment, or a part of one, that a run learns from or validates on.

    Attributes
    ----------
    path : str
        Of the fragment, as :func:`napari_ink.open_fragment` takes it.
    part : str
        ``"2/3"``: the second of three bands along y of equal mask area; empty: all. With a
        region, bands of the region.
    region : tuple of int, optional
        ``(y0, y1, x0, x1)``, half-open; ``None``: all.
    layers : tuple of int, optional
        Depth window ``(first, end)`` in stored numbering; ``None``: the run's, or the network's
        depth, centred.
    reverse : bool
        Flip the layers after they were cut: this fragment was scanned the other way round.
    task : str
        What the network is asked for here; empty: its first task.
    windows, void, anywhere : int, optional
        How many windows with ink, without, and whatever they hold; ``None``: as in
        :class:`SelectionConfig`.
    validation : bool
        Only look at it. No training window comes near, whatever source it belongs to.
    joins : float
        A curriculum: the share of the run's steps after which this source's windows are learned
        from, 0 at once. Until then, others of those that have joined stand in for them.
    fold : int, optional
        With ``data.fold`` given, the sources of that fold are validated on and all others are
        learned from. ``None``: dealt out, see :func:`training.dataset.opening.open_sources`.
    """

    path: str
    part: str = ""
    region: tuple[int, int, int, int] | None = None
    layers: tuple[int, int] | None = None
    reverse: bool = False
    task: str = ""
    windows: int | None = None
    void: int | None = None
    anywhere: int | None = None
    validation: bool = False
    joins: float = 0.0
    fold: int | None = None


_BOUNDS = {
    "windows": (0, 2**31 - 1),
    "void": (0, 2**31 - 1),
    "anywhere": (0, 2**31 - 1),
    "buckets": (1, 1000),
    "cap": (1, 2**31 - 1),
}


@dataclass(frozen=True)
class SelectionConfig:
    """Which windows of a source are taken.

    Windows with ink lie at the border of a stroke and are sorted by their share of ink into
    equal buckets, which are filled as evenly as the fragment allows; void windows hold no ink.
    Windows may also be taken from anywhere, each place as likely: training without a choice.

    Attributes
    ----------
    windows, void : int
        How many windows with ink, and how many without, of a source that does not say.
    anywhere : int
        How many beside those, whatever they hold. One may lie where one of the others does.
    buckets : int
        Bins of the share of ink.
    cap : int, optional
        The most that one bucket of a source holds; ``None``: no limit.
    counted : float
        Least share of a window's pixels whose label counts, above 0. The share of ink is that of
        those pixels: what is not labelled is neither ink nor bare.
    """

    windows: int = 4000
    void: int = 2000
    anywhere: int = 0
    buckets: int = 10
    cap: int | None = None
    counted: float = 0.5

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise SettingsError(
                    f"data.selection.{name} is {value}", f"give {least} or more, up to {most}"
                )
        if not 0 < self.counted <= 1:
            raise SettingsError(
                f"data.selection.counted is {self.counted}", "give a share above 0, up to 1"
            )
