"""Writer hooks: an ink layer as a copy of its store with all provenance, or as a picture."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ink.errors import InkError, StoreError

if TYPE_CHECKING:
    from napari_ink.inference.store import PredictionStore


class NotInkError(InkError):
    """A layer that no prediction of ours fills."""


def _store_of(attributes: dict[str, Any], *, picture: bool = False) -> PredictionStore:
    from napari_ink._layers import DOUBTS, KEY
    from napari_ink.inference.store import PredictionStore

    name = attributes.get("name", "the layer")
    mine = attributes.get("metadata", {}).get(KEY) or {}
    role = mine.get("role")
    if picture and role in DOUBTS:
        raise NotInkError(
            f"{name} tells how sure ink is, which makes no ink picture",
            "select its ink, or save with one of napari's own formats",
        )
    if role not in ("ink", *DOUBTS):
        raise NotInkError(
            f"{name} is no ink prediction",
            "select an ink layer, or save with one of napari's own formats",
        )
    if not mine["store"]:
        raise StoreError(f"{name} holds no prediction yet", "wait for the first block")
    path = Path(mine["store"])
    if not path.exists():
        raise StoreError(f"{path} is gone", "predict again")
    return PredictionStore.open(path)


def write_store(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Copy the store that the layer is an image of, with all others, as far as it is finished."""
    source, target = _store_of(attributes).path, Path(path)
    if source.resolve() == target.resolve():
        return [str(target)]
    if target.exists():
        raise StoreError(f"{target} exists", "choose another name")
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".lock", "*.partial"))
    except OSError as error:
        raise StoreError(f"{target} cannot be written ({error})", "choose another place") from error
    return [str(target)]


def write_picture(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the probability of ink as grey levels (.png) or as floats with a scale (.tif)."""
    from napari_ink.inference.export import write_png, write_tiff

    store = _store_of(attributes, picture=True)
    write = write_png if path.lower().endswith(".png") else write_tiff
    write(store, path)
    return [path]
