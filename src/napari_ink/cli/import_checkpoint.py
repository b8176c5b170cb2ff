"""Turn a pickled checkpoint of published code into a safe .safetensors one."""

from __future__ import annotations

import argparse
import json

from napari_ink.errors import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``napari-ink import-checkpoint``."""
    add = parser.add_argument
    add("source", metavar="SRC.pth", help="state dict, raw or inside a training checkpoint")
    add("destination", metavar="DST.safetensors", help="file to write")
    add("--arch", choices=("repmode",), default="repmode", help="whose keys to expect")
    add("--depth", type=int, help="layers taken (default: of --layers, else 32)")
    add("--layers", metavar="a:b", help="layers of training, half-open, as the files count")
    add("--reverse-depth", action="store_true", help="training read them from last to first")
    add("--voxel-size", type=float, metavar="UM", help="voxel size of training in µm")
    add("--window", type=int, default=128, help="side of the training windows in px (%(default)s)")
    add("--halo", type=int, help="context in px (default: a quarter of the window)")
    add("--tasks", metavar="A,B,…", help="names of the tasks (default: 0,1,…)")
    add("--threshold", type=float, help="probability from which on a pixel is ink (default: 0.5)")
    add(
        "--recipe",
        help="intensity recipe, a kind or JSON (default: z-score of each window, as published)",
    )


def run(args: argparse.Namespace) -> None:
    """Read, check, translate, write."""
    from napari_ink.cli.numbers import whole_range
    from napari_ink.models.checkpoint import CheckpointInfo, save_checkpoint
    from napari_ink.models.legacy import import_repmode

    layers = None if args.layers is None else whole_range(args.layers, "--layers")
    depth = args.depth
    if layers is not None:
        span = layers[1] - layers[0]
        if depth not in (None, span):
            raise SettingsError(f"--depth {depth}", f"--layers {args.layers} are {span} layers")
        depth = span
    tasks = tuple(args.tasks.split(",")) if args.tasks else None
    for name, value in (("window", args.window), ("voxel-size", args.voxel_size)):
        if value is not None and not value > 0:
            raise SettingsError(f"--{name} {value}", "give a positive number")
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise SettingsError(f"--threshold {args.threshold}", "give a probability from 0 to 1")
    recipe = _recipe(args.recipe, args.window)
    model = import_repmode(args.source, depth=depth, tasks=tasks)
    step = model.multiple_of
    halo = -(-args.window // 4 // step) * step if args.halo is None else args.halo
    if halo < 0 or halo % step:
        raise SettingsError(f"--halo {halo}", f"give a multiple of {step} px")
    if recipe.get("window", 2 * halo + step) < 2 * halo + step:
        raise SettingsError(
            f"windows of {recipe['window']} px, each normalised by itself, hold nothing but the "
            f"halo of {halo} px",
            f"give --window {2 * halo + step} or more, or --halo 0",
        )
    threshold = {} if args.threshold is None else dict.fromkeys(model.tasks, args.threshold)
    info = CheckpointInfo.of(
        model,
        recipe=recipe,
        layers=layers,
        reverse_depth=args.reverse_depth,
        voxel_size=args.voxel_size,
        window=args.window,
        halo=halo,
        thresholds=threshold,
        training={"imported": True},
    )
    save_checkpoint(args.destination, model, info)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    arguments = model.arguments
    print(
        f"{args.destination}: RepMode width {arguments['width']}, {arguments['levels']} levels, "
        f"{len(model.tasks)} task(s), {model.depth} layers, {parameters:,} parameters, "
        f"{recipe['kind']} intensities, halo {halo} px"
    )


def _recipe(text: str | None, window: int) -> dict:
    """The recipe as a dictionary, checked."""
    from napari_ink.volumes.intensity import Recipe

    if text is None:
        values = {"kind": "zscore", "window": window}
    elif text.lstrip().startswith("{"):
        try:
            values = json.loads(text)
        except ValueError:
            raise SettingsError(f"--recipe {text}", "give a kind or a JSON object") from None
    else:
        values = {"kind": text} | ({"window": window} if text == "zscore" else {})
    return Recipe.from_dict(values).to_dict()
