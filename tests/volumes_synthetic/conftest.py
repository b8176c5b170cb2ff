"""Five simulated fragments, made and measured once a session."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_ink.volumes.synthetic import statistics, synthesise

SEEDS = (0, 1, 2, 3, 4)


def parts(fragment) -> SimpleNamespace:
    """A fragment as arrays: volume, ink, mask."""
    return SimpleNamespace(
        volume=fragment.read(),
        ink=np.asarray(fragment.label) > 0.5,
        mask=np.asarray(fragment.mask, bool),
    )


@pytest.fixture(scope="session")
def default_fragment():
    return synthesise(SEEDS[0])


@pytest.fixture(scope="session")
def five(default_fragment):
    """Every statistic of DATA.md for each of five seeds at the defaults."""
    measured = []
    for seed in SEEDS:
        fragment = default_fragment if seed == SEEDS[0] else synthesise(seed)
        one = parts(fragment)
        inside = one.volume[:, one.mask]
        middle = one.volume[:, 40:-40, 40:-40]
        measured.append(
            SimpleNamespace(
                peaks=statistics.histogram_peaks(inside),
                noise=statistics.flat_air_noise(one.volume, 16.0),
                percentiles=np.percentile(inside, [0.1, 50, 99.9]),
                lengths=statistics.correlation_lengths(middle, 16.0),
                heights=statistics.letter_heights(one.ink, 16.0),
                stroke=statistics.stroke_width(one.ink, 16.0),
                ink=one.ink.mean(),
                layers=statistics.layer_auc(one.volume, one.ink, one.mask, (0, 2, 6)),
                variance=statistics.local_variance_auc(one.volume, one.ink, one.mask, (3, 9)),
                profile=statistics.profile_auc(one.volume, one.ink, one.mask),
            )
        )
    return measured
