"""How fast a runtime computes the convolutions of a network one by one, at their shapes in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import nn

#: What OpenVINO's profile calls them.
NODES = ("Convolution", "ConvolutionBackpropData", "Deconvolution")
KINDS = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d


class Convolutions:
    """A network, and its convolutions each ready to be run alone.

    For OpenVINO all times come from the runtime's own profile, of every node for the network and
    of the convolution's node for a layer: inside the network maps stay in the order of memory that
    convolutions work in, while a layer alone pays for reordering what it is given and returns.

    Parameters
    ----------
    network : nn.Module
        Folded.
    depth, tile : int
        Layers and side of its input.
    openvino : bool
        In OpenVINO, otherwise in PyTorch.
    """

    def __init__(self, network: nn.Module, depth: int, tile: int, openvino: bool) -> None:
        prepare = _in_openvino if openvino else _in_torch
        self._network = prepare(network, (1, 1, depth, tile, tile), {})
        self._layers: dict[tuple, tuple[Callable[[], float], int]] = {}
        for module, shape in layer_shapes(network, depth, tile):
            key = (type(module), shape, tuple(module.weight.shape), module.stride)
            run, count = self._layers.get(key) or (prepare(module, shape, NODES), 0)
            self._layers[key] = run, count + 1

    def network_seconds(self) -> float:
        """Seconds of the network, the better of two calls."""
        return min(self._network(), self._network())

    def seconds(self) -> float:
        """Seconds of all convolutions, one by one; one that occurs twice counts twice.

        The better of two calls: in the network, what a layer reads has only just been written.
        """
        return sum(count * min(run(), run()) for run, count in self._layers.values())


def layer_shapes(
    network: nn.Module, depth: int, tile: int
) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """Each convolution with the shape of its input, in the order in which they run."""
    found: list[tuple[nn.Module, tuple[int, ...]]] = []
    hooks = [
        module.register_forward_pre_hook(lambda m, inputs: found.append((m, (*inputs[0].shape,))))
        for module in network.modules()
        if isinstance(module, KINDS)
    ]
    state = {
        name: torch.empty_like(value, device="meta")
        for name, value in (*network.named_parameters(), *network.named_buffers())
    }
    torch.func.functional_call(
        network, state, (torch.empty(1, 1, depth, tile, tile, device="meta"),)
    )
    for hook in hooks:
        hook.remove()
    return found


def _in_openvino(
    module: nn.Module, shape: tuple[int, ...], nodes: Collection[str]
) -> Callable[[], float]:
    """Run a module and sum its nodes' times; of the types named, if any are."""
    import openvino

    sides = [64, 64] if shape[1] == 1 else [8, 8]
    model = openvino.convert_model(module, example_input=torch.zeros((*shape[:-2], *sides)))
    model.reshape(list(shape))
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "PERF_COUNT": True,
    }
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    request.infer([np.random.default_rng(0).random(shape, dtype=np.float32)])

    def run() -> float:
        request.infer()  # the same input again
        return sum(
            node.real_time.total_seconds()
            for node in request.profiling_info
            if not nodes or node.node_type in nodes
        )

    return run


def _in_torch(
    module: nn.Module, shape: tuple[int, ...], nodes: Collection[str]
) -> Callable[[], float]:
    """Run a module and time it."""
    volume = torch.rand(shape)
    if len(shape) == 5:  # as TorchRuntime has them
        module.to(memory_format=torch.channels_last_3d)
        volume = volume.contiguous(memory_format=torch.channels_last_3d)

    @torch.inference_mode()
    def run() -> float:
        start = time.perf_counter()
        module(volume)
        return time.perf_counter() - start

    run()
    return run
