"""What is averaged and how, from one session to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_ink._preferences import Preferences, remember

if TYPE_CHECKING:
    from napari_ink.widgets.predict.model import PredictModel

_KEPT = ("samples", "tolerance", "dropout", "gate_noise", "seed", "symmetries")
_AS_TRAINED = -1.0  # on the Preferences page, which has no empty numbers


def samples_in(preferences: Preferences) -> dict[str, Any]:
    """How it was done last, as a :class:`PredictModel` takes it."""
    kept = {name: getattr(preferences, name) for name in _KEPT}
    for name in ("dropout", "gate_noise"):
        kept[name] = None if kept[name] < 0 else kept[name]
    return kept


def remember_samples(model: PredictModel) -> None:
    """Write down how it is done now."""
    now = {name: getattr(model, name) for name in _KEPT}
    remember(**{name: _AS_TRAINED if value is None else value for name, value in now.items()})
