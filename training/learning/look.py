"""A look at the validation sources: predicted as a reader would, and the loss on their windows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_ink.analysis import metrics
from napari_ink.analysis.metrics import Histogram
from napari_ink.inference.predict import predict
from napari_ink.inference.settings import Box, PredictionSettings
from napari_ink.models.contract import InkNetwork
from training.dataset.batch import Batch
from training.dataset.sources import Source
from training.dataset.table import WindowTable
from training.dataset.windows import WindowBatches
from training.whole_files import written_whole


@dataclass(frozen=True, eq=False)
class Look:
    """What a run validates on.

    Attributes
    ----------
    sources : list of Source
        Those for validation.
    windows : WindowBatches or None
        Batches of their windows, for the loss; ``None``: the table has none.
    folder : Path or None
        Of the run, where maps are kept; ``None``: nowhere.
    rank, world : int
        Which of how many processes that share the work.
    """

    sources: list[Source]
    windows: WindowBatches | None
    folder: Path | None = None
    rank: int = 0
    world: int = 1

    def __deepcopy__(self, memo: dict) -> Look:
        return self  # Lightning copies modules, to average their weights; nobody writes here

    def part(self, source: Source) -> Box:
        """The rows of a source that fall to this process: a band of equal height."""
        y0, y1, x0, x1 = source.box
        first, end = (y0 + (y1 - y0) * (self.rank + i) // self.world for i in (0, 1))
        return Box(first, end, x0, x1)


def validation_batches(
    sources: list[Source],
    table: WindowTable,
    *,
    side: int,
    batch: int,
    tasks: Sequence[str],
    rank: int = 0,
    world: int = 1,
) -> WindowBatches | None:
    """All validation windows of the table, once; those beyond the last one weigh nothing."""
    rows = np.asarray(table.split) == "validation"
    if not rows.any():
        return None
    only = {name: getattr(table, name)[rows] for name in ("source", "fragment", "y", "x", "ink")}
    turned = replace(table, **only, kind=table.kind[rows], split=np.full(int(rows.sum()), "train"))
    looked_at = [replace(source, validation=False) for source in sources if source.validation]
    steps = -(-int(rows.sum()) // (batch * world))
    return WindowBatches(
        looked_at, turned, side, batch, steps, seed=0, rank=rank, world=world, tasks=tasks
    )


def weigh_once(batch: Batch, windows: int) -> Batch:
    """The batch without the windows that fill up the last one."""
    once = (batch.sample < windows).to(batch.weight).view(-1, 1, 1, 1)
    return batch._replace(weight=batch.weight * once)


def predict_part(
    network: InkNetwork,
    source: Source,
    part: Box,
    device: str = "cpu",
    between: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Probability of a part of a source, float16, NaN where nothing was predicted.

    What is normalised, tiled and blended is what :func:`napari_ink.predict` does with the
    checkpoint, so that a threshold chosen from it holds there. ``between`` is called after each
    block; it may raise.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` of the part, or ``(z, y, x)`` of a labelled volume.
    """
    layers = (network.depth,) if network.output == "volume" else ()
    probability = np.full((*layers, *part.shape), np.nan, np.float16)
    settings = PredictionSettings(
        layers=source.stored_layers,
        reverse_depth=source.reverse != network.info.reverse_depth,
        task=source.task,
        region=part,
        device=device,
    )
    if not source.counts[part.slices].any():
        return probability
    for done in predict(source.fragment, network, settings, notice=lambda line: None):
        y0, y1 = max(done.box.y0, part.y0), min(done.box.y1, part.y1)
        x0, x1 = max(done.box.x0, part.x0), min(done.box.x1, part.x1)
        found = done.probability[
            ..., y0 - done.box.y0 : y1 - done.box.y0, x0 - done.box.x0 : x1 - done.box.x0
        ]
        probability[..., y0 - part.y0 : y1 - part.y0, x0 - part.x0 : x1 - part.x0] = found
        between()
    return probability


def count(source: Source, part: Box, probability: np.ndarray) -> Histogram:
    """Probability by label, of the pixels of a part that count for the source."""
    label = source.label[part.slices].astype(np.float32) / 255
    counts = counted(source, part)
    shape = probability.shape
    return Histogram.of(probability, np.broadcast_to(label, shape), np.broadcast_to(counts, shape))


def counted(source: Source, part: Box) -> np.ndarray:
    """Where the label counts for a source, in a part of its box."""
    return source.counts[part.slices] & source.allowed_in(part)


def scores_of(histogram: Histogram) -> dict[str, float]:
    """Pooled scores at the best threshold."""
    values = metrics.summary(histogram, metrics.best_threshold(histogram))
    return {name: float(values[name]) for name in ("auc", "f05", "iou", "ap", "ece", "threshold")}


def keep_map(folder: Path, source: Source, probability: np.ndarray) -> None:
    """``validation/NAME.npz``: map, label and where it counts, of a source's box.

    Of a labelled volume, the mean over its layers.
    """
    if probability.ndim == 3:
        probability = probability.astype(np.float32).mean(axis=0).astype(np.float16)
    target = folder / "validation" / f"{file_name(source.name)}.npz"
    target.parent.mkdir(exist_ok=True)
    with written_whole(target) as beside, beside.open("wb") as file:
        np.savez(
            file,
            probability=probability,
            label=source.label[source.box.slices],
            counts=counted(source, source.box),
            box=np.array(source.box),
        )


def file_name(name: str) -> str:
    """The name of a source as that of a file."""
    return re.sub(r"[^\w.+ -]", "_", name).strip(" .") or "_"


def whole_map(
    own: np.ndarray,
    height: int,
    look: Look,
    gather: Callable[[Tensor], Tensor],
    device: torch.device,
) -> np.ndarray:
    """The bands of all processes, one below the other."""
    if look.world == 1:
        return own
    tallest = -(-height // look.world)
    padded = np.full((*own.shape[:-2], tallest, own.shape[-1]), np.nan, np.float16)
    padded[..., : own.shape[-2], :] = own
    bands = gather(torch.from_numpy(padded).to(device)).cpu().numpy()
    edges = [height * i // look.world for i in range(look.world + 1)]
    whole = [bands[i][..., : edges[i + 1] - edges[i], :] for i in range(look.world)]
    return np.concatenate(whole, axis=-2)
