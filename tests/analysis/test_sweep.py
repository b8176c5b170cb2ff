"""A sweep reads a region in every way, tells which map separates, and writes nothing."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_ink import load_checkpoint
from napari_ink.analysis.sweep import Way, best_of, plan_sweep, sweep
from napari_ink.analysis.sweep_sheet import contact_sheet, in_order
from napari_ink.errors import SettingsError
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.models.contract import InkNetwork
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.sample import sample_path
from napari_ink.volumes.synthetic import synthesise
from napari_ink.volumes.synthetic.letters import write_text

SIZE = (240, 320)


class FirstBright(nn.Module):
    """Ink where the first layer shown is brighter than the last."""

    def forward(self, volume):
        return (volume[:, :, 0] - volume[:, :, -1]) * 12 - 3


class Reader(InkNetwork):
    architecture, output, output_stride = "reader", "layer", 1
    multiple_of, halo, tasks, arguments, depth = 4, 0, ("ink",), {}, 4

    def __init__(self):
        super().__init__()
        self.info = CheckpointInfo.of(self, recipe={"kind": "fixed"}, layers=(3, 7))

    def fold(self, task=0, gates=None):
        return FirstBright()


def written(layer, shape=SIZE, depth=12):
    """Letters, bright in one layer of a dark stack."""
    ink = write_text(3, shape, 24.0)[0]
    volume = np.full((depth, *shape), 60, np.uint8)
    volume[layer][ink] = 190
    return Fragment.from_array(volume, name="letters", label=ink, voxel_size=24.0)


def swept(fragment, model=None, step=None, **settings):
    model = model or Reader()
    plan = plan_sweep(fragment, model, PredictionSettings(device="cpu", **settings), step=step)
    return plan, list(sweep(fragment, model, plan))


def test_every_window_is_read_both_ways_and_the_better_ones_are_turned():
    plan, done = swept(written(5), step=4)
    ways = [one.way for one in done]
    assert plan.windows == ((3, 7), (4, 8), (5, 9), (0, 4), (8, 12))
    assert len(ways) == plan.total == len(set(ways)) == 2 * 5 + 6
    assert [one.index for one in done] == list(range(1, plan.total + 1))
    assert [way.turns for way in ways] == [0] * 10 + [1, 2, 3] * 2
    assert ways[:2] == [Way((3, 7), False), Way((3, 7), True)]


@pytest.mark.parametrize(("layer", "layers", "reverse"), [(5, (5, 9), False), (8, (5, 9), True)])
def test_the_window_and_the_direction_that_show_letters_are_the_best(layer, layers, reverse):
    _, done = swept(written(layer, depth=9), step=5, layers=(5, 9))
    best = best_of(done)
    assert (best.way.layers, best.way.reverse_depth) == (layers, reverse)
    assert best.auc > 0.99
    assert best.separation > 2 * max(
        one.separation for one in done if one.way.reverse_depth != reverse
    )


def test_maps_are_turned_back_onto_the_fragment():
    _, done = swept(written(3), step=8, region=Box(20, 200, 40, 300))
    first = done[0].probability
    assert first.shape == (180, 260)
    for one in done:
        if one.way.turns and not one.way.reverse_depth:
            np.testing.assert_array_equal(one.probability, first)


def test_a_region_equals_the_same_part_of_a_prediction():
    from napari_ink import predict

    fragment = synthesise(1, depth=16, height=96, width=128, voxel_size=16.0)
    model = load_checkpoint(sample_path("repmode-sample.safetensors"))
    settings = PredictionSettings(device="cpu", layers=(0, 16), region=Box(8, 72, 16, 112))
    plan = plan_sweep(fragment, model, settings)
    first = next(sweep(fragment, model, plan)).probability
    whole = np.full(fragment.shape[1:], np.nan, np.float32)
    for block in predict(fragment, model, settings):
        whole[block.box.slices] = block.probability
    np.testing.assert_allclose(first, whole[plan.region.slices], atol=1e-6)


@pytest.mark.parametrize("seed", [5001, 5002, 5003])
def test_on_a_fragment_stored_reversed_it_picks_the_reverse(seed):
    fragment = synthesise(
        seed, height=256, width=320, ink_strength=0.5, reversed_depth=True, voxel_size=16.0
    )
    torch.set_num_threads(2)
    _, done = swept(fragment, load_checkpoint(sample_path("repmode-sample.safetensors")), step=16)
    best = best_of(done)
    assert best.way.reverse_depth
    assert best.auc > max(one.auc for one in done) - 0.01


def test_without_a_label_there_is_no_auc_and_the_same_best():
    fragment = written(5)
    bare = Fragment.from_array(fragment.read(), name="letters", voxel_size=24.0)
    _, labelled = swept(fragment, step=4)
    _, done = swept(bare, step=4)
    assert all(one.auc is None for one in done)
    assert [one.separation for one in done] == [one.separation for one in labelled]


def test_layers_are_read_once_for_all_candidates():
    fragment = written(5)
    reads = []
    read = type(fragment.volume).read

    class Counted(type(fragment.volume)):
        def read(self, z, y, x):
            reads.append((z.stop - z.start) * (y.stop - y.start) * (x.stop - x.start))
            return read(self, z, y, x)

    fragment.fingerprint()
    object.__setattr__(fragment, "volume", Counted(fragment.volume.array))
    plan = plan_sweep(fragment, Reader(), PredictionSettings(device="cpu"), step=4)
    reads.clear()
    list(sweep(fragment, Reader(), plan))
    assert sum(reads) <= 12 * SIZE[0] * SIZE[1]


def test_what_cannot_be_swept_is_refused_in_one_line():
    model = Reader()
    few = Fragment.from_array(np.zeros((3, 40, 40), np.uint8), name="few")
    with pytest.raises(SettingsError, match="few has 3 layers, the checkpoint takes 4"):
        plan_sweep(few, model)
    with pytest.raises(SettingsError, match="a step of 0 layers: choose 1 or more"):
        plan_sweep(written(5), model, step=0)
    with pytest.raises(SettingsError, match="holds no pixel"):
        plan_sweep(written(5), model, PredictionSettings(region=Box(900, 990, 0, 9)))
    model.output = "volume"
    with pytest.raises(SettingsError, match="labels volumes"):
        plan_sweep(written(5), model)


def test_the_sheet_shows_every_map_and_marks_the_best():
    _, done = swept(written(5), step=4)
    figure = contact_sheet(done, "letters")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert len(titles) == len(done)
    best = best_of(done)
    place = in_order(done).index(best)
    assert f"separation {best.separation:.3f}" in titles[place]
    wide = [axes.spines["top"].get_linewidth() for axes in figure.axes[: len(done)]]
    assert np.argmax(wide) == place
    assert best.way.name in figure.get_suptitle()
