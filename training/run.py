"""A training run, from fragments to a checkpoint, readable from top to bottom.

usage: python -m training.run CONFIG.yaml [--key value …]
       torchrun --nproc-per-node 4 -m training.run CONFIG.yaml --trainer.devices 4
       python -m training.run CONFIG.yaml --extend CHECKPOINT.safetensors --new-task NAME

Writes runs/NAME/:

  config.yaml, versions.json       settings as run, the command line included; software
  windows.parquet, windows.png     the windows that are learned from, and where they lie
  metrics.csv, tensorboard/        loss and rates by step, scores of each look at the validation
  last.ckpt, previous.ckpt         what the run goes on from, and the one before
  best.ckpt                        that of the look with the best learning.score
  NAME.safetensors                 the best look's weights and all that is needed to use them
  validation/, intensity.npz       maps of the validation sources; grey levels by layer
  report.html                      all of it to look at

A run that was stopped, in whatever way, goes on when the same command is given again.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar, WeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from napari_ink.errors import SettingsError
from napari_ink.models.contract import InkNetwork
from napari_ink.volumes.intensity import Recipe
from training.command_line import ended, print_help
from training.dataset.loader import build_loader
from training.dataset.opening import open_sources
from training.dataset.picture import write_picture
from training.dataset.sources import Source
from training.dataset.synthetic import synthetic_sources
from training.dataset.table import WindowTable, select_windows
from training.dataset.windows import WindowBatches
from training.keeping.checkpoints import Keeper, WholeFiles
from training.keeping.folder import Place, settle
from training.keeping.intensities import keep_intensities
from training.keeping.journal import Journal, open_logs
from training.keeping.result import describe, finish, halo_window
from training.learning.averaging import moving_average
from training.learning.guard import NaNGuard
from training.learning.look import Look, counted, validation_batches
from training.learning.machine import PRECISIONS, agreed, check_machine, check_space, is_first, say
from training.learning.module import InkModule
from training.learning.start import build_network, choose_recipe, context_of, task_names
from training.settings.config import RunConfig
from training.settings.load import load_config


def run(config: RunConfig) -> Path:
    """Train one network and return the path of its checkpoint.

    Raises
    ------
    InkError
        Before any work, for settings, fragments or labels that do not do.
    """
    started = time.perf_counter()
    device, devices = check_machine(config.trainer)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    torch.manual_seed(config.seed)

    network = build_network(config)
    recipe = choose_recipe(config, network)
    sources = open_all(config, network, recipe)
    look = [source for source in sources if source.validation]
    side = halo_window(network, recipe, look)
    table = select_windows(sources, config.data.window, config.data.selection, config.seed)
    # Validation predicts as a reader would, which takes the metadata of a checkpoint.
    network.info = describe(config, network, recipe, sources)
    module = InkModule(network, config)
    module.augmentation.check(network, config.data.window)
    module.configure_optimizers()  # refuses names that fit no part of the network
    check_space(config, network, sum(s.box.shape[0] * s.box.shape[1] for s in look))
    trainer = build_trainer(config, device, devices, network)
    share = {"rank": trainer.global_rank, "world": trainer.world_size}
    learning = config.learning
    windows = WindowBatches(
        sources,
        table,
        config.data.window,
        learning.batch,
        learning.steps * learning.accumulate,
        config.seed,
        tasks=network.tasks,
        cache=config.data.cache or None,
        **share,
    )

    with ExitStack() as stack:
        locks: list[Any] = []  # on the folder, until the end
        stack.callback(lambda: [lock.release() for lock in locks])
        decided = agreed(trainer, lambda: settle(config, module.state_dict(), locks).to_json())
        place = Place.from_json(decided)
        if is_first():
            keep_windows(place.folder, sources, table, config.seed)
        say(f"{place.folder}: learning from {len(sources) - len(look)}, validating on {len(look)}")
        for shortfall in table.shortfalls:
            say(str(shortfall))
        windows.first_step = place.step * learning.accumulate
        batches = validation_batches(
            sources,
            table,
            side=config.data.window,
            batch=learning.batch,
            tasks=network.tasks,
            **share,
        )
        module.feed(windows, Look(look, batches, place.folder, **share))
        fit(config, place, trainer, module, device)
        if not is_first():
            return place.folder / f"{config.name}.safetensors"

        checkpoint, sentence = finish(config, place.folder, module.to(device), look, side)
        report(place.folder)
        say(f"{checkpoint}: {sentence}, {(time.perf_counter() - started) / 60:.1f} minutes")
    return checkpoint


def open_all(config: RunConfig, network: InkNetwork, recipe: Recipe) -> list[Source]:
    """All that is learned from and looked at, simulated fragments included."""
    data = config.data
    sources = open_sources(
        data.sources,
        recipe=recipe,
        depth=network.depth,
        context=context_of(network, recipe),
        tasks=task_names(config, network),
        fold=data.fold,
        folds=data.folds,
        layers=data.layers,
        simulated=synthetic_sources(data.synthetic),
    )
    for source in sources:
        if config.new_task and not source.validation and source.task != config.new_task:
            raise SettingsError(
                f"{source.name} has the old task {source.task!r}, which learns nothing any more",
                f"give it the task {config.new_task!r}, or leave it out",
            )
    for validation, purpose in ((False, "learn from"), (True, "validate on")):
        parts = [source for source in sources if source.validation is validation]
        for ink, what in ((True, "ink"), (False, "labelled papyrus without ink")):
            planes = ((counted(s, s.box), s.label[s.box.slices] > 127) for s in parts)
            if not any((counts & (label == ink)).any() for counts, label in planes):
                raise SettingsError(
                    f"there is no {what} to {purpose} in {', '.join(part.name for part in parts)}",
                    "add a fragment whose label has ink, but is not all ink",
                )
    return sources


def keep_windows(folder: Path, sources: Sequence[Source], table: WindowTable, seed: int) -> None:
    """The windows as a table and as a picture, and their grey levels."""
    table.write(folder / "windows.parquet")
    write_picture(folder / "windows.png", sources, table)
    keep_intensities(folder, sources, table, seed)


def build_trainer(
    config: RunConfig, device: str, devices: int, network: InkNetwork
) -> lightning.Trainer:
    """Lightning's trainer, without logs and checkpoints, which need a folder."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # it recommends products
    settings, learning = config.trainer, config.learning
    strategy: Any = "auto"
    if devices * settings.nodes > 1:
        # Which experts and layers a process uses may differ from batch to batch.
        some = len(network.tasks) > 1 or bool(network.arguments.get("stochastic_depth"))
        strategy = DDPStrategy(find_unused_parameters=some)
    callbacks: list[Callback] = [LastLook()]
    if is_first() and sys.stderr.isatty():
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    if learning.averaging:
        average = moving_average(learning.averaging)
        callbacks.append(WeightAveraging(multi_avg_fn=average))
    return lightning.Trainer(
        max_steps=learning.steps,
        accelerator=device,
        devices=devices,
        num_nodes=settings.nodes,
        strategy=strategy,
        precision=PRECISIONS[settings.precision],
        accumulate_grad_batches=learning.accumulate,
        gradient_clip_val=learning.clip,
        val_check_interval=min(learning.validate_every, learning.steps) * learning.accumulate,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # batches are shared out by seed and step
        callbacks=callbacks,
        plugins=[WholeFiles()],
        logger=False,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=is_first() and sys.stderr.isatty(),
    )


class LastLook(Callback):
    """There is a look at the end, also where the steps are no multiple of the interval."""

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: InkModule, batch: Any, number: int
    ) -> None:
        """Make the last pass one that is followed by a look."""
        if number + 1 == trainer.max_steps * module.config.learning.accumulate:
            trainer.val_check_batch = 1


def fit(
    config: RunConfig, place: Place, trainer: lightning.Trainer, module: InkModule, device: str
) -> None:
    """Take all steps that are left; the module keeps the averaged weights.

    Raises
    ------
    InkError
        When it cannot go on: no number any more, no room on the disk.
    """
    settings = config.trainer
    trainer.loggers = open_logs(config, place.folder, place.step) if is_first() else []
    trainer.callbacks += [
        Journal(settings.log_every),
        NaNGuard(place.folder, scaled=settings.precision == "fp16"),
        Keeper(place.folder, settings.keep_every, config.learning.score, place.checkpoint),
    ]
    loader = build_loader(module.data.windows, workers=settings.workers, device=device, notice=say)
    interrupt = signal.getsignal(signal.SIGINT)
    with warnings.catch_warnings():
        # Batches are cut in this process: a window in memory costs less than its way to another.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        warnings.filterwarnings("ignore", message=".*all_gather is deprecated")
        # Scores are the same in all processes.
        warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
        try:
            trainer.fit(
                module,
                loader,
                DataLoader(range(len(module.data.look.sources) + 1), batch_size=None),
                ckpt_path=place.checkpoint,
                weights_only=True,
            )
        except SystemExit as stopped:  # Lightning's answer to Ctrl-C
            signal.signal(signal.SIGINT, interrupt)
            raise KeyboardInterrupt from stopped
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def report(folder: Path) -> None:
    """Write the report. The run is safe by now, whatever happens here."""
    from training.report.write import write_report

    try:
        write_report(folder)
    except Exception as error:
        say(f"no report ({type(error).__name__}: {error}): python -m training.report {folder}")


def main(arguments: Sequence[str] = ()) -> int:
    """The command line; 2 and one line on an error the user can mend."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print_help(__doc__, settings=bool(arguments))
        return 0 if arguments else 2

    def learned() -> None:
        run(load_config(arguments[0], arguments[1:]))

    stopped = "stopped; the same command goes on from here"
    return ended("training", learned, stopped=stopped, speaks=is_first)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
