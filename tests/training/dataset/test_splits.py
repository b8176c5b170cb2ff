"""Splits: equal parts, folds, and that nothing validated on is ever learned from."""

from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from dataset_fragments import DEPTH, allowed, blobs, opened, write_fragment
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_ink.errors import InkError, SettingsError
from napari_ink.inference.settings import Box
from napari_ink.volumes.fragment import Fragment
from training.dataset.config import SelectionConfig, SourceConfig
from training.dataset.splits import band, deal, near, parse_part
from training.dataset.table import select_windows


@st.composite
def runs(draw):
    """Fragments as planes, the configurations over them, and what else decides the windows."""
    fragments = []
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(st.integers(24, 70)), draw(st.integers(24, 70))
        planes = {"label": blobs(draw(st.integers(0, 999)), shape)}
        for kind, shares in (
            ("mask", (0.5, 0.95)),
            ("supervision", (0.5, 0.95)),
            ("validation", (0.01, 0.1)),
        ):
            if draw(st.booleans()):
                share = draw(st.sampled_from(shares))
                planes[kind] = blobs(draw(st.integers(0, 999)), shape, share) > 0
        fragments.append((shape, planes))
    configs = [SourceConfig("f0")]
    for _ in range(draw(st.integers(1, 4))):
        index = draw(st.integers(0, len(fragments) - 1))
        height, width = fragments[index][0]
        region = None
        if draw(st.booleans()):
            y0, x0 = draw(st.integers(0, height - 12)), draw(st.integers(0, width - 12))
            y1, x1 = draw(st.integers(y0 + 12, height)), draw(st.integers(x0 + 12, width))
            region = (y0, y1, x0, x1)
        part = draw(st.sampled_from(["", "1/2", "2/2", "2/3", "3/3"]))
        validation = draw(st.booleans())
        configs.append(SourceConfig(f"f{index}", part, region, validation=validation))
    fold = draw(st.none() | st.integers(0, 1))
    folds = draw(st.none() | st.just(2))
    side, context = draw(st.integers(2, 10)), draw(st.integers(0, 10))
    return fragments, configs, fold, folds, side, context, draw(st.integers(0, 99))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_no_validation_pixel_nor_its_context_is_inside_a_training_window(run):
    fragments, configs, fold, folds, side, context, seed = run
    there = {}
    for index, (shape, planes) in enumerate(fragments):
        volume = np.random.default_rng(index).integers(0, 255, (DEPTH, *shape), np.uint8)
        there[f"f{index}"] = Fragment.from_array(volume, name=f"f{index}", **planes)
    try:
        with mock.patch("training.dataset.opening.open_fragment", there.__getitem__):
            sources = opened(*configs, context=context, fold=fold, folds=folds)
        selection = SelectionConfig(windows=200, void=100, anywhere=100, counted=0.25)
        table = select_windows(sources, side, selection, seed)
    except InkError:
        assume(False)
    by_name = {source.name: source for source in sources}
    for index, (shape, planes) in enumerate(fragments):
        # What is validated on, painted anew from the sources' boxes and from the side-car itself.
        held_out = planes.get("validation", np.zeros(shape, bool)).copy()
        of_config = np.zeros(shape, bool)
        for source in sources:
            if source.fragment.name == f"f{index}" and source.validation:
                if source.name.endswith("held out"):
                    continue  # what its mask marks is painted already
                of_config[source.box.slices] = True
        held_out |= of_config
        square = np.ones((2 * context + 1,) * 2, bool)
        seen = ndimage.binary_dilation(held_out, square) if held_out.any() else held_out
        painted = {"train": np.zeros(shape, bool), "validation": np.zeros(shape, bool)}
        for row in np.flatnonzero(table.fragment == f"f{index}"):
            y, x, box = int(table.y[row]), int(table.x[row]), by_name[table.source[row]].box
            assert box.y0 <= y <= box.y1 - side
            assert box.x0 <= x <= box.x1 - side
            painted[str(table.split[row])][y : y + side, x : x + side] = True
        assert not (painted["train"] & seen).any()
        assert not (painted["validation"] & ~held_out).any()


def test_validation_inside_a_training_fragment_is_carved_out_with_its_context(tmp_path):
    path = write_fragment(tmp_path / "f", blobs(0, (80, 80)))
    learn, look = opened(
        SourceConfig(path),
        SourceConfig(path, region=(20, 40, 30, 50), validation=True),
        context=7,
    )
    forbidden = np.zeros((80, 80), bool)
    forbidden[13:47, 23:57] = True
    assert (allowed(learn) == ~forbidden).all()
    assert allowed(look).sum() == allowed(look)[20:40, 30:50].sum() == 400


def test_own_validation_mask_is_not_learned_from_and_is_validated_on(tmp_path):
    mask = np.zeros((80, 80), bool)
    mask[:30, :20] = True
    mask[10, 10] = False
    path = write_fragment(tmp_path / "f", blobs(0, (80, 80)), validation=mask)
    learn, look = opened(SourceConfig(path), context=3)
    assert (learn.validation, look.validation) == (False, True)
    assert look.name == "f held out"
    assert (allowed(look) == mask).all()
    assert (allowed(learn) == ~ndimage.binary_dilation(mask, np.ones((7, 7)))).all()


def test_copy_of_a_fragment_under_another_path_is_the_same_place(tmp_path):
    """A part learned from in one copy, the whole validated on in another."""
    one = write_fragment(tmp_path / "one", blobs(0, (80, 80)))
    other = write_fragment(tmp_path / "other", blobs(0, (80, 80)))
    learn, _ = opened(
        SourceConfig(one), SourceConfig(other, region=(0, 30, 0, 80), validation=True), context=2
    )
    assert not allowed(learn)[:32].any()
    assert allowed(learn)[32:].all()
    with pytest.raises(SettingsError, match="both learned from and validated on"):
        opened(SourceConfig(one), SourceConfig(other, validation=True))


def test_kaggle_folds_validate_on_each_of_five_in_turn(tmp_path):
    paths = [write_fragment(tmp_path / f"f{n}", blobs(n, (90, 60)), seed=n) for n in (1, 2, 3)]
    one, two, three = paths
    five = [
        SourceConfig(one),
        SourceConfig(two, part="1/3"),
        SourceConfig(three),
        SourceConfig(two, part="2/3"),
        SourceConfig(two, part="3/3"),
    ]
    for fold, name in enumerate(["f1", "f2 part 1/3", "f3", "f2 part 2/3", "f2 part 3/3"]):
        sources = opened(*five, fold=fold)
        assert [s.name for s in sources if s.validation] == [name]
        assert len(sources) == 5
    assert opened(*five, fold=1)[1].box == Box(0, 30, 0, 60)
    # Its neighbour keeps clear of it, the third part is far enough.
    assert not allowed(opened(*five, fold=1)[3])[:35].any()
    assert allowed(opened(*five, fold=1)[3])[35:60].all()
    assert allowed(opened(*five, fold=1)[4]).sum() == 30 * 60


def test_source_for_validation_alone_stays_so_in_every_fold(tmp_path):
    paths = [write_fragment(tmp_path / f"f{n}", blobs(n), seed=n) for n in range(4)]
    configs = [SourceConfig(path, validation=n == 0) for n, path in enumerate(paths)]
    assert [s.validation for s in opened(*configs, fold=1)] == [True, False, True, False]
    configs = [SourceConfig(path, fold=n // 2) for n, path in enumerate(paths)]
    assert [s.validation for s in opened(*configs, fold=1)] == [False, False, True, True]
    with pytest.raises(SettingsError, match="no source is of fold 2") as caught:
        opened(*configs, fold=2)
    assert "0, 1" in caught.value.remedy
    with pytest.raises(SettingsError, match="fold 1 too"):
        opened(SourceConfig(paths[0], validation=True, fold=1))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 6))
def test_bands_cover_all_rows_and_each_is_within_a_row_of_its_share(area, of):
    area = np.array(area)
    try:
        found = [band(area, number, of) for number in range(1, of + 1)]
    except SettingsError:
        # Only where some cut has no row of its own to fall on.
        assert area.max(initial=0) * of >= area.sum()
        return
    assert found[0][0] == 0
    assert found[-1][1] == len(area)
    assert all(a[1] == b[0] for a, b in pairwise(found))
    for number, (_, end) in enumerate(found, start=1):
        assert abs(area[:end].sum() - area.sum() * number / of) <= area.max() / 2


def test_parts_are_equal_by_papyrus_not_by_height(tmp_path):
    mask = np.zeros((90, 60), bool)
    mask[60:] = True
    path = write_fragment(tmp_path / "f", blobs(0, (90, 60)), mask=mask)
    sources = opened(*(SourceConfig(path, part=f"{n}/3", validation=n == 1) for n in (1, 2, 3)))
    assert [source.box[:2] for source in sources] == [(0, 70), (70, 80), (80, 90)]
    assert [source.name for source in sources] == ["f part 1/3", "f part 2/3", "f part 3/3"]


@pytest.mark.parametrize("part", ["4/3", "0/3", "3", "a/b", "1/0", "-1/3", "1/3/5"])
def test_part_that_is_none_is_refused(part):
    with pytest.raises(SettingsError, match="there is no part"):
        parse_part(part)


def test_folds_are_dealt_out_by_area():
    assert deal([10, 60, 30, 25, 5], [None] * 5, 2) == [1, 0, 1, 1, 0]
    assert deal([10, 60, 30, 25, 5], [1, None, None, None, None], 2) == [1, 0, 1, 1, 0]
    assert deal([10, 60, 30], [None, None, 0], 2) == [0, 1, 0]
    assert deal([1, 1, 1], [None, 7, None], None) == [0, 7, 2]


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(0, 12), st.integers(1, 40), st.integers(1, 40))
def test_near_is_a_square_around_each_pixel(seed, context, height, width):
    random = np.random.default_rng(seed)
    mask = random.random((height, width)) < 0.02
    y, x = random.integers(height), random.integers(width)
    box = Box(y, random.integers(y, height) + 1, x, random.integers(x, width) + 1)
    both = mask.copy()
    both[box.slices] = True
    square = np.ones((2 * context + 1,) * 2, bool)
    expected = ndimage.binary_dilation(both, square)
    assert (near((height, width), [box], [mask], context) == expected).all()
