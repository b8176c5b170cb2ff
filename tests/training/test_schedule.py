"""Every schedule against its closed form, at every step, and through a checkpoint."""

import math
import warnings

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from napari_ink.errors import SettingsError
from training.learning.optimiser import OptimiserConfig, build_optimiser
from training.learning.schedule import SCHEDULES, ScheduleConfig, build_schedule

STEPS, PEAK, SLOWER = 40, 3e-3, 0.2


def make(config, steps=STEPS):
    """Optimiser with two rates, and its schedule."""
    network = nn.ModuleDict({"body": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    optimiser = build_optimiser(
        network, OptimiserConfig(learning_rate=PEAK, rates={"body": SLOWER})
    )
    return network, optimiser, build_schedule(optimiser, config, steps)


def rates(optimiser):
    """Rate of the slower part and of the other, each without and with decay."""
    found = [group["lr"] for group in optimiser.param_groups]
    assert len(found) == 4
    assert found[0] == found[1]
    assert found[2] == found[3]
    return found[0], found[2]


def step(optimiser, scheduler, score=0.0):
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    scheduler.step(*([score] if plateau else []))


def cosine(high, low, share):
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


def warm_up_cosine(s, rising, start):
    if s < rising:
        return start + (1 - start) * s / rising
    return cosine(1, 0, (s - rising) / (STEPS - rising))


def one_cycle(s, rising, start):
    if s <= rising:
        return cosine(1, start, 1 - s / rising)
    return cosine(1, start * 1e-4, (s - rising) / (STEPS - 1 - rising))


def triangular2(s, length, start):
    up = length // 2
    cycle, place = divmod(s, length)
    height = place / up if place <= up else (length - place) / (length - up)
    return start + (1 - start) * height / 2**cycle


CASES = [
    (ScheduleConfig("constant"), lambda s: 1),
    (ScheduleConfig("warm_up_cosine", warm_up=0.25, start=1e-4),
     lambda s: warm_up_cosine(s, 10, 1e-4)),
    (ScheduleConfig("warm_up_cosine", warm_up=7, start=0.5), lambda s: warm_up_cosine(s, 7, 0.5)),
    (ScheduleConfig("warm_up_cosine", warm_up=0), lambda s: warm_up_cosine(s, 0, 1)),
    (ScheduleConfig("warm_up_cosine", warm_up=1), lambda s: warm_up_cosine(s, 1, 0.04)),
    (ScheduleConfig("one_cycle"), lambda s: one_cycle(s, 8, 0.04)),
    (ScheduleConfig("one_cycle", warm_up=13, start=0.1), lambda s: one_cycle(s, 13, 0.1)),
    (ScheduleConfig("one_cycle", warm_up=1), lambda s: one_cycle(s, 1, 0.04)),
    (ScheduleConfig("triangular2", start=0.01), lambda s: triangular2(s, 10, 0.01)),
    (ScheduleConfig("triangular2", cycle=16, start=0.5), lambda s: triangular2(s, 16, 0.5)),
    (ScheduleConfig("triangular2", cycle=2), lambda s: triangular2(s, 2, 0.04)),
]  # fmt: skip


@pytest.mark.parametrize(("config", "closed_form"), CASES)
def test_the_rate_is_its_closed_form_at_every_step(config, closed_form):
    _, optimiser, scheduler = make(config)
    for s in range(STEPS):
        body, head = rates(optimiser)
        assert head == pytest.approx(PEAK * closed_form(s), rel=1e-9, abs=1e-15)
        assert body == pytest.approx(SLOWER * head, rel=1e-9, abs=1e-15)
        step(optimiser, scheduler)


def test_triangular2_of_an_odd_length_keeps_its_length():
    _, optimiser, scheduler = make(ScheduleConfig("triangular2", cycle=5, start=0.1))
    found = []
    for _ in range(10):
        found.append(rates(optimiser)[1] / PEAK)
        step(optimiser, scheduler)
    assert found == pytest.approx([triangular2(s, 5, 0.1) for s in range(10)])


def test_one_cycle_moves_the_momentum_against_the_rate_around_its_own():
    _, optimiser, scheduler = make(ScheduleConfig("one_cycle"))
    found = []
    for _ in range(STEPS):
        found.append(optimiser.param_groups[0]["betas"][0])
        step(optimiser, scheduler)
    assert (found[0], found[8], found[-1]) == pytest.approx((0.95, 0.85, 0.95))


def test_plateau_lowers_the_rate_after_its_patience_and_not_while_the_score_rises():
    _, optimiser, scheduler = make(ScheduleConfig("plateau", factor=0.5, patience=2))
    found = []
    for score in (0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.4, 0.1, 0.1, 0.1, 0.1):
        step(optimiser, scheduler, score)
        found.append(rates(optimiser)[1] / PEAK)
    assert found == pytest.approx([1] * 5 + [0.5] * 4 + [0.25] * 2)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_from_what_was_saved(name, tmp_path):
    config = ScheduleConfig(name, patience=1)
    scores = [0.0] * 20 + [0.5] * 20
    undisturbed = []
    _, optimiser, scheduler = make(config)
    for s in range(STEPS):
        if s == 17:
            states = {"optimiser": optimiser.state_dict(), "schedule": scheduler.state_dict()}
            torch.save(states, tmp_path / "state.pt")
        step(optimiser, scheduler, scores[s])
        undisturbed.append((rates(optimiser), optimiser.param_groups[0]["betas"]))
    _, optimiser, scheduler = make(config)
    states = torch.load(tmp_path / "state.pt", weights_only=True)
    optimiser.load_state_dict(states["optimiser"])
    scheduler.load_state_dict(states["schedule"])
    for s in range(17, STEPS):
        step(optimiser, scheduler, scores[s])
        assert (rates(optimiser), optimiser.param_groups[0]["betas"]) == undisturbed[s]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_length_of_run_has_a_schedule_or_a_refusal(name):
    for steps in range(1, 30):
        try:
            _, optimiser, scheduler = make(ScheduleConfig(name), steps)
        except SettingsError:
            assert name == "triangular2"
            assert round(steps / 4) < 2
            continue
        found = []
        for _ in range(steps):
            found.append(rates(optimiser)[1])
            step(optimiser, scheduler)
        assert min(found) > 0
        assert max(found) <= PEAK * (1 + 1e-9)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ScheduleConfig("cosine"), "schedule.name is 'cosine': choose among constant"),
        (ScheduleConfig("one_cycle", warm_up=39), "schedule.warm_up is 39: in a run of 40 steps"),
        (ScheduleConfig("warm_up_cosine", warm_up=40), "give 0 to 39 of them"),
        (ScheduleConfig("triangular2", cycle=1), "schedule.cycle is 1: .* give 2 to 40"),
        (ScheduleConfig(warm_up=1.5), "share of the steps below 1, or a whole number"),
        (ScheduleConfig(warm_up=float("nan")), "schedule.warm_up is nan"),
        (ScheduleConfig(start=0), "schedule.start is 0"),
        (ScheduleConfig("plateau", factor=1), "schedule.factor is 1"),
        (ScheduleConfig("plateau", patience=-1), "schedule.patience is -1"),
    ],
)
def test_a_schedule_that_cannot_be_followed_is_refused(config, message):
    with pytest.raises(SettingsError, match=message):
        make(config)


class Module(lightning.LightningModule):
    """Keeps the rate of every step."""

    def __init__(self, config):
        super().__init__()
        self.network, self.config = nn.Linear(1, 1), config
        self.found = []

    def training_step(self, batch, index):
        self.found.append(self.optimizers().param_groups[0]["lr"])
        return self.network(batch).sum()

    def configure_optimizers(self):
        optimiser = build_optimiser(self.network, OptimiserConfig(learning_rate=PEAK))
        schedule = build_schedule(optimiser, self.config, 8)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def test_lightning_follows_a_schedule_of_two_parts(tmp_path):
    module = Module(ScheduleConfig("warm_up_cosine", warm_up=4, start=0.5))
    trainer = lightning.Trainer(
        max_steps=8, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, DataLoader(torch.ones(8, 1)))
    expected = [0.5, 0.625, 0.75, 0.875, 1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4]
    assert [rate / PEAK for rate in module.found] == pytest.approx(expected)
