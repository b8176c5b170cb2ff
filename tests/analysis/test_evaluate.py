"""Scores of a stored prediction: real store, real files, the command line."""

import json
import shutil

import numpy as np
import pytest
import tifffile
import torch
import zarr
from PIL import Image
from sklearn.metrics import fbeta_score, roc_auc_score

from napari_ink import predict
from napari_ink.analysis import evaluate as module
from napari_ink.analysis.evaluate import evaluate
from napari_ink.cli import main
from napari_ink.errors import FragmentError, StoreError
from napari_ink.inference.store import PredictionStore
from napari_ink.models.checkpoint import CheckpointInfo
from napari_ink.models.repmode import RepMode
from napari_ink.volumes.fragment import Fragment

THRESHOLD = 0.44
SHAPE = (150, 190)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A prediction on disk, its papyrus mask and a label that is half right."""
    random = np.random.default_rng(8)
    mask = np.ones(SHAPE, bool)
    mask[:37, :51] = False
    torch.manual_seed(0)
    model = RepMode(width=2, levels=1, depth=4, decoder="2d", collapse="conv2d", tasks=["ink"])
    model.info = CheckpointInfo.of(
        model, recipe={"kind": "fixed"}, thresholds={"ink": THRESHOLD}, voxel_size=16.0
    )
    model.eval().halo = 8
    fragment = Fragment.from_array(
        random.integers(0, 255, (4, *SHAPE), np.uint8), mask=mask, voxel_size=16.0
    )
    path = tmp_path_factory.mktemp("scored") / "p.ink.zarr"
    for _ in predict(fragment, model, store=path):
        pass
    store = PredictionStore.open(path)
    ink = np.asarray(store.ink)
    cut = np.quantile(ink[mask], 0.8)
    label = (ink > cut) ^ (random.random(SHAPE) < 0.1)
    # The checkpoint's threshold must not be the one that suits the label best.
    assert abs(cut - THRESHOLD) > 0.005
    return path, ink.astype(np.float64), mask, label


def test_scores_are_those_inside_the_papyrus_at_the_stored_threshold(scene):
    path, ink, mask, label = scene
    values = evaluate(path, label.astype(np.uint8))
    predicted = ink[mask] >= THRESHOLD
    assert values["threshold"] == THRESHOLD
    assert values["pixels"] == mask.sum()
    assert values["f05"] == pytest.approx(fbeta_score(label[mask], predicted, beta=0.5))
    assert values["auc"] == pytest.approx(roc_auc_score(label[mask], ink[mask]))


def test_reading_by_small_pieces_changes_nothing(scene, monkeypatch):
    path, _, _, label = scene
    whole = evaluate(path, label.astype(float))
    monkeypatch.setattr(module, "_SIDE", 1)
    assert evaluate(path, label.astype(float)) == whole


def test_a_mask_and_a_supervision_mask_narrow_what_counts(scene):
    path, ink, mask, label = scene
    left, upper = np.zeros((2, *SHAPE), np.uint8)
    left[:, :100], upper[:90] = 255, 1
    values = evaluate(path, label.astype(float), left, upper)
    keep = mask & (left > 0) & (upper > 0)
    assert values["pixels"] == keep.sum()
    assert values["auc"] == pytest.approx(roc_auc_score(label[keep], ink[keep]))


def test_what_is_not_predicted_does_not_count(scene, tmp_path):
    path, _, mask, label = scene
    copy = tmp_path / "part.ink.zarr"
    shutil.copytree(path, copy)
    zarr.open_group(copy)["ink/0"][100:] = np.nan
    assert evaluate(copy, label.astype(float))["pixels"] == mask[:100].sum()


def write_png(path, label):
    Image.fromarray((label * 255).astype(np.uint8)).save(path)


def write_tiff(path, label):
    tifffile.imwrite(path, (label * 255).astype(np.uint8))


def write_zarr(path, label):
    array = zarr.create_array(path, shape=label.shape, dtype="uint8", chunks=(64, 64))
    array[:] = (label * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("suffix", "write"), [("png", write_png), ("tif", write_tiff), ("zarr", write_zarr)]
)
def test_labels_are_read_from_any_file(scene, tmp_path, capsys, suffix, write):
    path, _, _, label = scene
    file = tmp_path / f"x_inklabels.{suffix}"
    write(str(file), label)
    assert main(["evaluate", str(path), "--labels", str(file), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = evaluate(path, label.astype(float))
    assert {key: printed[key] for key in expected} == pytest.approx(expected)
    assert {"iou", "f05", "f1", "precision", "recall", "auc", "ap", "ece"} < set(printed)
    assert printed["finished"] == 1


def test_grey_labels_are_cut_at_one_half(scene, tmp_path):
    path, _, mask, label = scene
    grey = np.where(label, 130, 120).astype(np.uint8)
    grey[0, 0] = 255
    write_png(tmp_path / "soft.png", grey / 255)
    assert evaluate(path, tmp_path / "soft.png")["ink_pixels"] == (label & mask).sum()


def test_a_label_without_ink_gives_null_not_nan(scene, tmp_path, capsys):
    path, _, _, label = scene
    write_png(tmp_path / "none.png", label & False)
    assert main(["evaluate", str(path), "--labels", str(tmp_path / "none.png"), "--json"]) == 0
    text = capsys.readouterr().out
    assert "NaN" not in text
    assert json.loads(text)["auc"] is None
    assert main(["evaluate", str(path), "--labels", str(tmp_path / "none.png")]) == 0
    assert "undefined" in capsys.readouterr().out


def test_label_of_another_size_is_refused_by_name(scene, tmp_path, capsys):
    path, _, _, label = scene
    write_png(tmp_path / "small.png", label[:-1])
    with pytest.raises(FragmentError, match=r"small\.png"):
        evaluate(path, tmp_path / "small.png")
    assert main(["evaluate", str(path), "--labels", str(tmp_path / "small.png")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_missing_files_are_refused(scene, tmp_path):
    path, *_ = scene
    with pytest.raises(FragmentError, match="nowhere"):
        evaluate(path, tmp_path / "nowhere.png")
    with pytest.raises(StoreError, match="nowhere"):
        evaluate(tmp_path / "nowhere.ink.zarr", tmp_path / "nowhere.png")
