"""Too little memory on the device: smaller batches, then smaller tiles, said in one line."""

import numpy as np
import pytest
import torch
from inference_fakes import SmallNetwork, joined, noise_fragment

from napari_ink.errors import DeviceMemoryError
from napari_ink.inference.device import NetworkCost, free_memory, network_cost
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import PredictionSettings
from napari_ink.inference.sizes import choose_batch, choose_tile
from napari_ink.inference.store import PredictionStore


class Cramped(SmallNetwork):
    """Runs out of memory above a number of input pixels, for as many calls as told."""

    error: type[Exception] = torch.OutOfMemoryError
    text = "CUDA out of memory. Tried to allocate 9.10 GiB"

    def __init__(self, most_pixels, failures=10**9):
        super().__init__()
        self.most_pixels, self.failures = most_pixels, failures

    def fold(self, task=0, gates=None):
        folded = super().fold(task)
        forward = folded.forward

        def cramped(volume):
            pixels = volume.shape[0] * volume.shape[-1] * volume.shape[-2]
            if pixels > self.most_pixels and self.failures > 0:
                self.failures -= 1
                raise self.error(self.text)
            return forward(volume)

        folded.forward = cramped
        return folded


@pytest.mark.parametrize("overlap", [None, 0.5])
def test_the_batch_is_halved_said_once_and_recorded(tmp_path, overlap):
    fragment, told = noise_fragment(), []
    settings = PredictionSettings(tile=32, batch=4, overlap=overlap)
    path = tmp_path / "a.ink.zarr"
    records = predict(fragment, Cramped(2 * 32 * 32), settings, store=path, notice=told.append)
    result = joined(records, fragment.shape[1:])
    expected = joined(predict(fragment, SmallNetwork(), settings), fragment.shape[1:])
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert sum("out of memory with 4 tiles of 32 px" in line for line in told) == 1
    store = PredictionStore.open(path)
    assert store.attributes["batch"] == 2
    assert store.attributes["smaller_tiles"] == []


def test_a_session_that_goes_on_keeps_the_halved_batch(tmp_path):
    fragment, told = noise_fragment((4, 600, 600)), []
    settings = PredictionSettings(tile=32, batch=4)
    path = tmp_path / "a.ink.zarr"
    generator = predict(fragment, Cramped(2 * 32 * 32), settings, store=path)
    next(generator)
    generator.close()
    list(predict(fragment, Cramped(2 * 32 * 32), settings, store=path, notice=told.append))
    assert not any("out of memory" in line for line in told)


@pytest.mark.parametrize("overlap", [None, 0.5])
def test_one_block_takes_smaller_tiles_if_a_single_one_is_too_much(tmp_path, overlap):
    fragment, told = noise_fragment((4, 400, 400)), []
    settings = PredictionSettings(tile=64, overlap=overlap)
    path = tmp_path / "a.ink.zarr"
    cramped = Cramped(40 * 40, failures=1)
    result = joined(
        predict(fragment, cramped, settings, store=path, notice=told.append), fragment.shape[1:]
    )
    expected = joined(predict(fragment, SmallNetwork(), settings), fragment.shape[1:])
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    if overlap is None:  # blended tiles are blended elsewhere: another map, as it must be
        np.testing.assert_allclose(result, expected, atol=1e-6)
    smaller = PredictionStore.open(path).attributes["smaller_tiles"]
    assert smaller == [{"block": [0, 0], "tile": 32}]
    assert sum("out of memory with a tile of 64 px" in line for line in told) == 1


def test_tiles_are_halved_again_until_they_fit():
    fragment, told = noise_fragment(), []
    settings = PredictionSettings(tile=128)
    result = joined(
        predict(fragment, Cramped(32 * 32), settings, notice=told.append), fragment.shape[1:]
    )
    expected = joined(predict(fragment, SmallNetwork(), settings), fragment.shape[1:])
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert any("with tiles of 32 px" in line for line in told)


def test_when_no_tile_fits_it_says_so_and_what_to_do():
    with pytest.raises(DeviceMemoryError, match=r"smallest possible.*GB free.*--device cpu"):
        list(predict(noise_fragment(), Cramped(10), PredictionSettings(tile=64, batch=1)))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError, "MPS backend out of memory (MPS allocated: 8.9 GB)"),
        (
            RuntimeError,
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory",
        ),
        (MemoryError, "std::bad_alloc"),
        (RuntimeError, "Exception from src/inference: std::bad_alloc"),
    ],
)
def test_every_way_of_running_out_of_memory_is_understood(error, text):
    cramped = Cramped(2 * 32 * 32)
    cramped.error, cramped.text = error, text
    told = []
    list(
        predict(noise_fragment(), cramped, PredictionSettings(tile=32, batch=4), notice=told.append)
    )
    assert any("out of memory" in line for line in told)


def test_the_cost_of_a_network_is_found_without_running_it():
    conv = torch.nn.Conv3d(1, 6, 3, padding=1, bias=False)
    cost = network_cost(torch.nn.Sequential(conv, torch.nn.Conv3d(6, 1, 1, bias=False)), 5, 16)
    assert cost.macs_per_pixel == 5 * (27 * 6 + 6)
    assert cost.bytes_per_pixel == 4 * 5 * (1 + 6 + 1)


def test_default_sizes_stay_within_memory_and_use_most_of_it():
    cost = NetworkCost(bytes_per_pixel=35_000, macs_per_pixel=1e3)
    for memory in (1 << 29, 1 << 31, 8 << 30, 80 << 30):
        for device in ("cpu", "cuda"):
            tile = choose_tile(
                (9000, 7000),
                cost,
                halo=16,
                multiple_of=16,
                overlap=None,
                memory=memory,
                device=device,
            )
            batch = choose_batch(tile, cost, memory, device)
            assert tile % 16 == 0
            assert batch * tile**2 * cost.bytes_per_pixel < 0.6 * memory or tile == 48
    assert tile >= 448
    assert choose_batch(128, cost, 80 << 30, "cuda") == 8


def test_who_watches_gets_tiles_that_soon_show_ink_also_of_a_slow_network_on_the_cpu():
    slow = NetworkCost(bytes_per_pixel=1, macs_per_pixel=66e6)
    tile = choose_tile(
        (9000, 7000), slow, halo=16, multiple_of=16, overlap=None, memory=8 << 30, device="cpu",
        interactive=True,
    )  # fmt: skip
    assert tile <= 128
    assert (1 - 32 / tile) ** 2 >= 0.5, "but not so small that it is mostly halo"


def test_where_nobody_watches_a_slow_network_gets_the_tiles_that_waste_least():
    slow = NetworkCost(bytes_per_pixel=25_000, macs_per_pixel=66e6)
    options = {"halo": 16, "multiple_of": 16, "overlap": None, "memory": 8 << 30}
    tile = choose_tile((9000, 7000), slow, device="cpu", **options)
    assert (1 - 32 / tile) ** 2 >= 0.7
    cuda = choose_tile((9000, 7000), slow, device="cuda", **options)
    assert cuda == choose_tile((9000, 7000), slow, device="cuda", interactive=True, **options)


def test_free_memory_is_some():
    assert 1 << 26 < free_memory("cpu") < 1 << 45
