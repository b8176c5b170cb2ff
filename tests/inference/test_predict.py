"""The generator: the map is that of one pass, whatever the tiles, the region or the order."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_fakes import SmallNetwork, joined, noise_fragment, whole
from monai.inferers import SlidingWindowInferer

from napari_ink.errors import InkError, PredictionError, SettingsError
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import Box, PredictionSettings


def run(fragment, network, **options):
    return joined(
        predict(fragment, network, PredictionSettings(**options)),
        plan_prediction(fragment, network, PredictionSettings(**options)).output_shape,
    )


@pytest.mark.parametrize("shape", [(4, 150, 210), (4, 33, 47), (4, 64, 64), (4, 5, 300)])
@pytest.mark.parametrize("tile", [32, 64, None])
def test_tiles_with_enough_halo_give_the_map_of_one_pass(shape, tile):
    fragment, network = noise_fragment(shape, mask=False), SmallNetwork()
    np.testing.assert_allclose(
        run(fragment, network, tile=tile), whole(fragment, network), atol=1e-6
    )


def test_only_papyrus_is_predicted():
    fragment, network = noise_fragment(), SmallNetwork()
    result = run(fragment, network, tile=32)
    inside = np.asarray(fragment.mask)
    assert np.isnan(result[~inside]).all()
    np.testing.assert_allclose(result[inside], whole(fragment, network)[inside], atol=1e-6)


@pytest.mark.parametrize(("batch", "shown"), [(1, {(32, 20)}), (2, {(64, 64)})])
def test_a_tile_that_runs_alone_shows_the_network_only_its_papyrus_and_the_halo(batch, shown):
    mask = np.zeros((150, 210), bool)
    mask[50:62, 61:64] = True
    fragment, network = noise_fragment(mask=mask), SmallNetwork()
    seen, fold = set(), network.fold

    def spied(task=0, gates=None):
        folded = fold(task)
        folded.register_forward_pre_hook(lambda _, inputs: seen.add(tuple(inputs[0].shape[-2:])))
        return folded

    network.fold = spied
    result = run(fragment, network, tile=64, batch=batch)
    seen.discard((4, 4))  # the plan's look at what a pixel costs
    assert seen == shown
    np.testing.assert_allclose(result[mask], whole(fragment, SmallNetwork())[mask], atol=1e-6)


def test_blocks_without_papyrus_are_not_even_read():
    mask = np.zeros((400, 400), bool)
    mask[:20, :20] = True
    fragment = noise_fragment((4, 400, 400), mask=mask)
    seen = []

    class Spy:
        shape, dtype = fragment.volume.shape, fragment.volume.dtype

        def read(self, z, y, x):
            seen.append((y.stop, x.stop))
            return fragment.volume.read(z, y, x)

    spied = type(fragment)("spy", "", "array", Spy(), fragment.voxel_size, fragment.mask)
    spied.fingerprint()
    seen.clear()
    assert len(list(predict(spied, SmallNetwork(), PredictionSettings(tile=32)))) == 1
    assert max(max(stop) for stop in seen) <= 64


@settings(max_examples=15, deadline=None)
@given(st.data(), st.sampled_from([None, 0.25, 0.5]), st.sampled_from([1, 2, 4, 6]))
def test_a_region_is_the_same_part_of_the_whole_bit_for_bit(data, overlap, batch):
    fragment, network = noise_fragment((4, 90, 130)), SmallNetwork()
    options = {"tile": 32, "overlap": overlap, "batch": batch}
    y0, x0 = data.draw(st.integers(0, 80)), data.draw(st.integers(0, 120))
    region = Box(y0, data.draw(st.integers(y0 + 1, 90)), x0, data.draw(st.integers(x0 + 1, 130)))
    if not np.asarray(fragment.mask)[region.slices].any():
        return
    complete = run(fragment, network, **options)
    part = run(fragment, network, region=region, **options)
    np.testing.assert_array_equal(part[region.slices], complete[region.slices])
    part[region.slices] = np.nan
    assert np.isnan(part).all()


@pytest.mark.parametrize("overlap", [None, 0.5])
@pytest.mark.parametrize("focus", [(75, 100), (0, 0), (149, 209), (-50, 900)])
def test_the_focus_orders_the_blocks_and_changes_no_bit(focus, overlap):
    fragment, network = noise_fragment(), SmallNetwork()
    options = {"tile": 32, "overlap": overlap}
    records = list(predict(fragment, network, PredictionSettings(focus=focus, **options)))

    def distance(box):
        dy = max(box.y0 - focus[0], 0, focus[0] - box.y1)
        return np.hypot(dy, max(box.x0 - focus[1], 0, focus[1] - box.x1))

    distances = [distance(record.box) for record in records]
    assert distances == sorted(distances)
    np.testing.assert_array_equal(
        joined(records, fragment.shape[1:]), run(fragment, network, **options)
    )


@pytest.mark.parametrize("shape", [(96, 128), (150, 210), (64, 64), (77, 64)])
@pytest.mark.parametrize(("tile", "overlap"), [(32, 0.25), (32, 0.5), (64, 0.7), (32, 0.0)])
def test_blended_map_is_that_of_monais_inferer(shape, tile, overlap):
    fragment, network = noise_fragment((4, *shape), mask=False), SmallNetwork()
    folded = network.fold(0)
    inferer = SlidingWindowInferer(
        (tile, tile), sw_batch_size=3, overlap=overlap, mode="gaussian", sigma_scale=0.125
    )
    volume = torch.from_numpy(fragment.read().astype(np.float32) / 255)[None]
    with torch.no_grad():
        theirs = inferer(volume, lambda window: torch.sigmoid(folded(window[:, None])))[0, 0]
    ours = run(fragment, network, tile=tile, overlap=overlap)
    assert np.abs(ours - theirs.numpy()).max() < 1e-5


def test_results_dropped_for_want_of_room_are_computed_again_to_the_same_bits(monkeypatch):
    from napari_ink.inference import computing

    fragment, network = noise_fragment(), SmallNetwork()
    expected = run(fragment, network, tile=32, overlap=0.5)
    monkeypatch.setattr(computing, "KEPT_BYTES", 0)
    np.testing.assert_array_equal(run(fragment, network, tile=32, overlap=0.5), expected)


def test_records_count_to_their_total():
    records = list(predict(noise_fragment(), SmallNetwork(), PredictionSettings(tile=32)))
    assert [record.index for record in records] == list(range(1, len(records) + 1))
    assert {record.total for record in records} == {len(records)}
    assert all(record.probability.dtype == np.float32 for record in records)


def test_reversed_depth_flips_the_window_after_it_was_taken():
    fragment = noise_fragment((9, 60, 60), mask=False, first_layer=20)
    network = SmallNetwork()
    flipped = noise_fragment((9, 60, 60), mask=False)
    turned = type(fragment).from_array(flipped.read()[1:5][::-1], voxel_size=8.0)
    np.testing.assert_array_equal(
        run(fragment, network, tile=32, layers=(21, 25), reverse_depth=True),
        run(turned, network, tile=32),
    )


def test_a_checkpoint_that_learned_flipped_windows_gets_them_by_default():
    fragment = noise_fragment(mask=False)
    learned_flipped = SmallNetwork(reverse_depth=True)
    np.testing.assert_array_equal(
        run(fragment, learned_flipped, tile=32),
        run(fragment, SmallNetwork(), tile=32, reverse_depth=True),
    )


def test_a_network_that_labels_volumes_gives_layers_in_stored_order():
    fragment, network = noise_fragment(mask=False), SmallNetwork(output="volume")
    np.testing.assert_allclose(run(fragment, network, tile=32), whole(fragment, network), atol=1e-6)
    turned = type(fragment).from_array(fragment.read()[::-1], voxel_size=8.0)
    np.testing.assert_allclose(
        run(turned, network, tile=32, reverse_depth=True),
        whole(fragment, network)[::-1],
        atol=1e-6,
    )


@pytest.mark.parametrize("kind", ["percentile", "layer_zscore"])
def test_tile_size_never_changes_a_normalised_value(kind):
    fragment, network = noise_fragment((4, 100, 120)), SmallNetwork(recipe={"kind": kind})
    np.testing.assert_allclose(
        run(fragment, network, tile=32), run(fragment, network, tile=64), atol=1e-6
    )


def test_a_window_recipe_fixes_the_tile_and_sees_no_padding():
    network = SmallNetwork(recipe={"kind": "zscore", "window": 32})
    fragment = noise_fragment((4, 20, 70), mask=False)
    assert np.isfinite(run(fragment, network)).all()
    with pytest.raises(SettingsError, match="32"):
        run(fragment, network, tile=64)


def test_a_window_no_wider_than_its_halo_is_refused_with_a_remedy_that_helps():
    network = SmallNetwork(recipe={"kind": "zscore", "window": 16})
    network.halo = 8
    fragment = noise_fragment((4, 40, 70))
    with pytest.raises(SettingsError, match=r"overlap of \.5"):
        run(fragment, network)
    assert np.isfinite(run(fragment, network, overlap=0.5)).any()


def test_closing_stops_the_reading_thread():
    generator = predict(noise_fragment((4, 600, 600)), SmallNetwork(), PredictionSettings(tile=32))
    next(generator)
    assert any(thread.name == "ink-prefetch" for thread in threading.enumerate())
    generator.close()
    assert not any(thread.name == "ink-prefetch" for thread in threading.enumerate())


def test_an_error_while_reading_reaches_the_caller_and_stops_the_thread():
    fragment = noise_fragment()

    class Broken:
        shape, dtype = fragment.volume.shape, fragment.volume.dtype
        broken = False

        def read(self, z, y, x):
            if self.broken:
                raise PredictionError("layer 3 is torn", "mend it")
            return fragment.volume.read(z, y, x)

    torn = type(fragment)("torn", "", "array", Broken(), fragment.voxel_size, fragment.mask)
    generator = predict(torn, SmallNetwork(), PredictionSettings(tile=32))
    next(generator)
    torn.volume.broken = True
    with pytest.raises(PredictionError, match="torn"):
        list(generator)
    assert not any(thread.name == "ink-prefetch" for thread in threading.enumerate())


def test_a_runtime_error_never_leaves_the_generator_as_one():
    class Failing(SmallNetwork):
        def fold(self, task=0, gates=None):
            folded = super().fold(task)
            folded.forward = _fail
            return folded

    def _fail(volume):
        raise RuntimeError("CUDA error: an illegal memory access\nmore lines")

    with pytest.raises(InkError, match="illegal memory access"):
        list(predict(noise_fragment(), Failing(), PredictionSettings(tile=32)))


def test_nan_from_the_network_is_an_error_not_an_empty_map():
    network = SmallNetwork()
    network.layers.last.bias[:] = float("nan")
    with pytest.raises(PredictionError, match="NaN"):
        list(predict(noise_fragment(), network, PredictionSettings(tile=32)))


def test_warnings_of_the_plan_are_told(caplog):
    told = []
    list(
        predict(
            noise_fragment(voxel_size=20.0),
            SmallNetwork(),
            PredictionSettings(tile=32),
            notice=told.append,
        )
    )
    assert any("20 µm" in line for line in told)


def test_bf16_on_the_cpu_is_close_to_fp32():
    fragment, network = noise_fragment(), SmallNetwork()
    low, high = (run(fragment, network, tile=32, precision=name) for name in ("bf16", "fp32"))
    assert 0 < np.nanmax(np.abs(low - high)) < 0.1


def test_planning_and_predicting_need_no_qt():
    code = (
        "import napari_ink.inference.predict, sys;"
        "assert not {'qtpy', 'napari', 'PyQt6'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("overlap", [None, 0.5])
def test_whole_prediction_on_cuda(tmp_path, overlap):
    fragment, network = noise_fragment((4, 600, 500)), SmallNetwork()
    before = torch.cuda.memory_allocated()
    options = {"tile": 64, "overlap": overlap, "batch": 4}
    exact = run(fragment, network, device="cuda", precision="fp32", **options)
    np.testing.assert_allclose(exact, run(fragment, network, device="cpu", **options), atol=1e-3)
    low = run(fragment, network, device="auto", **options)
    assert np.nanmax(np.abs(low - exact)) < 0.1
    generator = predict(
        fragment,
        network,
        PredictionSettings(device="cuda", **options),
        store=tmp_path / "a.ink.zarr",
    )
    next(generator)
    generator.close()
    assert torch.cuda.memory_allocated() == before
