"""The picture of windows: what it shows of which fragment, without a screen."""

import sys
import tracemalloc

import numpy as np
import pytest
from dataset_fragments import DEPTH, blobs, in_memory, opened
from matplotlib.collections import PolyCollection

from napari_ink.errors import SettingsError
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.images import ImageFile
from training.dataset.config import SelectionConfig
from training.dataset.picture import picture, write_picture
from training.dataset.table import select_windows


def made(count=2, shape=(120, 160)):
    fragments = []
    for i in range(count):
        volume = np.random.default_rng(i).integers(0, 255, (DEPTH, *shape), np.uint8)
        fragments.append(Fragment.from_array(volume, name=f"f{i}", label=blobs(i, shape)))
    sources = opened(simulated=[in_memory(f, validation=i == 0) for i, f in enumerate(fragments)])
    return sources, select_windows(sources, 8, SelectionConfig(windows=50, void=20), 0)


def test_every_window_of_the_source_is_drawn_and_no_other():
    sources, table = made(3)
    whole = picture(sources[1:2], table).axes[0]
    drawn = [c for c in whole.collections if isinstance(c, PolyCollection)]
    corners = {tuple(path.vertices[0]) for c in drawn for path in c.get_paths()}
    rows = table.source == "f1"
    assert corners == set(zip(table.x[rows], table.y[rows], strict=True))
    assert "f1" in whole.get_title(loc="left")


def test_training_and_validation_differ_for_those_who_see_no_red_and_green():
    sources, table = made()
    looks = [
        c.get_edgecolor()[0][:3]
        for axes in picture(sources, table).axes[::3]
        for c in axes.collections
        if len(c.get_paths())
    ]
    validation, training = np.array(looks[0]), np.array(looks[-1])
    assert abs(validation[2] - training[2]) > 0.4  # in blue, which nearly everyone sees
    assert abs(validation.mean() - training.mean()) > 0.05


def test_file_is_a_whole_png_and_draws_on_no_screen(tmp_path):
    sources, table = made()
    write_picture(tmp_path / "windows.png", sources, table)
    height, width = ImageFile.open(str(tmp_path / "windows.png")).shape
    assert width > 1200
    assert height > 700
    assert [path.name for path in tmp_path.iterdir()] == ["windows.png"]
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_folder_that_is_not_there_is_one_line(tmp_path):
    sources, table = made()
    with pytest.raises(SettingsError) as caught:
        write_picture(tmp_path / "none" / "windows.png", sources, table)
    assert "\n" not in str(caught.value)


def test_more_than_a_dozen_fragments_are_said_to_be_left_out():
    sources, table = made(14, (40, 50))
    figure = picture(sources, table)
    assert len(figure.axes) == 12 * 3
    assert figure.legends[0].get_title().get_text() == "and 2 more fragments"


def test_large_label_takes_little_memory():
    sources, table = made(shape=(3000, 4000))
    tracemalloc.start()
    picture(sources, table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # the two labels alone would be 96 MB as float32
