"""Take the pictures of docs/images: the Predict dock over the sample, in a real window.

Run by ``make pictures`` (under a virtual screen). Every picture carries the words that the dock
shows in it as its description, so that a test can tell when a picture is out of date.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ink.widgets.predict_dock import PredictDock

SIZE = (1280, 800)
IMAGES = Path(__file__).parent / "images"
PATIENCE = 600.0  # seconds
_VARIES = (
    (r"⚠ No GPU.*\n?", ""),
    (r"\b(cpu|cuda|mps)\b", "#"),
    (r"Kept in .*", "Kept in #"),
    (r"\d+(\.\d+)?( s| min| h \d+ min)?(?!\w)", "#"),
)


def take_all(viewer: Viewer, folder: Path) -> PredictDock:
    """Walk through the main job in the viewer and save a picture of each state.

    Parameters
    ----------
    viewer : Viewer
        Empty, with a window.
    folder : Path
        Where the pictures go.

    Returns
    -------
    PredictDock
        After the prediction.
    """
    viewer.window.resize(*SIZE)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    wait(1.0)
    take(viewer, dock, folder / "predict-empty.png")
    dock.empty.button.click()
    wait(1.0)
    take(viewer, dock, folder / "predict-ready.png")
    dock.run.predict.click()
    wait_until(lambda: _share_done(dock) >= 0.4 or not dock.model.running)
    take(viewer, dock, folder / "predict-running.png")
    wait_until(lambda: not dock.model.running)
    wait(0.5)
    take(viewer, dock, folder / "predict-done.png")
    return dock


def take(viewer: Viewer, dock: PredictDock, path: Path) -> None:
    """Save the whole window, with the dock's words as the description."""
    about = PngInfo()
    about.add_itxt("Description", words(dock))
    picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True, pnginfo=about)


def words(dock: PredictDock) -> str:
    """What can be read in the dock, a line a control, without what varies from run to run."""
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QLabel, QLineEdit, QWidget

    lines = []
    for control in dock.findChildren(QWidget):
        if control.visibleRegion().isEmpty() or isinstance(control, QLineEdit):
            continue
        if isinstance(control, QComboBox):
            lines.append(f"[{control.currentText()}]")
        elif isinstance(control, QLabel | QAbstractButton) and control.text():
            lines.append(control.text().replace("&", ""))
    text = "\n".join(lines)
    for varies, stands in _VARIES:
        text = re.sub(varies, stands, text)
    return text.strip()


def wait(seconds: float) -> None:
    """Let the window live."""
    from qtpy.QtTest import QTest

    QTest.qWait(int(1000 * seconds))


def wait_until(holds) -> None:
    """Let the window live until something holds."""
    waited = 0.0
    while not holds():
        if waited > PATIENCE:
            raise TimeoutError("the prediction takes too long")
        wait(0.05)
        waited += 0.05


def _share_done(dock: PredictDock) -> float:
    bar = dock.run.bar
    return bar.value() / bar.maximum() if bar.maximum() else 0.0


def main() -> None:
    """Take them all again, with settings and a cache of their own."""
    with tempfile.TemporaryDirectory() as own:
        os.environ["NAPARI_CONFIG"] = str(Path(own) / "settings.yaml")
        os.environ["HOME"] = own
        import napari

        viewer = napari.Viewer(show=True)
        IMAGES.mkdir(exist_ok=True)
        take_all(viewer, IMAGES)
        viewer.close()


if __name__ == "__main__":
    sys.exit(main())
