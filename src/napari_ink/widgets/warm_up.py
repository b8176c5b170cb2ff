"""Imports torch in the background once the dock is open, so that Predict need not wait for it."""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

from superqt.utils import WorkerBase, create_worker


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


def load_torch_libraries() -> None:
    """Load torch's shared libraries without holding Python's lock.

    ``import torch`` holds it for half a second while they are loaded, and the window stands still
    as long. A foreign function call does not; the import then finds them loaded.
    """
    torch = importlib.util.find_spec("torch")
    if sys.platform != "linux" or torch is None or "torch" in sys.modules:
        return
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    # In torch's own order and modes; whatever fails here is torch's to load and to report.
    for name, mode in (
        ("libtorch_global_deps.so", os.RTLD_GLOBAL),
        ("libtorch_python.so", os.RTLD_LOCAL),
    ):
        path = Path(torch.origin).parent / "lib" / name
        if path.exists():
            dlopen(os.fsencode(path), os.RTLD_NOW | mode)


def import_torch() -> tuple[str, ...]:
    """Import what predicting needs and tell which devices there are.

    Runs in a worker thread; touches no Qt.
    """
    keep_triton_out()
    load_torch_libraries()
    import torch

    import napari_ink.inference.predict
    import napari_ink.models.checkpoint  # noqa: F401

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ("cpu", *(name for name, present in there.items() if present))


def warm_up(on_devices: Callable[[tuple[str, ...]], None]) -> None:
    """Start the import; ``on_devices`` is called in the main thread."""
    # napari waits for workers when its event loop ends. A script without one ends under them, and
    # a worker that reports to what Qt has deleted aborts the process.
    atexit.register(WorkerBase.await_workers)
    create_worker(import_torch, _connect={"returned": on_devices}, _ignore_errors=True)
