"""What a run ends in: the kept weights, their halo, threshold and scores, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import lightning
import numpy as np
import torch

from napari_ink.analysis import metrics
from napari_ink.analysis.metrics import Histogram
from napari_ink.errors import CheckpointError, SettingsError
from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
from napari_ink.models.contract import InkNetwork
from napari_ink.models.halo import HaloMeasurement, measure_halo
from napari_ink.volumes.intensity import Recipe
from training.dataset.edges import border_points
from training.dataset.sources import Source
from training.keeping.checkpoints import BEST, read_checkpoint
from training.keeping.journal import LOG, seconds_in, whole_rows
from training.learning.look import count, counted, keep_map, predict_part
from training.learning.machine import say
from training.learning.module import InkModule
from training.settings.config import RunConfig, to_tree

HALO_WINDOWS = 16  # a validation source


def describe(
    config: RunConfig, network: InkNetwork, recipe: Recipe, sources: Sequence[Source]
) -> CheckpointInfo:
    """What is known of the checkpoint before anything is learned."""
    learn = [source for source in sources if not source.validation]
    fragments = list({id(source.fragment): source.fragment for source in learn}.values())
    sizes = {fragment.voxel_size for fragment in fragments}
    windows = {source.stored_layers for source in learn}
    size = sizes.pop() if len(sizes) == 1 else None
    dataset = tuple({"name": f.name, "fingerprint": f.fingerprint()} for f in fragments)
    simulated = all(fragment.simulated for fragment in fragments)
    if network.info is not None:  # extended: what its old tasks are predicted with stays
        old = network.info
        dataset = (*old.dataset, *(entry for entry in dataset if entry not in old.dataset))
        return replace(old, dataset=dataset, simulated=old.simulated and simulated)
    return CheckpointInfo.of(
        network,
        recipe=recipe.to_dict(),
        layers=windows.pop() if len(windows) == 1 else None,
        reverse_depth=all(source.reverse for source in learn),
        voxel_size=None if size is None else size[1],
        window=config.data.window,
        dataset=dataset,
        simulated=simulated,
        versions={"lightning": lightning.__version__},
    )


def settings_of(config: RunConfig) -> dict:
    """What made the network, for its metadata: not where this machine kept its files."""
    tree = to_tree(config)
    del tree["runs"], tree["data"]["synthetic"]["cache"], tree["data"]["cache"]
    for source in tree["data"]["sources"]:
        source["path"] = Path(source["path"]).name
    if tree["extend"]:
        tree["extend"] = Path(tree["extend"]).name
    return tree


def halo_window(network: InkNetwork, recipe: Recipe, look: Sequence[Source]) -> int:
    """Side of the windows that the halo will be measured on, known before anything is learned.

    Raises
    ------
    SettingsError
        If a validation fragment, or the recipe's window, is too small to measure a halo on.
    """
    step = network.multiple_of
    smallest = min(side for source in look for side in source.label.shape)
    side = recipe.window or min(2 * (2 * network.halo + step), smallest) // step * step
    if side > smallest or side < 3 * step:
        raise SettingsError(
            f"the halo cannot be measured on windows of {side} px in a validation fragment of "
            f"{smallest} px",
            f"validate on a larger fragment, with windows of {3 * step} px or more",
        )
    return side


def choose_halo(network: InkNetwork, look: Sequence[Source], side: int) -> HaloMeasurement:
    """How much context a block needs, measured where ink begins in the validation sources."""
    random = np.random.default_rng(0)
    windows = []
    for source in look:
        y, x = np.divmod(border_points(source.label), source.label.shape[1])
        y0, y1, x0, x1 = source.box
        inside = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        points = np.stack([y[inside], x[inside]], axis=1)
        if not len(points):
            points = np.argwhere(counted(source, source.box)) + np.array([y0, x0])
        for point in random.choice(points, HALO_WINDOWS):
            corner = np.clip(point - side // 2, 0, np.array(source.label.shape) - side)
            windows.append(source.cut(int(corner[0]), int(corner[1]), side)[0])
    device = next(network.parameters()).device
    task = look[0].task
    return measure_halo(network, task, torch.from_numpy(np.stack(windows)[:, None]).to(device))


def keep_best(folder: Path, module: InkModule) -> dict[str, int | str | float]:
    """Load the weights of the best look into the module, and say which they are.

    The last ones stay where the best ones cannot be read.
    """
    score = module.config.learning.score
    try:
        checkpoint = read_checkpoint(folder / BEST, module.state_dict())
    except CheckpointError as error:
        say(f"{error.problem}: keeping the last weights")
        return {"weights": "last", "step": module.config.learning.steps}
    module.load_state_dict(checkpoint["state_dict"])
    kept = {"weights": "best", "score": score, "step": int(checkpoint["global_step"])}
    return kept | {"averaged": bool(module.config.learning.averaging)}


def finish(
    config: RunConfig, folder: Path, module: InkModule, look: Sequence[Source], side: int
) -> tuple[Path, str]:
    """Write ``NAME.safetensors`` and the maps of the kept weights; return it and a sentence."""
    network = module.network
    kept = keep_best(folder, module)
    network.eval()
    halo = choose_halo(network, look, side)
    network.halo = halo.halo
    if config.extend and network.info.halo is not None:  # the old tasks' maps would change with it
        network.halo = network.info.halo
    device = next(network.parameters()).device.type
    by_task: dict[str, Histogram] = {}
    for source in look:
        probability = predict_part(network, source, source.box, device)
        by_task.setdefault(source.task, Histogram())
        by_task[source.task] += count(source, source.box, probability)
        keep_map(folder, source, probability)
    pooled = sum(by_task.values(), Histogram())
    thresholds = {t: metrics.best_threshold(h) for t, h in by_task.items() if h.ink_pixels}
    threshold = metrics.best_threshold(pooled)
    scores = metrics.json_ready(metrics.summary(pooled, threshold))
    names = [source.name for source in look]
    seconds = seconds_in(whole_rows(folder / LOG))
    info = replace(
        network.info,
        halo=network.halo,
        thresholds=network.info.thresholds | thresholds,
        metrics={"validation": names, **scores},
        training={
            "config": settings_of(config),
            "kept": kept,
            **({} if seconds is None else {"seconds": seconds}),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "halo": {"on": names, **halo.record()},
        },
    )
    checkpoint = folder / f"{config.name}.safetensors"
    save_checkpoint(checkpoint, network, info)
    return checkpoint, (
        f"F0.5 {scores['f05']:.3f}, AUC {scores['auc']:.3f}, IoU {scores['iou']:.3f} at "
        f"{threshold:.3f} on validation, weights of step {kept['step']} ({kept['weights']}), halo "
        f"{network.halo} px (without the rest of the context the map changed by up to "
        f"{halo.largest:.4f} on {halo.pixels} px)"
    )
