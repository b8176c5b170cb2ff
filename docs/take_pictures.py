"""Take the pictures of docs/images: the docks over the sample, in a real window.

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
    from qtpy.QtWidgets import QWidget

    from napari_ink.widgets.predict.dock import PredictDock

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
    take_thresholds(viewer, folder)
    return dock


def take_thresholds(viewer: Viewer, folder: Path) -> None:
    """The ink of the viewer, cut where its label says it is best."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Ink thresholds")
    wait_until(lambda: dock.model.can_score)
    dock.actions.optimise.click()
    wait(1.0)
    take(viewer, dock, folder / "thresholds.png")


def take_samples(viewer: Viewer, folder: Path, until: int = 7) -> PredictDock:
    """One letter of the sample, in an empty viewer, with its uncertainty over the ink.

    Parameters
    ----------
    viewer : Viewer
        Empty, with a window.
    folder : Path
        Where the picture goes.
    until : int
        Which sample is under way in it.

    Returns
    -------
    PredictDock
        While the run goes on.
    """
    from napari_ink.widgets.predict.model import Region

    viewer.window.resize(*SIZE)
    viewer.open_sample("napari-ink", "fragment")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    wait(1.0)
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, 16 * 130, 16 * 480), 614 / (16 * 310)  # in one block
    dock.settings.regions[Region.VISIBLE].click()
    dock.settings.samples.slider.marks[60].click()
    dock.settings.samples.dropout.setValue(0.2)
    dock.run.predict.click()
    wait_until(lambda: _sample_under_way(dock) >= 2)
    next(layer for layer in viewer.layers if layer.name.endswith("uncertainty")).visible = True
    wait_until(lambda: _sample_under_way(dock) >= until)
    take(viewer, dock, folder / "predict-samples.png")
    return dock


def take_experts(viewer: Viewer, folder: Path) -> None:
    """A region of the sample, in an empty viewer, with all experts and without one."""
    viewer.window.resize(*SIZE)
    viewer.open_sample("napari-ink", "fragment")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Ink experts")
    wait_until(lambda: dock.model.shares is not None)
    dock.switches.boxes["5³"].click()
    dock.switches.redo.click()
    wait_until(lambda: not dock.redo.running)
    dock.model.point(dock.model.rows[3].place, 50)  # C2.2, 1³
    wait(1.0)
    take(viewer, dock, folder / "experts.png")


def take_review(viewer: Viewer, folder: Path) -> None:
    """A blind review of the sample's ink with all experts and without one, in an empty viewer."""
    from napari_ink import load_checkpoint, open_fragment, predict
    from napari_ink.cli import main
    from napari_ink.inference.settings import PredictionSettings
    from napari_ink.volumes.sample import sample_path

    fragment = open_fragment(sample_path("fragment"))
    network = load_checkpoint(sample_path("repmode-sample.safetensors"))
    with tempfile.TemporaryDirectory() as kept:
        stores = [str(Path(kept) / f"{name}.ink.zarr") for name in ("all", "without")]
        for store, off in zip(stores, ((), ("avg5",)), strict=True):
            for _ in predict(fragment, network, PredictionSettings(experts_off=off), store=store):
                pass
        planned = str(Path(kept) / "sample.review.json")
        main(["review", *stores, "--out", planned, "--seed", "1"])
        viewer.window.resize(*SIZE)
        _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Blind review")
        dock.go_on(planned)
        for button in (dock.judge.left, dock.judge.right):
            wait_until(lambda: dock.desk.ready)
            button.click()
        wait_until(lambda: dock.desk.ready)
        wait(1.0)
        take(viewer, dock, folder / "review.png")
        dock.judge.stop.click()


def sampled_sample(folder: Path) -> Path:
    """A part of the sample with as many samples a block as it takes; goes on if it was begun."""
    from napari_ink import load_checkpoint, open_fragment, predict
    from napari_ink.inference.settings import Box, PredictionSettings
    from napari_ink.volumes.sample import sample_path

    settings = PredictionSettings(
        region=Box(64, 576, 128, 1152), tile=184, samples=60, tolerance=0.004, sampling="random"
    )
    network = load_checkpoint(sample_path("repmode-sample.safetensors"))
    store = folder / "sample.ink.zarr"
    for _ in predict(open_fragment(sample_path("fragment")), network, settings, store=store):
        pass
    return store


def take_uncertainty(viewer: Viewer, store: Path, folder: Path) -> None:
    """The second of the most uncertain places of a prediction, in an empty viewer."""
    viewer.window.resize(*SIZE)
    viewer.open(store, plugin="napari-ink")
    wait(1.0)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ink", "Ink uncertainty")
    wait_until(lambda: dock.model.report is not None)
    wait(1.0)  # the tab comes to the front
    dock.shared.side_by_side.show()
    dock.places.find.click()
    wait_until(lambda: dock.model.places)
    wait(0.5)
    dock.places.next.click()
    dock.reliability.button.click()
    wait_until(lambda: dock.reliability.canvas is not None)
    wait(1.0)
    take(viewer, dock, folder / "uncertainty.png")


def draw_samples(store: Path, folder: Path) -> None:
    """How many samples each block of a prediction took, as the command line draws it."""
    from napari_ink.cli import main

    main(["uncertain", str(store), "--png", str(folder / "samples-a-tile.png")])


def draw_gates(folder: Path) -> None:
    """The sample checkpoint's gates, and the kernel of a block, as the command line draws them."""
    from napari_ink.cli import main
    from napari_ink.volumes.sample import sample_path

    gates = ["gates", str(sample_path("repmode-sample.safetensors"))]
    main([*gates, "--png", str(folder / "gates.png")])
    main([*gates, "--kernel", "C2.2", "--png", str(folder / "kernel.png")])


def take(viewer: Viewer, dock: QWidget, path: Path) -> None:
    """Save the whole window, with the dock's words as the description."""
    about = PngInfo()
    about.add_itxt("Description", words(dock))
    picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)[..., :3])
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True, pnginfo=about)


def words(dock: QWidget) -> str:
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


def _sample_under_way(dock: PredictDock) -> int:
    """Its number, as the dock says it."""
    found = re.match(r"sample (\d+) of", dock.run.status.text())
    return int(found[1]) if found else 0


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
        viewer = napari.Viewer(show=True)
        dock = take_samples(viewer, IMAGES)
        dock.run.cancel.click()
        wait_until(lambda: not dock.model.running)
        viewer.close()
        viewer = napari.Viewer(show=True)
        take_experts(viewer, IMAGES)
        viewer.close()
        viewer = napari.Viewer(show=True)
        take_review(viewer, IMAGES)
        viewer.close()
        draw_gates(IMAGES)
        sampled = sampled_sample(Path(own))
        viewer = napari.Viewer(show=True)
        take_uncertainty(viewer, sampled, IMAGES)
        viewer.close()
        draw_samples(sampled, IMAGES)


if __name__ == "__main__":
    sys.exit(main())
