"""Published RepMode weights: read by their own keys, run by nobody's code but torch's."""

import argparse
import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_ink.cli import import_checkpoint
from napari_ink.errors import CheckpointError, InkError, SettingsError
from napari_ink.models.checkpoint import load_checkpoint
from napari_ink.models.legacy import import_repmode, read_state_dict

EXPERTS = {
    "conv5x5_conv": 5,
    "conv3x3_conv": 3,
    "conv1x1_conv": 1,
    "avg3x3_conv": 1,
    "avg5x5_conv": 1,
}


def published_state(width=2, levels=2, tasks=3, seed=0):
    """Random numbers under the published keys, with the published shapes."""
    random = torch.Generator().manual_seed(seed)
    state = OrderedDict()

    def draw(*shape, low=-1.0, high=1.0):
        return torch.rand(*shape, generator=random) * (high - low) + low

    def norm(prefix, channels):
        state[f"{prefix}.weight"] = draw(channels, low=0.5, high=1.5)
        state[f"{prefix}.bias"] = draw(channels, low=0, high=0.5)
        state[f"{prefix}.running_mean"] = draw(channels, low=-0.1, high=0.1)
        state[f"{prefix}.running_var"] = draw(channels, low=0.5, high=1.5)
        state[f"{prefix}.num_batches_tracked"] = torch.tensor(7)

    def mode(prefix, inputs, outputs, final=False):
        for expert, size in EXPERTS.items():
            bound = 2 / (inputs * size**3) ** 0.5
            weight = draw(outputs, inputs, size, size, size, low=-bound, high=bound)
            state[f"{prefix}.expert_{expert}"] = weight
        for size in (3, 5):
            pool = torch.full((size, size, size), 1 / size**3)
            state[f"{prefix}.expert_avg{size}x{size}_pool"] = pool
        state[f"{prefix}.gate.weight"] = draw(5 * outputs, tasks)
        state[f"{prefix}.gate.bias"] = draw(5 * outputs)
        if not final:
            norm(f"{prefix}.subsequent_layer.0", outputs)

    def resample(prefix, inputs, outputs, transposed):
        channels = (inputs, outputs) if transposed else (outputs, inputs)
        state[f"{prefix}.0.weight"] = draw(*channels, 2, 2, 2, low=-0.5, high=0.5)
        norm(f"{prefix}.1", outputs)

    inputs = 1
    for level in range(1, levels + 1):
        outputs = width * 2 ** (level - 1)
        mode(f"encoder_block{level}.conv_more.conv1", inputs, outputs)
        mode(f"encoder_block{level}.conv_more.conv2", outputs, outputs)
        resample(f"encoder_block{level}.conv_down", outputs, outputs, transposed=False)
        inputs = outputs
    mode("bottle_block.conv1", inputs, 2 * inputs)
    mode("bottle_block.conv2", 2 * inputs, 2 * inputs)
    for level in range(levels, 0, -1):
        outputs = width * 2 ** (level - 1)
        resample(f"decoder_block{level}.convt", 2 * outputs, outputs, transposed=True)
        mode(f"decoder_block{level}.conv_less.conv1", 2 * outputs, outputs)
        mode(f"decoder_block{level}.conv_less.conv2", outputs, outputs)
    mode("conv_out", width, 1, final=True)
    return state


def published_forward(state, volume, task):
    """The published network from its mathematics: five branches, gated, no merging."""
    state = {key: value.double() for key, value in state.items()}
    levels = sum(key.endswith("conv_down.0.weight") for key in state)

    def norm(x, prefix):
        mean, variance, weight, bias = (
            state[f"{prefix}.{name}"].view(1, -1, 1, 1, 1)
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (variance + 1e-5).sqrt() * weight + bias).clamp(min=0)

    def mode(x, prefix):
        logits = state[f"{prefix}.gate.weight"][:, task] + state[f"{prefix}.gate.bias"]
        gates = torch.exp(logits.view(5, -1))
        gates = gates / gates.sum(0)
        total = 0
        for gate, (expert, size) in zip(gates, EXPERTS.items(), strict=True):
            kernel, branch = state[f"{prefix}.expert_{expert}"], x
            if expert.startswith("avg"):
                pool = int(expert[3])
                mean = torch.full((x.shape[1], 1, pool, pool, pool), 1 / pool**3).to(x)
                branch = F.conv3d(x, mean, padding=pool // 2, groups=x.shape[1])
            total = total + gate.view(1, -1, 1, 1, 1) * F.conv3d(branch, kernel, padding=size // 2)
        return total

    def pair(x, prefix):
        for conv in ("conv1", "conv2"):
            x = norm(mode(x, f"{prefix}.{conv}"), f"{prefix}.{conv}.subsequent_layer.0")
        return x

    x, skips = volume.double(), []
    for level in range(1, levels + 1):
        x = pair(x, f"encoder_block{level}.conv_more")
        skips.append(x)
        down = f"encoder_block{level}.conv_down"
        x = norm(F.conv3d(x, state[f"{down}.0.weight"], stride=2), f"{down}.1")
    x = pair(x, "bottle_block")
    for level in range(levels, 0, -1):
        up = f"decoder_block{level}.convt"
        x = norm(F.conv_transpose3d(x, state[f"{up}.0.weight"], stride=2), f"{up}.1")
        x = pair(torch.cat([skips.pop(), x], 1), f"decoder_block{level}.conv_less")
    return mode(x, "conv_out")[:, 0]


def command(*words):
    """Run ``napari-ink import-checkpoint`` with these words."""
    parser = argparse.ArgumentParser()
    import_checkpoint.add_arguments(parser)
    import_checkpoint.run(parser.parse_args([str(word) for word in words]))


@pytest.mark.parametrize(("width", "levels", "tasks"), [(2, 2, 3), (3, 1, 1), (1, 4, 2)])
def test_an_imported_network_computes_what_the_published_one_does(
    tmp_path, capsys, width, levels, tasks
):
    state = published_state(width, levels, tasks)
    source, target = tmp_path / "source.pth", tmp_path / "target.safetensors"
    torch.save(state, source)
    command(source, target, "--arch", "repmode")
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert str(target) in line
    model = load_checkpoint(target)
    assert model.arguments["width"] == width
    assert model.arguments["levels"] == levels
    assert model.tasks == tuple(map(str, range(tasks)))
    assert (model.depth, model.output) == (32, "volume")
    volume = torch.randn(1, 1, 16, 16, 32)
    for task in range(tasks):
        truth = published_forward(state, volume, task)
        with torch.no_grad():
            imported = model(volume, torch.tensor([task]))
            folded = model.fold(task)(volume)
        assert truth.std() > 1e-3
        assert (imported - truth).abs().max() < 1e-5 * truth.abs().max()
        assert (folded - truth).abs().max() < 1e-5 * truth.abs().max()


def test_flags_end_up_in_the_facts(tmp_path):
    source, target = tmp_path / "source.pth", tmp_path / "target.safetensors"
    torch.save(published_state(tasks=2), source)
    command(
        source, target, "--voxel-size", 7.91, "--layers", "20:44", "--tasks", "ink,fibre",
        "--threshold", 0.4, "--window", 64, "--reverse-depth",
        "--recipe", '{"kind": "percentile", "low": 1, "high": 99}',
    )  # fmt: skip
    info = load_checkpoint(target).info
    assert info.voxel_size == 7.91
    assert info.layers == (20, 44)
    assert info.depth == 24
    assert info.tasks == ("ink", "fibre")
    assert info.thresholds == {"ink": 0.4, "fibre": 0.4}
    assert info.window == 64
    assert info.halo == 16
    assert info.reverse_depth
    assert info.recipe.items() >= {"kind": "percentile", "low": 1, "high": 99}.items()
    assert not info.simulated


def test_without_flags_the_facts_are_those_of_the_paper(tmp_path):
    source, target = tmp_path / "source.pth", tmp_path / "target.safetensors"
    torch.save(published_state(), source)
    command(source, target)
    info = load_checkpoint(target).info
    assert info.recipe["kind"] == "zscore"
    assert info.recipe["window"] == info.window == 128
    assert info.halo == 32
    assert info.layers is info.voxel_size is None


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--depth", "30"), "multiple of 4"),
        (("--depth", "16", "--layers", "0:32"), "32 layers"),
        (("--layers", "32"), "a:b"),
        (("--layers", "9:3"), "a:b"),
        (("--tasks", "a,b"), "3 tasks"),
        (("--tasks", "a,a,b"), "different names"),
        (("--threshold", "2"), "probability"),
        (("--voxel-size", "0"), "positive"),
        (("--window", "-4"), "positive"),
        (("--halo", "5"), "multiple of 4"),
        (("--window", "8"), "--window 12"),
        (("--window", "32", "--halo", "16"), "--window 36"),
        (("--recipe", "magic"), "magic"),
        (("--recipe", "{"), "JSON"),
    ],
)
def test_flags_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, flags, named):
    source, target = tmp_path / "source.pth", tmp_path / "target.safetensors"
    torch.save(published_state(), source)
    with pytest.raises(SettingsError, match=named):
        command(source, target, *flags)
    assert not target.exists()


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "model.module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_wrappers_and_prefixes_of_training_scripts(tmp_path, wrapper, prefix, zipped):
    state = {prefix + key: value for key, value in published_state(1, 1, 1).items()}
    content = {wrapper: state, "epoch": 3, "optimizer": {"state": {}, "lr": [1e-4]}}
    path = tmp_path / "wrapped.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert import_repmode(path).arguments["width"] == 1


def test_parameters_and_half_precision_are_taken(tmp_path):
    state = published_state(1, 1, 1)
    for key, value in state.items():
        if value.is_floating_point():
            state[key] = torch.nn.Parameter(value.half())
    torch.save(state, tmp_path / "half.pth")
    assert all(p.dtype == torch.float32 for p in import_repmode(tmp_path / "half.pth").parameters())


class Foreign:
    """A class whose unpickling would touch a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class Plain:
    """A class that does no harm and is still none of ours."""


def save_in(kind, content, path):
    """Pickle as torch does now, as it did before 1.6, or as anybody does."""
    if kind == "zip":
        torch.save(content, path)
    elif kind == "zip, protocol 4":
        torch.save(content, path, pickle_protocol=4)
    elif kind == "legacy":
        torch.save(content, path, _use_new_zipfile_serialization=False)
    elif kind == "tar":
        data = pickle.dumps(content, protocol=2)
        with tarfile.open(path, "w") as archive:
            for name, part in (
                ("storages", pickle.dumps(0)),
                ("tensors", pickle.dumps(0)),
                ("pickle", data),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(part)
                archive.addfile(member, io.BytesIO(part))
    else:
        path.write_bytes(pickle.dumps(content, protocol=int(kind[-1])))


KINDS = ["zip", "zip, protocol 4", "legacy", "tar", "pickle 0", "pickle 2", "pickle 4", "pickle 5"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_would_run_something_is_refused_by_name_and_runs_nothing(tmp_path, kind):
    touched, path = tmp_path / "touched", tmp_path / "evil.pth"
    save_in(kind, {"state_dict": published_state(1, 1, 1), "x": Foreign(touched)}, path)
    with pytest.raises(CheckpointError, match=r"(io|_io|builtins)\.open") as caught:
        command(path, tmp_path / "target.safetensors")
    assert str(path) in str(caught.value)
    assert not touched.exists()
    assert not (tmp_path / "target.safetensors").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Plain(), "Plain"),
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (np.float64(3), "scalar"),
        (torch.nn.ReLU(), "torch.nn.modules.activation.ReLU"),
        (os.system, "system"),
    ],
)
def test_any_other_class_is_refused_by_its_name(tmp_path, kind, content, name):
    path = tmp_path / "other.pth"
    save_in(kind, {"state_dict": published_state(1, 1, 1), "args": content}, path)
    with pytest.raises(CheckpointError, match=name):
        read_state_dict(path)


def test_a_class_that_another_library_declared_safe_is_refused_all_the_same(tmp_path):
    torch.save({"state_dict": published_state(1, 1, 1), "args": Plain()}, tmp_path / "a.pth")
    with (
        torch.serialization.safe_globals([Plain]),
        pytest.raises(CheckpointError, match="Plain"),
    ):
        read_state_dict(tmp_path / "a.pth")


def test_a_tar_file_of_old_torch_is_refused_even_if_harmless(tmp_path):
    save_in("tar", {"a": 1}, tmp_path / "old.pth")
    with pytest.raises(CheckpointError, match="tar file"):
        read_state_dict(tmp_path / "old.pth")


def test_a_torchscript_archive_is_refused(tmp_path):
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02c__torch__\nNet\nq\x00)\x81.")
        archive.writestr("net/constants.pkl", b"\x80\x02).")
        archive.writestr("net/version", "3\n")
    with pytest.raises(CheckpointError, match=r"__torch__\.Net"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04 broken", b"\x80\x02}q\x00.", b"\x80\x02K\x03."]
)
def test_what_holds_no_weights_is_refused(tmp_path, content):
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"odd\.pth"):
        read_state_dict(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused(tmp_path, zipped):
    path = tmp_path / "short.pth"
    torch.save(published_state(1, 1, 1), path, _use_new_zipfile_serialization=zipped)
    raw = path.read_bytes()
    for left in (len(raw) - 1, len(raw) * 3 // 4, len(raw) // 10, 20):
        path.write_bytes(raw[:left])
        with pytest.raises(CheckpointError, match=r"short\.pth"):
            import_repmode(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize(
    "content", [{}, {"lr": 1}, [1, 2], {"state_dict": {"a": 1}}, torch.ones(2)]
)
def test_files_without_a_state_dict_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_state_dict(tmp_path / "none.pth")


def test_a_dictionary_that_holds_itself_is_refused_and_no_endless_loop(tmp_path):
    content = {}
    content["state_dict"] = content
    torch.save(content, tmp_path / "loop.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_state_dict(tmp_path / "loop.pth")


def _drop(key):
    return lambda state: state.pop(key)


def _put(key, value):
    return lambda state: state.update({key: value})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_drop("conv_out.expert_conv5x5_conv"), "lacks conv_out.expert_conv5x5_conv"),
        (_drop("conv_out.gate.weight"), "conv_out"),
        (_put("conv_out.expert_conv5x5_conv", torch.zeros(3)), "conv_out"),
        (_drop("bottle_block.conv1.gate.bias"), "lacks bottle_block.conv1.gate.bias"),
        (_drop("encoder_block2.conv_down.0.weight"), "lacks encoder_block2.conv_down.0.weight"),
        (_put("encoder_block9.x", torch.zeros(1)), "levels|lacks"),
        (_put("encoder_block3.conv_more.conv1.gate.bias", torch.zeros(5)), "lacks|multiple"),
        (_put("bottle_block.conv1.expert_conv3x3_conv", torch.zeros(4, 4, 1, 1, 1)), "not"),
        (_put("criterion.weight", torch.zeros(1)), "unexpected criterion.weight"),
        (_put("conv_out.expert_avg3x3_pool", torch.ones(3, 3, 3)), "no mean"),
        (_put("conv_out.gate.bias", torch.full((5,), torch.nan)), "not finite"),
        (_put("conv_out.gate.bias", torch.zeros(5, dtype=torch.cfloat)), "not finite and real"),
        (_put("encoder_block1.conv_down.1.num_batches_tracked", torch.zeros(2)), "not"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(tmp_path, change, named):
    state = published_state()
    change(state)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(InkError, match=named):
        import_repmode(tmp_path / "odd.pth")


def test_files_without_the_fixed_pools_and_the_batch_counters_are_taken(tmp_path):
    state = published_state()
    for key in list(state):
        if key.endswith(("_pool", "num_batches_tracked")):
            del state[key]
    torch.save(state, tmp_path / "lean.pth")
    assert import_repmode(tmp_path / "lean.pth").tasks == ("0", "1", "2")


def test_views_that_claim_more_than_the_file_holds_are_refused_before_they_are_copied(tmp_path):
    state = published_state(32, 1, 1)
    repeated = {key: torch.zeros(()).expand(value.shape) for key, value in state.items()}
    torch.save(repeated, tmp_path / "lie.pth")
    assert (tmp_path / "lie.pth").stat().st_size < 2**17
    with pytest.raises(CheckpointError, match="too small"):
        import_repmode(tmp_path / "lie.pth")
