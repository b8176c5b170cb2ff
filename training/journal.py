"""The logs of a run: ``metrics.csv``, TensorBoard and, if asked for, Weights & Biases.

A row belongs to the step after which it was written. A run that goes on from a step has its logs
cut back to it, so that each step stands there once.
"""

from __future__ import annotations

import csv
import math
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from training.config import RunConfig, to_tree
from training.whole_files import written_whole


class Table(Logger):
    """``metrics.csv``: one row a call, on the disk at once.

    Lightning's own begins with deleting what it finds.

    Parameters
    ----------
    path : Path
    step : int
        Rows of later steps are taken out.
    """

    def __init__(self, path: Path, step: int) -> None:
        super().__init__()
        self.path, self._step = path, step
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        """Lightning asks for it."""
        return ""

    @property
    def version(self) -> str:
        """Lightning asks for it."""
        return ""

    def log_hyperparams(
        self, params: Namespace | dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        """Nothing: they stand in ``config.yaml``."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write one row."""
        row = {"step": step} | {name: _plain(value) for name, value in metrics.items()}
        if self._columns is None:
            self._columns = self._cut()
        missing = [name for name in row if name not in self._columns]
        if missing:
            self._columns += missing
            self._rewrite(self._rows())
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    @rank_zero_only
    def cut(self) -> None:
        """Take later rows out now."""
        self._columns = self._cut()

    def _cut(self) -> list[str]:
        if not self.path.exists():
            return ["step"]
        rows = self._rows()
        columns = list(rows[0]) if rows else ["step"]
        self._columns = columns
        self._rewrite([row for row in rows if int(row["step"]) <= self._step])
        return columns

    def _rows(self) -> list[dict[str, str]]:
        """Whole rows of the file: a kill may have left half of the last one."""
        if not self.path.exists():
            return []
        text = self.path.read_text()
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [row for row in csv.DictReader(whole) if row["step"] and None not in row.values()]

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with written_whole(self.path) as beside, beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, Tensor) else value
    return "" if isinstance(value, float) and math.isnan(value) else value


def open_logs(config: RunConfig, folder: Path, step: int) -> list[Logger]:
    """The logs of a run that begins after ``step``."""
    table = Table(folder / "metrics.csv", step)
    table.cut()
    logs: list[Logger] = [
        table,
        TensorBoardLogger(folder, name="", version="tensorboard", purge_step=step + 1),
    ]
    if config.trainer.wandb:
        from lightning.pytorch.loggers import WandbLogger

        logs.append(
            WandbLogger(
                project="napari-ink",
                name=folder.name,
                id=folder.name,
                save_dir=folder,
                resume="allow",
                config=to_tree(config),
            )
        )
    return logs


class Journal(Callback):
    """Writes the rows: while learning every few steps, at each look its scores.

    Parameters
    ----------
    every : int
        Steps from row to row.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._since: tuple[float, int] | None = None
        self._step = 0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Begin to measure the speed."""
        self._step = trainer.global_step
        self._since = (time.perf_counter(), self._step)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *args: Any
    ) -> None:
        """Write a row, if it is its turn."""
        step = trainer.global_step
        if step == self._step:
            return  # a pass of several that make a step
        self._step = step
        if step % self.every and step != 1 and step != trainer.max_steps:
            return
        row = dict(module.measured)
        if self._since is not None and step > self._since[1]:
            seconds, steps = time.perf_counter() - self._since[0], step - self._since[1]
            row["samples_per_second"] = round(steps * module.samples_a_step / seconds, 3)
        self._since = (time.perf_counter(), step)
        write(trainer, row)

    def on_validation_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Write the scores. Looking does not count as time to learn in."""
        write(trainer, module.scores)
        self._since = (time.perf_counter(), trainer.global_step)


def write(trainer: lightning.Trainer, row: Mapping[str, float]) -> None:
    """One row into all logs, for the step that was taken last."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(row), step=trainer.global_step)
