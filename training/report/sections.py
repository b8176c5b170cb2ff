"""The sections of a report: each a function of the run's folder that returns HTML."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import yaml

from napari_ink.analysis import metrics
from napari_ink.analysis.figures import (
    map_beside_label,
    reliability_chart,
    threshold_chart,
)
from napari_ink.analysis.gates import gate_shares
from napari_ink.analysis.gates_figures import gate_chart
from training.report import curves, intensity
from training.report.folder import Absent, RunFolder, SourceIntensities
from training.report.page import drawing, escape, paragraph, photograph, picture, table

_MAPS = 8  # validation fragments drawn; all are scored
_SOURCES = 24  # whose intensities are drawn


def what_was_run(run: RunFolder) -> str:
    """The settings that matter most, and what became of them."""
    config = run.config
    rows = [("run", run.name), ("seed", str(config.get("seed", "?")))]
    network, learning = config.get("network") or {}, config.get("learning") or {}
    arguments = ", ".join(
        f"{key} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in (network.get("arguments") or {}).items()
    )
    rows.append(("network", f"{network.get('architecture', '?')} ({arguments})"))
    if {"steps", "batch"} <= learning.keys():
        steps, a_step = learning["steps"], samples_a_step(config)
        rows.append(
            ("learning", f"{steps:,} steps of {a_step:,} windows: {steps * a_step:,} samples")
        )
    if "losses" in learning:
        rows.append(("loss", ", ".join(f"{k} × {v}" for k, v in learning["losses"].items())))
    with suppress(Absent):  # said under Speed
        rows.append(("took", _took(run)))
    try:
        rows += _of_the_checkpoint(run)
        note = ""
    except Absent as missing:
        note = _absent(missing)
    return table(rows) + note


def samples_a_step(config: dict) -> int:
    """Windows of an optimiser step, over all passes and devices (0, all there are, as one)."""
    learning, trainer = config["learning"], config.get("trainer") or {}
    devices = max(1, trainer.get("devices", 1)) * trainer.get("nodes", 1)
    return learning["batch"] * learning.get("accumulate", 1) * devices


def _took(run: RunFolder) -> str:
    """The time of learning, and the steps in it."""
    text = duration(run.seconds)
    try:
        steps = int(run.log["seconds"][0][-1])
    except (Absent, KeyError):
        return text
    return f"{text} for {steps:,} steps: {steps / run.seconds:.3g} steps a second, looks included"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:.1f} hours"


def _of_the_checkpoint(run: RunFolder) -> list[tuple[str, str]]:
    network = run.network
    info = network.info
    size = sum(parameter.numel() for parameter in network.parameters())
    rows = [("parameters", f"{size:,}")]
    names = [str(entry.get("name", "?")) for entry in info.dataset]
    more = "" if len(names) <= 6 else f" and {len(names) - 6} more"
    kind = " (simulated, never scanned)" if info.simulated else ""
    rows.append(("learned from", f"{len(names)} fragments{kind}: {', '.join(names[:6])}{more}"))
    if info.window_mm is not None:
        rows.append(
            (
                "window",
                f"{info.window} px = {info.window_mm:.2f} mm at {info.voxel_size:g} µm"
                + (": wide enough to learn letter shapes" if info.window_mm > 0.55 else ""),
            )
        )
    if info.layers is not None:
        rows.append(("layers", f"{info.layers[0]}:{info.layers[1]}"))
    rows.append(("intensities", ", ".join(f"{k} {v}" for k, v in info.recipe.items())))
    if "finished" in info.training:
        rows.append(("finished", str(info.training["finished"])))
    return rows


def scores(run: RunFolder) -> str:
    """All scores of the last look, pooled and by fragment, SSIM beside them."""
    cut = run.threshold
    rows = []
    for one in run.maps:
        rows.append(_scored(one.name, one.histogram, cut, one.similarity))
    if len(rows) > 1:
        known = [one for one in run.maps if not np.isnan(one.similarity)]
        weights = [one.histogram.pixels for one in known]
        values = [one.similarity for one in known]
        mean = np.average(values, weights=weights) if known else float("nan")
        rows.append(_scored("all pixels together", run.histogram, cut, float(mean)))
    heading = ("fragment", "F0.5", "F1", "IoU", "precision", "recall", "AUC")
    heading += ("AP", "calibration error", "SSIM", "ink", "pixels")
    return (
        table(rows, heading)
        + paragraph(
            f"Precision: how much of what is called ink (probability {cut:.3f} and above) is ink. "
            "Recall: how much of the ink is called so. F0.5 joins the two and weighs precision "
            "more, F1 both alike; IoU is what both agree on, divided by what either claims. AUC "
            "and AP need no cut: AUC is the chance that an ink pixel gets a higher probability "
            "than a bare one (.5: guessing). The cut was chosen for F0.5 on these fragments, so "
            "F0.5 is flattered a little; AUC is not. Calibration error: how far probabilities "
            "are from the share of ink, on average."
        )
        + paragraph(
            "SSIM is the structural similarity of map and label (Wang et al. 2004: Gaussian "
            "window of 11 px, σ 1.5 px, range 1), the mean over the pixels whose whole window "
            "lies where the label counts. It compares pictures: it rewards smooth letters, and "
            "is high for any map that is mostly empty where the label is. Nothing is chosen by "
            "it."
        )
    )


def _scored(name: str, histogram, cut: float, similarity: float) -> list:
    values = metrics.summary(histogram, cut)
    keys = ("f05", "f1", "iou", "precision", "recall", "auc", "ap", "ece")
    numbers = [values[key] for key in keys] + [similarity]
    shown = ["–" if np.isnan(value) else value for value in numbers]
    share = values["ink_pixels"] / max(1, values["pixels"])
    return [name, *shown, f"{share:.1%}", values["pixels"]]


def learning(run: RunFolder) -> str:
    """Curves of loss, learning rate and scores."""
    log = run.log
    parts = []
    if "loss" in log:
        parts.append(
            drawing(
                curves.loss_chart(log),
                "Loss over the steps: pale, single batches; dark, their running mean; orange, on "
                "the validation fragments, where it was logged. Training that falls while "
                "validation rises means learning by heart. Below, the learning rate as scheduled.",
            )
        )
    else:
        parts.append(_absent("metrics.csv has no loss."))
    scores = curves.score_chart(log)
    if scores is None:
        parts.append(_absent("metrics.csv has no scores: the run has not looked yet."))
    else:
        parts.append(
            drawing(
                scores,
                "Scores on the validation fragments at every look, each at the cut that was best "
                "at that look (drawn too). AUC needs no cut; calibration error is better low, "
                "all others high.",
            )
        )
    return "".join(parts)


def maps(run: RunFolder) -> str:
    """Every validation map beside its label."""
    cut = run.threshold
    parts = []
    for one in run.maps[:_MAPS]:
        figure = map_beside_label(one.probability, one.label, one.counts, cut)
        caption = (
            f"{one.name}, {one.label.shape[1]} × {one.label.shape[0]} px. Top: what the network "
            "says, from black (no ink) to yellow (ink), and the label. Bottom: the map cut at "
            f"{cut:.3f}, and the comparison: black was found, blue was missed, orange is no ink "
            "in the label; shares are of all compared pixels. Grey is not compared: no papyrus, "
            "or unlabelled."
        )
        parts.append(picture(figure, caption))
    if len(run.maps) > _MAPS:
        parts.append(_absent(f"{len(run.maps) - _MAPS} more fragments are scored, not drawn."))
    return "".join(parts)


def thresholds(run: RunFolder) -> str:
    """Scores against the cut."""
    return drawing(
        threshold_chart(run.histogram, run.threshold),
        "What each choice of the cut would have scored, over all validation pixels. To the left "
        "everything is called ink (recall 1), to the right nothing. The grey line is the cut "
        "stored with the checkpoint. A broad top means that the choice hardly matters.",
    )


def calibration(run: RunFolder) -> str:
    """Reliability diagram."""
    return drawing(
        reliability_chart(run.histogram),
        "Of the pixels to which the network gave a probability of, say, .8, eight in ten should "
        "be ink: the dashed line. Below it the network is too sure of ink, above it not sure "
        "enough. The bars count the pixels behind each point (logarithmic): few pixels, little "
        "meaning.",
    )


def intensities(run: RunFolder) -> str:
    """Grey levels with and without ink."""
    found = run.intensities
    layers = found.first_layer + np.arange(len(found.ink))
    separation = intensity.separation(found)
    summary = ""
    if np.isfinite(separation).any():
        best = int(np.nanargmax(np.abs(separation - 0.5)))
        summary = paragraph(
            f"Grey level alone separates best in layer {layers[best]}, with an AUC of "
            f"{separation[best]:.3f}; .5 is guessing, and below .5 ink is the darker one."
        )
    return (
        summary
        + drawing(
            intensity.layer_chart(found),
            "Left: median and middle 80% of the normalised intensities in each layer, at pixels "
            "with and without ink in the label. Right: how well the grey level of that one layer "
            "tells ink from bare papyrus. Where the two bands lie on one another, a threshold on "
            "grey levels shows nothing and texture must tell.",
        )
        + drawing(
            intensity.distribution_chart(found),
            "The same distributions in full, by layer: each curve has an area of 1, is smoothed "
            "a little, and leaves out the outermost thousandths.",
        )
        + _intensities_by_source(run)
    )


def _intensities_by_source(run: RunFolder) -> str:
    """Intensities of each fragment or part that was learned from."""
    try:
        names, stored, normalised = run.intensities_by_source
    except Absent as missing:
        return _absent(f"Intensities by source: {missing}")
    some = slice(_SOURCES)
    parts = [SourceIntensities(s.edges, s.ink[some], s.bare[some]) for s in (stored, normalised)]
    text = drawing(
        intensity.source_chart(names[some], *parts),
        "Each fragment, or part of one, that was learned from, all its layers together: the dot "
        "is the median, the bar the middle 80% of the grey levels. Left, as the file holds them; "
        "right, as the network gets them. Fragments whose bars lie far apart on the right look "
        "different to the network for a reason that is not ink; another normalisation "
        "(data.recipe) may bring them together.",
    )
    if len(names) > _SOURCES:
        text += _absent(f"{len(names) - _SOURCES} more sources are not drawn.")
    return text


def gates(run: RunFolder) -> str:
    """The gate chart of every task."""
    from napari_ink.errors import InkError

    network = run.network
    parts = []
    for task in network.tasks:
        try:
            shares = gate_shares(network, task)
        except InkError as error:
            raise Absent(f"{error.problem}.") from error
        overall = zip(shares.experts, shares.overall, strict=True)
        means = ", ".join(f"{name} {share:.1f}%" for name, share in overall)
        parts.append(
            drawing(
                gate_chart(shares),
                f"Task “{task}”: how much each expert weighs in the one kernel that each gated "
                "block applies, mean over its channels. An expert is a convolution of 5, 3 or 1 "
                "voxels a side, or an average over 3 or 5 followed by one of 1. An untrained "
                f"network has about 20% each. Over all blocks: {means}.",
            )
        )
    return "".join(parts)


def speed(run: RunFolder) -> str:
    """The time that the run took, and samples seen a second."""
    column, time = None, ""
    try:
        column = run.log.get("samples_per_second")
        if "seconds" in run.log:
            time = paragraph(
                f"Took {_took(run)}. Of a run that was stopped and went on, neither the pause is "
                "counted nor work that was lost with the stop; reading fragments before the "
                "first step and writing the checkpoint after the last are not either."
            )
    except Absent:
        pass
    if column is not None and len(column[0]) > 1:
        return time + drawing(
            curves.speed_chart(*column),
            "Windows learned from in a second, as logged. Looks at the validation fragments are "
            "not counted. A fall over time points to a disk or a machine that became busy.",
        )
    if time:
        return time
    learning = run.config.get("learning") or {}
    if not {"steps", "batch"} <= learning.keys():
        raise Absent("config.yaml does not say how many samples there were.")
    samples = learning["steps"] * samples_a_step(run.config)
    return paragraph(
        f"{samples / run.seconds:.3g} samples a second: {samples:,} samples in "
        f"{duration(run.seconds)}, looks at the validation fragments included."
    )


def windows(run: RunFolder) -> str:
    """The windows that were learned from, counted and shown."""
    parts = []
    try:
        columns = run.windows
        parts.append(_counted(columns))
    except Absent as missing:
        parts.append(_absent(missing))
    try:
        parts.append(
            photograph(
                run.windows_picture,
                "The windows over the label, and how much ink they hold: blue, learned from; "
                "orange, only looked at.",
            )
        )
    except Absent as missing:
        parts.append(_absent(missing))
    return "".join(parts)


def _counted(columns: dict[str, np.ndarray]) -> str:
    """Windows by fragment, split and kind."""
    group = [name for name in ("source", "split", "kind") if name in columns]
    if not group:
        raise Absent("windows.parquet has none of the columns source, split, kind.")
    keys = list(zip(*(columns[name] for name in group), strict=True))
    counts: dict[tuple, list[float]] = {}
    ink = columns.get("ink", np.full(len(keys), np.nan))
    for key, share in zip(keys, ink, strict=True):
        counts.setdefault(key, []).append(float(share))
    rows = [
        [*map(str, key), len(shares), f"{np.mean(shares):.1%}"]
        for key, shares in sorted(counts.items(), key=str)
    ]
    return table(rows, (*group, "windows", "mean ink"))


def settings(run: RunFolder) -> str:
    """All settings, and the versions of the software."""
    parts = []
    try:
        text = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True)
        parts.append(f"<pre>{escape(text)}</pre>")
    except Absent as missing:
        parts.append(_absent(missing))
    try:
        parts.append("<h3>Versions</h3>" + table(sorted(run.versions.items())))
    except Absent as missing:
        parts.append(_absent(missing))
    return "".join(parts)


def _absent(reason: object) -> str:
    return paragraph(str(reason), "absent")


#: In the order of the page.
SECTIONS = (
    ("What was run", what_was_run),
    ("Scores", scores),
    ("Curves", learning),
    ("Maps beside labels", maps),
    ("Score against threshold", thresholds),
    ("Reliability", calibration),
    ("Intensities", intensities),
    ("Gates", gates),
    ("Speed", speed),
    ("Windows", windows),
    ("Settings and versions", settings),
)


def build(run: RunFolder) -> list[tuple[str, str]]:
    """Heading and body of each section; a missing piece is said in words."""
    built = []
    for heading, section in SECTIONS:
        try:
            body = section(run)
        except Absent as missing:
            body = _absent(missing)
        built.append((heading, body))
    return built
