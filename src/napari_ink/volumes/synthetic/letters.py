"""Greek text as a scribe's pen would leave it: the ink label.

A glyph of the font gives only the path of the pen (its skeleton). The path is scaled to a height
from DATA.md's distribution, leaned, turned and wobbled, then drawn with a pen whose width depends
on direction and pressure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import (
    binary_dilation,
    convolve,
    distance_transform_edt,
    gaussian_filter1d,
    label,
)
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from napari_ink.volumes.synthetic.fields import smooth_noise, stream

# Letter heights of real fragments, DATA.md: p10/50/90 = 333/466/564 px at 7.91 µm.
_HEIGHT_QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)
_HEIGHTS = tuple(7.91 * px for px in (305, 333, 466, 564, 590))  # µm
STROKE = 7.91 * 52  # µm, DATA.md
_LINE_PITCH = 4850.0  # µm from one base line to the next: two lines on the sample's 10.2 mm
_GLYPH_PIXELS = 400
# Words of literary and documentary papyri, without Ξ (three strokes that do not touch).
# C is the lunate sigma that scribes wrote.
_WORDS = re.findall(
    r"\w+",
    "ΚΑΙ ΤΗΝ ΤΟΥ ΓΑΡ ΑΛΛΑ ΠΑΝΤΑ ΛΟΓΟC ΘΕΟC ΑΡΕΤΗ ΗΔΟΝΗ ΦΙΛΙΑ ΤΕΧΝΗ ΨΥΧΗ ΦΥCΙC ΠΑΘΟC ΑΝΗΡ "
    "ΒΙΟC ΖΩΗ ΠΟΛΙC ΜΟΥCΑ ΑΓΑΘΟΝ ΕΠΕΙΤΑ ΟΥΤΩC ΕCΤΙΝ ΤΟΙC ΔΙΑ ΚΑΤΑ ΠΕΡΙ ΧΑΡΙC ΟΡΓΗ ΕΙΝΑΙ "
    "ΓΕΛΩC ΤΙΜΗ ΑΛΗΘΕΙΑ ΦΩΝΗ ΠΛΟΥΤΟC ΜΕΓΑ ΝΟΜΟC ΚΑΛΟΝ ΠΡΟC",
)
# Scribes write some letters tall and some small: a bias of the letter's rank in height.
_TALL = {**dict.fromkeys("ΦΨΡΥΒ", 0.35), **dict.fromkeys("ΟCΘΩΑ", -0.3)}


@dataclass(frozen=True)
class Letter:
    """One letter as written: the character and its box in pixels, half-open."""

    character: str
    top: int
    bottom: int
    left: int
    right: int


@lru_cache(maxsize=64)
def _pen_path(character: str) -> np.ndarray:
    """Points of the glyph's skeleton, (n, 2) as (y, x), the height normalised to [0, 1]."""
    source = files("napari_ink.volumes.synthetic") / "font" / "GFSNeohellenic.otf"
    with source.open("rb") as stream_:
        font = ImageFont.truetype(stream_, _GLYPH_PIXELS, layout_engine=ImageFont.Layout.BASIC)
    left, top, right, bottom = font.getbbox(character)
    image = Image.new("L", (right - left + 8, bottom - top + 8), 0)
    ImageDraw.Draw(image).text((4 - left, 4 - top), character, font=font, fill=255)
    points = np.argwhere(_pruned(skeletonize(np.asarray(image) > 127))).astype(np.float64)
    points -= points.min(axis=0)
    return points / points[:, 0].max()


def _pruned(skeleton: np.ndarray, shortest: float = 0.11 * _GLYPH_PIXELS) -> np.ndarray:
    """The skeleton without the little forks that serifs and corners leave at its ends."""
    skeleton = skeleton.copy()
    box = np.ones((3, 3), int)
    neighbours = convolve(skeleton.astype(int), box, mode="constant") - skeleton
    crossings = skeleton & (neighbours > 2)
    branches, count = label(skeleton & ~binary_dilation(crossings, box), box)
    ends = skeleton & (neighbours == 1)
    for branch in range(1, count + 1):
        here = branches == branch
        attached = (binary_dilation(here, box, iterations=2) & crossings).any()
        if attached and (here & ends).any() and here.sum() < shortest:
            skeleton &= ~here
    return skeleton


def _heights(rng: np.random.Generator, characters: list[str]) -> np.ndarray:
    """Heights in µm: stratified over the real distribution, tall letters on the tall ranks."""
    n = len(characters)
    levels = (np.arange(n) + rng.uniform(size=n)) / n
    bias = np.array([_TALL.get(c, 0.0) for c in characters])
    ranks = np.argsort(np.argsort(rng.uniform(size=n) + bias))
    return np.interp(levels[ranks], _HEIGHT_QUANTILES, _HEIGHTS)


def _transformed(rng: np.random.Generator, path: np.ndarray, height: float) -> np.ndarray:
    """Lean, turn and wobble a pen path of unit height; (y, x) in the units of `height`."""
    turn, lean = rng.normal(0, np.radians(2.5)), rng.normal(0.04, 0.05)
    width = rng.uniform(0.78, 0.96)
    centred = path - [0.5, path[:, 1].max() / 2]
    y, x = centred[:, 0], centred[:, 1] * width - lean * centred[:, 0]
    y, x = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
    for _ in range(3):
        wave, phase = rng.normal(0, 4.0, 2), rng.uniform(0, 2 * np.pi, 2)
        push = rng.normal(0, 0.012, 2)
        y, x = (
            y + push[0] * np.sin(wave[0] * x + phase[0]),
            x + push[1] * np.sin(wave[1] * y + phase[1]),
        )
    y = (y - y.min()) / np.ptp(y)
    return np.column_stack([y, x - x.min()]) * height


@lru_cache(maxsize=64)
def _directions(character: str) -> np.ndarray:
    """Angle of the pen's path at every point, from the scatter of its neighbours."""
    path = _pen_path(character)
    tree = cKDTree(path)
    angles = np.empty(len(path))
    for i, near in enumerate(tree.query_ball_point(path, 0.06)):
        offsets = path[near] - path[i]
        scatter = offsets.T @ offsets
        angles[i] = 0.5 * np.arctan2(2 * scatter[0, 1], scatter[1, 1] - scatter[0, 0])
    return angles


def write_text(
    seed: int,
    shape: tuple[int, int],
    voxel_size: float,
    *,
    room: np.ndarray | None = None,
    attempt: int = 0,
) -> tuple[np.ndarray, tuple[Letter, ...]]:
    """Write lines of Greek capitals over a page.

    Parameters
    ----------
    seed : int
        Seed of the fragment.
    shape : (int, int)
        Rows and columns of the page.
    voxel_size : float
        µm a pixel.
    room : ndarray of bool, optional
        Where papyrus is; a letter of which less than 80 % would lie on it is not written.
    attempt : int
        Which of the many texts of this seed.

    Returns
    -------
    ndarray
        bool, `shape`: ink.
    tuple of Letter
        The letters with their boxes; boxes may stick out of the page.
    """
    rng = stream(seed, "letters", attempt)
    rows, columns = (n * voxel_size for n in shape)
    pitch = _LINE_PITCH * rng.uniform(0.99, 1.03)
    lines = max(1, int(rows // pitch))
    first = (rows - lines * pitch) / 2 + pitch * (0.5 + rng.uniform(-0.04, 0.04))
    page = np.zeros(shape, bool)
    letters: list[Letter] = []
    for line in range(lines):
        words = rng.permutation(_WORDS)
        text = [c for word in words[: 3 + int(columns / 9000)] for c in word]
        x = rng.uniform(450, 1300)
        heights = _heights(rng, text)
        for place, (character, height) in enumerate(zip(text, heights, strict=True)):
            path = _transformed(rng, _pen_path(character), height - STROKE)
            breadth = path[:, 1].max()
            if x + breadth + STROKE > columns - 200:
                break
            # Bilinear hand: letters sit between two lines, small ones hang near the middle.
            middle = first + line * pitch + rng.normal(0, 60)
            top = np.clip(middle - height / 2, 150, rows - height - 150) + STROKE / 2
            # A stream a letter: a sketch at coarse pixels writes the same text.
            pen = stream(seed, "pen", attempt, line, place)
            path = path + np.array([top, x + STROKE / 2])
            written = _draw(pen, path, _directions(character), shape, voxel_size)
            x += breadth + STROKE + rng.uniform(1000, 2500)
            if written is None:
                continue
            ink, origin = written
            box = tuple(slice(o, o + n) for o, n in zip(origin, ink.shape, strict=True))
            if room is not None and (ink & room[box]).sum() < 0.8 * ink.sum():
                continue
            page[box] |= ink
            letters.append(_letter(character, ink, origin))
    return page, tuple(letters)


def _letter(character: str, ink: np.ndarray, origin: tuple[int, int]) -> Letter:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return Letter(
        character,
        int(origin[0] + rows[0]),
        int(origin[0] + rows[-1] + 1),
        int(origin[1] + columns[0]),
        int(origin[1] + columns[-1] + 1),
    )


def _draw(
    rng: np.random.Generator,
    path: np.ndarray,
    directions: np.ndarray,
    shape: tuple[int, int],
    voxel_size: float,
) -> tuple[np.ndarray, tuple[int, int]] | None:
    """The pixels within half a pen's width of the path, and the box's origin."""
    points = path / voxel_size
    margin = int(np.ceil(0.8 * STROKE / voxel_size))
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + margin, shape)
    if np.any(high - low < 4):
        return None
    local = np.rint(points).astype(int) - low
    size = tuple(high - low)
    inside = np.all((local >= 0) & (local < size), axis=1)
    if not inside.any():
        return None
    blank = np.ones(size, bool)
    blank[local[inside, 0], local[inside, 1]] = False
    angle = np.zeros(size, np.float32)
    angle[local[inside, 0], local[inside, 1]] = directions[inside]
    distance, nearest = distance_transform_edt(blank, return_indices=True)
    # A reed pen held at 40°: strokes across the nib are wide, strokes along it narrow.
    nib = 1 + 0.14 * np.sin(angle[tuple(nearest)] - np.radians(-40)) ** 2 - 0.07
    nib = gaussian_filter1d(gaussian_filter1d(nib, margin / 6, 0), margin / 6, 1)
    pressure = 1 + 0.06 * smooth_noise(rng, size, (600 / voxel_size,) * 2)
    edge = 0.05 * smooth_noise(rng, size, (60 / voxel_size,) * 2)
    return distance < 0.5 * STROKE / voxel_size * (nib * pressure + edge), (
        int(low[0]),
        int(low[1]),
    )
