"""What Monte Carlo samples and other passes do, cost and came to, in words, without Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ink.errors import InkError
from napari_ink.inference.trial_windows import is_worth_choosing, trial_windows
from napari_ink.widgets.predict.model import PredictModel, Region

if TYPE_CHECKING:
    from pathlib import Path

    from napari_ink.inference.plan import PredictionPlan

#: A sample at a dropout of .2 takes .72 of a pass (benchmarks/monte_carlo.py): (1 − .2)^1.5.
_NARROWING = 1.5
#: Of the samples asked for, so many are run where they are chosen: 28 of 60 on the sample.
_CHOSEN = 0.5


def samples_note(model: PredictModel) -> str:
    """What the chosen number does and what it costs; or why there is no choice."""
    if model.info is None:
        return ""
    if model.others and not model.samples_asked:
        members = 1 + len(model.others)
        maps = model.ways * members * max(1, model.windows)
        turned = f", each turned {model.ways} ways" if model.ways > 1 else ""
        return (
            f"The mean of {members} checkpoints{turned}: where they differ, ink is uncertain. "
            f"About {maps} × as long as a single pass."
        )
    if model.ways > 1 and not model.samples_asked:
        return (
            f"The mean of {model.ways} ways to turn the fragment: where they differ, ink is "
            f"uncertain. About {model.ways * max(1, model.windows)} × as long as a single pass."
        )
    if not model.can_sample:
        return "One pass only: this network has no gates, so no parts of it can be switched off."
    if model.samples == 1:
        return ""
    own = model.info.arguments
    dropout = own.get("dropout", 0.0) if model.dropout is None else model.dropout
    noise = own.get("gate_noise", 0.0) if model.gate_noise is None else model.gate_noise
    if not dropout and not noise and model.ways > 1:
        return (
            f"Only the {model.ways} ways to turn the fragment would differ: this network was "
            "trained without dropout and gate noise. Set one of them under Advanced."
        )
    if not dropout and not noise:
        return (
            "All samples would be the same: this network was trained without dropout and gate "
            "noise. Set one of them under Advanced."
        )
    cost = "At most" if model.tolerance else "About"
    of_each = f" of each of {1 + len(model.others)} checkpoints" if model.others else ""
    turned = " Each is turned another way." if model.ways > 1 else ""
    return (
        f"{model.samples} networks{of_each} with random parts switched off: shows where ink is "
        f"uncertain. {cost} {passes(model, dropout):.0f} × as long as a single pass.{turned}"
    )


def passes(model: PredictModel, dropout: float) -> float:
    """What the samples cost, in single passes; roughly."""
    cost = model.samples * (1 + len(model.others)) * (1 - dropout) ** _NARROWING
    height, width = (0, 0) if model.fragment is None else model.fragment.shape[1:]
    windows = trial_windows(2 ** model.info.arguments.get("levels", 0), model.info.halo or 0, None)
    large = model.region is Region.PAPYRUS and is_worth_choosing(height * width, windows)
    chosen = large and not model.others  # of several checkpoints samples come as they are
    return max(1.0, cost * _CHOSEN if chosen else cost) * max(1, model.windows)


def pass_word(plan: PredictionPlan) -> str:
    """What the passes of a prediction are called: ``sample`` or ``pass``."""
    return "pass" if plan.monte_carlo is None else "sample"


def _several(plan: PredictionPlan) -> str:
    return "passes" if plan.monte_carlo is None else "samples"


def sampled_words(path: Path, plan: PredictionPlan) -> str:
    """What a finished run came to: ``28 chosen samples, as sure as 60 (± .004)``."""
    from napari_ink.inference.store import PredictionStore

    asked, words = plan.passes.count, _several(plan)
    try:
        found = PredictionStore.open(path).sampled()
    except InkError:  # removed since
        return f"{asked} {words}"
    least, most = found["least"], found["most"]
    if plan.monte_carlo is None:
        return f"the mean of {most} passes"  # which no chance has drawn: no standard error
    if plan.monte_carlo.is_certain and plan.passes.needed == 1:
        said = "1 sample, which all others equal"
    elif least != most:
        said = f"{least} to {most} samples a block, {found['mean']:.0f} on average"
    elif plan.monte_carlo.chosen and most < asked:
        said = f"{most} chosen samples, as sure as {asked}"
    else:
        said = f"{most} samples"
    error = f"{found['standard_error']:.3f}".removeprefix("0")
    return f"{said} (standard error {error})"


def kept_words(path: Path, plan: PredictionPlan, needed: int) -> str:
    """What a run that was stopped leaves, and where the next one begins."""
    from napari_ink.inference.store import PredictionStore

    try:
        store = PredictionStore.open(path)
    except InkError as error:
        return str(error)
    word, words = pass_word(plan), _several(plan)
    counts = {block: int(store.samples.counts[block]) for block in plan.blocks}
    begun = sum(count > 0 for count in counts.values())
    if begun < len(counts):
        return (
            f"{begun} of {len(counts)} blocks of the first {word} are kept: Predict goes on from "
            "there."
        )
    # Blocks that are sure enough have fewer, and get no more.
    left = [count for block, count in counts.items() if not store.holds(block)]
    if not left:
        return f"All {words} are kept."
    kept = min(left)
    return f"{kept} of {needed} {words} are kept: Predict goes on with {word} {kept + 1}."
