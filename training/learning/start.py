"""The network that a run starts from: a fresh one, or a trained one that takes up a new task."""

from __future__ import annotations

import torch

from napari_ink.errors import SettingsError
from napari_ink.models.checkpoint import load_checkpoint
from napari_ink.models.contract import InkNetwork
from napari_ink.models.registry import build
from napari_ink.volumes.intensity import Recipe
from training.settings.config import RunConfig


def build_network(config: RunConfig) -> InkNetwork:
    """The network of the settings, whose windows it takes.

    Raises
    ------
    SettingsError
        If it cannot be built or extended, or does not take windows of the side that is set.
    CheckpointError
        If the checkpoint to extend cannot be read.
    """
    if config.extend:
        from napari_ink.models.extend import extend

        trained = load_checkpoint(config.extend)
        if trained.architecture != "repmode":
            raise SettingsError(
                f"{config.extend} is a {trained.architecture}, which cannot take up a task",
                "extend a repmode, or learn all tasks together",
            )
        network = extend(trained, config.new_task).train()
        with torch.device("meta"):  # while learning, all that it sees counts, as in a fresh one
            network.halo = build(network.architecture, network.arguments).halo
    else:
        network = build(config.network.architecture, config.network.arguments)
    network.check_shape((1, 1, network.depth, config.data.window, config.data.window))
    return network


def choose_recipe(config: RunConfig, network: InkNetwork) -> Recipe:
    """How intensities are normalised: as set, or as the checkpoint that is extended does it.

    A recipe with windows of its own limits the network's halo: prediction must tile with them.
    """
    recipe = Recipe.from_dict(config.data.recipe)
    if network.info is not None:
        theirs = Recipe.from_dict(network.info.recipe)
        if config.data.recipe and recipe != theirs:
            raise SettingsError(
                f"data.recipe is not that of {config.extend}, which its old tasks need",
                "leave data.recipe out",
            )
        recipe = theirs
    if recipe.window is not None:
        if recipe.window != config.data.window:
            raise SettingsError(
                f"windows of {config.data.window} px, normalised as windows of {recipe.window} px",
                "make data.window and data.recipe.window agree",
            )
        step = network.multiple_of
        # A halo has to fit into one on either side.
        network.halo = min(network.halo, (recipe.window - step) // 2 // step * step)
    return recipe


def context_of(network: InkNetwork, recipe: Recipe) -> int:
    """Pixels along y and x, around one that is predicted, that its value may depend on.

    A recipe that normalises each window on its own makes it depend on all of its tile, in whose
    corner it may lie.
    """
    return network.halo if recipe.window is None else recipe.window - 1


def task_names(config: RunConfig, network: InkNetwork) -> tuple[str, ...]:
    """The network's tasks, first the one of sources that name none."""
    if not config.new_task:
        return network.tasks
    return config.new_task, *(task for task in network.tasks if task != config.new_task)
