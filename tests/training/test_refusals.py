"""What makes no run is refused in one line before any work, and leaves nothing behind."""

import os
import shutil
from collections import namedtuple

import numpy as np
import pytest
import tifffile
from PIL import Image
from small_run import DEPTH, small

from training.run import main


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Simulated fragments, made once."""
    tmp_path = tmp_path_factory.mktemp("simulated")
    others = {"learning": {"steps": 1}}
    assert main([str(small(tmp_path, **others))]) == 0
    return tmp_path / "cache"


def write_bare(folder, value, ink=False):
    """A fragment on disk."""
    (folder / "surface_volume").mkdir(parents=True)
    for layer in range(DEPTH):
        pixels = np.full((96, 96), value, np.uint8)
        tifffile.imwrite(folder / "surface_volume" / f"{layer:02}.tif", pixels)
    label = np.zeros((96, 96), np.uint8)
    label[40:60, 40:60] = 255 * ink
    Image.fromarray(label).save(folder / "inklabels.png")


def refused(path, capsys, *options):
    """The one line."""
    assert main([str(path), *options]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1, error
    assert not (path.parent / "runs").exists()
    return error


NONE = {"fragments": 0}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"synthetic": NONE}, "no fragment to"),
        ({"window": 998}, "does not fit"),
        ({"window": 15}, "multiples of 2"),
        ({"sources": ["bare"], "synthetic": NONE}, "no fragment to validate on"),
        ({"sources": ["bare", "-bare"], "synthetic": NONE}, "both learned from and validated on"),
        ({"sources": ["bare", "-other"], "synthetic": NONE}, "no ink to learn from"),
        ({"sources": ["ink", "-other"], "synthetic": NONE}, "no ink to validate on"),
        ({"sources": ["ink", "-full"], "synthetic": NONE}, "without ink to validate on"),
        ({"sources": ["full", "-ink"], "synthetic": NONE}, "without ink to learn from"),
        ({"sources": ["nowhere"], "synthetic": NONE}, "nowhere"),
        ({"recipe": {"kind": "guess"}}, "guess"),
        ({"recipe": {"kind": "zscore", "window": 32}}, "agree"),
        ({"window": 4, "recipe": {"kind": "zscore", "window": 4}}, "halo cannot be measured"),
        ({"synthetic": {"validation_seed": 1001}}, "among those learned from"),
        ({"synthetic": {"height": 4}}, "too small"),  # found out by another process
        ({"layers": [0, DEPTH + 1]}, "agree"),
        ({"layers": [4, DEPTH + 4]}, "layers"),
        ({"fold": 3}, "fold 3"),
    ],
)
def test_data_that_cannot_be_learned_from(tmp_path, capsys, cache, data, message):
    for number, name in enumerate(("bare", "other", "ink")):
        write_bare(tmp_path / name, number, ink=name == "ink")
    write_bare(tmp_path / "full", 3)
    Image.new("L", (96, 96), 255).save(tmp_path / "full" / "inklabels.png")
    if "sources" in data:
        data = data | {
            "sources": [
                {"path": str(tmp_path / name.strip("-")), "validation": name[0] == "-"}
                for name in data["sources"]
            ]
        }
    data = {"synthetic": {}} | data
    data["synthetic"] = data["synthetic"] | {"cache": str(cache)}
    assert message in refused(small(tmp_path, data=data), capsys)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--network.arguments.depth=7", "multiple of 2"),
        ("--network.arguments.width=0", "width"),
        ("--network.architecture=foo", "foo"),
        ("--learning.losses={dise: 1}", "dise"),
        ("--learning.schedule.warm_up=9", "warm_up"),
        ("--learning.optimiser.rates={encodr: 0.5}", "encodr"),
        ("--trainer.accelerator=foo", "foo"),
        ("--trainer.accelerator=mps", "mps"),
        ("--trainer.precision=foo", "foo"),
        ("--trainer.precision=fp16", "fp16 needs CUDA"),
        ("--trainer.nodes=2", "torchrun"),
        ("--name=../x", "plain word"),
        ("--augmentation.cutout={p: 1, sides: [16]}", "cutout"),
        ("--extend=nowhere.safetensors", "go together"),
        ("--trainer.wandb", "wandb"),
    ],
)
def test_settings_that_no_run_can_have(tmp_path, capsys, cache, option, message):
    if option == "--trainer.wandb":
        pytest.importorskip("torch")
        try:
            import wandb  # noqa: F401

            pytest.skip("wandb is installed")
        except ImportError:
            pass
    path = small(tmp_path, data={"synthetic": {"cache": str(cache)}})
    assert message in refused(path, capsys, option)


def test_a_disk_without_room(tmp_path, capsys, cache, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**30, 2**30 - 1000, 1000))
    path = small(tmp_path, data={"synthetic": {"cache": str(cache)}})
    assert "0 MB free" in refused(path, capsys)


def test_a_cache_that_cannot_be_used(tmp_path, capsys, cache):
    file = tmp_path / "file"
    file.write_text("")
    path = small(tmp_path, data={"synthetic": {"cache": str(cache)}})
    assert str(file) in refused(path, capsys, f"--data.cache={file}")
    assert str(file) in refused(path, capsys, f"--data.synthetic.cache={file}")


def test_a_folder_of_runs_that_is_a_file(tmp_path, capsys, cache):
    path = small(tmp_path, data={"synthetic": {"cache": str(cache)}})
    file = tmp_path / "file"
    file.write_text("")
    assert "another --runs folder" in refused(path, capsys, f"--runs={file}")


@pytest.mark.skipif(os.environ.get("TORCHELASTIC_RUN_ID") is not None, reason="under torchrun")
def test_torchrun_with_other_settings(tmp_path, capsys, cache, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    path = small(tmp_path, data={"synthetic": {"cache": str(cache)}})
    assert "--trainer.devices 2 --trainer.nodes 2" in refused(path, capsys)
