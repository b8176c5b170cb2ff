"""A training run, from fragments to a checkpoint, readable from top to bottom.

``python -m training.run training/configs/sample.yaml [--key value …]`` writes ``runs/NAME/``:

- ``config.yaml``: the settings as run, the command line included
- ``metrics.csv``: loss and learning rate by step, scores on the validation fragments
- ``NAME.safetensors``: the network and all that is needed to use it
"""

from __future__ import annotations

import itertools
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import lightning
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from napari_ink.analysis import metrics
from napari_ink.errors import InkError, SettingsError
from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
from napari_ink.models.contract import InkNetwork
from napari_ink.models.halo import HaloMeasurement, measure_halo
from napari_ink.models.registry import build
from napari_ink.volumes.fragment import Fragment
from napari_ink.volumes.intensity import Recipe
from napari_ink.volumes.layouts import open_fragment
from training.config import RunConfig, load_config, to_tree
from training.dataset.labelled import LabelledFragment, RandomBatches
from training.dataset.synthetic import synthetic_fragments
from training.module import InkModule, count

HALO_WINDOWS = 16  # a validation fragment


def run(config: RunConfig) -> Path:
    """Train one network and return the path of its checkpoint.

    Raises
    ------
    InkError
        Before any work, for settings, fragments or labels that do not do.
    """
    started = time.perf_counter()
    if config.threads:
        torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, verbose=False)

    network = build(config.network.architecture, config.network.arguments)
    network.check_shape((1, 1, network.depth, config.data.window, config.data.window))
    recipe = Recipe.from_dict(config.data.recipe)
    if recipe.window is not None:
        if recipe.window != config.data.window:
            raise SettingsError(
                f"windows of {config.data.window} px, normalised as windows of {recipe.window} px",
                "make data.window and data.recipe.window agree",
            )
        # Prediction must tile with it, so a halo has to fit into one on either side.
        step = network.multiple_of
        network.halo = min(network.halo, (recipe.window - step) // 2 // step * step)
    learn, look = open_fragments(config, network, recipe)
    side = halo_window(network, recipe, look)
    windows = RandomBatches(
        learn,
        side=config.data.window,
        batch=config.learning.batch,
        steps=config.learning.steps,
        edges=config.data.edges,
        seed=config.seed,
    )
    # Validation predicts as a reader would, which takes the metadata of a checkpoint.
    network.info = describe(config, network, recipe, learn)
    module = InkModule(network, config, look)

    folder = new_folder(Path(config.runs), config.name)
    (folder / "config.yaml").write_text(yaml.safe_dump(to_tree(config), sort_keys=False))
    print(f"{folder}: learning from {len(learn)} fragments, validating on {len(look)}")

    train(config, folder, module, windows)

    network.eval().cpu()
    halo = choose_halo(network, look, side)
    network.halo = halo.halo
    histogram = sum((count(network, labelled) for labelled in look), metrics.Histogram())
    threshold = metrics.best_threshold(histogram)
    scores = metrics.json_ready(metrics.summary(histogram, threshold))
    info = replace(
        network.info,
        halo=halo.halo,
        thresholds={network.tasks[0]: threshold},
        metrics={"validation": [part.fragment.name for part in look], **scores},
        training={
            "config": settings_of(config),
            "seconds": round(time.perf_counter() - started),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "halo": {"on": [part.fragment.name for part in look], **halo.record()},
        },
    )
    checkpoint = folder / f"{config.name}.safetensors"
    save_checkpoint(checkpoint, network, info)
    print(
        f"{checkpoint}: F0.5 {scores['f05']:.3f}, AUC {scores['auc']:.3f}, IoU {scores['iou']:.3f} "
        f"at {threshold:.3f} on validation, halo {halo.halo} px (without the rest of the context "
        f"the map changed by up to {halo.largest:.4f} on {halo.pixels} px), "
        f"{(time.perf_counter() - started) / 60:.1f} minutes"
    )
    return checkpoint


def open_fragments(
    config: RunConfig, network: InkNetwork, recipe: Recipe
) -> tuple[list[LabelledFragment], list[LabelledFragment]]:
    """Fragments to learn from and fragments to validate on, ready to be cut into windows."""
    learn = [open_fragment(path) for path in config.data.fragments]
    look = [open_fragment(path) for path in config.data.validation]
    if config.data.synthetic.fragments:
        *simulated, unseen = synthetic_fragments(config.data.synthetic)
        learn += simulated
        look.append(unseen)
    if not learn or not look:
        raise SettingsError(
            "a run without fragments to learn from or to validate on",
            "set data.fragments and data.validation, or data.synthetic.fragments",
        )
    seen = {fragment.fingerprint() for fragment in learn}
    for fragment in look:
        if fragment.fingerprint() in seen:
            raise SettingsError(
                f"{fragment.name} is both learned from and validated on", "leave it out of one"
            )

    def ready(fragment: Fragment) -> LabelledFragment:
        return LabelledFragment.prepare(fragment, recipe, network.depth, config.data.layers)

    prepared = [ready(fragment) for fragment in learn], [ready(fragment) for fragment in look]
    for parts, purpose in zip(prepared, ("learn from", "validate on"), strict=True):
        if not any(part.has_ink for part in parts):
            raise SettingsError(
                f"there is no ink to {purpose} in {', '.join(p.fragment.name for p in parts)}",
                "add a fragment whose label has ink",
            )
    return prepared


def describe(
    config: RunConfig, network: InkNetwork, recipe: Recipe, learn: list[LabelledFragment]
) -> CheckpointInfo:
    """What is known of the checkpoint before anything is learned."""
    fragments = [part.fragment for part in learn]
    sizes = {fragment.voxel_size for fragment in fragments}
    windows = {part.stored_layers for part in learn}
    size = sizes.pop() if len(sizes) == 1 else None
    return CheckpointInfo.of(
        network,
        recipe=recipe.to_dict(),
        layers=windows.pop() if len(windows) == 1 else None,
        voxel_size=None if size is None else size[1],
        window=config.data.window,
        dataset=tuple({"name": f.name, "fingerprint": f.fingerprint()} for f in fragments),
        simulated=all(fragment.simulated for fragment in fragments),
        versions={"lightning": lightning.__version__},
    )


def settings_of(config: RunConfig) -> dict:
    """What made the network, for its metadata: not where this machine kept its files."""
    tree = to_tree(config)
    del tree["runs"], tree["data"]["synthetic"]["cache"]
    return tree


def train(
    config: RunConfig,
    folder: Path,
    module: InkModule,
    windows: RandomBatches,
) -> None:
    """Take all steps; the network keeps the averaged weights."""
    learning = config.learning
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it recommends products
    callbacks = [TQDMProgressBar(refresh_rate=10), LearningRateMonitor("step")]
    if learning.averaging:
        callbacks.append(EMAWeightAveraging(decay=learning.averaging))
    trainer = lightning.Trainer(
        max_steps=learning.steps,
        accelerator=config.accelerator,
        devices=1,
        precision=learning.precision,
        gradient_clip_val=learning.clip,
        val_check_interval=min(learning.validate_every, learning.steps),
        num_sanity_val_steps=0,
        callbacks=callbacks,
        logger=CSVLogger(folder, name="", version=""),
        log_every_n_steps=10,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        # Batches are cut in this process: a window in memory costs less than its way to another.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # The folder is new; what lies in it are this run's settings.
        warnings.filterwarnings("ignore", message="Experiment logs directory .* exists")
        trainer.fit(
            module,
            DataLoader(windows, batch_size=None, shuffle=False),
            DataLoader(range(len(module.look)), batch_size=None),
        )


def halo_window(network: InkNetwork, recipe: Recipe, look: list[LabelledFragment]) -> int:
    """Side of the windows that the halo will be measured on, known before anything is learned.

    Raises
    ------
    SettingsError
        If a validation fragment, or the recipe's window, is too small to measure a halo on.
    """
    step = network.multiple_of
    smallest = min(side for part in look for side in part.label.shape)
    side = recipe.window or min(2 * (2 * network.halo + step), smallest) // step * step
    if side > smallest or side < 3 * step:
        raise SettingsError(
            f"the halo cannot be measured on windows of {side} px in a validation fragment of "
            f"{smallest} px",
            f"validate on a larger fragment, with windows of {3 * step} px or more",
        )
    return side


def choose_halo(network: InkNetwork, look: list[LabelledFragment], side: int) -> HaloMeasurement:
    """How much context a block needs, measured where ink begins in the validation fragments."""
    random = np.random.default_rng(0)
    windows = []
    for part in look:
        points = part.edge_points() if part.edge_points().size else part.papyrus_points()
        for point in random.choice(points, HALO_WINDOWS):
            corner = np.array(divmod(int(point), part.label.shape[1])) - side // 2
            y0, x0 = np.clip(corner, 0, np.array(part.label.shape) - side)
            windows.append(part.cut(int(y0), int(x0), side)[0])
    return measure_halo(network, 0, torch.from_numpy(np.stack(windows)[:, None]))


def new_folder(runs: Path, name: str) -> Path:
    """``runs/NAME``, or ``runs/NAME-2`` and so on: no run writes over another's files."""
    for number in itertools.count(1):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise SettingsError(
                f"cannot make {folder} ({error.strerror})", "choose another --runs folder"
            ) from error
        return folder
    raise AssertionError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 and one line on an error the user can mend."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    try:
        run(load_config(arguments[0], arguments[1:]))
    except InkError as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
