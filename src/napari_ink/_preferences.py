"""What the user set under Preferences ▸ napari-ink; the dock writes its own choices back there."""

from __future__ import annotations

from dataclasses import dataclass

PLUGIN = "napari-ink"


@dataclass(frozen=True)
class Preferences:
    """One reading of the Preferences page; defaults hold where the page cannot be reached.

    Attributes
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    tile : int
        Pixels; 0: chosen by the plan.
    checkpoint_folder, store_folder : str
        Empty: none, and beside the fragment.
    checkpoint : str
        Path of the checkpoint used last.
    inverted_grey : bool
        Ink dark on light in place of inferno.
    samples : int
        Sub-networks to average over; 1: a single pass.
    tolerance : float
        Standard error at which a block has enough samples; 0: none.
    dropout, gate_noise : float
        Of the samples; −1: as the checkpoint was trained.
    seed : int
        Of the samples.
    symmetries : str
        ``none``, ``turns``, ``flips`` or ``all``.
    threshold_metric : str
        ``f05``, ``iou`` or ``f1``.
    threshold_percentile : bool
        Cut at percentiles in place of probabilities.
    threshold_scope : str
        ``papyrus`` or ``whole``.
    places : int
        Most uncertain places to find.
    places_by : str
        ``spread``, ``information`` or ``decision``.
    """

    device: str = "auto"
    tile: int = 0
    checkpoint_folder: str = ""
    store_folder: str = ""
    checkpoint: str = ""
    inverted_grey: bool = False
    samples: int = 1
    tolerance: float = 0.0
    dropout: float = -1.0
    gate_noise: float = -1.0
    seed: int = 0
    symmetries: str = "none"
    threshold_metric: str = "f05"
    threshold_percentile: bool = False
    threshold_scope: str = "papyrus"
    places: int = 20
    places_by: str = "spread"


def _page():
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN).prediction
    except (KeyError, AttributeError):  # run from a checkout that was never installed
        return None


def read_preferences() -> Preferences:
    """The current values."""
    page = _page()
    if page is None:
        return Preferences()
    return Preferences(**{name: getattr(page, name) for name in Preferences.__dataclass_fields__})


def remember(**values: object) -> None:
    """Write values back to the Preferences page, which saves itself."""
    page = _page()
    if page is None:
        return
    for name, value in values.items():
        if getattr(page, name) != value:
            setattr(page, name, value)
