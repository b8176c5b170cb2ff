"""Speed of prediction: against the published path, MONAI's inferer, and the convolutions alone.

    python benchmarks/predict.py --json

One network with random weights (RepMode, m = 32, 64 layers) and a few tiles of each; every ratio
is of two measurements of one run. About six minutes on two quiet cores.

vs_published        pixels/s, ours (fastest fp32 runtime) : published evaluation path (64³ tiles,
                    stride 32, centre crop, experts merged in every forward, batch norm apart)
vs_published_int8   the same with openvino-int8
vs_monai            papyrus pixels/s over a masked fragment, ours : MONAI's inferer, both running
                    the folded network (m = 32, 16 layers) in PyTorch with tiles of one size
network_share       share of a prediction's wall time that is spent in the network
conv_rate_share     time of the network's convolutions run one by one, in the same runtime at the
                    same shapes : time of the network
halo_change         largest change of probability in a block with the chosen halo against wide
                    context
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from published import published
from torch import nn

from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.runtimes import OpenVINORuntime, Probability, Runtime, TorchRuntime
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.models.repmode import RepMode
from napari_ink.volumes.fragment import Fragment

BUDGETS = {
    "vs_published": 6.0,
    "vs_published_int8": 15.0,
    "vs_monai": 1.2,
    "network_share": 0.90,
    "conv_rate_share": 0.85,
}
HALO = 16  # px: the context of the published path, (64 - 32) / 2


def random_model(width: int, depth: int) -> RepMode:
    """RepMode with random weights and the metadata that a prediction asks for."""
    torch.manual_seed(0)
    model = RepMode(width=width, levels=4, depth=depth, decoder="3d", collapse="conv2d").eval()
    model.halo = HALO
    model.info = CheckpointInfo.of(model, recipe={"kind": "fixed"}, voxel_size=8.0, window=64)
    return model.requires_grad_(False)


def random_fragment(depth: int, height: int, width: int, mask=None) -> Fragment:
    """Noise."""
    volume = np.random.default_rng(0).integers(0, 255, (depth, height, width), dtype=np.uint8)
    return Fragment.from_array(volume, voxel_size=8.0, mask=mask)


def seconds(call: Callable[[], object], repeats: int = 2) -> float:
    """Shortest of a few calls, after one to warm up."""
    call()
    return min(_once(call) for _ in range(repeats))


def _once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def published_rate(model: RepMode, depth: int) -> float:
    """Pixels/s of the published path: of each 64 × 64 tile the central 32 × 32 count."""
    network = published(model)
    volume, task = torch.rand(1, 1, depth, 64, 64), torch.zeros(1, dtype=torch.int64)

    @torch.inference_mode()
    def tile():
        return torch.sigmoid(network(volume, task))[..., 16:48, 16:48].numpy()

    return 32 * 32 / seconds(tile)


def our_rate(model: RepMode, fragment: Fragment, **settings) -> tuple[float, float, dict]:
    """Predicted pixels/s of a whole prediction with a store, and the network's share of the time.

    Measured from the first finished block to the last, so that folding, compiling and calibrating
    count for nothing, as does loading for the others.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ink.zarr"
        clock, pixels = [], []
        for done in predict(
            fragment, model, PredictionSettings(device="cpu", **settings), store=path,
            notice=lambda line: None,
        ):  # fmt: skip
            pixels.append(int(np.isfinite(done.probability).sum()))
            clock.append(dict(PredictionStore.open(path).attributes["timing"]))
        report = PredictionStore.open(path).attributes.get("runtime", {})
    first = clock[0] if len(clock) > 1 else {"seconds": 0.0, "network_seconds": 0.0}
    wall, network = (clock[-1][key] - first[key] for key in ("seconds", "network_seconds"))
    return sum(pixels[len(clock) > 1 :]) / wall, network / wall, report


def monai_rate(model: RepMode, fragment: Fragment, tile: int, inside: np.ndarray) -> float:
    """Papyrus pixels/s of MONAI's inferer (Gaussian weights, its default overlap) in PyTorch."""
    from monai.inferers import SlidingWindowInferer

    runtime = TorchRuntime(Probability(model.fold(0), 1), "cpu", "fp32")
    inferer = SlidingWindowInferer((tile, tile), sw_batch_size=1, overlap=0.25, mode="gaussian")

    def network(window):
        return torch.from_numpy(runtime(window[:, None].numpy()))[:, None]

    def run():
        volume = torch.from_numpy(fragment.read().astype(np.float32) / 255)[None]
        return inferer(volume, network)

    network(torch.zeros(1, fragment.shape[0], tile, tile))
    return inside.sum() / _once(run)


def convolution_seconds(network: nn.Module, depth: int, tile: int, openvino: bool) -> float:
    """Time of all convolutions of a network run one by one, at the shapes that they have in it."""
    shapes: list[tuple[nn.Module, tuple[int, ...]]] = []
    kinds = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d
    hooks = [
        module.register_forward_pre_hook(lambda m, inputs: shapes.append((m, inputs[0].shape)))
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    state = {
        name: torch.empty_like(value, device="meta")
        for name, value in (*network.named_parameters(), *network.named_buffers())
    }
    volume = torch.empty(1, 1, depth, tile, tile, device="meta")
    torch.func.functional_call(network, state, (volume,))
    for hook in hooks:
        hook.remove()
    total, known = 0.0, {}
    for module, shape in shapes:
        key = (type(module), tuple(shape), tuple(module.weight.shape), module.stride)
        if key not in known:
            known[key] = seconds(single_layer(module, tuple(shape), openvino))
        total += known[key]
    return total


def single_layer(module: nn.Module, shape: tuple[int, ...], openvino: bool) -> Callable:
    """One convolution on random data, ready to call, in the memory layout the network uses."""
    if openvino:
        import openvino as ov

        data = np.random.default_rng(0).random(shape, dtype=np.float32)
        model = ov.convert_model(module, example_input=torch.zeros((*shape[:-2], 8, 8)))
        model.reshape(list(shape))
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
        request.infer([data])
        return request.infer  # the same input again
    volume = torch.rand(shape)
    if len(shape) == 5:
        volume = volume.contiguous(memory_format=torch.channels_last_3d)
    return torch.inference_mode()(lambda: module(volume))


def conv_rate_share(model: RepMode, depth: int, tile: int, openvino: bool) -> float:
    """Time of the convolutions alone over the time of the whole network."""
    folded = model.fold(0)
    network = Probability(folded, 1)
    runtime: Runtime = (
        OpenVINORuntime(network, depth, 64, "fp32")
        if openvino
        else TorchRuntime(network, "cpu", "fp32")
    )
    tiles = np.random.default_rng(0).random((1, 1, depth, tile, tile), dtype=np.float32)
    whole = seconds(lambda: runtime(tiles))
    alone = convolution_seconds(folded, depth, tile, openvino)
    again = seconds(lambda: runtime(tiles))
    return alone / ((whole + again) / 2)


@torch.inference_mode()
def halo_change(model: RepMode, depth: int) -> float:
    """Change of a block's probability with the halo against three times as much context."""
    folded = model.fold(0)
    wide = torch.rand(1, 1, depth, 32 + 6 * HALO, 32 + 6 * HALO)
    cut = 2 * HALO
    near = torch.sigmoid(folded(wide[..., cut:-cut, cut:-cut]))[..., HALO:-HALO, HALO:-HALO]
    full = torch.sigmoid(folded(wide))[..., 3 * HALO : -3 * HALO, 3 * HALO : -3 * HALO]
    return float((near - full).abs().max())


def measure(width: int, depth: int, tile: int, say: Callable[[str], None]) -> dict:
    """All figures."""
    try:
        import openvino  # noqa: F401
    except ImportError:
        fp32, int8 = "torch", None
    else:
        fp32, int8 = "openvino", "openvino-int8"
    model = random_model(width, depth)
    found: dict = {}

    def note(**figures) -> None:  # at once: a run that is broken off has said what it knew
        found.update(figures)
        say(", ".join(f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, float)))

    found |= {"width": width, "depth": depth, "tile": tile, "halo": HALO, "fp32": fp32}
    found["threads"] = torch.get_num_threads()
    core = tile - 2 * HALO
    strip = random_fragment(depth, core, 3 * core)
    found["default_tile"] = plan_prediction(strip, model).settings.tile
    say("published path")
    before = published_rate(model, depth)
    say("ours, fp32")
    ours, share, _ = our_rate(model, strip, runtime=fp32, tile=tile)
    note(network_share=share, fp32_px_s=ours)
    say("published path again")
    theirs = (before + published_rate(model, depth)) / 2
    note(published_px_s=theirs, vs_published=ours / theirs)
    found["vs_published_int8"] = None
    if int8:
        say("ours, int8")
        quick, _, report = our_rate(model, strip, runtime=int8, tile=tile)
        note(int8_px_s=quick, vs_published_int8=quick / theirs, int8=report)
    say("a masked fragment: MONAI, ours")
    small = max(4 * HALO, tile // 2)
    thin = random_model(width, 16)  # as wide, but of few layers: a mask takes many tiles to follow
    height, length = 5 * (small - 2 * HALO), 7 * (small - 2 * HALO)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : length * 1j]
    inside = np.abs(y) + np.abs(x) < 1.0  # half of the plane, as papyri lie in their scans
    masked = random_fragment(16, height, length, inside)
    monai = monai_rate(thin, masked, small, inside)
    torch_rate, torch_share, _ = our_rate(thin, masked, runtime="torch", tile=small)
    note(monai_px_s=monai, masked_px_s=torch_rate, vs_monai=torch_rate / monai)
    note(network_share_torch=torch_share)
    say("convolutions alone")
    note(conv_rate_share=conv_rate_share(model, depth, small, fp32 == "openvino"))
    note(halo_change=halo_change(model, depth))
    return found


def main() -> int:
    """Measure, print, and say which budgets were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--width", type=int, default=32, help="m")
    parser.add_argument("--depth", type=int, default=64, help="layers")
    parser.add_argument("--tile", type=int, default=256, help="side of our tiles, px")
    args = parser.parse_args()
    found = measure(
        args.width, args.depth, args.tile, lambda text: print(f"… {text}", file=sys.stderr)
    )
    missed = [key for key, least in BUDGETS.items() if (found[key] or 0) < least]
    if args.json:
        print(json.dumps(found | {"budgets": BUDGETS, "missed": missed}, indent=2))
        return 0
    for key, value in found.items():
        budget = f"   budget ≥ {BUDGETS[key]:g}" if key in BUDGETS else ""
        print(f"{key:<24}{value:.4g}{budget}" if isinstance(value, float) else f"{key:<24}{value}")
    print(f"missed: {', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
