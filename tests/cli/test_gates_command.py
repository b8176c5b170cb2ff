"""``napari-ink gates``: numbers of the file's tensors, whole files or none, one-line errors."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from napari_ink.cli import main
from napari_ink.models.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from napari_ink.models.contract import InkNetwork
from napari_ink.models.registry import build


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """``a`` and ``b`` with two tasks and a gated decoder, ``c`` with one and a plain decoder."""
    folder = tmp_path_factory.mktemp("gates")
    for seed, (name, decoder, tasks) in enumerate(
        [("a", "3d", ["ink", "letters"]), ("b", "3d", ["ink", "letters"]), ("c", "2d", ["0"])]
    ):
        torch.manual_seed(seed)
        arguments = {"width": 2, "levels": 2, "depth": 8, "decoder": decoder, "tasks": tasks}
        model = build("repmode", arguments)
        with torch.no_grad():
            for layer in model.mode_layers().values():
                layer.gate.weight.normal_()
        info = CheckpointInfo.of(model, recipe={"kind": "fixed"}, voxel_size=8.0, halo=16)
        save_checkpoint(folder / f"{name}.safetensors", model, info)
    return {name: str(folder / f"{name}.safetensors") for name in "abc"}


def means_by_hand(path, task):
    """``{layer: (5,)}`` in percent."""
    tensors, means = load_file(path), {}
    for name in tensors:
        if name.endswith(".conv.gate.weight"):
            layer = name.removesuffix(".conv.gate.weight")
            logits = tensors[name][:, task] + tensors[f"{layer}.conv.gate.bias"]
            gates = np.exp(logits.astype(np.float64).reshape(5, -1))
            means[layer] = (100 * gates / gates.sum(axis=0)).mean(axis=1)
    return means


def printed(capsys, *arguments):
    assert main(["gates", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("task", "index"), [(None, 0), ("letters", 1)])
def test_json_holds_what_the_files_tensors_say(files, capsys, task, index):
    chosen = [] if task is None else ["--task", task]
    record = printed(capsys, files["a"], "--json", *chosen)
    expected = means_by_hand(files["a"], index)
    assert record["task"] == ("ink", "letters")[index]
    assert record["experts"] == ["conv5", "conv3", "conv1", "avg3", "avg5"]
    found = {entry["layer"]: entry for entry in record["blocks"]}
    assert found.keys() == expected.keys()
    for layer, mean in expected.items():
        assert found[layer]["mean"] == pytest.approx(mean.tolist(), abs=1e-3)
    encoder = [m for name, m in expected.items() if name.startswith(("encoder", "bottleneck"))]
    assert record["encoder"]["mean"] == pytest.approx(np.mean(encoder, axis=0), abs=1e-3)
    assert record["encoder"]["spread"] == pytest.approx(np.std(encoder, axis=0), abs=1e-3)
    overall = np.mean(list(expected.values()), axis=0)
    assert record["overall"]["mean"] == pytest.approx(overall, abs=1e-3)
    assert "comparison" not in record


@pytest.mark.parametrize(
    ("options", "second", "task"),
    [
        (["--compare", "b"], "b", 0),
        (["--task", "letters", "--compare", "b"], "b", 1),
        (["--compare-task", "letters"], "a", 1),
        (["--compare", "b", "--compare-task", "letters"], "b", 1),
    ],
)
def test_comparison_is_second_less_first(files, capsys, options, second, task):
    options = [files.get(option, option) for option in options]
    record = printed(capsys, files["a"], "--json", *options)
    first = means_by_hand(files["a"], int("--task" in options))
    other = means_by_hand(files[second], task)
    compared = record["comparison"]
    assert compared["checkpoint"] == files[second]
    assert compared["task"] == ("ink", "letters")[task]
    for entry in record["blocks"]:
        expected = other[entry["layer"]] - first[entry["layer"]]
        assert compared["difference"]["blocks"][entry["block"]] == pytest.approx(expected, abs=1e-3)


def test_network_of_one_other_task_is_compared_by_that_one(files, capsys):
    compared = printed(capsys, files["a"], "--json", "--compare", files["c"])["comparison"]
    assert compared["task"] == "0"
    assert len(compared["difference"]["blocks"]) == 6  # those of its encoder


def test_charts_and_tables_are_written_and_nothing_else(files, tmp_path, capsys):
    given = [tmp_path / f"gates.{suffix}" for suffix in ("png", "svg", "csv")]
    options = [part for path in given for part in (f"--{path.suffix[1:]}", path)]
    for extra in ([], ["--chart", "grouped"], ["--compare", files["b"]]):
        for path in given:
            path.unlink(missing_ok=True)
        assert main(["gates", files["a"], *map(str, options), *extra]) == 0
        assert sorted(tmp_path.iterdir()) == sorted(given)
        assert Image.open(given[0]).size[0] > 900
        text = given[1].read_text()
        assert all(word in text for word in ("D1.2", "avg 5³"))
        assert given[2].read_text().startswith("block,layer,expert,mean,spread")
    assert "difference in percentage points" in capsys.readouterr().out


def test_kernel_is_written_as_picture_and_as_array(files, tmp_path, capsys):
    picture, array = tmp_path / "k.png", tmp_path / "k.npy"
    options = ["--kernel", "C1.2", "--png", picture, "--npy", array, "--json"]
    record = printed(capsys, files["a"], *options)
    kernel = np.load(array)
    layer = load_checkpoint(files["a"]).mode_layers()["encoder.0.1"]
    assert kernel.dtype == np.float32
    assert kernel == pytest.approx(layer.kernel(0).detach().numpy(), abs=1e-6)
    assert record["shape"] == [2, 2, 5, 5, 5]
    assert sum(record["share"]) == pytest.approx(1, abs=1e-6)
    assert Image.open(picture).size[0] > 900
    assert sorted(tmp_path.iterdir()) == [array, picture]


def test_checkpoint_without_gates_says_so(files, tmp_path, capsys, monkeypatch):
    class Plain(InkNetwork):
        architecture, tasks = "plain", ("ink",)

    monkeypatch.setattr("napari_ink.models.checkpoint.load_checkpoint", lambda path: Plain())
    assert main(["gates", files["a"], "--png", str(tmp_path / "a.png")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "no gates" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--task", "crackle"], "crackle"),
        (["--compare-task", "crackle"], "crackle"),
        (["--png", "{}/a.jpg"], ".png"),
        (["--svg", "{}/nowhere/a.svg"], "nowhere"),
        (["--csv", "{}"], ".csv"),
        (["--npy", "{}/a.npy"], "--kernel"),
        (["--kernel", "C9.1"], "C9.1"),
        (["--kernel", "C1.1", "--compare-task", "letters"], "--compare-task"),
        (["--kernel", "C1.1", "--csv", "{}/a.csv"], "--csv"),
        (["--chart", "grouped"], "--chart"),
        (["--chart", "grouped", "--png", "{}/a.png", "--compare-task", "letters"], "comparison"),
        (["--compare", "{}/none.safetensors"], "none.safetensors"),
    ],
)
def test_what_cannot_be_is_one_line_exit_2_and_nothing_written(
    files, tmp_path, capsys, options, named
):
    assert main(["gates", files["a"], *(part.format(tmp_path) for part in options)]) == 2
    said = capsys.readouterr()
    (line,) = said.err.strip().splitlines()
    assert named in line
    assert said.out == ""
    assert not list(tmp_path.iterdir())


def test_folder_that_may_not_be_written_to_is_one_line(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    assert main(["gates", files["a"], "--csv", str(tmp_path / "a.csv")]) == 2
    assert "may not be written" in capsys.readouterr().err


def test_full_disk_leaves_what_was_there(files, tmp_path, capsys, monkeypatch):
    there = tmp_path / "a.csv"
    there.write_text("before")

    def full(self, *args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    assert main(["gates", files["a"], "--csv", str(there)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert there.read_text() == "before"
    assert list(tmp_path.iterdir()) == [there]
