"""The logs of a run: ``metrics.csv``, TensorBoard and, if asked for, Weights & Biases.

A row belongs to the step after which it was written. A run that goes on from a step has its logs
cut back to it, so that each step stands there once. ``seconds`` is the time at work up to a row,
looks included, over all starts of a run: neither the pause between two starts is in it nor work
that was lost with a stop.
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

from training.settings.config import RunConfig, to_tree
from training.whole_files import written_whole

LOG = "metrics.csv"


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

    @property
    def seconds(self) -> float | None:
        """Time at work up to the last row; None where it was not written."""
        return seconds_in(self._rows())

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
        return whole_rows(self.path)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with written_whole(self.path) as beside, beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)


def whole_rows(path: Path) -> list[dict[str, str]]:
    """Rows of ``metrics.csv``, without half a last one: a kill may have left it."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [row for row in csv.DictReader(whole) if row["step"] and None not in row.values()]


def seconds_in(rows: list[dict[str, str]]) -> float | None:
    """Time at work up to the last row; None where it was not written."""
    last = rows[-1].get("seconds") if rows else None
    return float(last) if last else None


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, Tensor) else value
    return "" if isinstance(value, float) and math.isnan(value) else value


def open_logs(config: RunConfig, folder: Path, step: int) -> list[Logger]:
    """The logs of a run that begins after ``step``."""
    table = Table(folder / LOG, step)
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
        self._begun: float | None = None  # as if all work so far had been done at once
        self._step = 0

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Begin to measure speed and time."""
        tables = [logger for logger in trainer.loggers if isinstance(logger, Table)]
        before = 0.0 if trainer.global_step == 0 else tables[0].seconds if tables else None
        self._begun = None if before is None else time.perf_counter() - before
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
        self._write(trainer, row)

    def on_validation_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Write the scores. Looking does not count as time to learn in."""
        self._write(trainer, module.scores)
        self._since = (time.perf_counter(), trainer.global_step)

    def _write(self, trainer: lightning.Trainer, row: Mapping[str, float]) -> None:
        """One row into all logs, for the step that was taken last."""
        row = dict(row)
        if self._begun is not None:
            row["seconds"] = round(time.perf_counter() - self._begun, 2)
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)
