"""A prediction as counted for the Thresholds dock: where, against what, how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from napari_ink.analysis.layer_histograms import LayerHistograms
from napari_ink.analysis.parts import Part


class Scope(StrEnum):
    """Where scores are counted."""

    PAPYRUS = "papyrus"
    WHOLE = "whole"
    SHAPE = "shape"


@dataclass(frozen=True, eq=False)
class Counted:
    """A prediction counted in two parts, one to fit on and one to report on.

    Attributes
    ----------
    fit, report : LayerHistograms
    parts : tuple of Part
        Where they were counted.
    said : tuple of str
        What to call the parts: ``left half``.
    scope : Scope
    labelled : bool
        Whether there was a label.
    finished : float
        Share of the prediction that was there, in [0, 1].
    """

    fit: LayerHistograms
    report: LayerHistograms
    parts: tuple[Part, Part]
    said: tuple[str, str]
    scope: Scope = Scope.PAPYRUS
    labelled: bool = True
    finished: float = 1.0

    @cached_property
    def whole(self) -> LayerHistograms:
        """Both parts, of which percentiles are."""
        return self.fit + self.report

    @property
    def live(self) -> LayerHistograms:
        """What the scores on the screen are of: a drawn region, or both parts."""
        return self.fit if self.scope is Scope.SHAPE else self.whole
