"""The weakest ink that a checkpoint finds: interpolation, spread, and no peeking."""

import json

import numpy as np
import pytest
import torch

from napari_ink.errors import SettingsError
from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
from napari_ink.models.registry import build
from training.detection_limit.__main__ import main
from training.detection_limit.figures import chart, words
from training.detection_limit.measure import DetectionLimit, limit, measure, spread
from training.detection_limit.unseen import fragments_for, seen_seeds
from training.settings.config import SyntheticConfig

SIZE = {"depth": 8, "height": 96, "width": 128, "voxel_size": 64.0}


def network(**record):
    torch.manual_seed(1)
    arguments = {"width": 2, "levels": 1, "depth": 8, "decoder": "2d", "tasks": ["ink"]}
    model = build("repmode", arguments).eval()
    synthetic = {"fragments": 3, "first_seed": 10, "validation_seed": 9, "strengths": [1.0]}
    info = CheckpointInfo.of(
        model,
        recipe={"kind": "fixed", "mean": 0.45, "std": 0.15},
        voxel_size=64.0,
        layers=(0, 8),
        simulated=True,
        training={"config": {"data": {"synthetic": synthetic | SIZE}}},
        dataset=tuple({"name": f"synthetic-{seed}", "fingerprint": "x"} for seed in (10, 11, 12)),
        metrics={"validation": ["synthetic-9 part 1/2"]},
    )
    model.info = info
    return model


def saved(folder):
    model = network()
    path = folder / "tiny.safetensors"
    save_checkpoint(path, model, model.info)
    return path


class Oracle:
    """In the place of prediction: finds the ink that the fragment has, as strong as it is."""

    def __call__(self, fragment, model, settings, notice):
        from napari_ink.inference.settings import Box, TileDone

        label = np.asarray(fragment.label)
        strength = self.strengths[self.calls % len(self.strengths)]
        self.calls += 1
        noise = np.random.default_rng(self.calls).random(label.shape)
        height, width = label.shape
        yield TileDone(
            1, 1, Box(0, height, 0, width), np.clip(0.4 * strength * label + 0.5 * noise, 0, 1)
        )

    def __init__(self, strengths):
        self.strengths, self.calls = strengths, 0


def test_limit_lies_between_the_strengths_where_the_auc_crosses():
    assert limit((1.0, 0.5, 0.0), (1.0, 0.95, 0.45)) == pytest.approx(0.45)
    assert limit((1.0, 0.5, 0.0), (0.95, 0.85, 0.5)) == pytest.approx(0.75)
    assert limit((1.0, 0.5, 0.0), (1.0, 0.9, 0.5)) == pytest.approx(0.5)


def test_never_found_has_no_limit_and_a_recovery_counts_for_nothing():
    assert limit((1.0, 0.5, 0.0), (0.89, 0.7, 0.5)) is None
    assert limit((1.0, 0.5, 0.0), (float("nan"), 0.95, 0.5)) is None
    assert limit((1.0, 0.6, 0.4, 0.0), (1.0, 0.8, 0.95, 0.5)) == pytest.approx(0.8)


def test_spread_is_that_of_a_sample():
    assert spread([1.0, 2.0, 3.0]) == {"mean": 2, "sd": 1, "min": 1, "max": 3}
    assert spread([0.5])["sd"] == 0


def test_summary_has_a_limit_only_if_every_fragment_reaches_it():
    auc = np.array([[1.0, 0.8, 0.5], [0.96, 0.84, 0.5]])
    both = DetectionLimit((1, 2), (1.0, 0.5, 0.0), auc)
    assert both.summary()["limit"]["mean"] == pytest.approx((0.75 + 0.75) / 2)
    auc = np.array([[1.0, 0.8, 0.5], [0.7, 0.6, 0.5]])
    one = DetectionLimit((1, 2), (1.0, 0.5, 0.0), auc)
    assert one.summary()["limit"] is None
    assert one.summary()["reached"] == 1
    assert any("no detection limit: on 1 of 2" in line for line in words(one))
    json.dumps(one.summary(), allow_nan=False)


def test_letters_that_show_without_ink_are_remarked_upon():
    auc = np.array([[1.0, 0.8], [1.0, 0.7]])
    assert "NOT about one half" in words(DetectionLimit((1, 2), (1.0, 0.0), auc))[-1]
    auc = np.array([[1.0, 0.51], [1.0, 0.48]])
    assert "NOT" not in words(DetectionLimit((1, 2), (1.0, 0.0), auc))[-1]


def test_every_seed_is_predicted_at_every_strength_and_without_ink(tmp_path, monkeypatch):
    oracle = Oracle((1.0, 0.5, 0.0))
    monkeypatch.setattr("training.detection_limit.measure.predict", oracle)
    model = network()
    result = measure(model, [21, 22], [0.5, 1.0], fragments_for(model.info, str(tmp_path)))
    assert oracle.calls == 6
    assert result.strengths == (1.0, 0.5, 0.0)
    assert result.auc.shape == (2, 3)
    assert (np.diff(result.auc, axis=1) < 0).all()
    assert result.auc[:, -1] == pytest.approx([0.5, 0.5], abs=0.05)
    assert len(list(tmp_path.glob("*.npz"))) == 6


def test_seeds_that_were_learned_from_or_validated_on_are_refused(tmp_path):
    model = network()
    assert seen_seeds(model.info) == {9, 10, 11, 12}
    with pytest.raises(SettingsError, match="has seen 9, 11"):
        measure(model, [11, 9, 50], [1.0], fragments_for(model.info, str(tmp_path)))


def test_seeds_are_known_by_the_names_of_fragments_too():
    info = CheckpointInfo.of(
        network(), recipe={"kind": "fixed"}, dataset=({"name": "simulated-77 0:4,0:4"},)
    )
    assert seen_seeds(info) == {77}


def test_a_fragment_seen_under_another_name_is_known_by_its_fingerprint(tmp_path):
    from dataclasses import replace

    from training.dataset.synthetic import simulated_at

    model = network()
    fragments = fragments_for(model.info, str(tmp_path))
    (fragment,) = simulated_at(fragments, [(21, 1.0)])
    entry = {"name": "mine", "fingerprint": fragment.fingerprint()}
    model.info = replace(model.info, dataset=(entry,))
    with pytest.raises(SettingsError, match="has seen 21"):
        measure(model, [21], [1.0], fragments)


def test_fragments_are_like_those_learned_from():
    assert fragments_for(network().info, "c") == SyntheticConfig(**SIZE, cache="c")
    info = CheckpointInfo.of(network(), recipe={"kind": "fixed"}, layers=(20, 28), voxel_size=7.91)
    found = fragments_for(info, "c")
    assert (found.depth, found.voxel_size) == (28, 7.91)


def test_command_line_gives_json_alone_a_picture_and_the_estimate_first(tmp_path, capsys):
    words = [str(saved(tmp_path)), "--seeds", "21", "--strengths", "1", "--json"]
    words += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert record["strengths"] == [1.0, 0.0]
    assert record["shape"] == [8, 96, 128]
    assert np.shape(record["auc"]) == (1, 2)
    assert err.startswith("2 fragments of 8 × 96 × 128 at 64 µm: about")
    assert json.loads((tmp_path / "out/detection_limit.json").read_text()) == record
    assert (tmp_path / "out/detection_limit.png").stat().st_size > 10_000


def test_out_that_takes_no_files_is_refused_before_the_work(tmp_path, capsys, monkeypatch):
    path = saved(tmp_path)
    monkeypatch.setattr(
        "training.detection_limit.__main__.measure", lambda *_: pytest.fail("was measured")
    )
    (tmp_path / "file").touch()
    (tmp_path / "taken/detection_limit.png").mkdir(parents=True)
    for folder in ("file", "file/below", "taken"):
        assert main([str(path), "--out", str(tmp_path / folder)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "cannot write to" in line


def test_figures_are_said_also_if_they_cannot_be_kept(tmp_path, capsys, monkeypatch):
    result = DetectionLimit((1,), (1.0, 0.0), np.array([[1.0, 0.5]]))
    folder = tmp_path / "out"

    def measured(*_):
        folder.rmdir()
        folder.touch()
        return result

    monkeypatch.setattr("training.detection_limit.__main__.measure", measured)
    assert main([str(saved(tmp_path)), "--out", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert "detection limit 0.800" in out
    assert "cannot write to" in err


def test_seen_seed_on_the_command_line_is_one_line(tmp_path, capsys):
    assert main([str(saved(tmp_path)), "--seeds", "10", "--cache", str(tmp_path)]) == 2
    assert "has seen 10: choose other --seeds" in capsys.readouterr().err.splitlines()[-1]


def test_chart_shows_every_fragment_their_mean_and_the_limit():
    auc = np.array([[1.0, 0.8, 0.5], [0.96, 0.84, 0.5]])
    axes = chart(DetectionLimit((1, 2), (1.0, 0.5, 0.0), auc)).axes[0]
    drawn = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 3]
    assert np.allclose(drawn[:2], auc)
    assert np.allclose(drawn[2], auc.mean(0))
    assert any("detection limit 0.75" in text.get_text() for text in axes.texts)
