"""Sources: what is opened, what it holds, and what is refused before any work."""

import numpy as np
import pytest
import torch
from dataset_fragments import DEPTH, allowed, blobs, in_memory, opened, write_fragment

from napari_ink.errors import FragmentError, InkError, SettingsError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Recipe
from training.dataset.config import SelectionConfig, SourceConfig
from training.dataset.table import select_windows


@pytest.fixture
def look(tmp_path):
    """Another fragment, to validate on."""
    path = write_fragment(tmp_path / "look", blobs(99), seed=99)
    return SourceConfig(path, validation=True)


def coordinates(name="coordinates", **kwargs):
    """A fragment whose voxels say where they are."""
    z, y, x = np.ogrid[:6, :60, :90]
    volume = (z * 10000 + y * 100 + x).astype(np.uint16)
    label = np.random.default_rng(0).random((60, 90), np.float32)
    return Fragment.from_array(volume, name=name, label=label, **kwargs)


def simulated(fragment, **kwargs):
    other = Fragment.from_array(np.zeros((6, 60, 90), np.uint8), label=np.ones((60, 90)))
    return opened(simulated=[in_memory(fragment), in_memory(other, validation=True)], **kwargs)[0]


def test_window_label_and_weight_come_from_one_place():
    mask = np.zeros((60, 90), bool)
    mask[:, 20:] = True
    fragment = coordinates(mask=mask)
    volume, label, weight = simulated(fragment, depth=6).cut(10, 15, 16)
    raw = np.rint(volume * 65535).astype(int)
    assert raw[0, 0, 0] == 1015
    assert raw[1, 2, 3] == 11218
    assert (volume.dtype, label.dtype, weight.dtype) == (np.float32,) * 3
    assert np.allclose(label, np.asarray(fragment.label)[10:26, 15:31], atol=0.5 / 255 + 1e-6)
    assert (weight == mask[10:26, 15:31]).all()


def test_layers_are_flipped_after_they_are_cut_and_normalised(tmp_path, look):
    path = write_fragment(tmp_path / "f", blobs(0), depth=6)
    recipe = Recipe("layer_zscore")
    ahead, back, _ = opened(
        SourceConfig(path, layers=(1, 5)),
        SourceConfig(path, layers=(1, 5), reverse=True),
        look, recipe=recipe,
    )  # fmt: skip
    assert (ahead.name, back.name) == ("f", "f #2")
    volume = back.cut(3, 4, 8)[0]
    assert np.array_equal(volume, ahead.cut(3, 4, 8)[0][::-1])
    torch.from_numpy(volume)  # which takes no negative stride
    assert ahead.label is back.label
    assert ahead.counts is back.counts


def test_depth_window_is_the_middle_the_runs_or_its_own(tmp_path, look):
    fragment = coordinates(first_layer=15)
    middle = simulated(fragment, depth=2)
    assert (middle.layers, middle.stored_layers) == (slice(2, 4), (17, 19))
    path = write_fragment(tmp_path / "f", blobs(0), depth=8)
    configs = SourceConfig(path), SourceConfig(path, layers=(1, 5)), look
    assert [s.stored_layers for s in opened(*configs)] == [(2, 6), (1, 5), (0, 4)]
    assert [s.stored_layers for s in opened(*configs, layers=(0, 4))] == [(0, 4), (1, 5), (0, 4)]


def test_papyrus_and_supervision_say_where_the_label_counts(tmp_path, look):
    mask, supervision = np.ones((60, 90), bool), np.zeros((60, 90), bool)
    mask[:, :10], supervision[40:, :30] = False, True
    masks = {"mask": mask, "supervision": supervision}
    source, _ = opened(SourceConfig(write_fragment(tmp_path / "f", blobs(0), **masks)), look)
    assert (source.counts == (mask & supervision)).all()
    assert allowed(source).all()


def test_task_is_the_first_or_the_one_named(tmp_path, look):
    path = write_fragment(tmp_path / "f", blobs(0))
    sources = opened(SourceConfig(path), SourceConfig(path, task="other"), look)
    assert [source.task for source in sources] == ["ink", "other", "ink"]


def test_soft_label_keeps_its_grey_levels(tmp_path, look):
    label = np.tile(np.arange(90, dtype=np.uint8), (60, 1))
    label[0, 0] = 255
    source, _ = opened(SourceConfig(write_fragment(tmp_path / "f", label)), look)
    assert (source.label == label).all()


def test_what_cannot_be_learned_from_is_refused_in_one_line(tmp_path, look):
    good = write_fragment(tmp_path / "good", blobs(0))
    bare = write_fragment(tmp_path / "bare", seed=3)
    nothing = np.zeros((60, 90), bool)
    unmarked = write_fragment(tmp_path / "unmarked", blobs(0), supervision=nothing, seed=4)
    half = np.zeros((60, 90), bool)
    half[:30] = True
    upper = write_fragment(tmp_path / "upper", blobs(0), mask=half, seed=5)
    cases = [
        (SourceConfig(str(tmp_path / "none")), "none"),
        (SourceConfig(bare), "bare has no ink label"),
        (SourceConfig(unmarked), "unmarked has no labelled papyrus"),
        (SourceConfig(upper, region=(30, 60, 0, 90)), "no labelled papyrus to learn from"),
        (
            SourceConfig(upper, region=(30, 60, 0, 90), validation=True),
            "no labelled papyrus to validate on",
        ),
        (SourceConfig(good, part="4/3"), "there is no part '4/3'"),
        (SourceConfig(upper, part="1/40"), "30 rows of papyrus in 40 parts"),
        (SourceConfig(good, region=(0, 61, 0, 90)), "does not lie in good, 60×90 px"),
        (SourceConfig(good, region=(-5, 20, 0, 90)), "does not lie in good"),
        (SourceConfig(good, region=(20, 20, 0, 90)), "does not lie in good"),
        (SourceConfig(good, task="inc"), "no task 'inc'"),
        (SourceConfig(good, layers=(0, 3)), "holds 3 layers, the network takes 4"),
        (SourceConfig(good, layers=(1, 5)), "has the layers 0:4, not 1:5"),
        (SourceConfig(good, windows=-1), "windows is -1"),
        (SourceConfig(good, fold=-1), "fold is -1"),
        (SourceConfig(good, joins=1.0), "joins is 1.0"),
        (SourceConfig(good, void=-1), "void is -1"),
    ]
    for config, message in cases:
        with pytest.raises(InkError) as caught:
            opened(config, look)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match="the network takes 5"):
        opened(SourceConfig(good), look, depth=5)


def test_volume_label_is_refused():
    fragment = Fragment.from_array(np.zeros((DEPTH, 20, 20), np.uint8), name="muon")
    object.__setattr__(fragment, "label", fragment.volume)
    with pytest.raises(FragmentError, match="labelled voxel by voxel"):
        opened(simulated=[in_memory(fragment)])


def test_run_needs_something_to_learn_from_and_something_to_validate_on(tmp_path, look):
    with pytest.raises(SettingsError, match="no fragment to learn from"):
        opened(look)
    with pytest.raises(SettingsError, match="no fragment to validate on"):
        opened(SourceConfig(write_fragment(tmp_path / "f", blobs(0))))


def test_nothing_left_beside_what_is_validated_on_is_refused(tmp_path):
    path = write_fragment(tmp_path / "f", blobs(0))
    middle = SourceConfig(path, region=(20, 40, 30, 60), validation=True)
    for context in (5, 59):
        learn = SourceConfig(path, region=(22, 40, 30, 60) if context == 5 else None)
        with pytest.raises(SettingsError, match="both learned from and validated on") as caught:
            opened(learn, middle, context=context)
        assert "\n" not in str(caught.value)


def test_window_that_does_not_fit_is_refused(tmp_path, look):
    path = write_fragment(tmp_path / "f", blobs(0))
    part = opened(SourceConfig(path, part="1/3"), look)
    with pytest.raises(SettingsError, match=r"32 px does not fit f part 1/3, 20×90 px"):
        select_windows(part, 32, SelectionConfig(10, 10), 0)
    with pytest.raises(SettingsError, match="61 px does not fit"):
        select_windows(opened(SourceConfig(path), look), 61, SelectionConfig(10, 10), 0)


@pytest.mark.parametrize(
    "wrong",
    [{"windows": -1}, {"void": -1}, {"buckets": 0}, {"cap": 0}, {"counted": 0}, {"counted": 1.1}],
)
def test_selection_that_selects_nothing_is_refused(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        SelectionConfig(**wrong)
