"""The Uncertainty dock on the canvas: rings round places, a map of samples, and the way there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ink._layers import KEY, carried, show_scale

if TYPE_CHECKING:
    from napari.layers import Image, Points
    from napari.viewer import Viewer

    from napari_ink.widgets.uncertainty.model import SamplesReport, UncertaintyModel

_RING, _NOW = "#6fb7e9", "#ffffff"  # light blue on black and yellow ink; the one looked at white
_SEEN = 14  # strokes from edge to edge of a cell: a letter and its neighbours


class UncertaintyLayers:
    """Holds the layers that it made, whatever they are called.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._places: Points | None = None
        self._samples: Image | None = None

    # --- places -----------------------------------------------------------------------------

    @property
    def places(self) -> Points | None:
        """The rings, as long as nobody removed them."""
        return self._places if self._places in self._viewer.layers else None

    def show_places(self, ink: Image, model: UncertaintyModel) -> None:
        """Rings round the model's places over an ink, in place of the last ones."""
        self.remove_places()
        if not model.places:
            return
        volume = ink.ndim == 3
        at = [(p.z, p.y, p.x) if volume else (p.y, p.x) for p in model.places]
        names = ("value", "ink", "spread", "across")
        features = {name: [getattr(place, name) for place in model.places] for name in names}
        features["place"] = np.arange(1, len(at) + 1)
        active = self._viewer.layers.selection.active
        self._places = self._viewer.add_points(
            np.array(at, float),
            features=features,
            size=model.report.stroke,
            face_color="transparent",
            border_color=_RING,
            border_width=0.12,
            metadata={KEY: carried(ink) | {"role": "places"}},
            **_place_of(ink),
        )
        # what was active stays so: with the rings active, the mouse would move them
        self._viewer.layers.selection = {self._places} if active is None else {active}
        self.mark(model)

    def mark(self, model: UncertaintyModel) -> None:
        """Show which place is looked at, in the layer and in its name."""
        layer = self.places
        if layer is None or model.at is None or len(layer.data) != len(model.places):
            return
        colours, sizes = [_RING] * len(model.places), np.full(len(model.places), 1.0)
        colours[model.at], sizes[model.at] = _NOW, 1.5
        layer.border_color = colours
        layer.size = sizes * model.report.stroke
        layer.name = f"{model.words} · key N"

    def remove_places(self) -> None:
        """Take the rings away."""
        if self.places is not None:
            self._viewer.layers.remove(self._places)
        self._places = None

    def go_to(self, ink: Image, model: UncertaintyModel, *, closer: bool) -> None:
        """Move the camera to the place looked at.

        Parameters
        ----------
        ink : Image
        model : UncertaintyModel
        closer : bool
            Zoom in until some letters fill the view, unless one is closer already.
        """
        place, viewer = model.place, self._viewer
        if place is None or viewer.dims.ndisplay != 2:
            return
        data = (place.y, place.x) if ink.ndim == 2 else (place.z, place.y, place.x)
        world = np.asarray(ink.data_to_world(data), float)
        if ink.ndim == 3:
            viewer.dims.set_point(viewer.dims.ndim - 3, world[0])
        camera = viewer.scene.camera
        camera.center = (0.0, *map(float, world[-2:]))
        if closer:
            cell = min(viewer.canvas.viewbox_size(viewer.layers))
            seen = _SEEN * model.report.stroke * abs(float(ink.scale[-1]))
            camera.zoom = max(camera.zoom, float(cell) / seen)

    # --- samples ----------------------------------------------------------------------------

    @property
    def samples(self) -> Image | None:
        """The map of samples, as long as nobody removed it."""
        return self._samples if self._samples in self._viewer.layers else None

    def show_samples(self, ink: Image, report: SamplesReport) -> None:
        """How many samples each block took, over the ink; a map that is there is renewed."""
        counts = np.where(report.counts > 0, report.counts, np.nan).astype(np.float32)
        low, high = float(np.nanmin(counts)), float(np.nanmax(counts))
        name, limits = f"samples a block, {low:.0f} to {high:.0f}", (low, max(high, low + 1))
        if self.samples is not None:
            self._samples.data = counts
            self._samples.contrast_limits_range = self._samples.contrast_limits = limits
            self._samples.name = name
            return
        place = _place_of(ink, plane=True)
        scale = np.asarray(place["scale"], float)
        block = np.asarray(report.block, float)
        # the middle of the first block, from the middle of the first pixel
        shift = np.asarray(place["rotate"]) @ ((block - 1) / 2 * scale)
        place |= {"scale": scale * block, "translate": np.asarray(place["translate"]) + shift}
        active = self._viewer.layers.selection.active
        self._samples = self._viewer.add_image(
            counts,
            name=name,
            colormap="viridis",
            contrast_limits=limits,
            interpolation2d="nearest",
            opacity=0.75,
            metadata={KEY: carried(ink) | {"role": "samples"}},
            **place,
        )
        show_scale(self._samples)
        if active is not None:
            self._viewer.layers.selection = {active}

    def remove_samples(self) -> None:
        """Take the map away."""
        if self.samples is not None:
            self._viewer.layers.remove(self._samples)
        self._samples = None


def _place_of(ink: Image, plane: bool = False) -> dict:
    """Where what lies on an ink lies; of its rows and columns alone for a plane."""
    keep = slice(-2, None) if plane else slice(None)
    affine = np.asarray(ink.affine.affine_matrix)
    axes = [*range(ink.ndim)[keep], ink.ndim]
    return {
        "scale": tuple(ink.scale[keep]),
        "translate": tuple(ink.translate[keep]),
        "rotate": np.asarray(ink.rotate)[keep, keep],
        "affine": affine[np.ix_(axes, axes)],
        "units": tuple(ink.units[keep]),
        "axis_labels": tuple(ink.axis_labels[keep]),
    }
