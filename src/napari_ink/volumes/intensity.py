"""Intensity recipes: how raw grey levels become a network's input, alike in training and use.

CT intensities are relative. A network fed with another convention than it learned fails without
a word, so the recipe is part of the checkpoint. A :class:`Recipe` is the convention; bound to a
fragment it is a :class:`Normaliser` that holds everything that depends on the fragment, found
once. All values are first divided by the full scale of the dtype (255, 65535; floats are taken
as they are), so 8-bit and 16-bit copies of one scan come out alike.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields

import numpy as np

from napari_ink.errors import SettingsError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.sampling import subsample

KINDS = ("fixed", "percentile", "zscore", "layer_zscore")


def full_scale(dtype) -> float:
    """The largest value of an integer dtype; 1 for floats."""
    dtype = np.dtype(dtype)
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0


@dataclass(frozen=True)
class Recipe:
    """An intensity convention.

    Attributes
    ----------
    kind : str
        ``fixed``: clip to ``[low, high]`` of the full scale, the same for every fragment.
        ``percentile``: clip to the fragment's own percentiles ``low`` and ``high``.
        ``zscore``: every window of ``window`` pixels on its own, padding excluded.
        ``layer_zscore``: every layer by its own mean and deviation over the fragment.
    low, high : float
        Shares of the full scale (``fixed``) or percentiles (``percentile``); unused otherwise.
    mean, std : float, optional
        ``fixed`` and ``percentile``: subtract and divide after the clip, in units of the full
        scale (``fixed``) or of the clipped range (``percentile``). ``None``: the clipped range
        becomes [0, 1].
    window : int, optional
        ``zscore`` only: side of the training window in pixels. Prediction must tile with it.
    epsilon : float
        Added to the deviation of the two z-scores.

    Examples
    --------
    The conventions in use: ``/65535`` is ``Recipe("fixed")``; ``>>8``, clip at 200, ``/200`` is
    ``Recipe("fixed", high=200 / 255)``; the same with ``/255`` adds ``mean=0, std=1``; per-tile
    z-score is ``Recipe("zscore", window=64)``.
    """

    kind: str = "fixed"
    low: float = 0.0
    high: float | None = None
    mean: float | None = None
    std: float | None = None
    window: int | None = None
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingsError(f"intensity recipe {self.kind!r} is unknown", _one_of(KINDS))
        if self.high is None:
            object.__setattr__(self, "high", 100.0 if self.kind == "percentile" else 1.0)
        for name in ("low", "high", "mean", "std", "epsilon", "window"):
            _check(name, getattr(self, name), (int,) if name == "window" else (int, float))
        top = 100.0 if self.kind == "percentile" else 1.0
        if not 0 <= self.low < self.high <= top:
            raise SettingsError(
                f"intensity range {self.low:g} … {self.high:g} is not usable",
                f"choose 0 ≤ low < high ≤ {top:g}",
            )
        if (self.mean is None) != (self.std is None) or (self.std is not None and self.std <= 0):
            raise SettingsError(
                f"intensity mean {self.mean} and std {self.std} do not go together",
                "give both, with std above 0, or neither",
            )
        if self.epsilon <= 0:
            raise SettingsError(f"intensity epsilon {self.epsilon:g}", "choose a number above 0")
        if (self.kind == "zscore") != (self.window is not None) or (self.window or 1) < 1:
            raise SettingsError(
                f"an intensity recipe {self.kind!r} with window {self.window}",
                "a zscore recipe needs the side of its training windows, no other kind has one",
            )

    @classmethod
    def from_dict(cls, values: dict) -> Recipe:
        """The recipe that :meth:`to_dict` wrote.

        Raises
        ------
        SettingsError
            For unknown keys or values of the wrong type.
        """
        names = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - names) if isinstance(values, dict) else [repr(values)]
        if unknown:
            raise SettingsError(
                f"intensity recipe with unknown {', '.join(map(str, unknown))}",
                f"known are {', '.join(sorted(names))}",
            )
        if "kind" not in values:
            raise SettingsError("an intensity recipe without a kind", _one_of(KINDS))
        try:
            return cls(**values)
        except TypeError as error:
            raise SettingsError(
                f"intensity recipe {values} is not usable ({error})", "give numbers"
            ) from None

    def to_dict(self) -> dict:
        """JSON-able; only what differs from an empty field."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def bind(self, fragment: Fragment, layers: slice | None = None) -> Normaliser:
        """Find what depends on the fragment, once, from a deterministic subsample.

        Parameters
        ----------
        fragment : Fragment
        layers : slice, optional
            Which layers the windows will have, counted from 0, in stored order.

        Returns
        -------
        Normaliser
        """
        scale = full_scale(fragment.dtype)
        depth = len(range(fragment.shape[0])[layers or slice(None)])
        statistics: dict = {"kind": self.kind, "full_scale": scale}
        if self.kind == "percentile":
            low, high = np.percentile(subsample(fragment, layers) / scale, (self.low, self.high))
            statistics |= {"low": float(low), "high": float(high)}
        elif self.kind == "layer_zscore":
            sample = subsample(fragment, layers) / scale
            statistics |= {"mean": sample.mean(1).tolist(), "std": sample.std(1).tolist()}
        return Normaliser(self, depth, statistics)


@dataclass(frozen=True)
class Normaliser:
    """A recipe bound to a fragment: raw windows in, network input out.

    A value depends on its own voxel and on :attr:`statistics`, never on the window around it;
    only ``zscore`` looks at its window, which is therefore of a fixed size, :attr:`window`.

    Attributes
    ----------
    recipe : Recipe
    depth : int
        Layers of a window.
    statistics : dict
        All that was found in the fragment; JSON-able, for the provenance.
    """

    recipe: Recipe
    depth: int
    statistics: dict = field(default_factory=dict)

    @property
    def window(self) -> int | None:
        """Side in pixels that every window must have; ``None``: any."""
        return self.recipe.window

    def __call__(self, window: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """Normalise one window.

        Parameters
        ----------
        window : numpy.ndarray
            ``(z, y, x)``, raw, layers in stored order (flip afterwards). With padding, if any.
        valid : numpy.ndarray, optional
            ``(y, x)`` bool: what is not padding. Padding comes out as 0 and counts for nothing.

        Returns
        -------
        numpy.ndarray
            ``(z, y, x)`` float32, new.

        Raises
        ------
        SettingsError
            When the window has another number of layers, or another side than the recipe's.
        """
        if window.ndim != 3 or window.shape[0] != self.depth:
            raise SettingsError(
                f"a window of {window.shape} where {self.depth} layers were bound",
                "bind the recipe to the layers that are read",
            )
        if self.window is not None and window.shape[1:] != (self.window, self.window):
            raise SettingsError(
                f"a window of {window.shape[1]} × {window.shape[2]} pixels for a z-score per "
                f"window of {self.window}",
                f"tile with {self.window}, padding at the border",
            )
        values = window.astype(np.float32)
        values *= np.float32(1 / self.statistics["full_scale"])
        getattr(self, f"_{self.recipe.kind}")(values, valid)
        if valid is not None:
            values *= valid.astype(np.float32)
        return values

    def fill(self, out: np.ndarray, raw: np.ndarray, *, flip: bool = False) -> None:
        """Normalise a window that may reach over the fragment's border: training and use alike.

        Pixels beyond the border repeat the last ones. They are added after normalisation, so
        that no statistic sees them; for a recipe that normalises each window they are zero.

        Parameters
        ----------
        out : numpy.ndarray
            ``(z, y, x)`` float32, the whole window, written.
        raw : numpy.ndarray
            ``(z, y, x)``, raw, layers in stored order: what of it lies inside, its upper left.
        flip : bool
            Reverse the layers afterwards.

        Raises
        ------
        SettingsError
            As for a call.
        """
        height, width = raw.shape[1:]
        if self.window is None or raw.shape == out.shape:
            values = self(raw)
        else:
            valid = np.zeros(out.shape[1:], bool)
            valid[:height, :width] = True
            padded = np.zeros(out.shape, raw.dtype)
            padded[:, :height, :width] = raw
            values = self(padded, valid)
            height, width = out.shape[1:]
        out[:, :height, :width] = values[::-1] if flip else values
        out[:, height:, :width] = out[:, height - 1 : height, :width]
        out[:, :, width:] = out[:, :, width - 1 : width]

    def _fixed(self, values: np.ndarray, valid: np.ndarray | None) -> None:
        low, high = self.recipe.low, self.recipe.high
        np.clip(values, np.float32(low), np.float32(high), out=values)
        if self.recipe.mean is None:
            _shift(values, low, high - low)
        else:
            _shift(values, self.recipe.mean, self.recipe.std)

    def _percentile(self, values: np.ndarray, valid: np.ndarray | None) -> None:
        low, high = self.statistics["low"], self.statistics["high"]
        np.clip(values, np.float32(low), np.float32(high), out=values)
        _shift(values, low, high - low or 1.0)  # a constant fragment has no range
        if self.recipe.mean is not None:
            _shift(values, self.recipe.mean, self.recipe.std)

    def _layer_zscore(self, values: np.ndarray, valid: np.ndarray | None) -> None:
        column = (-1, 1, 1)
        values -= np.asarray(self.statistics["mean"], np.float32).reshape(column)
        std = np.asarray(self.statistics["std"]) + self.recipe.epsilon
        values *= (1 / std).astype(np.float32).reshape(column)

    def _zscore(self, values: np.ndarray, valid: np.ndarray | None) -> None:
        inside = values if valid is None else values[:, valid]
        if inside.size:
            mean = inside.mean(dtype=np.float64)
            std = inside.std(dtype=np.float64)
            _shift(values, mean, std + self.recipe.epsilon)


def _shift(values: np.ndarray, mean: float, std: float) -> None:
    values -= np.float32(mean)
    values *= np.float32(1 / std)


def _check(name: str, value: object, kinds: tuple[type, ...]) -> None:
    if value is None:
        return
    if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
        what = "number" if float in kinds else "whole number"
        raise SettingsError(f"intensity {name} {value!r} is not usable", f"give a {what}")


def _one_of(names: tuple[str, ...]) -> str:
    return f"choose one of {', '.join(names)}"
