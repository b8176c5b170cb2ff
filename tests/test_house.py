"""The house rules that users feel: what an import costs, and what the core never loads."""

import json
import subprocess
import sys

import pytest

CORE = [
    "napari_ink.volumes.layouts",
    "napari_ink.volumes.convert",
    "napari_ink.volumes.intensity",
    "napari_ink.volumes.synthetic",
    "napari_ink.models.registry",
    "napari_ink.models.checkpoint",
    "napari_ink.inference.predict",
    "napari_ink.inference.store",
    "napari_ink.analysis.metrics",
    "napari_ink.cli",
]


def modules_loaded_by(*imports: str) -> set[str]:
    """Top-level modules in a fresh interpreter after the imports."""
    code = "; ".join(f"import {name}" for name in imports)
    report = "import sys, json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}; {report}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout))


def test_importing_the_package_loads_neither_torch_nor_qt():
    loaded = modules_loaded_by("napari_ink")
    assert not loaded & {"torch", "qtpy", "napari", "numpy", "zarr"}


def test_the_core_loads_without_qt_and_napari():
    loaded = modules_loaded_by(*CORE)
    assert not loaded & {"napari", "qtpy", "PyQt6", "PySide6", "superqt", "magicgui", "vispy"}


def test_opening_fragments_loads_no_torch():
    assert "torch" not in modules_loaded_by("napari_ink.volumes.layouts", "napari_ink.cli.info")


def test_opening_a_prediction_loads_no_torch():
    assert "torch" not in modules_loaded_by("napari_ink.inference.store", "napari_ink._reader")


@pytest.mark.parametrize("name", ["open_fragment", "load_checkpoint", "predict"])
def test_the_public_surface_is_there_on_first_use(name):
    import napari_ink

    assert callable(getattr(napari_ink, name))
    assert name in dir(napari_ink)


def test_an_unknown_name_is_an_attribute_error():
    import napari_ink

    with pytest.raises(AttributeError, match="no attribute 'predikt'"):
        _ = napari_ink.predikt


def test_the_command_line_answers_help_for_every_command():
    result = subprocess.run(
        [sys.executable, "-m", "napari_ink", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("info", "convert", "synth", "predict", "evaluate", "export"):
        assert command in result.stdout


def test_the_command_line_help_loads_no_torch():
    code = (
        "import sys\nfrom napari_ink.cli import build_parser\nbuild_parser()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
