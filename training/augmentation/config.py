"""The transforms by name: how often and how strongly. Nothing is on unless its ``p`` is set.

In YAML, for instance ``augmentation: {flip: {p: 0.5}, affine: {p: 0.9, degrees: 15}}``. Lengths
are in pixels, intensities in normalised units (one standard deviation of the fragment where the
recipe has one).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from napari_ink.errors import SettingsError


def _within(default: float, least: float, most: float):
    """A number with bounds, both included."""
    return field(default=default, metadata={"bounds": (least, most)})


def _probability():
    return _within(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Flip:
    """Mirrored along y, x or both, equally likely (no mirror alike: p = 0.75)."""

    p: float = _probability()


@dataclass(frozen=True)
class Turn:
    """Turned by one, two or three quarters, equally likely (no turn alike: p = 0.75)."""

    p: float = _probability()


@dataclass(frozen=True)
class Affine:
    """Shift, scale and rotate about the middle.

    Attributes
    ----------
    p : float
        How often.
    shift : float
        Largest shift along y and along x, as a share of the side.
    scale : float
        The window is magnified by a factor from ``1 − scale`` to ``1 + scale``.
    degrees : float
        Largest angle, either way.
    """

    p: float = _probability()
    shift: float = _within(0.0625, 0, 0.5)
    scale: float = _within(0.2, 0, 0.9)
    degrees: float = _within(15.0, 0, 180)


@dataclass(frozen=True)
class Elastic:
    """A smooth random displacement: cubic B-splines on a grid of random nodes.

    Attributes
    ----------
    p : float
        How often.
    cell : int
        Pixels from node to node.
    amplitude : float
        Largest displacement of a node along either axis, pixels; no pixel is moved further. At
        most 0.48 cells, up to which nothing folds (Choi and Lee, 2000: cells / 2.046).
    """

    p: float = _probability()
    cell: int = _within(16, 2, 4096)
    amplitude: float = _within(4.0, 0, 2048)


@dataclass(frozen=True)
class GridDistortion:
    """Rows and columns of a grid are stretched or squeezed, each by its own factor.

    Attributes
    ----------
    p : float
        How often.
    cells : int
        Along each axis.
    limit : float
        A row or column is ``1 ± limit`` times as wide, before all are fitted to the window.
    """

    p: float = _probability()
    cells: int = _within(5, 1, 256)
    limit: float = _within(0.3, 0, 0.9)


@dataclass(frozen=True)
class OpticalDistortion:
    """Barrel and pincushion: a pixel at ρ half sides from the middle is moved by ``k·ρ²`` of ρ.

    Attributes
    ----------
    p : float
        How often.
    limit : float
        ``k`` lies between ``−limit`` and ``limit``. At most 1/6, up to which corners do not fold.
    """

    p: float = _probability()
    limit: float = _within(0.1, 0, 1 / 6)


@dataclass(frozen=True)
class PiecewiseAffine:
    """Nodes of a grid are moved at random; each triangle between them is changed affinely.

    Attributes
    ----------
    p : float
        How often.
    cells : int
        Along each axis.
    jitter : float
        Largest displacement of a node along either axis, in cells. At most 0.25, up to which no
        triangle turns over.
    """

    p: float = _probability()
    cells: int = _within(4, 1, 256)
    jitter: float = _within(0.15, 0, 0.25)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur of every layer on its own.

    Attributes
    ----------
    p : float
        How often.
    sigma : float
        Largest standard deviation, pixels; drawn from 0.
    """

    p: float = _probability()
    sigma: float = _within(0.7, 0, 64)


@dataclass(frozen=True)
class Noise:
    """White normal noise.

    Attributes
    ----------
    p : float
        How often.
    sigma : float
        Largest standard deviation, normalised units; drawn from 0.
    """

    p: float = _probability()
    sigma: float = _within(0.2, 0, 100)


@dataclass(frozen=True)
class Contrast:
    """One gain ``1 ± gain`` and one offset ``± offset`` a window: contrast and brightness.

    Attributes
    ----------
    p : float
        How often.
    gain : float
        Largest relative change of the contrast.
    offset : float
        Largest change of the brightness, normalised units.
    """

    p: float = _probability()
    gain: float = _within(0.3, 0, 0.99)
    offset: float = _within(0.3, 0, 100)


@dataclass(frozen=True)
class ZShift:
    """The stack moves along z by whole layers; the outermost layer fills up.

    Attributes
    ----------
    p : float
        How often.
    layers : int
        Furthest move, either way.
    """

    p: float = _probability()
    layers: int = _within(2, 0, 4096)


@dataclass(frozen=True)
class ZFlip:
    """The stack is turned over: as if scanned from the other side."""

    p: float = _probability()


@dataclass(frozen=True)
class LayerDropout:
    """Some layers are replaced by the window's mean.

    Attributes
    ----------
    p : float
        How often.
    layers : int
        From one to this many layers.
    """

    p: float = _probability()
    layers: int = _within(2, 1, 4096)


@dataclass(frozen=True)
class GroupShuffle:
    """Layers change places with those of their own group.

    Attributes
    ----------
    p : float
        How often.
    group : int
        Consecutive layers a group; the last one holds what remains.
    """

    p: float = _probability()
    group: int = _within(5, 2, 4096)


@dataclass(frozen=True)
class CutOut:
    """A square on a grid becomes the window's mean, and is labelled as without ink.

    Attributes
    ----------
    p : float
        How often.
    sides : tuple of int
        Sides of the square to choose from, pixels.
    grid : int
        Its corner lies on multiples of this, pixels.
    """

    p: float = _probability()
    sides: tuple[int, ...] = (32, 64)
    grid: int = _within(32, 1, 4096)


@dataclass(frozen=True)
class MixUp:
    """λ of one window plus 1 − λ of another, λ ~ Beta(alpha, alpha); volume and label.

    Attributes
    ----------
    p : float
        How often; of a window, one of ``mixup``, ``manifold_mixup`` and ``cutmix`` happens at
        most, so that their sum is 1 at most.
    alpha : float
        0.2: mostly close to one of the two.
    """

    p: float = _probability()
    alpha: float = _within(0.2, 0.01, 1000)


@dataclass(frozen=True)
class ManifoldMixUp:
    """As ``mixup``, of the features at the network's ``mix_at`` instead of the volumes.

    Attributes
    ----------
    p, alpha : float
        See :class:`MixUp`.
    """

    p: float = _probability()
    alpha: float = _within(0.2, 0.01, 1000)


@dataclass(frozen=True)
class CutMix:
    """A rectangle of another window, 1 − λ of the area, λ ~ Beta(alpha, alpha).

    Attributes
    ----------
    p, alpha : float
        See :class:`MixUp`. 1: every area is equally likely.
    """

    p: float = _probability()
    alpha: float = _within(1.0, 0.01, 1000)


@dataclass(frozen=True)
class LabelSmoothing:
    """A label t becomes ``t·(1 − 2·amount) + amount``.

    Attributes
    ----------
    p : float
        How often.
    amount : float
        What is taken from certainty: 0.1 gives ``t·0.8 + 0.1``.
    """

    p: float = _probability()
    amount: float = _within(0.1, 0, 0.5)


@dataclass(frozen=True)
class OneOf:
    """Of the transforms named, one at most is used on a window.

    Attributes
    ----------
    p : float
        How often one of them is used.
    among : tuple of str
        Their names; each is chosen in proportion to its own ``p``.
    """

    p: float = _probability()
    among: tuple[str, ...] = ()


@dataclass(frozen=True)
class AugmentationConfig:
    """How training windows are changed, a transform a field; see their classes.

    They are applied in this order: ``flip turn affine elastic grid_distortion optical_distortion
    piecewise_affine`` (one resampling for all), ``z_shift z_flip group_shuffle``, ``blur noise
    contrast layer_dropout cutout``, one of ``mixup manifold_mixup cutmix``, ``label_smoothing``.

    Raises
    ------
    SettingsError
        For a number out of its bounds, or names and numbers that do not go together.
    """

    flip: Flip = field(default_factory=Flip)
    turn: Turn = field(default_factory=Turn)
    affine: Affine = field(default_factory=Affine)
    elastic: Elastic = field(default_factory=Elastic)
    grid_distortion: GridDistortion = field(default_factory=GridDistortion)
    optical_distortion: OpticalDistortion = field(default_factory=OpticalDistortion)
    piecewise_affine: PiecewiseAffine = field(default_factory=PiecewiseAffine)
    z_shift: ZShift = field(default_factory=ZShift)
    z_flip: ZFlip = field(default_factory=ZFlip)
    group_shuffle: GroupShuffle = field(default_factory=GroupShuffle)
    blur: Blur = field(default_factory=Blur)
    noise: Noise = field(default_factory=Noise)
    contrast: Contrast = field(default_factory=Contrast)
    layer_dropout: LayerDropout = field(default_factory=LayerDropout)
    cutout: CutOut = field(default_factory=CutOut)
    mixup: MixUp = field(default_factory=MixUp)
    manifold_mixup: ManifoldMixUp = field(default_factory=ManifoldMixUp)
    cutmix: CutMix = field(default_factory=CutMix)
    label_smoothing: LabelSmoothing = field(default_factory=LabelSmoothing)
    one_of: OneOf = field(default_factory=OneOf)

    def __post_init__(self) -> None:
        for transform in fields(self):
            settings = getattr(self, transform.name)
            for item in fields(settings):
                if "bounds" in item.metadata:
                    key = f"augmentation.{transform.name}.{item.name}"
                    _check(key, getattr(settings, item.name), *item.metadata["bounds"])
        if self.elastic.amplitude > 0.48 * self.elastic.cell:
            raise SettingsError(
                f"augmentation.elastic.amplitude is {self.elastic.amplitude:g} px in cells of "
                f"{self.elastic.cell} px, which folds the papyrus",
                f"choose at most {0.48 * self.elastic.cell:g}",
            )
        for side in self.cutout.sides or (0,):
            _check("augmentation.cutout.sides", side, 1, 4096)
        if sum(getattr(self, name).p for name in MIXING) > 1 + 1e-9:
            raise SettingsError(
                f"the p of {', '.join(f'augmentation.{name}' for name in MIXING)} sum to over 1",
                "a window is mixed in one way at most",
            )
        self._check_choice()

    def _check_choice(self) -> None:
        key = "augmentation.one_of.among"
        names = self.one_of.among
        for name in names:
            if name not in CHOOSABLE or names.count(name) > 1:
                raise SettingsError(
                    f"{key} names {name!r}" + (" twice" if name in CHOOSABLE else ""),
                    f"choose among {', '.join(CHOOSABLE)}",
                )
            if not getattr(self, name).p:
                raise SettingsError(
                    f"{key} names {name!r}, whose p is 0", f"set augmentation.{name}.p"
                )
        if bool(names) != bool(self.one_of.p):
            raise SettingsError(
                f"augmentation.one_of with p {self.one_of.p:g} among {len(names)} transforms",
                "give both p and among, or neither",
            )


#: Of these, one at most happens to a window.
MIXING = ("mixup", "manifold_mixup", "cutmix")

#: Every transform, in order; a transform's place in it seeds its random numbers.
TRANSFORMS = tuple(f.name for f in fields(AugmentationConfig) if f.name != "one_of")

#: What ``one_of`` may choose from.
CHOOSABLE = tuple(name for name in TRANSFORMS if name not in MIXING)


def _check(key: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise SettingsError(f"{key} is {value}", f"choose a number from {least:g} to {most:g}")
