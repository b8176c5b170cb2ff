"""A batch in parts, over processes or accumulated passes: the gradient of the whole batch."""

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from training.losses import LOSSES, WeightedLoss

#: Pixels that count in each half: unequally many, none in one, none at all.
COUNTED = [(1.0, 1.0), (0.9, 0.1), (0.5, 0.0), (0.0, 0.0)]
MIXED = {"bce": {"weight": 0.5, "smoothing": 0.1}, "fbeta": 0.5, "focal": 0.2}


def network():
    """Convolutions and a frozen batch norm, so that no sample depends on another."""
    torch.manual_seed(3)
    norm = nn.BatchNorm2d(4).eval()
    norm.running_mean.normal_()
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), norm, nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1)
    )


def batch(shares):
    """Eight windows, of whose halves the given shares of pixels count."""
    random = torch.Generator().manual_seed(8)
    image, label, drawn = torch.rand(3, 8, 1, 12, 12, generator=random)
    share = torch.tensor(shares).repeat_interleave(4)[:, None, None, None]
    return image, (label > 0.7).float(), (drawn < share).float()


def whole_gradient(loss, parts):
    """Of one process that holds the whole batch."""
    model = network()
    image, label, weight = parts
    found = loss(model(image), label, weight)
    found.backward()
    return found.detach(), flat(model)


def flat(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def one_rank(rank, port, folder):
    """Half of the batch, in a process of its own."""
    torch.set_num_threads(1)
    store = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    found = {}
    for name in [*LOSSES, "mixed"]:
        loss = WeightedLoss(MIXED if name == "mixed" else {name: 1})
        for shares in COUNTED:
            model = DistributedDataParallel(network())
            mine = [part[4 * rank : 4 * rank + 4] for part in batch(shares)]
            value = loss(model(mine[0]), *mine[1:])
            value.backward()
            found[name, shares] = value.detach(), flat(model)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """What either of two processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    port = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False).port
    multiprocessing.spawn(one_rank, (port, folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("shares", COUNTED)
@pytest.mark.parametrize("name", [*LOSSES, "mixed"])
def test_two_processes_learn_what_one_learns_from_the_whole_batch(name, shares, halves):
    loss = WeightedLoss(MIXED if name == "mixed" else {name: 1})
    value, gradient = whole_gradient(loss, batch(shares))
    for half in halves:
        own_value, own_gradient = half[name, shares]
        assert own_value.item() == pytest.approx(value.item(), rel=1e-6, abs=1e-7)
        assert (own_gradient - gradient).norm() <= 1e-6 * gradient.norm()
    assert (gradient.norm() > 0) == (sum(shares) > 0)


@pytest.mark.parametrize("shares", COUNTED)
@pytest.mark.parametrize("name", ["mse", "bce", "focal"])
def test_two_passes_of_four_equal_a_batch_of_eight(name, shares):
    loss = WeightedLoss({name: 1})
    models, optimisers = [network().double(), network().double()], []  # Adam magnifies rounding
    for model in models:
        optimisers.append(torch.optim.AdamW(model.parameters(), lr=1e-2))
    for _ in range(3):
        image, label, weight = (part.double() for part in batch(shares))
        loss(models[0](image), label, weight).backward()
        counted_weight = weight.sum() / 2
        for rows in (slice(4), slice(4, 8)):
            each = loss(
                models[1](image[rows]), label[rows], weight[rows], counted_weight=counted_weight
            )
            (each / 2).backward()  # what Lightning does with accumulate_grad_batches=2
        # the gradient, and not only the weights: Adam forgets a factor
        difference = (flat(models[0]) - flat(models[1])).norm()
        assert difference <= 1e-6 * flat(models[0]).norm()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_mean_of_means_would_not():
    loss, model = WeightedLoss({"bce": 1}), network()
    image, label, weight = batch((0.9, 0.1))
    _, whole = whole_gradient(loss, (image, label, weight))
    for rows in (slice(4), slice(4, 8)):
        (loss(model(image[rows]), label[rows], weight[rows]) / 2).backward()
    assert (flat(model) - whole).norm() > 1e-2 * whole.norm()
