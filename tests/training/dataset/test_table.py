"""The table of windows: balanced, honest about what is missing, and the same for the same seed."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_fragments import DEPTH, blobs, in_memory, opened, write_fragment
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ink.errors import SettingsError
from napari_ink.volumes.fragment import Fragment
from training.dataset.config import SelectionConfig, SourceConfig
from training.dataset.edges import border_points
from training.dataset.table import Shortfall, WindowTable, select_windows

SIDE = 16


def fragment(name, label, seed=0, **masks):
    volume = np.random.default_rng(seed).integers(0, 255, (DEPTH, *label.shape), np.uint8)
    return Fragment.from_array(volume, name=name, label=label, **masks)


def sources_of(label=None, shape=(200, 300), **masks):
    label = blobs(1, shape) if label is None else label
    learn = fragment("learn", label, **masks)
    look = fragment("look", blobs(2, shape), seed=9)
    return opened(simulated=[in_memory(learn), in_memory(look, validation=True)])


def selected(sources, side=SIDE, seed=0, **selection):
    return select_windows(sources, side, SelectionConfig(**selection), seed)


def rows_of(table, source):
    rows = np.flatnonzero(table.source == source)
    return list(zip(table.y[rows], table.x[rows], table.kind[rows], strict=True))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 999),
    st.integers(1, 14),
    st.floats(0.01, 1),
    st.booleans(),
    st.sampled_from([0, 40]),
)
def test_ink_share_and_kind_are_those_of_the_counted_pixels(seed, side, least, soft, anywhere):
    random = np.random.default_rng(seed)
    label = blobs(seed, (50, 60))
    if soft:
        label = np.rint(label * random.random((50, 60))).astype(np.uint8)
    masks = {"mask": blobs(seed + 1, (50, 60), 0.9), "supervision": blobs(seed + 2, (50, 60), 0.7)}
    sources = sources_of(label, (50, 60), **masks)
    quotas = {"windows": 50, "void": 30, "anywhere": anywhere}
    table = selected(sources, side, **quotas, counted=least, buckets=7)
    for row in range(len(table)):
        source = sources[0] if table.split[row] == "train" else sources[1]
        y, x = int(table.y[row]), int(table.x[row])
        counts = source.counts[y : y + side, x : x + side]
        assert counts.shape == (side, side)
        assert 0 < counts.sum() >= least * side * side - 1e-6
        inside = source.label[y : y + side, x : x + side][counts] / 255
        assert table.ink[row] == pytest.approx(inside.mean(), abs=1e-6)
        if table.kind[row] == "void":
            assert inside.max() == 0
        else:
            assert inside.max() > 0
            assert table.kind[row] == f"bucket {min(int(table.ink[row] * 7), 6)}"
    assert set(table.source) <= {"learn", "look"}
    if not anywhere:
        assert len({*zip(table.source, table.y, table.x, strict=True)}) == len(table)


def test_windows_with_ink_hold_its_border_anywhere_in_them():
    sources = sources_of()
    table = selected(sources, windows=2000, void=0)
    border = np.zeros(sources[0].label.shape, bool)
    border.ravel()[border_points(sources[0].label)] = True
    places = np.zeros((SIDE, SIDE))
    for y, x, _ in rows_of(table, "learn"):
        window = border[y : y + SIDE, x : x + SIDE]
        assert window.any()
        places += window
    # Each pixel of a window is as likely to be border as any other: no prior for the middle.
    assert places.min() > 0.6 * places.mean()
    assert places.max() < 1.5 * places.mean()


def test_buckets_are_filled_evenly():
    table = selected(sources_of(), windows=1000, void=200)
    kinds, counts = np.unique([kind for *_, kind in rows_of(table, "learn")], return_counts=True)
    assert dict(zip(kinds, counts, strict=True)) == {
        **{f"bucket {b}": 100 for b in range(10)},
        "void": 200,
    }
    assert table.shortfalls == ()


def test_void_windows_are_spread_over_all_that_is_bare():
    label = np.zeros((200, 300), np.uint8)
    label[:, :100] = 255
    table = selected(sources_of(label), windows=10, void=2000)
    void = [(y, x) for y, x, kind in rows_of(table, "learn") if kind == "void"]
    y, x = np.transpose(void)
    assert len(void) == 2000
    assert x.min() >= 100
    for values, first, end in ((x, 100, 300 - SIDE), (y, 0, 200 - SIDE)):
        counts, _ = np.histogram(values, 5, (first, end + 1))
        assert counts.min() > 0.85 * 400
        assert counts.max() < 1.15 * 400


def test_windows_from_anywhere_are_spread_over_all_whatever_they_hold():
    label = np.zeros((200, 300), np.uint8)
    label[:, :100] = 255
    table = selected(sources_of(label), windows=0, void=0, anywhere=3000)
    rows = rows_of(table, "learn")
    assert len({(y, x) for y, x, _ in rows}) == 3000
    for values, end in ((x for _, x, _ in rows), 300), ((y for y, _, _ in rows), 200):
        counts, _ = np.histogram([*values], 5, (0, end - SIDE + 1))
        assert counts.min() > 0.85 * 600
        assert counts.max() < 1.15 * 600
    full = sum(kind == "bucket 9" for *_, kind in rows) / 3000
    assert full == pytest.approx(1 / 3, abs=0.05)


def test_more_windows_from_anywhere_than_there_are_places_is_said():
    table = selected(sources_of(shape=(20, 30)), windows=0, void=0, anywhere=10**4)
    assert len(rows_of(table, "learn")) == (20 - SIDE + 1) * (30 - SIDE + 1)
    assert "from anywhere: no more places that fit, lower anywhere" in str(table.shortfalls[0])


@pytest.mark.parametrize(
    ("selection", "kind", "found", "reason"),
    [
        ({"windows": 1000, "void": 0, "cap": 20}, "ink", 200, "at most 20 a bucket"),
        ({"windows": 10, "void": 10**6}, "void", None, "no more places without any ink"),
        ({"windows": 10**6, "void": 0}, "ink", None, "the border of its ink has no more places"),
    ],
)
def test_quota_that_is_not_met_is_said(selection, kind, found, reason):
    sources = sources_of()
    table = selected(sources, **selection)
    (shortfall,) = (one for one in table.shortfalls if one.source == "learn")
    assert shortfall.kind == kind
    assert shortfall.found == len(rows_of(table, "learn")) - (10 if kind == "void" else 0)
    assert found is None or shortfall.found == found
    assert reason in str(shortfall)
    assert "\n" not in str(shortfall)


def test_all_places_are_found_before_a_quota_is_called_too_high():
    """Counted by trying every place of a small label."""
    label = np.zeros((30, 40), np.uint8)
    label[10:20, 15:30] = 255
    table = selected(sources_of(label, (30, 40)), side=6, windows=10**4, void=10**4, counted=1)
    border = np.zeros(label.shape, bool)
    border.ravel()[border_points(label)] = True
    at_border, bare = set(), set()
    for y in range(30 - 6 + 1):
        for x in range(40 - 6 + 1):
            window = np.s_[y : y + 6, x : x + 6]
            if border[window].any() and label[window].any():
                at_border.add((y, x))
            elif not label[window].any():
                bare.add((y, x))
    found = rows_of(table, "learn")
    assert {(y, x) for y, x, kind in found if kind == "void"} == bare
    assert {(y, x) for y, x, kind in found if kind != "void"} == at_border
    assert [s.found for s in table.shortfalls[:2]] == [len(at_border), len(bare)]


def test_fragment_without_ink_gives_void_windows_and_says_so():
    table = selected(sources_of(np.zeros((80, 80), np.uint8), (80, 80)), windows=5, void=7)
    assert [kind for *_, kind in rows_of(table, "learn")] == ["void"] * 7
    assert "no window that fits holds a border of ink" in str(table.shortfalls[0])


def test_nothing_to_learn_from_is_refused_with_the_reason():
    with pytest.raises(SettingsError, match="no window to learn from; learn: 0 of 5 windows with"):
        selected(sources_of(np.zeros((80, 80), np.uint8), (80, 80)), windows=5, void=0)


def test_table_depends_on_the_seed_only():
    sources = sources_of()
    one, same, other = (selected(sources, seed=s, windows=100, void=50) for s in (4, 4, 5))
    assert all(np.array_equal(getattr(one, c), getattr(same, c)) for c in ("y", "x", "kind"))
    assert rows_of(one, "learn") != rows_of(other, "learn")


def test_another_source_changes_no_windows_of_the_others(tmp_path):
    paths = [write_fragment(tmp_path / n, blobs(i, (90, 90)), seed=i) for i, n in enumerate("abc")]
    a, b, c = (SourceConfig(path, windows=40, void=20) for path in paths)
    look = SourceConfig(paths[2], validation=True, part="1/2")
    few = select_windows(opened(a, look), SIDE, SelectionConfig(), 3)
    many = select_windows(opened(b, c, a, look), SIDE, SelectionConfig(), 3)
    assert len(rows_of(few, "a")) == 60
    for name in ("a", "c part 1/2"):
        assert rows_of(few, name) == rows_of(many, name)
    assert set(many.source) == {"a", "b", "c", "c part 1/2"}


def test_quotas_of_a_source_come_before_those_of_the_selection(tmp_path):
    paths = [write_fragment(tmp_path / n, blobs(i, (90, 90)), seed=i) for i, n in enumerate("abc")]
    sources = opened(
        SourceConfig(paths[0], windows=30),
        SourceConfig(paths[1], void=0),
        SourceConfig(paths[2], validation=True, windows=0, void=0),
    )
    table = select_windows(sources, 8, SelectionConfig(windows=20, void=10), 0)
    assert [len(rows_of(table, name)) for name in "abc"] == [40, 20, 0]


@pytest.fixture
def table():
    return selected(sources_of(), windows=10**5, void=50, cap=30)


def test_a_person_can_open_the_file(table, tmp_path):
    table.write(tmp_path / "windows.parquet")
    frame = pd.read_parquet(tmp_path / "windows.parquet")
    assert list(frame) == ["source", "fragment", "y", "x", "ink", "kind", "split"]
    assert [str(frame[c].dtype) for c in ("y", "x", "ink")] == ["int32", "int32", "float32"]
    assert len(frame) == len(table)
    assert frame[frame.split == "train"].groupby("kind").size()["bucket 3"] == 30
    assert [path.name for path in tmp_path.iterdir()] == ["windows.parquet"]


def test_file_holds_the_table(table, tmp_path):
    table.write(tmp_path / "windows.parquet")
    same = WindowTable.read(tmp_path / "windows.parquet")
    for column in ("source", "fragment", "y", "x", "ink", "kind", "split"):
        assert np.array_equal(getattr(same, column), getattr(table, column))
        assert getattr(same, column).dtype == getattr(table, column).dtype
    assert (same.side, same.buckets, same.seed) == (SIDE, 10, 0)
    assert same.shortfalls == table.shortfalls
    assert isinstance(same.shortfalls[0], Shortfall)


def test_half_written_table_never_replaces_a_whole_one(table, tmp_path, monkeypatch):
    path = tmp_path / "windows.parquet"
    table.write(path)
    before = path.read_bytes()

    def full_disk(table, where):
        where.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.dataset.table.pq.write_table", full_disk)
    with pytest.raises(SettingsError, match="No space left"):
        table.write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_bad_file_is_refused_in_one_line(table, tmp_path):
    path = tmp_path / "windows.parquet"
    table.write(path)
    good, whole = path.read_bytes(), pq.read_table(path)
    about = whole.schema.metadata

    def replaced(name, values):
        return whole.set_column(whole.column_names.index(name), name, pa.array(values))

    count = len(whole)
    bad = {
        "missing": None,
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "foreign": b"not a table\n" * 99,
        "column": whole.drop_columns("kind"),
        "type": replaced("y", [0.5] * count),
        "null": replaced("source", ["learn"] * (count - 1) + [None]),
        "unknown kind": replaced("kind", ["bucket 10"] * count),
        "unknown split": replaced("split", ["test"] * count),
        "no metadata": whole.replace_schema_metadata(None),
        "other metadata": whole.replace_schema_metadata(
            {key: json.dumps({"side": 3}).encode() for key in about}
        ),
    }
    for what, content in bad.items():
        wrong = tmp_path / f"{what}.parquet"
        if isinstance(content, bytes):
            wrong.write_bytes(content)
        elif content is not None:
            pq.write_table(content, wrong)
        with pytest.raises(SettingsError) as caught:
            WindowTable.read(wrong)
        assert str(wrong) in str(caught.value)
        assert "\n" not in str(caught.value), what
