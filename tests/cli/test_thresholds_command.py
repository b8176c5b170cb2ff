"""``napari-ink thresholds``: cuts from labels, regions told apart, kept and used again."""

import csv
import json
import shutil

import h5py
import numpy as np
import pytest
import tifffile
import torch
import zarr
from PIL import Image

from napari_ink import predict
from napari_ink.analysis import layer_counting
from napari_ink.analysis.layer_counting import StoredLayers, count_layers
from napari_ink.analysis.layer_histograms import NONE, LayerHistograms
from napari_ink.analysis.parts import halves, inside
from napari_ink.analysis.thresholds import best_for_mean, best_thresholds
from napari_ink.cli import main
from napari_ink.errors import StoreError
from napari_ink.inference.settings import Box
from napari_ink.inference.store import PredictionStore
from napari_ink.inference.store_files import locked
from napari_ink.inference.store_writing import keep_thresholds
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.models.repmode import RepMode
from napari_ink.volumes.fragment import Fragment

SHAPE = (4, 150, 190)


def a_store(path, collapse, values, mask):
    """A prediction on disk, with probabilities of the test's own."""
    torch.manual_seed(0)
    decoder = {} if collapse == "none" else {"decoder": "2d"}
    model = RepMode(width=2, levels=1, depth=4, collapse=collapse, tasks=["ink"], **decoder)
    model.info = CheckpointInfo.of(
        model, recipe={"kind": "fixed"}, thresholds={"ink": 0.44}, layers=(7, 11)
    )
    model.eval().halo = 8
    volume = np.zeros(SHAPE, np.uint8)
    fragment = Fragment.from_array(volume, mask=mask, first_layer=7, name="frag")
    for _ in predict(fragment, model, store=path):
        pass
    zarr.open_group(path)["ink/0"][:] = np.where(mask, values, np.nan).astype(np.float16)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """``volume.ink.zarr``, ``flat.ink.zarr``, ``label.png``; and what is in them.

    Layer 0 misleads, the others show the ink at levels of their own, more clearly on the left.
    """
    root = tmp_path_factory.mktemp("scene")
    random = np.random.default_rng(5)
    label = np.zeros(SHAPE[1:], bool)
    label[20:60, 20:180], label[90:120, 30:160] = True, True
    mask = np.ones(SHAPE[1:], bool)
    mask[:37, :51] = False
    clear = np.array([-0.1, 0.2, 0.3, 0.4])[:, None, None]
    level = np.array([0.3, 0.2, 0.4, 0.5])[:, None, None]
    noise = 0.1 * random.standard_normal(SHAPE) * np.linspace(0.4, 1.3, SHAPE[2])
    values = np.clip(level + clear * label + noise, 0, 1).astype(np.float16).astype(float)
    a_store(root / "volume.ink.zarr", "none", values, mask)
    a_store(root / "flat.ink.zarr", "conv2d", values[2], mask)
    a_store(root / "other.ink.zarr", "conv2d", values[3], mask)
    Image.fromarray(label.astype(np.uint8) * 255).save(root / "label.png")
    return root, values, label, mask


@pytest.fixture
def volume(scene, tmp_path):
    """A copy of the labelled volume to write to."""
    shutil.copytree(scene[0] / "volume.ink.zarr", tmp_path / "volume.ink.zarr")
    return tmp_path / "volume.ink.zarr"


def run(capsys, *arguments):
    assert main(["thresholds", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def run_json(capsys, *arguments):
    return json.loads(run(capsys, *arguments, "--json"))


def refused(capsys, *arguments):
    assert main(["thresholds", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def as_json(cuts):
    return [None if cut == NONE else cut for cut in cuts]


# --- counting ------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [1, 1 << 23])
def test_a_stored_volume_is_counted_as_in_memory_whatever_the_blocks(scene, monkeypatch, values):
    root, ink, label, mask = scene
    monkeypatch.setattr(layer_counting, "_VALUES", values)
    layers = StoredLayers([PredictionStore.open(root / "volume.ink.zarr")])
    left, right = halves(SHAPE[1:])
    counted = count_layers(layers, label, parts=(left, right))
    for part, found in zip((left, right), counted, strict=True):
        here = mask & part.within(Box(0, SHAPE[1], 0, SHAPE[2]))
        assert (found.counts == LayerHistograms.of(ink, label, here).counts).all()


def test_only_the_blocks_of_a_region_are_read(scene, monkeypatch):
    store = PredictionStore.open(scene[0] / "flat.ink.zarr")
    read = []
    monkeypatch.setattr(PredictionStore, "read", lambda self, box: read.append(box))
    count_layers(StoredLayers([store]), parts=(inside(Box(0, 5, 0, 5)),))
    assert not read  # outside the papyrus


def test_a_part_and_its_rest_are_everything_once():
    window = Box(10, 40, 5, 30)
    part = inside(Box(0, 20, 0, 10), Box(15, 35, 8, 12))
    within, rest = part.within(window), part.rest.within(window)
    assert (within ^ rest).all()
    assert within[9, 6]  # row 19, column 11: in the second
    assert within[:10, :5].all()
    assert within.sum() == 10 * 5 + 20 * 4 - 5 * 2
    assert not part.overlaps(part.rest)
    assert part.overlaps(inside(Box(34, 50, 11, 20)))
    assert not part.overlaps(inside(Box(35, 50, 11, 20)))


# --- choosing ------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["iou", "f05", "f1"])
def test_cuts_of_the_layers_are_the_best_under_the_papyrus_mask(scene, capsys, metric):
    root, ink, label, mask = scene
    arguments = (root / "volume.ink.zarr", "--labels", root / "label.png", "--metric", metric)
    histograms = LayerHistograms.of(ink, label, mask)
    cuts = best_thresholds(histograms, metric)
    assert cuts[0] == NONE
    each = run_json(capsys, *arguments, "--per-layer")
    assert each["thresholds"] == as_json(cuts)
    assert each[metric] == each["report"][metric] == histograms.scores(cuts)[metric]
    assert each["fit"]["region"] == each["report"]["region"] == "whole mask"
    assert each["layers"] == ["z 7", "z 8", "z 9", "z 10"]
    one = run_json(capsys, *arguments)
    assert one[metric] == histograms.scores(one["threshold"])[metric] < each[metric]
    assert "thresholds" not in one


def test_the_text_says_that_fit_and_report_are_the_same_and_what_none_is(scene, capsys):
    root, *_ = scene
    text = run(capsys, root / "volume.ink.zarr", "--labels", root / "label.png", "--per-layer")
    assert "fitted and reported on the whole mask" in text
    assert "z 7         none" in text
    assert "z 8         0." in text


def test_fitted_on_one_region_and_reported_on_another(scene, capsys):
    root, ink, label, mask = scene
    left, right = "0:150,0:95", "0:150,95:190"
    arguments = (root / "flat.ink.zarr", "--labels", root / "label.png", "--fit-region", left)
    found = run_json(capsys, *arguments, "--report-region", right)
    on_the_left = LayerHistograms.of(ink[2:3, :, :95], label[:, :95], mask[:, :95])
    on_the_right = LayerHistograms.of(ink[2:3, :, 95:], label[:, 95:], mask[:, 95:])
    assert found["threshold"] == best_thresholds(on_the_left, "f05")[0]
    assert found["fit"] == {"region": left} | on_the_left.scores(found["threshold"])
    assert found["report"] == {"region": right} | on_the_right.scores(found["threshold"])
    assert found["f05"] == found["report"]["f05"] < found["fit"]["f05"]
    assert not found["overlap"]
    alone = run_json(capsys, *arguments)
    assert alone["report"] == found["report"] | {"region": f"whole mask but {left}"}
    two = run_json(capsys, *arguments, "--fit-region", right)
    assert two["fit"]["region"] == f"{left} and {right}"
    text = run(capsys, *arguments, "--report-region", right)
    assert text.index(f"fitted on {left}") < text.index(f"reported on {right}")


def test_a_report_on_what_was_fitted_is_said(scene, capsys):
    root, *_ = scene
    arguments = [root / "flat.ink.zarr", "--labels", root / "label.png", "--json"]
    arguments += ["--fit-region", "0:150,0:95", "--report-region", "0:150,94:190"]
    assert main(["thresholds", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert "overlap" in err
    assert len(err.splitlines()) == 1
    assert json.loads(out)["overlap"]


def test_mask_and_supervision_narrow_what_counts(scene, tmp_path, capsys):
    root, ink, label, mask = scene
    upper, left = np.zeros((2, *SHAPE[1:]), np.uint8)
    upper[:100], left[:, :120] = 255, 255
    Image.fromarray(upper).save(tmp_path / "m.png")
    Image.fromarray(left).save(tmp_path / "s.png")
    found = run_json(
        capsys, root / "flat.ink.zarr", "--labels", root / "label.png",
        "--mask", tmp_path / "m.png", "--supervision", tmp_path / "s.png",
    )  # fmt: skip
    expected = LayerHistograms.of(ink[2:3], label, mask & (upper > 0), left)
    assert found["f05"] == expected.scores(found["threshold"])["f05"]
    assert found["threshold"] == best_thresholds(expected, "f05")[0]


def test_several_ink_maps_are_layers(scene, capsys):
    root, ink, label, mask = scene
    paths = root / "flat.ink.zarr", root / "other.ink.zarr"
    found = run_json(capsys, *paths, "--labels", root / "label.png", "--per-layer")
    cuts = best_thresholds(LayerHistograms.of(ink[2:], label, mask), "f05")
    assert found["thresholds"] == as_json(cuts)
    assert found["layers"] == ["flat", "other"]


def test_percentile_needs_no_label_and_says_what_that_means(scene, capsys):
    root, ink, _, mask = scene
    text = run(capsys, root / "volume.ink.zarr", "--percentile", "90")
    assert "no label" in text
    found = run_json(capsys, root / "volume.ink.zarr", "--percentile", "90")
    expected = np.percentile(ink[:, mask], 90, axis=1, method="inverted_cdf")
    np.testing.assert_array_equal(found["thresholds"], expected)
    assert found["metric"] is None
    labelled = (root / "volume.ink.zarr", "--percentile", "90", "--labels", root / "label.png")
    assert run_json(capsys, *labelled)["report"]["f05"] > 0


def test_mean_over_samples_with_their_own_targets(scene, tmp_path, capsys):
    root, ink, label, mask = scene
    targets = np.stack([0 * label, label, label, label]).astype(int)
    with h5py.File(tmp_path / "t.h5", "w") as file:  # (sample, z, x, y)
        both = np.stack([targets, np.roll(targets, 9, axis=2)]).transpose(0, 1, 3, 2)
        file["x0"], file["targs"] = both.astype(np.float32), both
    volume = root / "volume.ink.zarr"
    found = run_json(
        capsys, volume, volume, "--labels", f"{tmp_path}/t.h5#0", f"{tmp_path}/t.h5#1",
        "--mean", "--metric", "iou", "--per-layer",
    )  # fmt: skip
    samples = [LayerHistograms.of(ink, np.roll(targets, by, axis=2), mask) for by in (0, 9)]
    expected = best_for_mean(samples, "iou")
    assert found["thresholds"] == as_json(expected.thresholds)
    assert found["thresholds"][0] is None
    assert found["iou"] == pytest.approx(expected.score)


# --- what is refused ---------------------------------------------------------------------------


def test_what_cannot_be_done_is_one_line_that_says_why(scene, tmp_path, capsys):
    root, _, label, _ = scene
    flat, png = root / "flat.ink.zarr", root / "label.png"
    Image.fromarray(label[:-1].astype(np.uint8)).save(tmp_path / "small.png")
    Image.fromarray(np.zeros_like(label, np.uint8)).save(tmp_path / "empty.png")
    assert "small.png" in refused(capsys, flat, "--labels", tmp_path / "small.png")
    assert "no ink" in refused(capsys, flat, "--labels", tmp_path / "empty.png")
    outside = refused(capsys, flat, "--labels", png, "--fit-region", "0:10,180:191")
    assert "--fit-region 0:10,180:191 reaches outside" in outside
    empty = refused(capsys, flat, "--labels", png, "--fit-region", "140:150,0:50")
    assert "no ink in 140:150,0:50" in empty
    nothing = refused(capsys, flat, "--labels", png, "--fit-region", "0:9,0:9")
    assert "nothing is predicted in 0:9,0:9" in nothing
    assert "--fit-region" in refused(capsys, flat, "--labels", png, "--fit-region", "9:0,0:5")
    assert "without a label" in refused(capsys, flat)
    assert "--percentile" in refused(capsys, flat, "--percentile", "101")
    assert "--mean" in refused(capsys, flat, "--labels", png, png)
    assert "--mean" in refused(capsys, flat, flat, "--labels", png, "--mean")
    assert "give it alone" in refused(capsys, flat, root / "volume.ink.zarr", "--labels", png)
    assert "nowhere" in refused(capsys, tmp_path / "nowhere.ink.zarr", "--labels", png)


# --- kept ------------------------------------------------------------------------------------


def test_kept_cuts_are_what_export_takes_and_how_they_were_chosen_is_known(
    volume, scene, tmp_path, capsys
):
    root, ink, _, mask = scene
    before = np.asarray(PredictionStore.open(volume).ink)
    found = run_json(
        capsys, volume, "--labels", root / "label.png", "--per-layer", "--save",
        "--fit-region", "0:150,0:95",
    )  # fmt: skip
    store = PredictionStore.open(volume)
    assert store.threshold == 0.44, "the checkpoint's own stays"
    kept = store.provenance["thresholds"]
    assert kept["thresholds"] == found["thresholds"]
    assert kept["metric"] == "f05"
    assert kept["fit"]["region"] == "0:150,0:95"
    assert kept["saved"]
    np.testing.assert_array_equal(store.ink, before)
    inked = np.where(mask, ink >= store.cuts[:, None, None], False)
    assert main(["export", str(volume), "--tiff", str(tmp_path / "a.tif"), "--threshold"]) == 0
    assert "kept on" in capsys.readouterr().err
    np.testing.assert_array_equal(np.nan_to_num(tifffile.imread(tmp_path / "a.tif")), inked)
    assert main(["export", str(volume), "--rle", str(tmp_path / "a.csv")]) == 0
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    assert [name for name, _ in rows] == ["frag_0", "frag_1", "frag_2", "frag_3"]
    for plane, (_, runs) in zip(inked, rows, strict=True):
        numbers = np.array(runs.split(), int).reshape(-1, 2)
        flat = np.zeros(plane.size, bool)
        for start, length in numbers:
            flat[start - 1 : start - 1 + length] = True
        np.testing.assert_array_equal(flat.reshape(plane.shape), plane)
    png = ["export", str(volume), "--png", str(tmp_path / "a.png"), "--threshold", "--layer", "3"]
    assert main(png) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")) > 0, inked[3])
    assert main([*png[:-3], "--threshold", "checkpoint", "--layer", "3"]) == 0
    shown = np.asarray(Image.open(tmp_path / "a.png")) > 0
    np.testing.assert_array_equal(shown, np.where(mask, ink[3] >= 0.44, False))
    assert main([*png[:-1], "4"]) == 2


def test_evaluate_scores_at_the_checkpoints_threshold_unless_told(scene, tmp_path, capsys):
    root, *_ = scene
    flat = shutil.copytree(root / "flat.ink.zarr", tmp_path / "flat.ink.zarr")
    evaluate = ["evaluate", str(flat), "--labels", str(root / "label.png"), "--json"]
    assert main([*evaluate, "--kept"]) == 2
    assert "no threshold kept" in capsys.readouterr().err
    found = run_json(capsys, flat, "--labels", root / "label.png", "--save")
    assert main(evaluate) == 0
    assert json.loads(capsys.readouterr().out)["threshold"] == 0.44
    assert main([*evaluate, "--kept"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert (kept["threshold"], kept["f05"]) == (found["threshold"], found["f05"])
    assert kept["fitted_on"] == "whole mask"


def test_a_kept_cut_of_none_is_told_as_none(scene, tmp_path, capsys):
    root, *_ = scene
    flat = shutil.copytree(root / "flat.ink.zarr", tmp_path / "flat.ink.zarr")
    keep_thresholds(flat, {"thresholds": [None], "fit": {"region": "whole mask"}})
    evaluate = ["evaluate", str(flat), "--labels", str(root / "label.png"), "--kept"]
    assert main(evaluate) == 0
    assert "at the kept threshold none" in capsys.readouterr().out
    assert main([*evaluate, "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (found["threshold"], found["recall"]) == (None, 0)


def test_no_percentile_is_taken_of_nothing(scene, tmp_path, capsys):
    root, *_ = scene
    flat = shutil.copytree(root / "flat.ink.zarr", tmp_path / "flat.ink.zarr")
    shape = PredictionStore.open(flat).ink.shape
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "none.png")
    nothing = ["thresholds", str(flat), "--mask", str(tmp_path / "none.png"), "--percentile", "90"]
    assert main([*nothing, "--save"]) == 2
    assert "nothing is predicted where" in capsys.readouterr().err
    assert PredictionStore.open(flat).kept_thresholds is None


def test_several_ink_maps_keep_a_cut_each(scene, tmp_path, capsys):
    root, *_ = scene
    paths = [
        shutil.copytree(root / name, tmp_path / name)
        for name in ("flat.ink.zarr", "other.ink.zarr")
    ]
    found = run_json(capsys, *paths, "--labels", root / "label.png", "--per-layer", "--save")
    assert [PredictionStore.open(p).cuts[0] for p in paths] == found["thresholds"]


def test_a_prediction_that_is_being_written_is_left_alone(volume, scene, capsys):
    lock = locked(volume)
    try:
        with pytest.raises(StoreError, match="another process"):
            keep_thresholds(volume, {})
    finally:
        lock.release()
    run(capsys, volume, "--percentile", "95", "--save")
    run(capsys, volume, "--percentile", "96", "--save")
    assert PredictionStore.open(volume).kept_thresholds["percentile"] == 96
