"""The checkpoint that is shipped does what the README says, on fragments it never saw."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from napari_ink import load_checkpoint, predict
from napari_ink.analysis import metrics
from napari_ink.analysis.metrics import Histogram
from napari_ink.models.checkpoint import read_info
from napari_ink.volumes.synthetic import synthesise
from training.keeping.result import settings_of
from training.settings.load import load_config

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "sample_data/repmode-sample.safetensors"
CONFIG = ROOT / "training/configs/sample.yaml"
UNSEEN = (2001, 2002, 2003, 2004, 2005)


def counted(model, seed, **size):
    """Probability by label inside the mask of one simulated fragment."""
    fragment = synthesise(seed, **size)
    histogram = Histogram()
    label, mask = np.asarray(fragment.label), np.asarray(fragment.mask)
    for done in predict(fragment, model):
        histogram.add(done.probability, label[done.box.slices], mask[done.box.slices])
    return histogram


def test_it_was_trained_by_the_shipped_settings(tmp_path):
    recorded = tmp_path / "recorded.yaml"  # read again: settings that came later have their default
    recorded.write_text(yaml.safe_dump(read_info(CHECKPOINT).training["config"]))
    assert settings_of(load_config(recorded)) == settings_of(load_config(CONFIG))


def test_it_was_trained_on_narrow_windows():
    info = read_info(CHECKPOINT)
    assert info.window_mm <= 0.55
    assert info.simulated
    assert CHECKPOINT.stat().st_size <= 8e6
    assert len(info.dataset) == load_config(CONFIG).data.synthetic.fragments


def test_no_unseen_seed_was_seen():
    synthetic = load_config(CONFIG).data.synthetic
    seeds = range(synthetic.first_seed, synthetic.first_seed + synthetic.fragments)
    assert not set(UNSEEN) & {*seeds, synthetic.validation_seed}


def test_it_finds_the_ink_of_a_small_unseen_fragment():
    model = load_checkpoint(CHECKPOINT)
    histogram = counted(model, UNSEEN[0], height=256, width=320)
    assert histogram.ink_pixels > 2000
    assert metrics.auc(histogram) > 0.9


@pytest.mark.slow
def test_it_finds_the_ink_of_five_unseen_fragments():
    model = load_checkpoint(CHECKPOINT)
    threshold = model.info.threshold("ink")
    histograms = [counted(model, seed) for seed in UNSEEN]
    for seed, histogram in zip(UNSEEN, histograms, strict=True):
        print(seed, metrics.summary(histogram, threshold))
    pooled = sum(histograms, Histogram())
    assert metrics.scores(pooled, threshold)["f05"] >= 0.85
    assert metrics.auc(pooled) >= 0.97
    assert metrics.ece(pooled) <= 0.05
