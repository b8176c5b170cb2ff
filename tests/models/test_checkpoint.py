"""Checkpoints: what goes in comes out, and what is damaged is refused by name."""

import hashlib
import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ink.errors import CheckpointError, SettingsError
from napari_ink.models.checkpoint import (
    CheckpointInfo,
    load_checkpoint,
    read_info,
    save_checkpoint,
)
from napari_ink.models.header import read_header
from napari_ink.models.repmode import RepMode


def small():
    torch.manual_seed(0)
    return RepMode(2, 1, 4, ("ink", "fibre"), decoder="2d").eval()


def facts(model, **others):
    return CheckpointInfo.of(
        model,
        **{
            "recipe": {"kind": "percentile", "low": 1.0, "high": 99.0},
            "layers": (8, 12),
            "reverse_depth": True,
            "voxel_size": 7.91,
            "window": 64,
            "halo": 6,
            "thresholds": {"ink": 0.47},
            "training": {"steps": 300, "loss": {"dice": 0.5}},
            "dataset": ({"name": "a", "fingerprint": "00ff"},),
            "metrics": {"f05": 0.86},
            "simulated": True,
            **others,
        },
    )


@pytest.fixture
def checkpoint(tmp_path):
    model = small()
    path = tmp_path / "good.safetensors"
    save_checkpoint(path, model, facts(model))
    return path


def split(path):
    """Header as an object, and the bytes of the tensors."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def join(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def rewrite(path, change):
    """Let ``change`` alter the metadata's content in place."""
    header, data = split(path)
    content = json.loads(header["__metadata__"]["napari_ink"])
    change(content)
    header["__metadata__"]["napari_ink"] = json.dumps(content)
    join(path, header, data)


def refused(path, match):
    """The one-line refusal, which names the file and says what to do."""
    with pytest.raises(CheckpointError, match=match) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert caught.value.remedy
    assert len(message) < 1000
    return message


def test_a_network_and_its_facts_survive_the_file(checkpoint):
    model, loaded = small(), load_checkpoint(checkpoint)
    volume, task = torch.randn(2, 1, 4, 8, 8), torch.tensor([1, 0])
    with torch.no_grad():
        assert torch.equal(loaded(volume, task), model(volume, task))
    assert not loaded.training
    assert loaded.info == facts(model)
    assert loaded.info == read_info(checkpoint)
    assert loaded.halo == 6
    assert loaded.info.fingerprint == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert loaded.info.path == str(checkpoint)
    assert loaded.info.window_mm == pytest.approx(0.50624)
    assert loaded.info.threshold("ink") == 0.47
    assert loaded.info.threshold("fibre") == 0.5


def test_a_loaded_network_can_go_on_learning(checkpoint):
    loaded = load_checkpoint(checkpoint).train()
    loaded(torch.randn(2, 1, 4, 8, 8), torch.tensor([1, 0])).sum().backward()
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert all(parameter.device.type == "cpu" for parameter in loaded.parameters())


def test_a_loaded_network_does_not_depend_on_the_file_any_more(checkpoint):
    loaded = load_checkpoint(checkpoint)
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    checkpoint.write_bytes(bytes(checkpoint.stat().st_size))
    assert all(torch.equal(before[name], now) for name, now in loaded.state_dict().items())


def test_loading_leaves_the_random_numbers_alone(checkpoint):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_checkpoint(checkpoint)
    assert torch.equal(torch.rand(1), expected)


def test_half_precision_weights_are_loaded_as_single(checkpoint):
    model = small()
    save_checkpoint(checkpoint, small().half(), facts(model))
    loaded = load_checkpoint(checkpoint)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-3, atol=1e-3)


def test_metadata_are_read_without_torch(checkpoint):
    code = (
        "import sys; from napari_ink.models.checkpoint import read_info;"
        f"print(read_info({str(checkpoint)!r}).tasks, 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "('ink', 'fibre') False"


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(checkpoint, monkeypatch):
    before = checkpoint.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(checkpoint, small(), facts(small()))
    assert checkpoint.read_bytes() == before
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_a_written_file_has_the_permissions_of_any_other(checkpoint, tmp_path):
    other = tmp_path / "other"
    other.touch()
    assert checkpoint.stat().st_mode == other.stat().st_mode


def test_numbers_of_numpy_and_scores_that_are_not_finite_are_stored(checkpoint):
    model = small()
    metrics = {"f05": np.float32(0.5), "auc": math.nan, "steps": np.int64(3), "t": torch.tensor(2)}
    save_checkpoint(checkpoint, model, facts(model, metrics=metrics))
    assert read_info(checkpoint).metrics == {"f05": 0.5, "auc": None, "steps": 3, "t": 2}


def test_facts_of_another_network_are_not_written(checkpoint):
    other = facts(RepMode(4, 1, 4, ("ink", "fibre"), decoder="2d"))
    with pytest.raises(SettingsError, match="arguments"):
        save_checkpoint(checkpoint, small(), other)


def test_facts_that_could_not_be_read_again_are_not_written(checkpoint):
    before = checkpoint.read_bytes()
    for wrong in ({"halo": -1}, {"recipe": {"kind": "magic"}}, {"thresholds": {"ink": 2}}):
        with pytest.raises(CheckpointError):
            save_checkpoint(checkpoint, small(), facts(small(), **wrong))
    assert checkpoint.read_bytes() == before


def test_facts_may_leave_open_what_nobody_knows(checkpoint):
    model = small()
    save_checkpoint(checkpoint, model, CheckpointInfo.of(model, recipe={"kind": "fixed"}))
    loaded = load_checkpoint(checkpoint)
    assert loaded.info.layers is loaded.info.window_mm is loaded.info.halo is None
    assert loaded.halo == model.halo


def test_fields_of_later_versions_are_tolerated(checkpoint):
    rewrite(checkpoint, lambda content: content.update(weather="fine"))
    assert load_checkpoint(checkpoint).info == facts(small())


@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.0, [1]])
def test_unknown_format_version(checkpoint, version):
    rewrite(checkpoint, lambda content: content.update(format_version=version))
    assert "upgrade" in refused(checkpoint, "checkpoint format")


@pytest.mark.parametrize(
    "field", ["format_version", "architecture", "arguments", "recipe", "depth"]
)
def test_missing_field(checkpoint, field):
    rewrite(checkpoint, lambda content: content.pop(field))
    refused(checkpoint, "lacks|format None")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("architecture", 3),
        ("architecture", "resnet"),
        ("arguments", []),
        ("arguments", {"width": 2, "heads": 3}),
        ("tasks", "ink"),
        ("tasks", []),
        ("tasks", ["other", "fibre"]),
        ("depth", "4"),
        ("depth", 8),
        ("depth", 10**400),
        ("recipe", "percentile"),
        ("recipe", {"kind": "magic"}),
        ("recipe", {"kind": "fixed", "low": "x"}),
        ("layers", [12, 8]),
        ("layers", [1]),
        ("layers", 4),
        ("reverse_depth", 1),
        ("voxel_size", 0),
        ("voxel_size", float("nan")),
        ("voxel_size", "8"),
        ("window", 64.5),
        ("halo", -2),
        ("halo", 7),
        ("thresholds", {"ink": 1.5}),
        ("thresholds", {"letters": 0.5}),
        ("thresholds", [0.5]),
        ("training", None),
        ("dataset", ["a"]),
        ("simulated", "yes"),
    ],
)
def test_field_of_a_wrong_kind(checkpoint, field, value):
    rewrite(checkpoint, lambda content: content.update({field: value}))
    refused(checkpoint, ".")


@pytest.mark.parametrize(
    "lie",
    [
        {"width": 10**9},
        {"width": 2**16},
        {"width": 3},
        {"width": 0},
        {"width": "2"},
        {"levels": 2},
        {"levels": 10**6},
        {"depth": 10**9},
        {"decoder": "3d"},
        {"collapse": "mean"},
        {"activation": "frelu"},
        {"tasks": ["ink"]},
        {"dropout": 7},
    ],
)
def test_arguments_that_lie_are_refused_before_anything_is_allocated(checkpoint, lie, monkeypatch):
    rewrite(checkpoint, lambda content: content["arguments"].update(lie))
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda _: pytest.fail("weights were read"))
    refused(checkpoint, ".")


def test_metadata_that_lie_consistently_about_width_are_refused(checkpoint):
    header, data = split(checkpoint)
    header["head.weight"]["shape"] = [1, 2, 9, 1]
    join(checkpoint, header, data)
    refused(checkpoint, r"head\.weight.*describe \(1, 2, 3, 3\)")


def test_missing_tensor(checkpoint):
    header, data = split(checkpoint)
    del header["head.weight"]
    join(checkpoint, header, data)
    refused(checkpoint, r"lacks tensor 'head\.weight'")


def test_unexpected_tensor(checkpoint):
    header, data = split(checkpoint)
    header["extra"] = {"dtype": "U8", "shape": [1], "data_offsets": [len(data), len(data) + 1]}
    join(checkpoint, header, data + b"x")
    refused(checkpoint, "unexpected tensor 'extra'")


def test_tensor_of_another_kind(checkpoint):
    header, data = split(checkpoint)
    header["head.weight"]["dtype"] = "I32"
    join(checkpoint, header, data)
    refused(checkpoint, "has type I32")
    header["head.weight"]["dtype"] = "F8_E4M3"
    join(checkpoint, header, data)
    refused(checkpoint, "F8_E4M3")


def test_weights_that_are_not_finite(checkpoint):
    header, data = split(checkpoint)
    start, _ = header["head.weight"]["data_offsets"]
    nan = np.float32(np.nan).tobytes()
    join(checkpoint, header, data[:start] + nan + data[start + 4 :])
    refused(checkpoint, r"head\.weight.*NaN")


@pytest.mark.parametrize("left", [0, 1, 7, 8, 9, 10, 100, 2000, -1])
def test_truncated_file(checkpoint, left):
    checkpoint.write_bytes(checkpoint.read_bytes()[:left])
    assert "truncated" in refused(checkpoint, ".")
    with pytest.raises(CheckpointError):
        read_info(checkpoint)


def test_bytes_after_the_end(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes() + b"more")
    refused(checkpoint, ".")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 a zip file, perhaps an old checkpoint",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff" * 100,
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"null",
        (7).to_bytes(8, "little") + b'{"a":1}',
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
        (18).to_bytes(8, "little") + b'{"__metadata__":3}',
    ],
)
def test_something_else_than_safetensors(tmp_path, content):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    refused(path, ".")


def test_safetensors_of_another_program(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "foreign.safetensors"
    save_file({"a": np.zeros(3)}, path, metadata={"format": "pt"})
    assert "import-checkpoint" in refused(path, "without napari-ink metadata")
    save_file({"a": np.zeros(3)}, path)
    refused(path, "without napari-ink metadata")


@pytest.mark.parametrize("text", ["", "{", "3", "null", "[]", "[" * 100_000])
def test_metadata_that_are_no_json_object(checkpoint, text):
    header, data = split(checkpoint)
    header["__metadata__"]["napari_ink"] = text
    join(checkpoint, header, data)
    refused(checkpoint, "no JSON")


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path):
    refused(tmp_path / "none.safetensors", "No such file")
    refused(tmp_path, "cannot read")


def test_the_header_agrees_with_the_formats_own_reader(checkpoint):
    from safetensors import safe_open

    header = read_header(checkpoint)
    with safe_open(checkpoint, "pt") as file:
        assert set(file.keys()) == set(header.tensors)
        for name, entry in header.tensors.items():
            assert tuple(file.get_slice(name).get_shape()) == entry.shape
        assert file.metadata() == header.metadata


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A checkpoint's bytes, its header's length, and a place for damaged copies."""
    model = RepMode(1, 1, 2).eval()
    path = tmp_path_factory.mktemp("tiny") / "damaged.safetensors"
    save_checkpoint(path, model, CheckpointInfo.of(model, recipe={"kind": "fixed"}))
    raw = path.read_bytes()
    return path, raw, int.from_bytes(raw[:8], "little")


def survives(path):
    """Either a whole network or the one error."""
    refusal = None
    try:
        info, model = read_info(path), load_checkpoint(path)
    except CheckpointError as error:
        refusal = str(error)
    if refusal is not None:
        assert str(path) in refusal
        return
    assert replace(model.info, fingerprint=None) == info
    with torch.no_grad():
        logits = model(torch.zeros(1, 1, model.depth, 4, 4), torch.zeros(1, dtype=torch.long))
    assert logits.shape[0] == 1


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_damage_to_the_header_is_refused_or_harmless(tiny, data):
    path, raw, length = tiny
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, 8 + length - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    survives(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_digits_and_marks_in_the_header_are_refused_or_harmless(tiny, data):
    """Damage that mostly stays JSON: the checks behind the parser."""
    path, raw, length = tiny
    marks = [i for i in range(8, 8 + length) if chr(raw[i]) in '0123456789[]{},:"']
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.sampled_from(marks))] = ord(
            data.draw(st.sampled_from("0123456789[],"))
        )
    path.write_bytes(damaged)
    survives(path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_in_any_field_is_refused_or_harmless(tiny, data):
    path, raw, _ = tiny
    path.write_bytes(raw)

    def change(content):
        place = data.draw(st.sampled_from([content, content["arguments"], content["recipe"]]))
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(_JSON)

    rewrite(path, change)
    survives(path)
