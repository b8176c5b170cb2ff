"""The manifest: valid, complete, and what napari finds where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

ROOT = Path(__file__).parents[2]


def manifest():
    return PluginManifest.from_distribution("napari-ink")


def test_npe2_finds_nothing_wrong_with_manifest_or_imports():
    command = [sys.executable, "-m", "npe2", "validate", "napari-ink", "--imports"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout


def test_every_python_name_resolves():
    names = [command.python_name for command in manifest().contributions.commands]
    assert all(callable(import_python_name(name)) for name in names)


def test_manifest_at_the_root_is_the_one_in_the_package():
    assert (ROOT / "napari.yaml").resolve() == ROOT / "src/napari_ink/napari.yaml"


def test_predict_is_in_the_segment_menu():
    (item,) = manifest().contributions.menus["napari/layers/segment"]
    assert item.command == manifest().contributions.widgets[0].command


def test_preferences_page_and_its_reading_agree():
    from napari_ink._preferences import Preferences

    raw = yaml.safe_load((ROOT / "napari.yaml").read_text())
    page = raw["contributions"]["configurations"]["prediction"]["properties"]
    defaults = {name: entry["default"] for name, entry in page.items()}
    assert Preferences(**defaults) == Preferences()


def test_choices_are_remembered_for_the_next_session(plugin_settings):
    from napari import settings

    from napari_ink._preferences import read_preferences, remember

    remember(device="cpu", tile=128)
    settings._clear_plugin_settings_cache()
    assert (read_preferences().device, read_preferences().tile) == ("cpu", 128)
