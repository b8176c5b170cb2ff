"""A network takes up one more task: what it knew stays, bit for bit, and the new one learns."""

import json

import pytest
import torch
from small_networks import experienced, gated_branches
from torch import nn
from torch.nn import functional as F

from napari_ink.errors import CheckpointError, SettingsError
from napari_ink.models.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from napari_ink.models.extend import extend
from napari_ink.models.mode import MoDEConv3d
from napari_ink.models.registry import build
from napari_ink.models.repmode import RepMode

VARIANTS = [
    {"collapse": "mean"},
    {"collapse": "none", "activation": "mish"},
    {"decoder": "2d", "collapse": "conv2d", "activation": "frelu"},
    {"decoder": "3d", "collapse": "matmul_bottleneck", "activation": "frelu"},
]

RANDOM = {"dropout": 0.2, "gate_noise": 0.3, "stochastic_depth": 0.2}

OLD_TASKS = ("ink", "fibre")


def trained(**arguments):
    """A small network of two tasks whose batch norms have seen something."""
    torch.manual_seed(0)
    return experienced(RepMode(3, 1, 4, OLD_TASKS, **arguments))


def volumes(count, seed=1):
    return torch.randn(count, 1, 4, 8, 8, generator=torch.manual_seed(seed))


@torch.enable_grad()
def learn(network, task, steps=6, rate=1e-2):
    """Steps of AdamW with all parameters and plain weight decay, towards an arbitrary label."""
    volume, task = volumes(len(task)), torch.tensor(task)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.5)
    losses = []
    network.train()
    for _ in range(steps):
        loss = (network(volume, task) - volume.mean((1, 2, 3, 4)).view(-1, 1, 1, 1)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    network.eval()
    return losses


@torch.no_grad()
def assert_old_tasks_are_as_they_were(network, before):
    state = network.state_dict()
    for name, tensor in before.state_dict().items():
        assert torch.equal(state[name], tensor), name
    volume = volumes(3)
    for index, task in enumerate(before.tasks):
        assert network.tasks[index] == task
        tasks = torch.full((3,), index)
        assert torch.equal(network(volume, tasks), before(volume, tasks))
        assert torch.equal(network.fold(task)(volume), before.fold(task)(volume))
    tasks = torch.tensor([1, 0, 1])
    assert torch.equal(network(volume, tasks), before(volume, tasks))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task", [[2, 2, 2, 2], [2, 0, 1, 2]])
def test_old_tasks_stay_bit_identical_while_the_new_one_learns(variant, task):
    before = trained(**variant, **RANDOM)
    network = extend(before, "letters")
    assert_old_tasks_are_as_they_were(network, before)
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    learn(network, task)
    assert_old_tasks_are_as_they_were(network, before)
    added = [name for name in start if name not in before.state_dict()]
    still = [name for name in added if torch.equal(start[name], network.state_dict()[name])]
    assert not still
    with torch.no_grad():
        new = network(volumes(3), torch.full((3,), 2))
        old = network(volumes(3), torch.zeros(3, dtype=torch.long))
    assert (new - old).abs().max() > 1e-2


def test_a_new_task_learns():
    network = extend(trained(collapse="mean"), "letters")
    losses = learn(network, [2, 2, 2, 2], steps=30)
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_mode_neither_changes_old_maps_nor_their_statistics(variant):
    before = trained(**variant)
    network = extend(before, "letters").train()
    volume, tasks = volumes(3), torch.tensor([0, 1, 1])
    with torch.no_grad():
        truth = before(volume, tasks)
        assert torch.equal(network(volume, tasks), truth)
        network(volume, torch.tensor([0, 2, 1]))
    assert_old_tasks_are_as_they_were(network.eval(), before)


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("start", ["ink", 1])
def test_a_new_task_starts_as_an_old_one(variant, start):
    before = trained(**variant).double()
    network = extend(before, "letters", start)
    volume = volumes(2).double()
    index = before.task_index(start)
    truth = before(volume, torch.full((2,), index))
    new = torch.full((2,), 2)
    assert (network(volume, new) - truth).abs().max() < 1e-12
    assert (network.fold("letters")(volume) - truth).abs().max() < 1e-12
    other = before(volume, torch.full((2,), 1 - index))
    assert (other - truth).abs().max() > 1e-6


@torch.no_grad()
def test_the_first_map_is_the_old_one_whatever_the_gates():
    before = trained(collapse="mean").double()
    network, volume = extend(before, "letters"), volumes(1).double()
    for conv in network.mode_layers().values():
        own = conv.gates(2)
        assert (own[5] - 0.5).abs().max() < 1e-12
        others = conv.gates(0)
        assert (own[:5] - others / 2).abs().max() < 1e-12
        # The five keep their proportions; any share of the sixth gives the same kernel.
        conv.added[0].gate[-conv.out_channels :] += torch.randn(conv.out_channels)
    truth = before(volume, torch.tensor([0]))
    assert (network(volume, torch.tensor([2])) - truth).abs().max() < 1e-12


def six_branches(conv, volume, task):
    """Equations of the paper and one more expert, branch by branch, without any merging."""
    own = conv.added[task - conv.added.first]
    gates = own.gate.view(6, -1).softmax(0)
    return gated_branches(conv, volume, gates, own.kernel)


@torch.no_grad()
def test_the_kernel_of_an_added_task_equals_six_gated_branches():
    network = build("repmode", {"width": 3, "levels": 1, "depth": 4, "added_tasks": ["a", "b"]})
    conv = network.double().eval().mode_layers()["decoder.0.1"]
    assert conv.added.first == 1
    volume = torch.randn(2, 3, 6, 7, 5).double()
    for task in (1, 2):
        nn.init.normal_(conv.added[task - 1].gate)
        truth = six_branches(conv, volume, task)
        assert truth.abs().max() > 0.1
        assert (conv(volume, ((task, 2),)) - truth).abs().max() < 1e-12
        exactly = conv.merge_exactly(conv.gates(task), task)
        assert (F.conv3d(volume, exactly, padding=2) - truth).abs().max() < 1e-12
    mixed = conv(volume, ((1, 1), (2, 1)))
    alone = [six_branches(conv, volume[i : i + 1], i + 1) for i in range(2)]
    assert (mixed - torch.cat(alone)).abs().max() < 1e-12


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_of_old_and_new_tasks_equals_its_samples_one_by_one(variant):
    network = extend(trained(**variant), "letters")
    learn(network, [2, 2])
    network = extend(network, "lines", start="fibre")
    learn(network, [3, 3])
    network, volume = network.double(), volumes(6).double()
    tasks = torch.tensor([3, 0, 2, 1, 3, 2])
    together = network(volume, tasks)
    alone = torch.cat([network(volume[i : i + 1], tasks[i : i + 1]) for i in range(6)])
    assert (together - alone).abs().max() < 1e-12
    maps = [network(volume[:1], torch.tensor([task])) for task in range(4)]
    for task in range(4):
        folded = network.fold(task)(volume[:1])
        assert (folded - maps[task]).abs().max() < 1e-10 * maps[task].abs().max()
        for other in range(task):
            assert (maps[task] - maps[other]).abs().max() > 1e-6


@torch.no_grad()
def test_only_new_samples_count_in_the_new_statistics():
    mixed, alone = (extend(trained(collapse="mean"), "letters").double().train() for _ in range(2))
    volume = volumes(4).double()
    mixed(volume, torch.tensor([2, 0, 2, 1]))
    alone(volume[[0, 2]], torch.tensor([2, 2]))
    state = alone.state_dict()
    moved = 0
    for name, tensor in mixed.state_dict().items():
        if "added_norms" in name and "running" in name:
            assert (tensor - state[name]).abs().max() < 1e-12
            moved += 1
    assert moved == 2 * len([m for m in trained().modules() if isinstance(m, nn.BatchNorm3d)])


def test_only_the_last_added_task_learns():
    before = trained(collapse="mean", **RANDOM)
    assert all(parameter.requires_grad for parameter in before.parameters())
    network = extend(before, "letters")
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert learning == {n for n, _ in network.named_parameters()} - {
        n for n, _ in before.named_parameters()
    }
    learn(network, [2, 2])
    again = extend(network, "lines")
    learning = {name for name, p in again.named_parameters() if p.requires_grad}
    assert learning == {n for n, _ in again.named_parameters()} - {
        n for n, _ in network.named_parameters()
    }
    learn(again, [3, 2, 0, 3])
    assert_old_tasks_are_as_they_were(again, network)
    assert_old_tasks_are_as_they_were(again, before)


@torch.no_grad()
def test_starting_from_an_added_task_takes_over_what_it_learned():
    network = extend(trained(collapse="mean"), "letters")
    learn(network, [2, 2])
    again, volume = extend(network, "lines", start="letters"), volumes(2)
    new, letters = (again(volume, torch.full((2,), task)) for task in (3, 2))
    assert torch.equal(new, letters)


def test_what_an_added_task_brings_is_a_kernel_six_gates_and_a_norm():
    before, network = trained(), extend(trained(), "letters")
    expected = 0
    for module in before.modules():
        if isinstance(module, MoDEConv3d):
            expected += module.out_channels * (125 * module.in_channels + 6)
        elif isinstance(module, nn.BatchNorm3d):
            expected += 2 * module.num_features
    grown, had = (sum(p.numel() for p in net.parameters()) for net in (network, before))
    assert (
        grown - had == expected == sum(p.numel() for p in network.parameters() if p.requires_grad)
    )


def test_the_network_that_is_extended_stays_as_it_was():
    before, twin = trained(**RANDOM).train(), trained(**RANDOM)
    network = extend(before, "letters")
    assert network.training
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.zero_()
    assert before.tasks == OLD_TASKS
    assert "added_tasks" not in before.arguments
    for name, tensor in twin.state_dict().items():
        assert torch.equal(before.state_dict()[name], tensor)


def test_an_extended_network_is_built_again_from_its_arguments():
    network = extend(extend(trained(**RANDOM), "letters"), "lines")
    again = build(network.architecture, network.arguments)
    assert again.tasks == network.tasks == (*OLD_TASKS, "letters", "lines")
    assert again.arguments == network.arguments
    again.load_state_dict(network.state_dict())
    for (name, ours), (other, theirs) in zip(
        network.named_parameters(), again.named_parameters(), strict=True
    ):
        assert name == other
        assert ours.requires_grad == theirs.requires_grad
    assert (again.halo, again.multiple_of) == (trained().halo, trained().multiple_of)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "old.safetensors"
    network = trained(collapse="mean")
    recipe = {"kind": "percentile", "low": 1.0, "high": 99.0}
    info = CheckpointInfo.of(network, recipe=recipe, halo=4, thresholds={"fibre": 0.3})
    save_checkpoint(path, network, info)
    return path


@torch.no_grad()
def test_an_extended_checkpoint_is_saved_loaded_and_goes_on_learning(saved, tmp_path):
    before = load_checkpoint(saved)
    network = extend(before, "letters", start="fibre")
    assert network.halo == before.halo == 4
    assert network.info.threshold("letters") == network.info.threshold("fibre") == 0.3
    assert network.info.fingerprint is None
    path = tmp_path / "new.safetensors"
    save_checkpoint(path, network, network.info)
    loaded = load_checkpoint(path)
    volume, tasks = volumes(3), torch.tensor([2, 0, 1])
    assert torch.equal(loaded(volume, tasks), network(volume, tasks))
    assert_old_tasks_are_as_they_were(loaded, before)
    learn(loaded, [2, 1, 2])
    assert_old_tasks_are_as_they_were(loaded, before)
    assert not torch.equal(loaded(volume, tasks)[0], network(volume, tasks)[0])


def test_a_file_that_lacks_an_added_tasks_weights_is_refused(saved, tmp_path):
    raw = saved.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    content = json.loads(header["__metadata__"]["napari_ink"])
    content["arguments"]["added_tasks"] = ["letters"]
    content["tasks"].append("letters")
    header["__metadata__"]["napari_ink"] = json.dumps(content)
    text = json.dumps(header).encode()
    lying = tmp_path / "lying.safetensors"
    lying.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    with pytest.raises(CheckpointError, match=r"lacks tensor .*added"):
        load_checkpoint(lying)


@torch.no_grad()
def test_gates_of_an_added_task_have_a_sixth_row_that_can_be_replaced():
    network, volume = extend(trained(collapse="mean"), "letters"), volumes(1)
    learn(network, [2, 2])
    name, conv = "encoder.0.1", network.mode_layers()["encoder.0.1"]
    own = conv.gates(2)
    assert own.shape == (6, 3)
    assert conv.gates(0).shape == (5, 3)
    plain = network.fold("letters")(volume)
    assert torch.equal(network.fold("letters", {name: own})(volume), plain)
    off = own.clone()
    off[5] = 0  # without the task's own expert
    by_gates = network.fold("letters", {name: off})(volume)
    assert (by_gates - plain).abs().max() > 1e-4
    conv.added[0].kernel.zero_()  # the same by taking the expert itself away
    assert (network.fold("letters")(volume) - by_gates).abs().max() < 1e-5
    for task, wrong in (("letters", own[:5]), ("ink", own)):
        with pytest.raises(SettingsError, match="must be"):
            network.fold(task, {name: wrong})


@torch.no_grad()
def test_volumes_that_fitted_fit_and_others_are_refused_still():
    network = extend(trained(), "letters")
    for depth, side in ((5, 8), (4, 7)):
        with pytest.raises(SettingsError):
            network(torch.zeros(1, 1, depth, side, side), torch.tensor([2]))
    with pytest.raises(SettingsError, match="choose one of ink, fibre, letters"):
        network(volumes(1), torch.tensor([3]))


@pytest.mark.parametrize("name", ["", " ", "ink", "fibre", "letters"])
def test_a_task_without_a_name_of_its_own_is_refused(name):
    network = extend(trained(), "letters")
    with pytest.raises(SettingsError, match="name"):
        extend(network, name)


def test_a_task_to_start_from_that_does_not_exist_is_refused():
    with pytest.raises(SettingsError, match="choose one of ink, fibre"):
        extend(trained(), "letters", start="lines")


@pytest.mark.parametrize(
    "added", [["ink"], ["a", "a"], [""], "ab", [1], [f"t{i}" for i in range(65)]]
)
def test_added_tasks_that_make_no_network_are_refused(added):
    with pytest.raises(SettingsError, match="added_tasks"):
        build(
            "repmode", {"width": 1, "levels": 1, "depth": 2, "tasks": ["ink"], "added_tasks": added}
        )
