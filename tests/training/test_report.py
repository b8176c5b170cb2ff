"""The report of a run: everything that is there is shown, everything that is not is said."""

import base64
import csv
import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from napari_ink.analysis import metrics
from napari_ink.analysis.metrics import Histogram
from napari_ink.analysis.similarity import ssim
from napari_ink.errors import SettingsError
from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
from napari_ink.models.registry import build
from training.report.__main__ import main
from training.report.curves import running_mean
from training.report.folder import Intensities
from training.report.intensity import quantiles, separation
from training.report.sections import SECTIONS
from training.report.write import write_report

CUT = 0.375


def save_network(folder):
    arguments = {"width": 2, "levels": 1, "depth": 4, "decoder": "2d", "tasks": ["ink"]}
    network = build("repmode", arguments)
    info = CheckpointInfo.of(
        network,
        recipe={"kind": "fixed"},
        voxel_size=16.0,
        window=64,
        thresholds={"ink": CUT},
        training={"seconds": 120},
        dataset=({"name": "a <b> & c", "fingerprint": "0"},),
    )
    save_checkpoint(folder / "tiny.safetensors", network, info)


def save_map(folder, name="left part"):
    random = np.random.default_rng(1)
    label = np.zeros((40, 60), np.uint8)
    label[10:30, 20:28] = 255
    probability = np.clip(label / 800 + 0.6 * random.random(label.shape), 0, 1)
    probability = probability.astype(np.float16)
    counts = np.ones(label.shape, bool)
    counts[:4] = False
    probability[:4] = np.nan
    (folder / "validation").mkdir(exist_ok=True)
    np.savez(
        folder / "validation" / f"{name}.npz", probability=probability, label=label, counts=counts
    )
    return probability, label / 255, counts


@pytest.fixture
def folder(tmp_path):
    """A finished run's folder, made by hand."""
    import pyarrow as pa
    from pyarrow import parquet

    folder = tmp_path / "tiny"
    folder.mkdir()
    tree = {
        "name": "tiny",
        "network": {"architecture": "repmode", "arguments": {"width": 2}},
        "learning": {"steps": 30, "batch": 4, "losses": {"bce": 1.0}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    (folder / "versions.json").write_text(json.dumps({"torch": "9.9"}))
    with (folder / "metrics.csv").open("w", newline="") as stream:
        names = ["step", "loss", "lr", "auc", "f05", "samples_per_second", "seconds"]
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        for step in range(1, 31):
            row = {"step": step, "loss": 1 / step, "lr": 1e-3, "samples_per_second": 7}
            writer.writerow(row | {"seconds": 4 * step})
        writer.writerow({"step": 30, "auc": 0.75, "f05": 0.5, "seconds": 150})
    save_map(folder)
    save_network(folder)
    counts = np.random.default_rng(2).integers(1, 50, (2, 4, 20))
    edges = np.linspace(-1, 1, 21)
    by_source = np.random.default_rng(3).integers(1, 50, (2, 3, 4, 20))
    np.savez(
        folder / "intensity.npz",
        edges=edges,
        ink=counts[0],
        bare=counts[1],
        first_layer=5,
        names=np.array(["a <b>", "b", "c"]),
        ink_by_source=by_source[0],
        bare_by_source=by_source[1],
        raw_edges=100 * edges,
        raw_ink_by_source=by_source[0],
        raw_bare_by_source=by_source[1],
    )
    columns = {"source": ["a", "a", "b"], "kind": ["void", "bucket 1", "void"], "ink": [0, 0.5, 0]}
    parquet.write_table(pa.table(columns), folder / "windows.parquet")
    Image.new("L", (20, 10)).save(folder / "windows.png")
    return folder


def text_of(path):
    return re.sub(r"data:image/[^\"]*", "", path.read_text())


def section(text, heading):
    found = re.search(rf"<h2>{heading}</h2>(.*?)</section>", text, re.S)
    assert found, heading
    return found[1]


def test_report_of_a_whole_run_misses_nothing_and_needs_nothing_else(folder):
    path = write_report(folder)
    assert path == folder / "report.html"
    whole, text = path.read_text(), text_of(path)
    assert "absent" not in text.partition("</style>")[2]
    for heading, _ in SECTIONS:
        assert section(text, heading)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", whole)
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)
    # curves 2, map, cut, reliability, intensities 3, gates, speed, windows
    pictures = re.findall(r"data:image/([a-z+]+);base64,([^\"]*)", whole)
    assert len(pictures) == 11
    for kind, data in pictures:
        start = base64.b64decode(data)[:8]
        assert start.startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    assert [f.name for f in folder.iterdir() if f.suffix == ".part"] == []


def test_scores_are_those_of_the_maps_at_the_checkpoints_cut(folder):
    probability, label, counts = save_map(folder)
    text = section(text_of(write_report(folder)), "Scores")
    values = metrics.summary(Histogram.of(probability, label, counts), CUT)
    shown = re.findall(r"<td class=\"number\">([^<]*)</td>", text)
    keys = ("f05", "f1", "iou", "precision", "recall", "auc", "ap", "ece")
    assert shown[:8] == [f"{values[key]:.3f}" for key in keys]
    assert shown[8] == f"{ssim(probability, label, counts):.3f}"
    assert 0 < values["recall"] < 1


def test_names_cannot_break_the_page(folder):
    text = text_of(write_report(folder))
    assert "a &lt;b&gt; &amp; c" in text
    assert "<b>" not in text


def test_window_too_wide_is_said(folder):
    assert "wide enough to learn letter shapes" in section(
        text_of(write_report(folder)), "What was run"
    )


PIECES = {
    "versions.json": "Settings and versions",
    "metrics.csv": "Curves",
    "validation/left part.npz": "Maps beside labels",
    "intensity.npz": "Intensities",
    "tiny.safetensors": "Gates",
    "windows.parquet": "Windows",
}


@pytest.mark.parametrize("how", ["missing", "cut short", "empty"])
def test_everything_missing_or_damaged_is_said(folder, how):
    for name in PIECES:
        file = folder / name
        data = file.read_bytes()
        if how == "missing":
            file.unlink()
        else:
            file.write_bytes(data[: min(len(data) // 2, 20)] if how == "cut short" else b"")
    text = text_of(write_report(folder))
    for name, heading in PIECES.items():
        said = re.findall(r"<p class=\"absent\">(.*?)</p>", section(text, heading))
        assert said, heading
        if name not in ("validation/left part.npz", "tiny.safetensors"):
            assert name in said[-1]


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "intensity.npz"])
def test_one_missing_piece_takes_nothing_else_away(folder, name):
    (folder / name).unlink()
    text = text_of(write_report(folder))
    gone = {"config.yaml": ("What was run", "Settings and versions")}.get(name, (PIECES.get(name),))
    for heading, _ in SECTIONS:
        assert ('class="absent"' in section(text, heading)) == (heading in gone), heading


def test_running_runs_cut_is_the_best_so_far(folder):
    (folder / "tiny.safetensors").unlink()
    probability, label, counts = save_map(folder)
    best = metrics.best_threshold(Histogram.of(probability, label, counts))
    assert f"cut of {best:.3f}" in text_of(write_report(folder))


def test_log_with_other_columns_is_drawn_as_far_as_it_goes(folder):
    (folder / "metrics.csv").write_text("step,auc\n1,0.5\n2,0.75\n")
    text = section(text_of(write_report(folder)), "Curves")
    assert "no loss" in text
    assert "<figure>" in text
    assert "samples a second" in section(text_of(write_report(folder)), "Speed")


def test_time_and_samples_are_those_of_the_log(folder):
    text = text_of(write_report(folder))
    took = "2.5 minutes for 30 steps: 0.2 steps a second"
    assert took in section(text, "What was run")
    assert took in section(text, "Speed")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["learning"]["accumulate"] = 3
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"trainer": {"devices": 2}}))
    assert "30 steps of 24 windows: 720 samples" in text_of(write_report(folder))


def test_intensities_without_sources_are_drawn_as_far_as_they_go(folder):
    file = folder / "intensity.npz"
    with np.load(file) as parts:
        some = {key: parts[key] for key in ("edges", "ink", "bare", "first_layer")}
    np.savez(file, **some)
    text = section(text_of(write_report(folder)), "Intensities")
    assert text.count("<figure>") == 2
    assert "by source" in re.search(r"<p class=\"absent\">(.*?)</p>", text)[1]


def test_several_fragments_are_pooled(folder):
    save_map(folder, "right part")
    text = section(text_of(write_report(folder)), "Scores")
    assert re.findall(r"<th>(.*?)</th>", text)[-3:] == [
        "left part",
        "right part",
        "all pixels together",
    ]


def test_a_folder_without_a_run_is_refused_in_one_line(tmp_path, capsys):
    with pytest.raises(SettingsError, match="not the folder of a run"):
        write_report(tmp_path / "none")
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_same_folder_gives_the_same_page(folder):
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_separation_of_a_layer_is_its_auc():
    random = np.random.default_rng(4)
    edges = np.arange(11.0)
    ink, bare = random.integers(3, 10, 200), random.integers(0, 7, 300)
    counts = [np.histogram(values + 0.5, edges)[0] for values in (ink, bare)]
    empty = np.zeros(10, int)
    found = separation(
        Intensities(edges, np.array([counts[0], empty]), np.array([counts[1], counts[1]]), 0)
    )
    from sklearn.metrics import roc_auc_score

    truth = np.repeat([1, 0], [200, 300])
    assert found[0] == pytest.approx(roc_auc_score(truth, np.concatenate([ink, bare])))
    assert np.isnan(found[1])


def test_quantiles_of_histograms_agree_with_numpys():
    values = np.random.default_rng(5).normal(size=(2, 20000))
    edges = np.linspace(-5, 5, 401)
    counts = np.stack([np.histogram(row, edges)[0] for row in values])
    levels = (0.1, 0.5, 0.9)
    assert quantiles(counts, edges, levels) == pytest.approx(
        np.quantile(values, levels, axis=1), abs=0.02
    )
    assert np.isnan(quantiles(np.zeros((1, 400), int), edges, levels)).all()


def test_running_mean_keeps_a_constant_and_shortens_at_the_ends():
    assert running_mean(np.full(9, 2.0), 5) == pytest.approx(2)
    assert running_mean(np.arange(5.0), 3) == pytest.approx([0.5, 1, 2, 3, 3.5])
