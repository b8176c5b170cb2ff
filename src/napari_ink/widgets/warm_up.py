"""Imports torch in the background once the dock is open, so that Predict need not wait for it."""

from __future__ import annotations

import sys
from collections.abc import Callable

from superqt.utils import create_worker


def keep_triton_out() -> None:
    """Let torch do without triton where loading it would kill the process.

    Mesa's software and AMD drivers load LLVM with global symbols; triton brings its own LLVM and
    crashes on being loaded after it. Only compiled CUDA kernels need triton, and NVIDIA's OpenGL
    driver has no LLVM: nothing is lost where it can be used.
    """
    if "triton" not in sys.modules and _mesa_llvm_is_loaded():
        sys.modules["triton"] = None  # importing it now raises ImportError, which torch expects


def _mesa_llvm_is_loaded() -> bool:
    try:
        with open("/proc/self/maps") as maps:
            return any("libLLVM" in line for line in maps)
    except OSError:  # not Linux
        return False


def import_torch() -> tuple[str, ...]:
    """Import what predicting needs and tell which devices there are.

    Runs in a worker thread; touches no Qt.
    """
    keep_triton_out()
    import torch

    import napari_ink.inference.predict
    import napari_ink.models.checkpoint  # noqa: F401

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ("cpu", *(name for name, present in there.items() if present))


def warm_up(on_devices: Callable[[tuple[str, ...]], None]) -> None:
    """Start the import; ``on_devices`` is called in the main thread."""
    create_worker(import_torch, _connect={"returned": on_devices}, _ignore_errors=True)
