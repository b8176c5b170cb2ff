"""napari-ink: see, trust and tune the ink of carbonised papyri.

The public surface, loaded on first use so that a menu click never waits for torch:

- :func:`open_fragment` opens any supported layout as a lazily read ``Fragment``.
- :func:`load_checkpoint` loads a network with its metadata as ``.info``.
- :func:`predict` yields finished blocks of the ink map, one by one.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

_EXPORTS = {
    "open_fragment": "napari_ink.volumes.layouts",
    "load_checkpoint": "napari_ink.models.checkpoint",
    "predict": "napari_ink.inference.predict",
}

__all__ = ["__version__", *_EXPORTS]

try:
    __version__ = version("napari-ink")
except PackageNotFoundError:  # a checkout on sys.path that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
