"""``napari-ink info``: what it says is what is there."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_ink.cli import main
from napari_ink.volumes.describe import describe
from napari_ink.volumes.fragment import Fragment

RAW = np.random.default_rng(3).integers(0, 65535, (6, 200, 300), np.uint16)


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "20230929"
    (root / "surface_volume").mkdir(parents=True)
    for number, layer in enumerate(RAW, 12):
        tifffile.imwrite(root / "surface_volume" / f"{number:02}.tif", layer, metadata=None)
    mask = np.zeros(RAW.shape[1:], np.uint8)
    mask[50:150, 100:] = 255
    Image.fromarray(mask).save(root / "mask.png")
    Image.fromarray(mask).save(root / "inklabels.png")
    (root / "meta.json").write_text('{"voxelsize": 10}')
    return root


def test_json_tells_everything(source, capsys):
    assert main(["info", str(source), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["layout"] == "kaggle"
    assert facts["shape"] == [6, 200, 300]
    assert facts["dtype"] == "uint16"
    assert facts["layers"] == [12, 18]
    assert facts["voxel_size_um"] == [10, 10, 10]
    assert facts["size_mm"] == pytest.approx([0.06, 2, 3])
    assert facts["bytes"] == RAW.nbytes
    assert facts["mask_area_px"] == 100 * 200
    assert facts["mask_area_share"] == pytest.approx(1 / 3)
    assert facts["mask_area_mm2"] == pytest.approx(2)
    assert facts["side_cars"]["mask"].endswith("mask.png")
    assert facts["side_cars"]["label"].endswith("inklabels.png")
    assert facts["side_cars"]["infrared"] is None
    inside = np.percentile(RAW[:, 50:150, 100:], [1, 50, 99])
    assert [facts["percentiles"][key] for key in ("1", "50", "99")] == pytest.approx(
        inside, rel=0.05
    )
    prediction = facts["prediction"]
    assert prediction["seconds"] == pytest.approx(20_000 / prediction["pixels_per_second"])


def test_text_names_the_same(source, capsys):
    assert main(["info", str(source)]) == 0
    text = capsys.readouterr().out
    shape = ("kaggle", "6 × 200 × 300", "uint16", "12:18", "10 × 10 × 10 µm")
    for part in (*shape, "20,000 px", "33.3%", "2.0 mm²", "mask.png", "inklabels.png", "px/s"):
        assert part in text


def test_plain_zarr_without_anything(tmp_path, capsys):
    zarr.save_array(tmp_path / "scan.zarr", np.zeros((3, 20, 30), np.uint8))
    assert main(["info", str(tmp_path / "scan.zarr"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["voxel_size_um"] is None
    assert facts["mask_area_mm2"] is None
    assert facts["mask_area_px"] == 600
    assert facts["percentiles"]["50"] == 0
    assert main(["info", str(tmp_path / "scan.zarr")]) == 0
    assert "not recorded" in capsys.readouterr().out


def test_empty_mask_is_no_error_here():
    fragment = Fragment.from_array(RAW, mask=np.zeros(RAW.shape[1:]))
    facts = describe(fragment)
    assert facts["mask_area_px"] == 0
    assert facts["percentiles"] == {}


def test_information_as_a_process_loads_no_torch_and_no_napari(source):
    script = (
        "import sys; from napari_ink.volumes.describe import describe; "
        "from napari_ink import open_fragment; "
        "describe(open_fragment(sys.argv[1])); "
        "print([name for name in ('torch', 'napari', 'qtpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(source)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_bad_path_as_a_process_is_one_line(tmp_path):
    command = [sys.executable, "-m", "napari_ink", "info", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"napari-ink: {tmp_path / 'none'} does not exist: check the path"
    ]
