"""``python -m napari_ink.demo OUT``: the main job on the sample, then napari with the result.

Predicts and scores the sample with the same commands a user types, and opens the prediction beside
its stack. Called again, it finds the prediction and opens at once; that of an older sample is
replaced.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from pathlib import Path

from napari_ink import load_checkpoint, open_fragment
from napari_ink.cli import main as napari_ink
from napari_ink.errors import StoreError
from napari_ink.inference.store import PredictionStore
from napari_ink.volumes.sample import sample_path

SIZE = (1280, 800)
_DRAWN_MS = 3000  # for the first drawing, slow on a virtual display


def demo(out: Path, picture: bool) -> int:
    """Predict the sample into a folder and show it.

    Parameters
    ----------
    out : Path
        Keeps ``sample.ink.zarr`` and ``demo.png``.
    picture : bool
        Save the window as a picture and leave, instead of keeping it open.

    Returns
    -------
    int
        Exit code.
    """
    fragment, store = sample_path("fragment"), out / "sample.ink.zarr"
    checkpoint = sample_path("repmode-sample.safetensors")
    if is_outdated(store, fragment, checkpoint):
        print(f"{store} is of another version's sample: predicting again", flush=True)
        shutil.rmtree(store)
    for words in (
        ["predict", fragment, "--checkpoint", checkpoint, "--out", store],
        ["evaluate", store, "--labels", fragment / "inklabels.png"],
    ):
        command = [str(word) for word in words]
        print(f"\n$ napari-ink {shlex.join(command)}", flush=True)
        code = napari_ink(command)
        if code:
            return code
    show(store, out / "demo.png" if picture else None)
    return 0


def is_outdated(store: Path, fragment: Path, checkpoint: Path) -> bool:
    """Whether a prediction is there, but of another fragment or checkpoint."""
    try:
        made_of = PredictionStore.open(store).provenance
    except StoreError:  # none, or nothing that is ours to remove
        return False
    theirs = [made_of[part]["fingerprint"] for part in ("fragment", "checkpoint")]
    return theirs != [
        open_fragment(fragment).fingerprint(),
        load_checkpoint(checkpoint).info.fingerprint,
    ]


def show(store: Path, picture: Path | None) -> None:
    """Open a prediction beside its stack, with the dock; save a picture or wait for the user."""
    import napari
    from qtpy.QtTest import QTest

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    viewer.window.add_plugin_dock_widget("napari-ink", "Predict ink")
    viewer.open(store, plugin="napari-ink")
    if picture is None:
        napari.run()
        return
    QTest.qWait(_DRAWN_MS)
    viewer.screenshot(picture, canvas_only=False, flash=False)
    viewer.close()
    print(f"\nSaved {picture}")


def main() -> int:
    """The command line of the demo."""
    parser = argparse.ArgumentParser(prog="python -m napari_ink.demo", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the prediction and the picture")
    parser.add_argument("--picture", action="store_true", help="save OUT/demo.png and leave")
    args = parser.parse_args()
    return demo(args.out, args.picture)


if __name__ == "__main__":
    sys.exit(main())
