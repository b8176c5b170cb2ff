"""Predict simulated fragments whose ink grows weaker, and find where it is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_ink.analysis import metrics
from napari_ink.analysis.detection import TARGET, limit, spread
from napari_ink.analysis.metrics import Histogram
from napari_ink.errors import SettingsError
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.models.contract import InkNetwork
from napari_ink.volumes.fragment import Fragment
from training.dataset.synthetic import simulated_at
from training.detection_limit.unseen import seen_seeds
from training.settings.config import SyntheticConfig


@dataclass(frozen=True, eq=False)
class DetectionLimit:
    """What was measured.

    Attributes
    ----------
    seeds : tuple of int
        Of the fragments.
    strengths : tuple of float
        Descending; the last is 0.
    auc : numpy.ndarray
        ``(seeds, strengths)``.
    """

    seeds: tuple[int, ...]
    strengths: tuple[float, ...]
    auc: np.ndarray

    @property
    def limits(self) -> list[float | None]:
        """The limit on each fragment; None where not even the strongest ink was found."""
        return [limit(self.strengths, row) for row in self.auc]

    def summary(self) -> dict:
        """All figures, JSON-able."""
        reached = [value for value in self.limits if value is not None]
        whole = len(reached) == len(self.seeds)
        return {
            "target": TARGET,
            "seeds": list(self.seeds),
            "strengths": list(self.strengths),
            "auc": self.auc.tolist(),
            "mean_auc": self.auc.mean(axis=0).tolist(),
            "limits": self.limits,
            "reached": len(reached),
            "limit": spread(reached) if whole else None,
            "auc_without_ink": spread(self.auc[:, -1]),
        }


def measure(
    network: InkNetwork,
    seeds: Sequence[int],
    strengths: Sequence[float],
    fragments: SyntheticConfig,
    settings: PredictionSettings = PredictionSettings(),  # noqa: B008 (frozen)
) -> DetectionLimit:
    """Predict every seed at every strength.

    Parameters
    ----------
    network : InkNetwork
        With its metadata.
    seeds, strengths : sequence
        Of the fragments, and of their ink; 0 is added.
    fragments : SyntheticConfig
        Their size, and where they are kept.
    settings : PredictionSettings

    Raises
    ------
    SettingsError
        If the checkpoint has seen one of the seeds.
    """
    strengths = tuple(sorted({*map(float, strengths), 0.0}, reverse=True))
    seeds = tuple(dict.fromkeys(map(int, seeds)))
    if not seeds or strengths == (0.0,):
        raise SettingsError("nothing to measure on", "give one seed and one strength above 0")
    seen = sorted(seen_seeds(network.info) & set(seeds))
    if seen:
        raise SettingsError(
            f"the checkpoint has seen {', '.join(map(str, seen))}", "choose other --seeds"
        )
    known = {entry.get("fingerprint") for entry in network.info.dataset}
    wanted = [(seed, strength) for seed in seeds for strength in strengths]
    found = []
    for (seed, _), fragment in zip(wanted, simulated_at(fragments, wanted), strict=True):
        if fragment.fingerprint() in known:
            raise SettingsError(f"the checkpoint has seen {seed}", "choose other --seeds")
        found.append(metrics.auc(count(network, fragment, settings)))
    return DetectionLimit(seeds, strengths, np.array(found).reshape(len(seeds), -1))


def count(
    network: InkNetwork,
    fragment: Fragment,
    settings: PredictionSettings = PredictionSettings(),  # noqa: B008 (frozen)
) -> Histogram:
    """Probability by label within the mask of a simulated fragment, predicted as a reader would."""
    label, mask = np.asarray(fragment.label), np.asarray(fragment.mask)
    histogram = Histogram()
    for done in predict(fragment, network, settings, notice=lambda line: None):
        histogram.add(done.probability, label[done.box.slices], mask[done.box.slices])
    return histogram
