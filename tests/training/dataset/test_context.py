"""What is learned from has no say in a validation map, whatever the intensity recipe looks at."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from dataset_fragments import DEPTH, blobs, write_fragment

from napari_ink.volumes.fragment import ArrayVolume
from training.dataset.config import SelectionConfig, SourceConfig
from training.dataset.table import select_windows
from training.keeping.result import describe
from training.learning.look import predict_part
from training.learning.start import build_network, choose_recipe
from training.run import open_all
from training.settings.config import DataConfig, NetworkConfig, RunConfig

SIDE = 32


@pytest.mark.parametrize("recipe", [{"kind": "fixed"}, {"kind": "zscore", "window": SIDE}])
def test_validation_map_stays_when_all_training_windows_change(tmp_path, recipe):
    path = write_fragment(tmp_path / "f", blobs(0, (160, 200)))
    look = SourceConfig(path, region=(60, 100, 70, 120), validation=True)
    data = DataConfig(sources=(SourceConfig(path), look), window=SIDE, recipe=recipe)
    arguments = {"width": 2, "levels": 1, "depth": DEPTH, "decoder": "2d"}
    config = RunConfig("context", data=data, network=NetworkConfig(arguments=arguments))
    torch.manual_seed(0)
    network = build_network(config).eval()
    recipe = choose_recipe(config, network)
    sources = open_all(config, network, recipe)
    network.info = describe(config, network, recipe, sources)
    table = select_windows(sources, SIDE, SelectionConfig(windows=2000, void=2000), seed=0)
    learned = np.zeros((160, 200), bool)
    for row in np.flatnonzero(table.split == "train"):
        learned[table.y[row] : table.y[row] + SIDE, table.x[row] : table.x[row] + SIDE] = True
    assert learned.any()

    (held_out,) = (source for source in sources if source.validation)
    volume = held_out.fragment.read()
    volume[:, learned] = np.iinfo(volume.dtype).max - volume[:, learned] // 2
    changed = replace(held_out.fragment, volume=ArrayVolume(volume))
    maps = [
        predict_part(network, replace(held_out, fragment=fragment), held_out.box)
        for fragment in (held_out.fragment, changed)
    ]
    np.testing.assert_array_equal(*maps)
