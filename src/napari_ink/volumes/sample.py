"""Where the sample fragment and the sample checkpoint lie: in the wheel or in the checkout."""

from __future__ import annotations

from pathlib import Path

from napari_ink.errors import FragmentError


def sample_path(name: str) -> Path:
    """Find a part of the sample data.

    Parameters
    ----------
    name : str
        ``"fragment"``, ``"repmode-sample.safetensors"``, or a path below.

    Returns
    -------
    Path
        In the installed package, where a wheel puts it, otherwise in the checkout.

    Raises
    ------
    FragmentError
        When it is in neither.
    """
    package = Path(__file__).parents[1]
    places = [package / "sample_data", package.parents[1] / "sample_data"]
    for place in places:
        if (place / name).exists():
            return place / name
    raise FragmentError(
        f"the sample {name} is not installed",
        "reinstall napari-ink from its wheel, or run from a checkout with sample_data/",
    )
