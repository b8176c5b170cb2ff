"""What a user gets who installs the wheel instead of a checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The unpacked wheel, as pip would lay it into site-packages."""
    built = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    target = built / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run_in(installed: Path, code: str) -> str:
    """Output of the code, run outside the checkout with the wheel before everything else."""
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(installed)!r})\n{code}"],
        cwd=installed,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_wheel_carries_the_sample_the_manifest_and_the_trainer(installed):
    assert (installed / "napari_ink" / "napari.yaml").is_file()
    assert (installed / "training" / "configs" / "sample.yaml").is_file()
    assert (installed / "napari_ink" / "sample_data" / "repmode-sample.safetensors").is_file()


def test_the_sample_opens_from_the_wheel(installed):
    code = (
        "from napari_ink.volumes.sample import sample_path\n"
        "from napari_ink import open_fragment\n"
        "fragment = open_fragment(sample_path('fragment'))\n"
        "print(fragment.path, fragment.simulated, fragment.read(y=slice(0, 8)).shape)"
    )
    printed = run_in(installed, code)
    assert printed.startswith(str(installed))
    assert "True" in printed


def test_the_trainer_is_importable_outside_the_checkout(installed):
    assert str(installed) in run_in(installed, "import training; print(training.__file__)")


def test_qt_is_never_a_base_dependency(installed):
    (metadata,) = installed.glob("napari_ink-*.dist-info/METADATA")
    requirements = [
        line for line in metadata.read_text().splitlines() if line.startswith("Requires-Dist")
    ]
    base = [line for line in requirements if "extra ==" not in line]
    assert base
    assert not [line for line in base if "qt" in line.lower() or "napari" in line.lower()]
