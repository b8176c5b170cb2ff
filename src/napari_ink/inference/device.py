"""Devices: which one, at what precision, how much memory it has and what a network takes of it."""

from __future__ import annotations

import gc
import os
import weakref
from dataclasses import dataclass

import torch
from torch import nn

from napari_ink.errors import SettingsError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
RUNTIMES = ("torch", "openvino", "openvino-int8")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(wanted: str, runtime: str) -> tuple[str, str | None]:
    """The device to run on, and what to tell the user about it.

    Returns
    -------
    device : str
        ``cpu``, ``cuda`` or ``mps``.
    warning : str or None

    Raises
    ------
    SettingsError
        When the device is unknown, absent, or not one of the runtime's.
    """
    if wanted not in DEVICES:
        raise SettingsError(f"device {wanted!r} is unknown", f"choose one of {', '.join(DEVICES)}")
    if runtime.startswith("openvino"):
        if wanted not in ("auto", "cpu"):
            raise SettingsError(
                f"the runtime {runtime} does not run on {wanted}",
                f"choose --device cpu, or --runtime torch for {wanted}",
            )
        return "cpu", None
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        device = next(name for name, there in present.items() if there)
        return device, "no GPU was found: predicting on the CPU" if device == "cpu" else None
    if not present[wanted]:
        raise SettingsError(
            f"no {wanted} device was found", "choose --device cpu, or install its driver and torch"
        )
    return wanted, None


def resolve_precision(wanted: str, device: str) -> str:
    """``auto`` is fp32 on the CPU, bf16 where CUDA has it, fp16 on other GPUs.

    Raises
    ------
    SettingsError
        When the precision is unknown or the device cannot compute at it.
    """
    if wanted not in PRECISIONS:
        raise SettingsError(
            f"precision {wanted!r} is unknown", f"choose one of {', '.join(PRECISIONS)}"
        )
    if wanted == "auto":
        if device == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return "fp16" if device == "mps" else "fp32"
    if device == "cpu" and wanted == "fp16":
        raise SettingsError("the CPU does not compute in fp16", "choose --precision bf16 or fp32")
    return wanted


def free_memory(device: str) -> int:
    """Bytes that a prediction may count on."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    try:
        with open("/proc/meminfo") as lines:  # what the kernel could hand out, caches included
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return 4 << 30


@dataclass(frozen=True)
class NetworkCost:
    """What a pixel of a network's input costs.

    Attributes
    ----------
    bytes_per_pixel : float
        Peak of live feature maps in fp32, for all layers over one pixel of the plane.
    macs_per_pixel : float
        Multiply-accumulates.
    """

    bytes_per_pixel: float
    macs_per_pixel: float


def network_cost(network: nn.Module, depth: int, side: int) -> NetworkCost:
    """Measure a network on the smallest input that it takes; all costs are per pixel.

    Hooks on its layers do the counting. Torch's meta device and its own counters would do without
    running anything, but what they import takes two seconds, longer than the smallest input.

    Parameters
    ----------
    network : nn.Module
        Folded: ``(batch, 1, z, y, x)`` to anything.
    depth, side : int
        Layers and side of the input to try.
    """
    volume = torch.zeros(1, 1, depth, side, side)
    count = _Count()
    layers = [module for module in network.modules() if not any(module.children())]
    hooks = [layer.register_forward_pre_hook(count.before) for layer in layers]
    hooks += [layer.register_forward_hook(count.after) for layer in layers]
    try:
        with torch.inference_mode():
            network(volume)
    finally:
        for hook in hooks:
            hook.remove()
    area = side * side
    return NetworkCost(count.peak / area, count.macs / area)


class _Count:
    """Multiply-accumulates of layers, and the bytes of their maps that live at once."""

    def __init__(self) -> None:
        self.macs = 0
        self.live = 0
        self.peak = 0
        self._known: weakref.WeakSet = weakref.WeakSet()

    def before(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """Follow what a layer is given: also what was joined or padded between two layers."""
        self._follow(inputs[0].untyped_storage())

    def after(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor):
        """Follow what a layer gives, and count what it took."""
        if isinstance(output, tuple):
            return  # maps handed on as they are
        self._follow(output.untyped_storage())
        weight = getattr(layer, "weight", None)
        if weight is None:
            return
        transposed = isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d)
        # A weight is used once at each place of the map that it is laid on.
        places = (inputs[0] if transposed else output)[0, 0].numel() * len(output)
        self.macs += weight.numel() * places

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._known:
            self._known.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._end, storage.nbytes())

    def _end(self, size: int) -> None:
        self.live -= size


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of a runtime or an allocator means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text
        for words in ("out of memory", "can't allocate memory", "bad_alloc", "failed to allocate")
    )


def release(device: str) -> None:
    """Hand the device's memory back after the network is gone."""
    if device == "cpu":
        return  # freed with the last reference
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
