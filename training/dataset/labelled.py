"""Windows to learn from: where they lie, and how they leave the fragment.

Half of them (a setting) lie at the edge of a stroke, where ink and bare papyrus meet within one
window; the others lie anywhere on papyrus. Every batch is drawn from ``(seed, step)`` alone, so
that a run that starts again at a step sees what it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from torch.utils.data import Dataset

from napari_ink.errors import FragmentError, SettingsError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Normaliser, Recipe


@dataclass(frozen=True, eq=False)
class LabelledFragment:
    """A fragment ready to be learned from: label and weight in memory, the volume where it is.

    Attributes
    ----------
    fragment : Fragment
        Supplies the windows.
    layers : slice
        Depth window, as indices.
    label : numpy.ndarray
        Ink, float32 in [0, 1], ``(y, x)``.
    weight : numpy.ndarray
        Where the label counts, bool, ``(y, x)``: on papyrus and, if the fragment says where it
        was looked at, there only.
    normaliser : Normaliser
        The intensity recipe bound to this fragment and depth window.
    """

    fragment: Fragment
    layers: slice
    label: np.ndarray
    weight: np.ndarray
    normaliser: Normaliser

    @classmethod
    def prepare(
        cls, fragment: Fragment, recipe: Recipe, depth: int, layers: tuple[int, int] | None = None
    ) -> LabelledFragment:
        """Read label and masks and bind the recipe.

        Raises
        ------
        FragmentError
            If there is no label, or nothing of it counts.
        SettingsError
            If the depth window does not fit fragment and network.
        """
        if fragment.label is None:
            raise FragmentError(f"{fragment.name} has no ink label", "add inklabels.png")
        if layers is None:
            if fragment.shape[0] < depth:
                raise SettingsError(
                    f"{fragment.name} has {fragment.shape[0]} layers, the network takes {depth}",
                    "choose a network of less depth",
                )
            first = fragment.first_layer + (fragment.shape[0] - depth) // 2
            layers = (first, first + depth)
        elif layers[1] - layers[0] != depth:
            raise SettingsError(
                f"the depth window {layers[0]}:{layers[1]} holds {layers[1] - layers[0]} layers, "
                f"the network takes {depth}",
                "make data.layers and network.arguments.depth agree",
            )
        window = fragment.layer_range(*layers)
        weight = np.ones(fragment.shape[1:], bool)
        for plane in (fragment.mask, fragment.supervision):
            if plane is not None:
                weight &= np.asarray(plane)
        if not weight.any():
            raise FragmentError(
                f"{fragment.name} has no labelled papyrus", "check mask and supervision mask"
            )
        label = np.asarray(fragment.label, np.float32)
        return cls(fragment, window, label, weight, recipe.bind(fragment, window))

    @property
    def stored_layers(self) -> tuple[int, int]:
        """The depth window in stored numbering, half-open."""
        first = self.fragment.first_layer
        return first + self.layers.start, first + self.layers.stop

    @property
    def has_ink(self) -> bool:
        """Whether any ink of the label counts."""
        return bool(((self.label >= 0.5) & self.weight).any())

    def cut(self, y0: int, x0: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One window inside the fragment: normalised volume, label, weight.

        Returns
        -------
        tuple of numpy.ndarray
            ``(z, side, side)`` float32, and two ``(side, side)`` float32.
        """
        y, x = slice(y0, y0 + side), slice(x0, x0 + side)
        volume = self.normaliser(self.fragment.read(self.layers, y, x))
        return volume, self.label[y, x], self.weight[y, x].astype(np.float32)

    def edge_points(self) -> np.ndarray:
        """Flat indices of the label's border pixels that count."""
        ink = self.label >= 0.5
        return np.flatnonzero((ink ^ ndimage.binary_erosion(ink, border_value=1)) & self.weight)

    def papyrus_points(self) -> np.ndarray:
        """Flat indices of all pixels that count."""
        return np.flatnonzero(self.weight)


class RandomBatches(Dataset):
    """Batch ``step`` of a run: windows drawn at random from all fragments alike.

    Parameters
    ----------
    fragments : list of LabelledFragment
        To learn from.
    side : int
        Of a window, pixels.
    batch, steps : int
        Windows a batch, and batches.
    edges : float
        Share of windows at the edge of a stroke, where a fragment has ink.
    seed : int
        Of the draw.

    Raises
    ------
    SettingsError
        If a window is larger than a fragment.
    """

    def __init__(
        self,
        fragments: list[LabelledFragment],
        side: int,
        batch: int,
        steps: int,
        edges: float,
        seed: int,
    ) -> None:
        for labelled in fragments:
            if min(labelled.label.shape) < side:
                height, width = labelled.label.shape
                raise SettingsError(
                    f"a window of {side} px does not fit {labelled.fragment.name}, "
                    f"{height}×{width} px",
                    "choose a smaller data.window",
                )
        self.fragments = fragments
        self.side, self.batch, self.steps = side, batch, steps
        self.edges, self.seed = edges, seed
        self._edge = [labelled.edge_points() for labelled in fragments]
        self._papyrus = [labelled.papyrus_points() for labelled in fragments]

    def __len__(self) -> int:
        return self.steps

    def positions(self, step: int) -> list[tuple[int, int, int]]:
        """``(fragment, y0, x0)`` of each window of a batch."""
        random = np.random.default_rng((self.seed, step))
        windows = []
        for index in random.integers(len(self.fragments), size=self.batch):
            points = self._papyrus[index]
            if random.random() < self.edges and self._edge[index].size:
                points = self._edge[index]
            height, width = self.fragments[index].label.shape
            y, x = divmod(int(points[random.integers(points.size)]), width)
            # The point lies anywhere in its window, or the network would learn that the middle
            # is where ink begins.
            y0, x0 = (c - int(random.integers(self.side)) for c in (y, x))
            y0 = min(max(y0, 0), height - self.side)
            windows.append((int(index), y0, min(max(x0, 0), width - self.side)))
        return windows

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Volume ``(batch, 1, z, y, x)``, label and weight ``(batch, 1, y, x)``, float32."""
        if not 0 <= step < self.steps:
            raise IndexError(step)
        cuts = [self.fragments[i].cut(y0, x0, self.side) for i, y0, x0 in self.positions(step)]
        volume, label, weight = (np.stack(parts)[:, None] for parts in zip(*cuts, strict=True))
        return volume, label, weight
