"""Feeding: which windows a step holds, and that it matters to nobody who reads them."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ink.errors import FragmentError, InkError, SettingsError
from napari_ink.volumes.cache import DECODED
from napari_ink.volumes.convert import convert
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Recipe
from napari_ink.volumes.layouts import open_fragment
from training.dataset.batch import Batch
from training.dataset.loader import build_loader, next_read
from training.dataset.windows import Order, WindowBatches

DEPTH, HEIGHT, WIDTH, SIDE = 6, 60, 90, 16


def coordinates(shape=(DEPTH, HEIGHT, WIDTH)):
    """A volume whose voxels say where they are."""
    z, y, x = np.ogrid[tuple(slice(size) for size in shape)]
    return (z * 10000 + y * 100 + x).astype(np.uint16)


def source(
    fragment=None, name="a", reverse=False, layers=slice(1, 5), task="ink", seed=0, joins=0.0
):
    fragment = fragment or Fragment.from_array(coordinates(), name=name)
    random = np.random.default_rng(seed)
    plane = fragment.shape[1:]
    return SimpleNamespace(
        name=name,
        fragment=fragment,
        layers=layers,
        reverse=reverse,
        task=task,
        validation=False,
        joins=joins,
        label=random.integers(0, 256, plane, dtype=np.uint8),
        counts=random.random(plane) < 0.7,
        normaliser=Recipe("fixed").bind(fragment, layers),
    )


def table(*sources, rows=12, side=SIDE, seed=0):
    """Windows anywhere, dealt out to the sources in turn; each third one is for validation."""
    random = np.random.default_rng(seed)
    of = [sources[i % len(sources)] for i in range(rows)]
    corners = [[random.integers(0, n - side + 1) for n in s.label.shape] for s in of]
    y, x = np.array(corners).T
    split = np.array(["validation" if i % 3 == 2 else "train" for i in range(rows)])
    return SimpleNamespace(source=np.array([s.name for s in of]), y=y, x=x, split=split)


def batches(*sources, rows=12, steps=5, batch=3, seed=7, **more):
    sources = sources or (source(), source(name="b", reverse=True, seed=1))
    windows = table(*sources, rows=rows)
    return WindowBatches(list(sources), windows, SIDE, batch, steps, seed, **more)


def assert_equal(one, other):
    assert isinstance(one, Batch)
    assert isinstance(other, Batch)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


# Which windows


@given(st.integers(1, 50), st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_one_device_with_twice_the_batch_sees_what_two_see(rows, batch, seed, step):
    one = Order(rows, 2 * batch, seed)
    two = [Order(rows, batch, seed, rank, 2) for rank in range(2)]
    for what in ("rows_of", "samples"):
        together = np.concatenate([getattr(order, what)(step) for order in two])
        np.testing.assert_array_equal(together, getattr(one, what)(step))


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_an_epoch_visits_every_row_once(rows, batch, seed, epoch):
    order = Order(rows, batch, seed)
    steps = range((epoch + 1) * rows // batch + 1)
    sequence = np.concatenate([order.rows_of(step) for step in steps])
    assert sorted(sequence[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    samples = np.concatenate([order.samples(step) for step in steps])
    assert samples.tolist() == list(range(len(samples)))


@given(st.data(), st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_row_that_waits_is_stood_in_for_until_its_time(data, rows, batch, seed):
    waits = np.array([0, *data.draw(st.lists(st.integers(0, 60), min_size=rows, max_size=rows))])
    order = Order(rows + 1, batch, seed, waits=waits)
    plain = Order(rows + 1, batch, seed)
    halves = [Order(rows + 1, batch, seed, rank, 2, waits) for rank in range(2)]
    twice = Order(rows + 1, 2 * batch, seed, waits=waits)
    for step in range(8):
        drawn, undisturbed, samples = order.rows_of(step), plain.rows_of(step), order.samples(step)
        assert (waits[drawn] <= samples).all()
        ready = waits[undisturbed] <= samples
        np.testing.assert_array_equal(drawn[ready], undisturbed[ready])
        together = np.concatenate([half.rows_of(step) for half in halves])
        np.testing.assert_array_equal(together, twice.rows_of(step))


def test_a_source_that_joins_late_is_learned_from_after_its_share_of_the_run():
    sources = [source(name="a", joins=0.1), source(name="b", joins=0.5)]
    data = WindowBatches(sources, table(*sources, rows=30), SIDE, batch=4, steps=20, seed=3)
    b = [one.name for one in data.sources].index("b")
    of = [set(data.windows.source[data.order.rows_of(step)]) for step in range(20)]
    assert all(b not in step for step in of[:10])
    assert any(b in step for step in of[10:])


def test_epochs_and_seeds_come_in_different_orders():
    rows = 100
    orders = {
        tuple(Order(rows, rows, seed).rows_of(epoch)) for seed in range(3) for epoch in range(3)
    }
    assert len(orders) == 9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 20))
def test_a_run_taken_up_at_a_step_sees_what_it_would_have_seen(first):
    undisturbed = list(build_loader(batches(steps=20)))
    again = list(build_loader(batches(steps=20, first_step=first)))
    assert len(again) == 20 - first
    for one, other in zip(undisturbed[first:], again, strict=True):
        assert_equal(one, other)


def test_two_ranks_together_read_the_batch_of_one():
    for step in range(4):
        whole = batches(batch=6)[step]
        halves = [batches(batch=3, rank=rank, world=2)[step] for rank in range(2)]
        assert_equal(whole, Batch(*map(torch.cat, zip(*halves, strict=True))))


# What is in them


def test_volume_label_and_weight_come_from_one_place_and_task():
    sources = (source(), source(name="b", reverse=True, seed=1, task="letters"))
    windows = table(*sources)
    data = WindowBatches(list(sources), windows, SIDE, 4, 5, 3, tasks=("ink", "letters"))
    learned = np.flatnonzero(windows.split == "train")
    for step in range(5):
        batch = data[step]
        assert batch.volume.shape == (4, 1, 4, SIDE, SIDE)
        assert batch.label.shape == batch.weight.shape == (4, 1, SIDE, SIDE)
        assert {part.dtype for part in batch[:3]} == {torch.float32}
        assert batch.task.dtype == batch.sample.dtype == torch.int64
        assert batch.sample.tolist() == list(range(4 * step, 4 * step + 4))
        for i, row in enumerate(learned[data.order.rows_of(step)]):
            own = sources[windows.source[row] == "b"]
            y, x = windows.y[row], windows.x[row]
            place = np.s_[y : y + SIDE, x : x + SIDE]
            expected = coordinates()[1:5][(slice(None, None, -1 if own.reverse else 1), *place)]
            found = np.rint(batch.volume[i, 0].numpy() * 65535).astype(int)
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_allclose(batch.label[i, 0], own.label[place] / 255, rtol=1e-6)
            np.testing.assert_array_equal(batch.weight[i, 0], own.counts[place])
            assert batch.task[i] == (own.task == "letters")


def test_rows_for_validation_are_never_fed():
    sources = (source(),)
    windows = table(*sources, rows=30)
    data = WindowBatches(list(sources), windows, SIDE, 5, 4, 3)
    fed = {(int(data.windows.y[row]), int(data.windows.x[row])) for row in range(20)}
    learned = windows.split == "train"
    assert fed == set(zip(windows.y[learned].tolist(), windows.x[learned].tolist(), strict=True))
    assert data.order.rows == 20


def test_a_table_that_does_not_fit_is_refused():
    windows = table(source())
    with pytest.raises(SettingsError, match="'a', which is not learned from"):
        WindowBatches([source(name="b")], windows, SIDE, 2, 3, 0)
    held_out = source()
    held_out.validation = True
    with pytest.raises(SettingsError, match="not learned from"):
        WindowBatches([held_out], windows, SIDE, 2, 3, 0)
    with pytest.raises(SettingsError, match="leave a, 60×90 px"):
        WindowBatches([source()], windows, 50, 2, 3, 0)
    windows.split[:] = "validation"
    with pytest.raises(SettingsError, match="no windows to learn from"):
        WindowBatches([source()], windows, SIDE, 2, 3, 0)
    with pytest.raises(SettingsError, match="no task 'ink'"):
        batches(tasks=("letters",))
    with pytest.raises(SettingsError, match="several tasks"):
        batches(source(), source(name="b", task="letters"))


# Through processes


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """A folder of compressed TIFF layers."""
    folder = tmp_path_factory.mktemp("fragment")
    (folder / "surface_volume").mkdir()
    for z, layer in enumerate(coordinates()):
        path = folder / "surface_volume" / f"{z:02d}.tif"
        tifffile.imwrite(path, layer, compression="lzw", rowsperstrip=8)
    return folder


@pytest.fixture(scope="module")
def zarr(layers, tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "a.zarr"
    for _ in convert(open_fragment(layers), path):
        pass
    return path


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_who_reads_them_from_where(workers, layers, zarr):
    def mixed(**more):
        places = {"memory": None, "tiff": open_fragment(layers), "zarr": open_fragment(zarr)}
        sources = [source(fragment, name) for name, fragment in places.items()]
        return batches(*sources, rows=18, steps=8, **more)

    plain = batches(*(source(name=name) for name in ("memory", "tiff", "zarr")), rows=18, steps=8)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    fed = list(build_loader(mixed(first_step=2), workers=workers))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(fed) == 6
    for step, batch in enumerate(fed, start=2):
        assert_equal(batch, plain[step])


class Kept:
    """A volume whose voxels say how many megabytes of decoded layers this process may keep."""

    shape, dtype = (DEPTH, HEIGHT, WIDTH), np.dtype(np.uint16)

    def read(self, z, y, x):
        return np.full(np.empty(self.shape)[z, y, x].shape, DECODED.limit >> 20, np.uint16)


def test_decoded_layers_take_the_same_memory_however_many_processes_keep_them():
    for workers, kept in ((1, 1024), (2, 512)):
        data = batches(source(Fragment("a", "", "array", Kept())), steps=2)
        for batch in build_loader(data, workers=workers):
            assert (np.rint(batch.volume * 65535) == kept).all()


def test_a_loader_can_be_left_and_iterated_again():
    loader = build_loader(batches(steps=30), workers=1)
    assert len(loader) == 30
    first = list(itertools.islice(loader, 2))
    again = list(itertools.islice(loader, 2))
    for one, other in zip(first, again, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_layer_is_one_line(workers, layers, tmp_path, capfd):
    damaged = tmp_path / "damaged"
    (damaged / "surface_volume").mkdir(parents=True)
    for layer in (layers / "surface_volume").iterdir():
        (damaged / "surface_volume" / layer.name).write_bytes(layer.read_bytes())
    data = batches(source(open_fragment(damaged)))
    loader = build_loader(data, workers=workers)
    broken = damaged / "surface_volume" / "03.tif"
    os.truncate(broken, 300)
    with pytest.raises(FragmentError) as caught:
        list(loader)
    assert str(broken) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def children():
    return psutil.Process().children(recursive=True)


def test_a_process_that_is_killed_ends_the_run_with_one_line(capfd):
    iterator = iter(build_loader(batches(steps=1000), workers=2))
    before = {p.pid for p in children()}
    next(iterator)
    started = [p for p in children() if p.pid not in before]
    victim = max(started, key=lambda p: p.create_time())
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(InkError, match="ended from outside") as caught:
        for _ in iterator:
            pass
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


def failing(error):
    """What the loader iterates over where fetching a step fails so."""
    raise error
    yield


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "reset"), EOFError(), FileNotFoundError(2, "")]
)
def test_a_process_that_dies_before_its_tensor_is_fetched_is_said_too(error):
    with pytest.raises(InkError, match="ended from outside"):
        next_read(failing(error))


@pytest.mark.parametrize(
    "error", [OSError("Caught OSError in DataLoader worker"), RuntimeError("a")]
)
def test_an_error_inside_a_process_is_not_taken_for_its_death(error):
    with pytest.raises(type(error), match=str(error)):
        next_read(failing(error))


def test_no_process_outlives_a_run_that_is_killed():
    script = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        from test_feeding import batches, build_loader

        if __name__ == "__main__":
            for _ in build_loader(batches(steps=10**6), workers=2):
                print("fed", flush=True)
        """
    )
    command = [sys.executable, "-c", script, os.path.dirname(__file__)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for _ in range(5):
        assert run.stdout.readline() == "fed\n"
    readers = psutil.Process(run.pid).children(recursive=True)
    assert len(readers) >= 3  # two and the server they come from
    run.kill()
    _, alive = psutil.wait_procs(readers, timeout=20)
    assert not alive
