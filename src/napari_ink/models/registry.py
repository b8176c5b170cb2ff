"""Networks by name: what a checkpoint needs to build its network again."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_ink.errors import SettingsError

if TYPE_CHECKING:
    from napari_ink.models.contract import InkNetwork

#: Name to ``module:class``, imported on demand.
ARCHITECTURES = {"repmode": "napari_ink.models.repmode:RepMode"}

#: Those with gated convolutions, of which samples can be drawn.
GATED = ("repmode",)


def build(architecture: str, arguments: dict) -> InkNetwork:
    """A fresh network.

    Parameters
    ----------
    architecture : str
        One of :data:`ARCHITECTURES`.
    arguments : dict
        Keyword arguments of its class.

    Raises
    ------
    SettingsError
        For an unknown architecture or arguments that it does not take.
    """
    if architecture not in ARCHITECTURES:
        raise SettingsError(
            f"unknown architecture {architecture!r}", f"choose one of {', '.join(ARCHITECTURES)}"
        )
    module, name = ARCHITECTURES[architecture].split(":")
    network = getattr(import_module(module), name)
    try:
        return network(**arguments)
    except TypeError as error:
        raise SettingsError(
            f"{architecture} does not take these arguments ({error})",
            f"see the documentation of {name}",
        ) from error
