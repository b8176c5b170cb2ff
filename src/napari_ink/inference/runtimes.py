"""One callable for every way to run a folded network: normalised tiles in, probabilities out."""

from __future__ import annotations

import logging
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import rich
import torch
import torch.nn.functional as F
from torch import nn

from napari_ink.errors import SettingsError
from napari_ink.inference.device import DTYPES, release


class Runtime(ABC):
    """Runs a network on batches of tiles.

    Attributes
    ----------
    seconds : float
        Time spent in the network so far.
    report : dict
        What the result's provenance should say of the runtime; JSON-able.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.report: dict = {}

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """Run one batch.

        Parameters
        ----------
        tiles : numpy.ndarray
            ``(batch, 1, z, y, x)`` float32, normalised.

        Returns
        -------
        numpy.ndarray
            Probabilities, float32, ``(batch, y, x)`` or ``(batch, z, y, x)``.
        """
        start = time.perf_counter()
        probability = self._run(tiles)
        self.seconds += time.perf_counter() - start
        return probability

    def buffer(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array for a batch, from memory that this runtime reads fastest; not initialised."""
        return np.empty(shape, np.float32)

    @abstractmethod
    def _run(self, tiles: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def close(self) -> None:
        """Let go of the network and its memory."""


class Probability(nn.Module):
    """A folded network whose output is probability at full resolution.

    Sigmoid comes first, then the interpolation of strided maps, as the published networks do.
    """

    def __init__(self, network: nn.Module, output_stride: int) -> None:
        super().__init__()
        self.network = network
        self.output_stride = output_stride

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """``(batch, 1, z, y, x)`` to ``(batch, 1 or z, y, x)`` in [0, 1]."""
        probability = torch.sigmoid(self.network(volume).float())
        if self.output_stride > 1:
            probability = F.interpolate(
                probability, scale_factor=float(self.output_stride), mode="bilinear"
            )
        return probability


class TorchRuntime(Runtime):
    """PyTorch on the CPU, CUDA or MPS.

    Parameters
    ----------
    network : Probability
    device, precision : str
        Resolved; less than fp32 runs under autocast.
    """

    def __init__(self, network: Probability, device: str, precision: str) -> None:
        super().__init__()
        self.device = torch.device(device)
        self.precision = precision
        self._network = network.eval().requires_grad_(False)
        for module in self._network.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                module.to(memory_format=torch.channels_last_3d)
        self._network.to(self.device)

    def buffer(self, shape: tuple[int, ...]) -> np.ndarray:
        """Page-locked memory for CUDA, which copies from it without waiting."""
        if self.device.type == "cuda":
            return torch.empty(shape, pin_memory=True).numpy()
        return super().buffer(shape)

    @torch.inference_mode()
    def _run(self, tiles: np.ndarray) -> np.ndarray:
        volume = torch.from_numpy(tiles).to(self.device, non_blocking=True)
        with torch.autocast(
            self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32"
        ):
            probability = self._network(volume)
        return _as_maps(probability.float().cpu().numpy())

    def close(self) -> None:
        """Delete the network, empty the device's cache."""
        self._network = None
        release(self.device.type)


class OpenVINORuntime(Runtime):
    """OpenVINO on the CPU.

    Parameters
    ----------
    network : Probability
    depth : int
        Layers of the input.
    precision : str
        ``fp32`` or ``bf16``.
    """

    def __init__(self, network: Probability, depth: int, side: int, precision: str) -> None:
        super().__init__()
        openvino = import_openvino()
        network.eval().requires_grad_(False)
        example = torch.zeros(1, 1, depth, side, side)
        self._core = openvino.Core()
        with _muted():
            self._model = openvino.convert_model(network, example_input=example)
        self._precision = {"fp32": "f32", "bf16": "bf16"}[precision]
        self._shape: tuple[int, ...] | None = None
        self._request = None

    def _run(self, tiles: np.ndarray) -> np.ndarray:
        if tiles.shape != self._shape:
            self._compile(tiles.shape)
        result = self._request.infer([tiles], share_inputs=True)
        return _as_maps(result[0])

    def _compile(self, shape: tuple[int, ...]) -> None:
        """Compile for one shape: oneDNN plans its convolutions for sizes that it knows."""
        self._request = None
        self._model.reshape(list(shape))
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": self._precision}
        self._request = self._core.compile_model(self._model, "CPU", options).create_infer_request()
        self._shape = shape

    def quantise(self, calibration: Sequence[np.ndarray], check: Sequence[np.ndarray]) -> None:
        """Turn the network to int8 and report what that changes.

        Parameters
        ----------
        calibration : sequence of numpy.ndarray
            Tiles, ``(1, 1, z, y, x)``, of one shape, from which the ranges of the feature maps
            are taken.
        check : sequence of numpy.ndarray
            Other tiles, on which int8 is compared with fp32.
        """
        with _muted():
            import nncf

        exact = [self._run(tile) for tile in check]
        self._request, self._shape = None, None
        self._model.reshape(list(calibration[0].shape))
        nncf.set_log_level(logging.ERROR)
        with _muted():
            self._model = nncf.quantize(
                self._model,
                nncf.Dataset(list(calibration)),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(calibration),
            )
        change = np.concatenate(
            [
                np.abs(self._run(tile) - before).ravel()
                for tile, before in zip(check, exact, strict=True)
            ]
        )
        self.report = {
            "calibration_tiles": len(calibration),
            "checked_tiles": len(check),
            "tile": list(calibration[0].shape[2:]),
            "mean_change": float(change.mean()),
            "change_p99": float(np.quantile(change, 0.99)),
            "largest_change": float(change.max()),
        }

    def close(self) -> None:
        """Delete the compiled network."""
        self._request = self._model = self._core = None
        release("cpu")


def _as_maps(probability: np.ndarray) -> np.ndarray:
    """``(batch, 1, y, x)`` as ``(batch, y, x)``; volumes as they are."""
    return probability[:, 0] if probability.shape[1] == 1 else probability


@contextmanager
def _muted() -> Iterator[None]:
    """Nothing of what libraries tell the screen while they convert and calibrate.

    They warn of their own ways of calling torch, of a CUDA that nobody asked for, and draw
    progress bars over ours. Errors are raised, as ever.
    """
    console, extensions = rich.get_console(), logging.getLogger("torch.utils.cpp_extension")
    quiet, level = console.quiet, extensions.level
    console.quiet = True  # where nncf draws its bars; it has no switch for them
    extensions.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        console.quiet = quiet
        extensions.setLevel(level)


def import_openvino():
    """The module, or what to install."""
    # Its scheduler tells the screen where it cannot see the processor's layout, as in a container.
    os.environ.setdefault("HWLOC_HIDE_ERRORS", "2")
    try:
        import openvino
    except ImportError as error:
        raise SettingsError(
            "the runtime openvino is not installed", "pip install 'napari-ink[openvino]'"
        ) from error
    return openvino
