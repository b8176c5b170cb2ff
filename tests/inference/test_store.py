"""The store: readable by others, resumable after any stop, never mixed."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from inference_fakes import SmallNetwork, joined, noise_fragment

from napari_ink.errors import SettingsError, StoreError
from napari_ink.inference import store_files, store_writing
from napari_ink.inference.plan import plan_prediction
from napari_ink.inference.predict import as_recorded, predict
from napari_ink.inference.pyramid import halved
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.work import TileReader, schedule

SMALL = PredictionSettings(tile=16)


def small_blocks(monkeypatch, side=16):
    monkeypatch.setattr("napari_ink.inference.tiles._SMALLEST_BLOCK", side)


@pytest.fixture
def case(monkeypatch):
    small_blocks(monkeypatch)
    network = SmallNetwork()
    network.halo = 4
    return noise_fragment((4, 70, 90)), network


def decoded(path) -> np.ndarray:
    return np.asarray(PredictionStore.open(path).ink)


def test_what_is_yielded_is_what_is_stored_as_float16(case, tmp_path):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    records = list(predict(fragment, network, SMALL, store=path))
    assert len(records) > 20
    expected = joined(records, fragment.shape[1:]).astype(np.float16)
    np.testing.assert_array_equal(decoded(path), expected)
    assert PredictionStore.open(path).finished == 1


def test_a_prediction_closed_midway_goes_on_and_yields_the_finished_blocks_first(case, tmp_path):
    fragment, network = case
    list(predict(fragment, network, SMALL, store=tmp_path / "whole.ink.zarr"))
    path = tmp_path / "a.ink.zarr"
    generator = predict(fragment, network, SMALL, store=path)
    first = [next(generator) for _ in range(7)]
    generator.close()
    store = PredictionStore.open(path)
    assert not store.is_complete
    assert store.finished == pytest.approx(7 / first[0].total)
    records = list(predict(fragment, network, SMALL, store=path))
    assert [r.box for r in records[:7]] == [r.box for r in first]
    assert [r.index for r in records] == list(range(1, len(records) + 1))
    assert len(records) == records[0].total
    np.testing.assert_array_equal(decoded(path), decoded(tmp_path / "whole.ink.zarr"))


def test_a_finished_prediction_is_not_computed_again(case, tmp_path, monkeypatch):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    first = joined(predict(fragment, network, SMALL, store=path), fragment.shape[1:])
    monkeypatch.setattr(SmallNetwork, "fold", lambda *a: pytest.fail("folded again"))
    again = joined(predict(fragment, network, SMALL, store=path), fragment.shape[1:])
    np.testing.assert_array_equal(again, first.astype(np.float16).astype(np.float32))


_CHILD = """
import sys
sys.path.insert(0, {tests!r})
import napari_ink.inference.tiles as tiles
tiles._SMALLEST_BLOCK = 16
from inference_fakes import SmallNetwork, noise_fragment
from napari_ink.inference.predict import as_recorded, predict
from napari_ink.inference.settings import PredictionSettings
network = SmallNetwork()
network.halo = 4
for _ in predict(noise_fragment((4, 200, 260)), network,
                 PredictionSettings(tile=16, overlap={overlap}), store={path!r}):
    print("block", flush=True)
"""


@pytest.mark.parametrize("overlap", [None, 0.5])
def test_killed_at_any_moment_it_finishes_with_the_same_ink(case, tmp_path, overlap):
    _, network = case
    fragment = noise_fragment((4, 200, 260))
    settings = PredictionSettings(tile=16, overlap=overlap)
    list(predict(fragment, network, settings, store=tmp_path / "whole.ink.zarr"))
    path = tmp_path / "killed.ink.zarr"
    code = _CHILD.format(tests=str(Path(__file__).parent), overlap=overlap, path=str(path))
    rng = np.random.default_rng(3)
    shares = [0.0]
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        finished = (
            round(shares[-1] * PredictionStore.open(path).attributes["blocks"]["total"])
            if (path.exists())
            else 0
        )
        for _ in range(finished + 1):  # those come first, from the store
            child.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        shares.append(PredictionStore.open(path).finished)
    assert shares == sorted(set(shares)), "every session got further"
    assert shares[-1] < 1, "the last kill came too late to test anything"
    list(predict(fragment, network, settings, store=path))
    np.testing.assert_array_equal(decoded(path), decoded(tmp_path / "whole.ink.zarr"))
    assert not list(path.rglob("*.partial"))


def test_killed_between_a_chunk_and_its_record_it_computes_the_block_again(case, tmp_path):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    generator = predict(fragment, network, SMALL, store=path)
    next(generator)
    before = (path / "zarr.json").read_bytes()
    next(generator)
    generator.close()
    (path / "zarr.json").write_bytes(before)
    (path / "ink" / "0" / "c" / "0" / "x.partial").write_bytes(b"half a chunk")
    list(predict(fragment, network, SMALL, store=path))
    list(predict(fragment, network, SMALL, store=tmp_path / "whole.ink.zarr"))
    np.testing.assert_array_equal(decoded(path), decoded(tmp_path / "whole.ink.zarr"))


def test_a_finished_block_whose_chunk_was_lost_is_computed_again(case, tmp_path):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    list(predict(fragment, network, SMALL, store=path))
    expected = decoded(path)
    chunks = sorted(file for file in (path / "ink/0/c").rglob("*") if file.is_file())
    chunks[3].unlink()
    chunks[5].write_bytes(b"")
    list(predict(fragment, network, SMALL, store=path))
    np.testing.assert_array_equal(decoded(path), expected)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tile": 32}, "tile"),
        ({"overlap": 0.5}, "overlap"),
        ({"reverse_depth": True}, "reverse_depth"),
        ({"region": Box(0, 20, 0, 20)}, "region"),
        ({"batch": 2}, "batch"),
        ({"precision": "bf16"}, "precision"),
        ({"layers": (1, 5)}, "layers"),
    ],
)
def test_a_store_with_another_setting_is_refused_and_left_alone(case, tmp_path, change, named):
    _, network = case
    fragment = noise_fragment((5, 70, 90))
    path = tmp_path / "a.ink.zarr"
    generator = predict(fragment, network, PredictionSettings(tile=16, layers=(0, 4)), store=path)
    next(generator)
    generator.close()
    before = (path / "zarr.json").read_bytes()
    with pytest.raises(StoreError, match=named):
        list(
            predict(
                fragment,
                network,
                PredictionSettings(**({"tile": 16, "layers": (0, 4)} | change)),
                store=path,
            )
        )
    assert (path / "zarr.json").read_bytes() == before


def test_a_store_of_another_fragment_checkpoint_or_mask_is_refused(case, tmp_path):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    next(predict(fragment, network, SMALL, store=path))
    other = SmallNetwork(seed=1)
    other.halo = 4
    with pytest.raises(StoreError, match="checkpoint"):
        list(predict(fragment, other, SMALL, store=path))
    with pytest.raises(StoreError, match="fragment"):
        list(predict(noise_fragment((4, 70, 90), seed=1), network, SMALL, store=path))
    mask = np.asarray(fragment.mask).copy()
    mask[30, 30] = False
    with pytest.raises(StoreError, match="mask"):
        list(predict(noise_fragment((4, 70, 90), mask=mask), network, SMALL, store=path))


def test_what_was_left_open_is_taken_from_the_store(case, tmp_path, monkeypatch):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    generator = predict(fragment, network, PredictionSettings(tile=32), store=path)
    next(generator)
    generator.close()
    records = list(predict(fragment, network, PredictionSettings(), store=path))
    assert PredictionStore.open(path).is_complete
    assert PredictionStore.open(path).attributes["settings"]["tile"] == 32
    assert len(records) == records[-1].total


@pytest.mark.parametrize("began_in_the_dock", [True, False])
def test_dock_and_command_line_go_on_with_each_others_tile(
    case, tmp_path, monkeypatch, began_in_the_dock
):
    fragment, network = case
    monkeypatch.setattr("napari_ink.inference.sizes._BLOCK_MACS", 1e6)
    watched, alone = (PredictionSettings(interactive=on, device="cpu") for on in (True, False))
    before, after = (watched, alone) if began_in_the_dock else (alone, watched)
    tile, other = (
        plan_prediction(fragment, network, chosen).settings.tile for chosen in (before, after)
    )
    assert tile < other if began_in_the_dock else other < tile
    path = tmp_path / "a.ink.zarr"
    generator = predict(fragment, network, before, store=path)
    next(generator)
    generator.close()
    list(predict(fragment, network, after, store=path))
    assert PredictionStore.open(path).is_complete
    assert PredictionStore.open(path).attributes["settings"]["tile"] == tile
    expected = joined(predict(fragment, network, before), fragment.shape[1:])
    np.testing.assert_array_equal(decoded(path), expected.astype(np.float16))


def test_store_that_may_not_be_written_is_one_error_with_a_remedy(case, tmp_path, monkeypatch):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    list(predict(fragment, network, SMALL, store=path))

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(store_files.FileLock, "acquire", refuse)
    with pytest.raises(StoreError, match=r"cannot be written \(Read-only file system\): choose"):
        list(predict(fragment, network, SMALL, store=path))


def test_a_second_writer_is_refused_while_the_first_lives(case, tmp_path):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    generator = predict(fragment, network, SMALL, store=path)
    next(generator)
    with pytest.raises(StoreError, match="another process"):
        next(predict(fragment, network, SMALL, store=path))
    generator.close()
    next(predict(fragment, network, SMALL, store=path))


def test_a_full_disk_is_seen_before_anything_is_written(case, tmp_path, monkeypatch):
    fragment, network = case
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(store_files.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StoreError, match=r"takes up to .*kB, .* has 1\.0 kB free"):
        list(predict(fragment, network, SMALL, store=tmp_path / "a.ink.zarr"))
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_a_store_that_goes_on(case, tmp_path, monkeypatch):
    from zarr.storage import _local

    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    generator = predict(fragment, network, SMALL, store=path)
    next(generator)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_local, "_put", full)
        with pytest.raises(StoreError, match="full"):
            list(generator)
    list(predict(fragment, network, SMALL, store=path))
    list(predict(fragment, network, SMALL, store=tmp_path / "whole.ink.zarr"))
    np.testing.assert_array_equal(decoded(path), decoded(tmp_path / "whole.ink.zarr"))


def test_a_half_made_store_never_stands_under_the_final_name(case, tmp_path, monkeypatch):
    fragment, network = case
    monkeypatch.setattr(store_files, "_copy_mask", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(predict(fragment, network, SMALL, store=tmp_path / "a.ink.zarr"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["absent", "folder", "file", "zarr", "later"])
def test_foreign_things_are_refused(tmp_path, kind, case):
    path = tmp_path / "a.ink.zarr"
    if kind == "folder":
        path.mkdir()
        (path / "letter.txt").write_text("dear diary")
    elif kind == "file":
        path.write_text("dear diary")
    elif kind == "zarr":
        zarr.create_group(path).create_array("ink", shape=(3, 3), dtype="u1")
    elif kind == "later":
        generator = predict(*case, SMALL, store=path)
        next(generator)
        generator.close()
        text = (path / "zarr.json").read_text()
        (path / "zarr.json").write_text(text.replace('"format_version": 1', '"format_version": 9'))
    match = {"absent": "does not exist", "later": "version 9"}.get(kind, "not a prediction")
    with pytest.raises(StoreError, match=match):
        PredictionStore.open(path)
    if kind != "absent":
        with pytest.raises(StoreError, match=match):
            list(predict(*case, SMALL, store=path))


def test_any_ome_zarr_reader_opens_it(case, tmp_path):
    from napari_ome_zarr import napari_get_reader

    fragment = noise_fragment((4, 1100, 700), voxel_size=7.91)
    path = tmp_path / "a.ink.zarr"
    list(predict(fragment, SmallNetwork(), PredictionSettings(tile=256), store=path))
    store = PredictionStore.open(path)
    assert [level.shape for level in store.levels] == [(1100, 700), (550, 350), (275, 175)]
    layers = napari_get_reader([str(path / "ink")])(str(path / "ink"))
    data, metadata, kind = layers[0]
    assert kind == "image"
    assert [level.shape for level in data] == [(1100, 700), (550, 350), (275, 175)]
    np.testing.assert_allclose(metadata["scale"], (7.91, 7.91))
    np.testing.assert_array_equal(np.asarray(data[0]), decoded(path))
    np.testing.assert_array_equal(
        np.asarray(store.levels[1]), halved(decoded(path)).astype(np.float16)
    )
    np.testing.assert_array_equal(np.asarray(store.mask), np.asarray(fragment.mask))


def test_a_volume_store_lies_at_its_layers(tmp_path):
    fragment = noise_fragment((9, 40, 50), voxel_size=10.0, first_layer=3)
    path = tmp_path / "a.ink.zarr"
    settings = PredictionSettings(tile=32, layers=(5, 9))
    list(predict(fragment, SmallNetwork(output="volume"), settings, store=path))
    store = PredictionStore.open(path)
    assert store.ink.shape == (4, 40, 50)
    ome = zarr.open_group(path / "ink").attrs["ome"]["multiscales"][0]
    transforms = ome["datasets"][0]["coordinateTransformations"]
    assert transforms[1]["translation"] == [20.0, 0.0, 0.0]
    assert ome["axes"][0] == {"name": "z", "type": "space", "unit": "micrometer"}


def test_means_of_a_level_leave_out_what_was_not_predicted():
    nan = np.nan
    fine = np.array([[1, 3, nan], [nan, 2, nan], [5, nan, 7]], np.float32)
    np.testing.assert_array_equal(halved(fine), [[2, nan], [5, 7]])


def test_provenance_names_everything_that_made_the_result(case, tmp_path):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    list(predict(fragment, network, SMALL, store=path))
    store = PredictionStore.open(path)
    record = store.provenance
    assert record["fragment"]["fingerprint"] == fragment.fingerprint()
    assert record["settings"]["layers"] == [0, 4]
    assert record["settings"]["device"] == "cpu"
    assert record["recipe"] == {"kind": "fixed"}
    assert record["statistics"]["full_scale"] == 255
    assert record["versions"]["torch"]
    assert record["warnings"] == list(plan_prediction(fragment, network, SMALL).warnings)
    assert 0 < record["timing"]["network_seconds"] < record["timing"]["seconds"]
    assert store.threshold == 0.5
    assert store.voxel_size == (8.0, 8.0, 8.0)


def test_settings_that_do_not_fit_write_nothing(case, tmp_path):
    fragment, network = case
    with pytest.raises(SettingsError):
        list(
            predict(
                fragment, network, PredictionSettings(layers=(0, 3)), store=tmp_path / "a.ink.zarr"
            )
        )
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_reader_would_know_is_refused(case, tmp_path):
    fragment, network = case
    with pytest.raises(StoreError, match=r"q\.zarr.*call it NAME\.ink\.zarr"):
        list(predict(fragment, network, SMALL, store=tmp_path / "q.zarr"))
    assert not list(tmp_path.iterdir())


def mask_chunk(path) -> Path:
    return path / "mask" / "c" / "0" / "0"


def stopped(fragment, network, path, blocks=3):
    generator = predict(fragment, network, SMALL, store=path)
    for _ in range(blocks):
        next(generator)
    generator.close()


@pytest.mark.parametrize("loss", ["chunk", "damage", "array"])
def test_a_store_that_lost_its_mask_is_not_taken_for_one_without_papyrus(case, tmp_path, loss):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    stopped(fragment, network, path)
    if loss == "array":
        shutil.rmtree(path / "mask")
    elif loss == "chunk":
        mask_chunk(path).unlink()
    else:
        mask_chunk(path).write_bytes(b"nothing that zstd knows")
    generator = predict(fragment, network, SMALL, store=path)
    with pytest.raises(StoreError, match=r"a\.ink\.zarr has lost part of its papyrus mask: delete"):
        list(generator)
    assert PredictionStore.open(path).finished < 1


def test_a_finished_prediction_that_lost_its_mask_is_still_read(case, tmp_path):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    first = joined(predict(fragment, network, SMALL, store=path), fragment.shape[1:])
    mask_chunk(path).unlink()
    again = joined(predict(fragment, network, SMALL, store=path), fragment.shape[1:])
    np.testing.assert_array_equal(again, first.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("overlap", [None, 0.5])
def test_a_store_removed_while_it_is_written_ends_the_prediction_and_stays_away(
    case, tmp_path, overlap
):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    settings = PredictionSettings(tile=16, overlap=overlap)
    generator = predict(fragment, network, settings, store=path)
    next(generator)
    shutil.rmtree(path)
    with pytest.raises(StoreError, match=r"was removed while .* written: predict again"):
        list(generator)
    assert not path.exists()


@pytest.mark.parametrize("step", ["create", "opened"])
def test_a_store_removed_before_it_is_locked_ends_the_prediction_and_stays_away(
    case, tmp_path, monkeypatch, step
):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    made = getattr(store_writing, step)

    def and_removed(*arguments):
        result = made(*arguments)
        if path.exists():
            path.rename(tmp_path / "removed.ink.zarr")
        return result

    monkeypatch.setattr(store_writing, step, and_removed)
    with pytest.raises(StoreError, match=r"was removed while .* written: predict again"):
        list(predict(fragment, network, SMALL, store=path))
    assert [left.name for left in tmp_path.iterdir()] == ["removed.ink.zarr"]


@pytest.mark.parametrize("overlap", [None, 0.5])
def test_a_mask_removed_while_it_is_read_is_told_and_not_taken_for_void(case, tmp_path, overlap):
    fragment, network = case
    path = tmp_path / "a.ink.zarr"
    settings = PredictionSettings(tile=16, overlap=overlap)
    generator = predict(fragment, network, settings, store=path)
    next(generator)
    mask_chunk(path).unlink()
    with pytest.raises(StoreError, match=r"papyrus mask .* was removed .*: predict again"):
        list(generator)
    assert PredictionStore.open(path).finished < 1


@pytest.mark.parametrize("how", [{"batch": 1}, {"batch": 4}, {"batch": 4, "overlap": 0.5}])
def test_a_mask_lost_between_two_looks_at_a_block_ends_in_one_of_our_errors(case, how):
    """As it happens while a folder is being deleted: any read may be the last with papyrus."""
    fragment, network = case
    plan = plan_prediction(fragment, network, PredictionSettings(tile=16, **how))
    for reads in range(1, plan.total):
        mask = _Vanishing(fragment.mask, reads)
        items = schedule(plan, TileReader(fragment, plan, mask), plan.blocks, np.empty, 1 << 20)
        with pytest.raises(StoreError, match="predict again"):
            list(items)


class _Vanishing:
    """A mask that is void after so many reads."""

    def __init__(self, mask, reads):
        self._mask, self._reads = mask, reads

    def read(self, y, x):
        self._reads -= 1
        window = np.asarray(self._mask.read(y, x))
        return window if self._reads >= 0 else np.zeros_like(window)


def test_a_name_too_long_for_the_disk_is_refused_as_a_store(case, tmp_path):
    fragment, network = case
    path = tmp_path / f"{'x' * 300}.ink.zarr"
    for act in (
        lambda: list(predict(fragment, network, SMALL, store=path)),
        lambda: PredictionStore.open(path),
        lambda: as_recorded(path, SMALL),
    ):
        with pytest.raises(StoreError, match=r"cannot be written \(File name too long\)|too long"):
            act()
