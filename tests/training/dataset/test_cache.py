"""The window cache: whatever happens to it, a window is right or read again."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_feeding import SIDE, assert_equal, batches, coordinates, source

import training.dataset.cache as module
from napari_ink.errors import SettingsError
from napari_ink.volumes.fragment import Fragment
from training.dataset.cache import WindowCache, WindowKind
from training.dataset.loader import build_loader

KINDS = (WindowKind("a" * 32, "uint16", (0, 4)), WindowKind("b" * 32, "uint8", (1, 5)))
ROWS = 40


def window(row):
    """What belongs to a row."""
    kind = KINDS[row % 2]
    random = np.random.default_rng(row)
    return random.integers(0, 256, kind.shape(SIDE)).astype(kind.dtype)


def opened(folder, rows=ROWS, kinds=KINDS, side=SIDE, shift=0):
    row = np.arange(rows, dtype=np.int32)
    return WindowCache(folder, kinds, row % 2, row + shift, 2 * row, side)


class Counted:
    """A volume that counts what is read of it."""

    def __init__(self):
        self.array, self.reads = coordinates(), 0
        self.shape, self.dtype = self.array.shape, self.array.dtype

    def read(self, z, y, x):
        self.reads += 1
        return np.array(self.array[z, y, x])


def counted(name="a"):
    return source(Fragment(name, "", "array", Counted()), name)


def test_what_is_kept_comes_back_as_it_was(tmp_path):
    cache = opened(tmp_path / "made")
    assert all(cache.get(row) is None for row in range(ROWS))
    for row in range(ROWS):
        cache.put(row, window(row))
    for other in (cache, opened(tmp_path / "made")):
        for row in reversed(range(ROWS)):
            found = other.get(row)
            assert found.dtype == KINDS[row % 2].dtype
            np.testing.assert_array_equal(found, window(row))
        assert other.notes == {}
    assert os.path.getsize(cache.path) == cache.bytes


def test_a_second_epoch_reads_no_fragment(tmp_path):
    first, second = counted(), counted()
    plain = list(build_loader(batches(source(), rows=12, steps=9, batch=2)))
    for one, read in ((first, 8), (second, 0)):
        data = batches(one, rows=12, steps=9, batch=2, cache=tmp_path)
        one.fragment.volume.reads = 0  # the fingerprint's
        for batch, expected in zip(build_loader(data), plain, strict=True):
            assert_equal(batch, expected)
        assert one.fragment.volume.reads == read


def test_processes_share_one_cache(tmp_path):
    plain = batches(steps=20)
    for workers in (2, 1, 0):
        said = []
        data = batches(steps=20, cache=tmp_path)
        for step, batch in enumerate(build_loader(data, workers=workers, notice=said.append)):
            assert_equal(batch, plain[step])
        assert said == []
        assert len(list(tmp_path.iterdir())) == 1
    assert all(data.windows.cache.get(row) is not None for row in range(data.order.rows))


def test_other_windows_are_another_file(tmp_path):
    changes = [
        {},
        {"rows": ROWS - 1},
        {"side": SIDE + 1},
        {"shift": 1},
        {"kinds": (WindowKind("c" * 32, "uint16", (0, 4)), KINDS[1])},
        {"kinds": (WindowKind("a" * 32, "uint8", (0, 4)), KINDS[1])},
        {"kinds": (WindowKind("a" * 32, "uint16", (1, 5)), KINDS[1])},
    ]
    assert len({opened(tmp_path, **change).path for change in changes}) == len(changes)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_damage_goes_unseen(data, tmp_path_factory):
    """Any byte of the file changed, or its end lost: every window is right, or not given."""
    cache = opened(tmp_path_factory.mktemp("cache"))
    for row in range(ROWS):
        cache.put(row, window(row))
    content = bytearray(cache.path.read_bytes())
    if data.draw(st.booleans(), "cut"):
        del content[data.draw(st.integers(0, len(content) - 1), "at") :]
    else:
        for _ in range(data.draw(st.integers(1, 20), "bytes")):
            content[data.draw(st.integers(0, len(content) - 1), "at")] ^= 1 << data.draw(
                st.integers(0, 7), "bit"
            )
    cache.path.write_bytes(content)
    again = opened(cache.path.parent)
    for row in range(ROWS):
        found = again.get(row)
        if found is not None:
            np.testing.assert_array_equal(found, window(row))
        else:
            again.put(row, window(row))
            np.testing.assert_array_equal(again.get(row), window(row))


def test_a_window_at_the_place_of_another_is_damage(tmp_path):
    cache = opened(tmp_path)
    cache.put(4, window(4))
    cache.put(6, window(6))
    content = bytearray(cache.path.read_bytes())
    length = cache.bytes // ROWS  # the slots differ, but two of them always have this length
    four, six = 4 * length, 6 * length
    content[four : four + length] = content[six : six + length]
    cache.path.write_bytes(content)
    assert cache.get(4) is None
    assert "damaged" in cache.notes["damaged"]


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_is_said_once_and_mended(workers, tmp_path):
    plain, data = batches(steps=20), batches(steps=20, cache=tmp_path)
    list(build_loader(data))
    path = data.windows.cache.path
    path.write_bytes(path.read_bytes().replace(b"INKW", b"INKX"))
    for expected in (1, 0):
        said = []
        data = batches(steps=20, cache=tmp_path)
        for step, batch in enumerate(build_loader(data, workers=workers, notice=said.append)):
            assert_equal(batch, plain[step])
        assert len(said) == expected
        assert all(str(path) in line and "damaged" in line for line in said)


def test_a_disk_that_fills_up_is_said_once_and_stops_nothing(tmp_path):
    """In a process that may not write beyond some length of a file."""
    script = textwrap.dedent(
        """
        import resource, signal, sys
        sys.path.insert(0, sys.argv[1])
        from test_feeding import assert_equal, batches, build_loader
        if __name__ == "__main__":
            said = []
            data = batches(steps=20, cache=sys.argv[2])
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (data.windows.cache.bytes // 2, hard))
            for step, batch in enumerate(build_loader(data, notice=said.append)):
                assert_equal(batch, batches(steps=20)[step])
            kept = [data.windows.cache.get(row) is not None for row in range(data.order.rows)]
            print(step, sum(kept), len(kept), *said, sep="\\n")
        """
    )
    if sys.platform == "win32":
        pytest.skip("no limit of a file's length")
    command = [sys.executable, "-c", script, os.path.dirname(__file__), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == ""
    step, kept, rows, said = done.stdout.splitlines()
    assert step == "19"
    assert 0 < int(kept) < int(rows)
    assert "has no more room" in said


def test_a_disk_without_room_is_told_before_anything_is_read(tmp_path, monkeypatch):
    free = opened(tmp_path / "probe").bytes
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=free - 1))
    with pytest.raises(SettingsError, match=r"needs 0\.0 GB, 0\.0 GB are free"):
        opened(tmp_path / "cache")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=free))
    cache = opened(tmp_path / "cache")
    for row in range(ROWS):
        cache.put(row, window(row))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=0))
    assert opened(tmp_path / "cache").get(3) is not None  # what is full needs no more


def test_a_folder_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        opened(tmp_path / "file")


def test_kill_at_any_moment_leaves_nothing_wrong(tmp_path):
    script = textwrap.dedent(
        """
        import pickle, sys
        with open(sys.argv[1], "rb") as file:
            cache, windows = pickle.load(file)
        print("ready", flush=True)
        while True:
            for row, window in enumerate(windows):
                cache.put(row, window)
        """
    )
    job, folder = tmp_path / "job", tmp_path / "cache"
    job.write_bytes(pickle.dumps((opened(folder), [window(row) for row in range(ROWS)])))
    random = np.random.default_rng(0)
    for _ in range(5):
        command = [sys.executable, "-c", script, str(job)]
        writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for writer in writers:
            assert writer.stdout.readline() == b"ready\n"
        cache = opened(folder)
        for row in random.integers(ROWS, size=200).tolist():  # read while others write
            found = cache.get(row)
            assert found is None or (found == window(row)).all()
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        for row in range(ROWS):
            found = cache.get(row)
            assert found is None or (found == window(row)).all()
        assert list(folder.iterdir()) == [cache.path]
        assert cache.notes == {}
