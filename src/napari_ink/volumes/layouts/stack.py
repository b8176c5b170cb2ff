"""TIFF stacks: multi-page files and ImageJ's, of ``(z, y, x)``."""

from __future__ import annotations

import os
from dataclasses import replace

import tifffile

from napari_ink.errors import FragmentError
from napari_ink.volumes.fragment import Fragment, isotropic
from napari_ink.volumes.layouts import scale
from napari_ink.volumes.layouts.layers import LayeredVolume
from napari_ink.volumes.layouts.side_cars import alone, side_cars
from napari_ink.volumes.tiff import TiffImage, check_chain, open_tiff, truncated


def open_stack(path: str, voxel_size) -> Fragment:
    """Open a multi-page TIFF as a fragment.

    Raises
    ------
    FragmentError
        When the file is damaged, has pages of different size or dtype, colour, or more than one
        axis beside y and x.
    """
    path = os.path.abspath(path)
    with open_tiff(path) as file:
        images = _layers(path, file)
        size = isotropic(voxel_size) or scale.of_tiff(file)
    volume = LayeredVolume(tuple(images))
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0].removesuffix(".ome")
    meta = scale.read_meta(folder) if alone(folder) else {}
    return Fragment(
        name=stem,
        path=path,
        layout="tiff",
        volume=volume,
        voxel_size=size or scale.of_meta(meta),
        simulated=bool(meta.get("simulated", False)),
        **side_cars([folder], [stem, os.path.basename(folder)], volume.shape),
    )


def _layers(path: str, file: tifffile.TiffFile) -> list[TiffImage]:
    size = file.filehandle.size
    check_chain(path, file)
    try:
        pages = [page for page in file.pages if not page.is_reduced] or [file.pages.first]
        planes = _leading(path, file)
    except FragmentError:
        raise
    except Exception as error:  # headers cut short make tifffile fail in many ways
        raise truncated(path, size, None) from error
    for page in pages:
        if page.shape != pages[0].shape or page.dtype != pages[0].dtype:
            raise FragmentError(
                f"{path}: page {page.index} is {_kind(page)}, page 0 is {_kind(pages[0])}",
                "save a stack of equal pages, or open the folder of layers",
            )
    images = [TiffImage.of_page(path, page, page.index, size) for page in pages]
    first = images[0]
    if first.samples != 1:
        raise FragmentError(f"{path} is a colour image", "save it as greyscale layers")
    if len(pages) > 1 or planes == 1:
        return images
    # A single page may stand for a whole stack of plain pixels: ImageJ beyond 4 GB, tifffile.
    step = first.shape[0] * first.shape[1] * first.dtype.itemsize
    end = size + 1 if first.start is None else first.start + planes * step
    if end > size:
        raise truncated(path, size, end)
    return [replace(first, start=first.start + k * step) for k in range(planes)]


def _leading(path: str, file: tifffile.TiffFile) -> int:
    """Images in the stack, as the file's own metadata tells."""
    series = file.series[0]
    lead = [
        length
        for axis, length in zip(series.axes, series.shape, strict=True)
        if axis not in "YXS" and length != 1
    ]
    if len(lead) > 1:
        raise FragmentError(
            f"{path} has the axes {series.axes} of {' × '.join(map(str, series.shape))}",
            "save one channel and one time as (z, y, x)",
        )
    return lead[0] if lead else 1


def _kind(page: tifffile.TiffPage) -> str:
    return f"{' × '.join(map(str, page.shape))} {page.dtype}"
