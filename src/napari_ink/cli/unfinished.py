"""What the commands say of a prediction that is not finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_ink.inference.store import PredictionStore


def unfinished_words(store: PredictionStore) -> str | None:
    """How far it is; ``None`` for a finished one."""
    if store.finished >= 1:
        return None
    share = f"only {store.finished:.0%}"
    if store.samples is None:
        return f"{share} of {store.path} is predicted so far"
    from napari_ink.analysis.doubt_maps import passes_word

    return f"{share} of the blocks of {store.path} have all their {passes_word(store)} so far"
