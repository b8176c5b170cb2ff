"""Simulated sources of a run: who is learned from, and from when on."""

import os

import pytest

from napari_ink.errors import InkError
from training.dataset import synthetic
from training.dataset.synthetic import joining, synthetic_sources
from training.settings.config import SyntheticConfig


def test_weaker_ink_joins_later_at_equal_distances():
    assert joining([1.0, 0.6, 0.3, 1.0, 0.6], 0.5) == [0, 0.25, 0.5, 0, 0.25]
    assert joining([0.3, 1.0, 0.5], 0.0) == [0, 0, 0]
    assert joining([0.7, 0.7], 0.5) == [0, 0]


def test_fragments_are_dealt_strengths_and_the_last_is_for_validation(tmp_path):
    config = SyntheticConfig(
        fragments=2,
        strengths=(0.4, 1.0),
        curriculum=0.5,
        depth=16,
        height=96,
        width=96,
        cache=str(tmp_path),
    )
    entries = list(synthetic_sources(config))
    assert [c.path for c, _ in entries] == ["synthetic-1000", "synthetic-1001", "synthetic-900"]
    assert [c.joins for c, _ in entries] == [0.5, 0, 0]
    assert [c.validation for c, _ in entries] == [False, False, True]
    assert sorted(file.name.split("-")[3] for file in tmp_path.glob("*.npz")) == [
        "ink0.4",
        "ink1",
        "ink1",
    ]


def test_a_process_that_dies_while_it_simulates_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_make", _die)
    with pytest.raises(InkError, match="ended from outside") as caught:
        list(synthetic_sources(SyntheticConfig(fragments=1, cache=str(tmp_path))))
    assert "\n" not in str(caught.value)


def _die(*_):
    os._exit(1)


def test_no_simulated_fragments_are_made_where_none_are_asked_for(tmp_path):
    assert list(synthetic_sources(SyntheticConfig(cache=str(tmp_path / "none")))) == []
    assert not (tmp_path / "none").exists()
