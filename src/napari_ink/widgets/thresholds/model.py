"""What the Thresholds dock is about, without Qt: cuts, what they score, and the way back."""

from __future__ import annotations

import numpy as np
from psygnal import Signal

from napari_ink.analysis.fitting import Fitted, fit_cuts
from napari_ink.analysis.layer_histograms import NONE
from napari_ink.analysis.parts import Part
from napari_ink.analysis.thresholds import METRICS
from napari_ink.widgets.thresholds.counted import Counted, Scope
from napari_ink.widgets.thresholds.score_curve import Curve, score_curve

_MOST_STEPS_BACK = 100


class ThresholdsModel:
    """Cuts of the layers of one prediction.

    Signals
    -------
    moved
        Cuts are others now.
    changed
        Anything else is: prediction, counts, metric, kind of cut.

    Attributes
    ----------
    names : tuple of str
        Of the layers.
    cuts : tuple of float
        Where ink begins in each; infinite: none.
    positions : tuple of float
        What the sliders show: the cuts, or percentiles.
    active : int or None
        The layer that was moved last; ``None``: all of them together.
    metric : str
    by_percentile : bool
    scope : Scope
    counted : Counted or None
        ``None`` while the prediction is being counted.
    fitted, one : Fitted or None
        What *Optimise* found, while the cuts are still those, and the best single cut for all
        layers where there are several.
    """

    moved = Signal()
    changed = Signal()

    def __init__(self, metric: str = "f05", by_percentile: bool = False) -> None:
        self.names: tuple[str, ...] = ()
        self.cuts: tuple[float, ...] = ()
        self.positions: tuple[float, ...] = ()
        self.active: int | None = None
        self.master = 0.5
        self.metric = metric if metric in METRICS else "f05"
        self.by_percentile = by_percentile
        self.scope = Scope.PAPYRUS
        self.counted: Counted | None = None
        self.fitted: Fitted | None = None
        self.one: Fitted | None = None
        self._back: list[tuple[float, ...] | object] = []
        self._moving: object = self

    # --- the prediction ---------------------------------------------------------------------

    def choose(self, names: tuple[str, ...], cuts: tuple[float, ...]) -> None:
        """Take another prediction, at the cuts that it came with."""
        self.names, self.cuts = names, cuts
        self.counted, self.fitted, self.active = None, None, None
        self._back.clear()
        self.settle()
        self._place()
        self.changed.emit()

    def forget_counts(self) -> None:
        """Scope or label are others: wait for new counts."""
        self.counted = self.fitted = None
        self.changed.emit()

    def take_counts(self, counted: Counted) -> None:
        """What was counted; scores are possible from now on."""
        self.counted, self.fitted = counted, None
        self._place()
        self.changed.emit()

    @property
    def can_score(self) -> bool:
        """Whether there is a label to score against."""
        return self.counted is not None and self.counted.labelled

    @property
    def percentiles(self) -> bool:
        """Whether sliders show percentiles: chosen, or all that there is without a label."""
        return self.counted is not None and (self.by_percentile or not self.counted.labelled)

    def choose_metric(self, metric: str) -> None:
        """What to maximise and to draw."""
        self.metric = metric
        self.changed.emit()

    def choose_kind(self, by_percentile: bool) -> None:
        """Show cuts as probabilities or as percentiles; the cuts stay."""
        self.by_percentile = by_percentile
        self._place()
        self.changed.emit()

    # --- cuts -------------------------------------------------------------------------------

    def move(self, layer: int | None, position: float) -> None:
        """A slider moved: that of a layer, or (``None``) of all layers."""
        if self._moving != ("slider", layer):
            self._remember()
            self._moving = ("slider", layer)
        which = range(len(self.cuts)) if layer is None else (layer,)
        positions, cuts = list(self.positions), list(self.cuts)
        taken = self.counted.whole.cuts_at(position) if self.percentiles else None
        for k in which:
            positions[k] = position
            cuts[k] = position if taken is None else float(taken[k])
        if layer is None:
            self.master = position
        self.positions, self.cuts = tuple(positions), tuple(cuts)
        self.active, self.fitted = layer, None
        self.moved.emit()

    def settle(self) -> None:
        """The slider was let go: the next move is another step to undo."""
        self._moving = self

    def optimise(self) -> None:
        """The best cuts on the part to fit on.

        Raises
        ------
        FragmentError
            When the label has no ink there.
        """
        counted = self.counted
        if counted is None or not counted.labelled:
            return
        several = len(self.cuts) > 1
        one, fitted = (
            fit_cuts(counted.fit, counted.report, list(self.names), self.metric, per_layer,
                     counted.parts)
            for per_layer in (False, several)
        )  # fmt: skip
        self._remember()
        self.settle()
        self._set(tuple(map(float, fitted.cuts)))
        self.fitted, self.one, self.active = fitted, one if several else None, None
        self.moved.emit()

    def made(self, thing: object) -> None:
        """Something was made that one may want to take back."""
        self._back.append(thing)
        self.settle()
        self.moved.emit()

    @property
    def can_undo(self) -> bool:
        """Whether there is a way back."""
        return bool(self._back)

    def undo(self) -> object | None:
        """Go one step back; what was made by that step is returned, for whoever removes it."""
        if not self._back:
            return None
        last = self._back.pop()
        self.settle()
        thing = None
        if isinstance(last, tuple):
            self._set(last)
            self.fitted = None
        else:
            thing = last
        self.moved.emit()
        return thing

    def _remember(self) -> None:
        self._back.append(self.cuts)
        del self._back[:-_MOST_STEPS_BACK]

    def _set(self, cuts: tuple[float, ...]) -> None:
        self.cuts = cuts
        self._place()

    def _place(self) -> None:
        """Sliders to where the cuts are."""
        shown = np.array(self.cuts)
        if self.percentiles and len(shown):
            shown = self.counted.whole.percentiles_of(shown)
        top = 100.0 if self.percentiles else 1.0
        self.positions = tuple(float(p) for p in np.minimum(shown, top))
        some = [p for p, cut in zip(self.positions, self.cuts, strict=True) if cut < NONE]
        self.master = float(np.median(some)) if some else top

    # --- what they score ----------------------------------------------------------------------

    @property
    def scores(self) -> dict[str, float]:
        """``iou f05 f1 precision recall`` of the scope at the cuts; empty without a label."""
        return self.counted.live.scores(np.array(self.cuts)) if self.can_score else {}

    def curve(self) -> Curve | None:
        """The metric over all positions of the slider that was moved last."""
        if not self.can_score:
            return None
        layer = self.active
        x, y = score_curve(self.counted, self.cuts, layer, self.metric, self.percentiles)
        of = "all layers" if layer is None and len(self.cuts) > 1 else ""
        if layer is not None:
            of = self.names[layer]
        at = self.master if layer is None else self.positions[layer]
        return Curve(x, y, at, self.scores[self.metric], of)

    def kept(self) -> Fitted:
        """The cuts as a record: found by *Optimise*, or set by hand and scored where one looks."""
        if self.fitted is not None:
            return self.fitted
        scores = self.scores
        where = self.counted.parts[0]
        if self.counted.scope is not Scope.SHAPE:
            where = Part()
        return Fitted(np.array(self.cuts), list(self.names), True, "", where, where, scores, scores)
