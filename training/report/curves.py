"""What was logged while learning, drawn over the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ink.analysis.figures import BLACK, BLUE, GREY, ORANGE, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Columns = dict[str, tuple[np.ndarray, np.ndarray]]

#: Scores in the log: label, colour, line style.
_SCORES = {
    "auc": ("AUC", BLUE, "-"),
    "f05": ("F0.5", BLACK, "-"),
    "iou": ("IoU", "#3f9fd0", "--"),
    "ece": ("calibration error", ORANGE, ":"),
    "threshold": ("best cut", GREY, "-."),
}

_POINTS = 2000  # more than a page is wide


def loss_chart(log: Columns) -> Figure:
    """Training loss of single steps and smoothed, validation loss, and the learning rate below."""
    rates = _rates(log)
    figure, axes = new_figure(9, 5 if rates else 3.6, 2 if rates else 1, sharex=True, squeeze=False)
    axes = axes[:, 0]
    steps, loss = (part[np.isfinite(log["loss"][1])] for part in log["loss"])
    thinned = slice(None, None, max(1, -(-len(steps) // _POINTS)))
    axes[0].plot(steps[thinned], loss[thinned], color="#b9cfe6", lw=0.9, label="training, step")
    if len(steps) > 20:
        smooth = running_mean(loss, max(5, len(loss) // 40))
        axes[0].plot(steps[thinned], smooth[thinned], color=BLUE, lw=2, label="training, smoothed")
    if "val_loss" in log:
        axes[0].plot(*log["val_loss"], "o-", color=ORANGE, ms=4, label="validation")
    axes[0].set(ylabel="loss")
    axes[0].legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    if len(loss):
        # One wild step at the start must not flatten the rest of the curve.
        top = max(np.quantile(loss, 0.995), *(log["val_loss"][1] if "val_loss" in log else [0]))
        axes[0].set_ylim(min(0, loss.min()), 1.08 * top if top > 0 else None)
    if rates:
        for style, (name, (at, rate)) in zip(("-", "--", ":", "-."), rates.items(), strict=False):
            axes[1].plot(at, rate, style, color=BLACK, label=name)
        axes[1].set(ylabel="learning rate", ylim=(0, None))
        axes[1].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        if len(rates) > 1:
            axes[1].legend(frameon=False)
    axes[-1].set_xlabel("optimiser step")
    for one in axes:
        tidy(one)
    return figure


def score_chart(log: Columns) -> Figure | None:
    """Scores at every look at the validation fragments; ``None`` if none is logged."""
    found = {name: log[name] for name in _SCORES if name in log}
    if not found:
        return None
    figure, axes = new_figure(9, 3.6)
    for name, (steps, values) in found.items():
        label, colour, style = _SCORES[name]
        axes.plot(
            steps,
            values,
            style,
            marker="o",
            ms=4,
            color=colour,
            label=f"{label}  {values[-1]:.3f}",
        )
    axes.set(ylim=(0, 1.02), xlabel="optimiser step", ylabel="score")
    axes.legend(
        title="at the last look", frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5)
    )
    tidy(axes)
    return figure


def speed_chart(steps: np.ndarray, speed: np.ndarray) -> Figure:
    """Samples seen a second, with their median."""
    figure, axes = new_figure(9, 2.4)
    axes.plot(steps, speed, color=BLUE, lw=1.2)
    median = float(np.median(speed))
    axes.axhline(median, color=BLACK, lw=1, ls="--")
    axes.annotate(
        f"median {median:.3g}",
        (steps[-1], median),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
    )
    axes.set(ylim=(0, None), xlabel="optimiser step", ylabel="samples a second")
    tidy(axes)
    return figure


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the ``width`` values around each one, of fewer at the ends."""
    kernel = np.ones(min(width, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _rates(log: Columns) -> Columns:
    """Learning rates by group; groups that share one are one."""
    kept: Columns = {}
    for name in sorted(log):
        column = log[name]
        # momentum and weight decay may stand beside the rates
        if not name.startswith("lr") or name.endswith(("momentum", "weight_decay")):
            continue
        if not any(
            len(column[1]) == len(other[1]) and np.array_equal(column[1], other[1])
            for other in kept.values()
        ):
            kept[name.removeprefix("lr-")] = column
    return kept
