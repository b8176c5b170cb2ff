"""What the Uncertainty dock reads and reckons, away from Qt: in worker threads."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from napari_ink.errors import StoreError
from napari_ink.widgets.uncertainty.model import SamplesReport

if TYPE_CHECKING:
    from napari_ink.analysis.metrics import Histogram
    from napari_ink.analysis.uncertain import Place
    from napari_ink.volumes.fragment import Fragment


def report_steps(path: str) -> Generator[float, None, SamplesReport]:
    """Read how many samples the blocks took. Runs in a worker thread; touches no Qt.

    Raises
    ------
    InkError
        For a prediction that says nothing of how sure it is.
    """
    from napari_ink.analysis.doubt_maps import check_sampled
    from napari_ink.analysis.samples_chart import samples_words
    from napari_ink.analysis.separation import STROKE
    from napari_ink.analysis.uncertain import pixel_of
    from napari_ink.inference.store import PredictionStore

    yield 0.0
    store = PredictionStore.open(path)
    if store.samples is None:
        raise StoreError(
            f"{store.path.name} is a single pass, which does not say how sure it is",
            "predict with more than 1 sample (the slider Samples of Predict ink)",
        )
    check_sampled(store)
    size = store.attributes["blocks"]["size"]
    return SamplesReport(
        words=tuple(samples_words(store)),
        counts=store.samples.counts.copy(),
        block=tuple(int(side) for side in size),
        pixel=pixel_of(store),
        known=store.voxel_size is not None,
        stroke=STROKE / pixel_of(store),
        finished=store.finished,
    )


def places_steps(
    path: str, count: int, by: str
) -> Generator[float, None, tuple[tuple[Place, ...], str]]:
    """Find the most uncertain places. Runs in a worker thread; touches no Qt."""
    from napari_ink.analysis.uncertain import finding
    from napari_ink.inference.store import PredictionStore

    yield 0.0
    places = yield from finding(PredictionStore.open(path), count, by)
    return tuple(places), by


def reliability_steps(path: str, fragment: Fragment) -> Generator[float, None, Histogram]:
    """Count the prediction against its fragment's label. Runs in a worker; touches no Qt."""
    from napari_ink.analysis.evaluate import count
    from napari_ink.inference.store import PredictionStore

    yield 0.0
    store = PredictionStore.open(path)
    return count(store, fragment.label, supervision=fragment.supervision)
