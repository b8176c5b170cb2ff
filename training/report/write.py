"""A run's folder in, one page out."""

from __future__ import annotations

from pathlib import Path

from napari_ink.errors import SettingsError
from training.report import page
from training.report.folder import Absent, RunFolder
from training.report.sections import build

NAME = "report.html"


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, from its files alone, and return its path.

    What is missing or damaged is said on the page. A report that was there is replaced at once.

    Raises
    ------
    SettingsError
        If there is no such folder, nothing of a run in it, or it cannot be written to.
    """
    folder = Path(folder)
    run = RunFolder(folder)
    if not any((folder / name).exists() for name in ("config.yaml", "metrics.csv")):
        raise SettingsError(f"{folder} is not the folder of a run", "give runs/NAME")
    target = folder / NAME
    text = page.page(f"Run {run.name}", _headline(run), build(run))
    try:
        page.write(target, text)
    except OSError as error:
        raise SettingsError(
            f"cannot write {target} ({error.strerror or error})", "check permissions and space"
        ) from error
    return target


def _headline(run: RunFolder) -> str:
    """The result in one line."""
    from napari_ink.analysis import metrics

    try:
        values = metrics.summary(run.histogram, run.threshold)
    except Absent:
        return "No validation scores yet."
    names = ", ".join(one.name for one in run.maps[:3]) + (" …" if len(run.maps) > 3 else "")
    return (
        f"F0.5 {values['f05']:.3f}, AUC {values['auc']:.3f}, IoU {values['iou']:.3f} at a cut of "
        f"{values['threshold']:.3f}, on {names}"
    )
