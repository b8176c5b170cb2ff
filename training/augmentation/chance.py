"""What happens to a sample, drawn from the run's seed and the sample's number alone.

Neither the batch's size nor the order of its samples, neither the device nor the rank has a say.
Every transform has a stream of its own, so that turning one on leaves the others as they were.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from training.augmentation.config import MIXING, TRANSFORMS, AugmentationConfig

_GATES = 64  # more than there are transforms; the last two choose among several


class Chance:
    """The random numbers of one sample.

    Parameters
    ----------
    config : AugmentationConfig
    seed : int
        Of the run.
    sample : int
        The window's place in the run's sequence of samples.
    """

    def __init__(self, config: AugmentationConfig, seed: int, sample: int) -> None:
        self.config, self.seed, self.sample = config, seed, sample
        self._gates = self._stream(0).random(_GATES)

    def _stream(self, number: int) -> np.random.Generator:
        """An independent stream; Philox counts, so that key and number need no mixing."""
        philox = np.random.Philox(key=[self.seed, self.sample], counter=[0, 0, 0, number])
        return np.random.Generator(philox)

    def draw(self, name: str) -> np.random.Generator | None:
        """The random numbers of a transform if it happens to this sample, ``None`` if not."""
        place = TRANSFORMS.index(name)
        if name in self.config.one_of.among:
            happens = name == self._chosen
        elif name in MIXING:
            happens = name == self._mixing
        else:
            happens = self._gates[place] < getattr(self.config, name).p
        return self._stream(place + 1) if happens else None

    @cached_property
    def _chosen(self) -> str | None:
        """Which one of ``one_of``."""
        names = self.config.one_of.among
        shares = np.cumsum([getattr(self.config, name).p for name in names])
        if self._gates[_GATES - 1] >= self.config.one_of.p:
            return None
        place = np.searchsorted(shares, self._gates[_GATES - 2] * shares[-1], "right")
        return names[min(int(place), len(names) - 1)]

    @cached_property
    def _mixing(self) -> str | None:
        """Which way of mixing; one gate for all three."""
        shares = np.cumsum([getattr(self.config, name).p for name in MIXING])
        place = int(np.searchsorted(shares, self._gates[TRANSFORMS.index(MIXING[0])], "right"))
        return MIXING[place] if place < len(MIXING) else None
