"""Zarr arrays (v2 and v3) and OME-Zarr images (0.4 and 0.5), local or by URL."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager

import zarr
from fsspec.core import url_to_fs
from zarr.storage import FsspecStore

from napari_ink.errors import FragmentError
from napari_ink.volumes.chunked import ZarrPlane, ZarrVolume, is_network, unreachable
from napari_ink.volumes.files import reading
from napari_ink.volumes.fragment import Fragment, isotropic
from napari_ink.volumes.layouts import scale
from napari_ink.volumes.layouts.side_cars import KINDS, as_side_car, side_cars
from napari_ink.volumes.planes import BasePlane

# What this program adds to the attributes of a fragment it converted: number of the first layer,
# whether it is simulated, and where the side-cars lie.
ATTRIBUTES = "napari-ink"
_CONNECT, _ANSWER = 8, 30  # seconds


def open_local(path: str, voxel_size) -> Fragment:
    """Open a local zarr as a fragment, with the side-cars in it and beside it.

    Raises
    ------
    FragmentError
        When it is no zarr, or not three-dimensional without singleton axes.
    """
    path = os.path.abspath(path)
    folder, name = os.path.split(path)
    if name.endswith(".ink.zarr"):
        raise FragmentError(
            f"{path} is a prediction, not a fragment", "open it in napari, or give the fragment"
        )
    with reading(path):
        for entry in os.scandir(path):
            if entry.name in ("zarr.json", ".zarray", ".zgroup", ".zattrs"):
                with reading(entry.path), open(entry.path, "rb"):
                    pass
    node = _open(path, path)
    stems = [os.path.splitext(name)[0], os.path.basename(folder)]

    def beside(shape: tuple[int, int, int]) -> dict[str, BasePlane]:
        return side_cars([folder], stems, shape)

    with _interpreting(path):
        return _fragment(node, path, stems[0], scale.read_meta(path), voxel_size, beside)


def open_remote(url: str, voxel_size) -> Fragment:
    """Open a zarr by URL, ``http(s)://`` or anonymously ``s3://``.

    Raises
    ------
    FragmentError
        Also when the server does not answer within some ten seconds.
    """
    url = url.rstrip("/")
    stem = posixpath.splitext(posixpath.basename(url))[0]
    options = _options(url)
    version = _probe(url, options)
    store = FsspecStore.from_url(url, storage_options=options, read_only=True)
    node = _open(store, url, version)
    with _interpreting(url):
        return _fragment(node, url, stem, {}, voxel_size, lambda shape: {})


def open_zarr_plane(path: str, depth: int) -> BasePlane:
    """A mask or label stored as zarr: ``(y, x)``, or ``depth`` slices of which one is drawn on.

    Raises
    ------
    FragmentError
        When it is no zarr, or has another number of slices.
    """
    node = _open(path, path)
    with _interpreting(path):
        array, where = _finest(node, path)
        return _plane(array, where, depth)


def _options(url: str) -> dict:
    """How to reach a server, and how long to wait for it."""
    if url.startswith("s3://"):
        limits = {"connect_timeout": _CONNECT, "read_timeout": _ANSWER}
        config = {**limits, "retries": {"max_attempts": 1}}
        # Named here, because connections are kept by their options and the variable may change.
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return {"anon": True, "endpoint_url": endpoint, "config_kwargs": config}
    import aiohttp

    limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_ANSWER)
    return {"client_kwargs": {"timeout": limits, "trust_env": True}}


def _probe(url: str, options: dict) -> int:
    """Which zarr format answers at a URL: one request at a time, so that a failure is one too."""
    files, root = url_to_fs(url, **options)
    for name, version in (("zarr.json", 3), (".zarray", 2), (".zgroup", 2)):
        try:
            files.cat_file(f"{root}/{name}", timeout=_CONNECT)
        except (FileNotFoundError, PermissionError):  # S3 forbids what is not there
            continue
        except Exception as error:
            raise unreachable(url, error) from error
        return version
    raise FragmentError(f"{url} holds no zarr", "check the address")


def _open(
    store: str | FsspecStore, where: str, version: int | None = None
) -> zarr.Array | zarr.Group:
    try:
        return zarr.open(store, mode="r", zarr_format=version)
    except Exception as error:
        if is_network(error):
            raise unreachable(where, error) from error
        if isinstance(error, FileNotFoundError):
            raise FragmentError(f"{where} holds no zarr", "check the path or the address") from None
        if isinstance(error, PermissionError):
            raise FragmentError(
                f"no permission to read {where}", "ask its owner for read access"
            ) from None
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FragmentError(
            f"{where} is not a readable zarr ({text})", "copy or download its metadata again"
        ) from error


@contextmanager
def _interpreting(where: str) -> Iterator[None]:
    """Say once that attributes, which anybody may have written, are not what they should be."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise FragmentError(
            f"{where} has metadata that cannot be used ({error!r})", "give the array in it"
        ) from error


def _fragment(node, where: str, name: str, meta: dict, voxel_size, beside) -> Fragment:
    attributes = dict(node.attrs)
    own = attributes.get(ATTRIBUTES, {})
    if isinstance(node, zarr.Array):
        levels = [_volume(node, where, _axes_of(node))]
        size, layout = None, f"zarr{node.metadata.zarr_format}"
    else:
        levels, size = _pyramid(node, where)
        layout = "ome-zarr"
    shape = levels[0].shape
    planes = beside(shape)
    if not isinstance(node, zarr.Array):
        for kind, inner in own.get("side_cars", {}).items():
            if kind in KINDS:
                array, inner_where = _finest(_child(node, inner, where), f"{where}/{inner}")
                if kind == "label" and own.get("voxelwise"):
                    planes[kind] = _volume(array, inner_where, ["z", "y", "x"])
                else:
                    planes[kind] = as_side_car(kind, _plane(array, inner_where, shape[0]))
    return Fragment(
        name=name,
        path=where,
        layout=layout,
        volume=levels[0],
        voxel_size=isotropic(voxel_size) or size or scale.of_meta(meta),
        first_layer=int(own.get("first_layer", 0)),
        levels=tuple(levels[1:]),
        simulated=bool(own.get("simulated", meta.get("simulated", False))),
        **planes,
    )


def _child(group: zarr.Group, key: str, where: str):
    try:
        return group[key]
    except KeyError:
        raise FragmentError(
            f"{where} lacks {key}, which its attributes name", "copy or download it again"
        ) from None
    except Exception as error:
        if is_network(error):
            raise unreachable(where, error) from error
        raise FragmentError(
            f"{where}/{key} is not a readable zarr ({error})", "copy or download it again"
        ) from error


def _multiscale(group: zarr.Group) -> dict | None:
    attributes = dict(group.attrs)
    images = attributes.get("ome", attributes).get("multiscales")
    return images[0] if images else None


def _image(group: zarr.Group, where: str) -> tuple[zarr.Group, dict, str]:
    """The group that holds the image; bioformats2raw puts it one level down."""
    image = _multiscale(group)
    if image is None and "0" in group and isinstance(group["0"], zarr.Group):
        group, where = group["0"], f"{where}/0"
        image = _multiscale(group)
    if image is None and "0" in group:
        image = {"datasets": [{"path": "0"}]}
    if image is None:
        raise FragmentError(f"{where} is a zarr group without an image", "give the array in it")
    return group, image, where


def _finest(node, where: str) -> tuple[zarr.Array, str]:
    if isinstance(node, zarr.Array):
        return node, where
    group, image, where = _image(node, where)
    key = image["datasets"][0]["path"]
    return _child(group, key, where), f"{where}/{key}"


def _pyramid(node: zarr.Group, where: str) -> tuple[list[ZarrVolume], scale.Scale | None]:
    group, image, where = _image(node, where)
    keys = [dataset["path"] for dataset in image["datasets"]]
    arrays = [_child(group, key, where) for key in keys]
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", [])]
    names = [axis["name"] for axis in axes] or _axes_of(arrays[0])
    levels = [
        _volume(array, f"{where}/{key}", names) for array, key in zip(arrays, keys, strict=True)
    ]
    return levels, _scale(image, axes, levels[0].kept)


def _scale(image: dict, axes: list[dict], kept: tuple[int, ...]) -> scale.Scale | None:
    """Voxel size of the finest level, where all three axes have a unit of length."""
    factors = [scale.MICROMETRES.get(axis.get("unit")) for axis in axes]
    steps = [1.0] * len(axes)
    for part in (image, image["datasets"][0]):
        for transform in part.get("coordinateTransformations", []):
            if transform.get("type") == "scale":
                steps = [
                    step * factor for step, factor in zip(steps, transform["scale"], strict=True)
                ]
    if not axes or any(factors[axis] is None for axis in kept):
        return None
    return isotropic([steps[axis] * factors[axis] for axis in kept])


def _axes_of(array: zarr.Array) -> list[str]:
    """Axis names of a plain array: its own, if they are used, or the last three are z, y, x."""
    names = getattr(array.metadata, "dimension_names", None)
    if names and {"z", "y", "x"} <= set(names):
        return list(names)
    return [*["?"] * (array.ndim - 3), "z", "y", "x"][-array.ndim or None :]


def _volume(array, where: str, names: list[str]) -> ZarrVolume:
    if not isinstance(array, zarr.Array):
        raise FragmentError(f"{where} is a group, not an array", "give the array in it")
    spare = [
        axis
        for axis, name in enumerate(names)
        if name not in ("z", "y", "x") and array.shape[axis] == 1
    ]
    kept = tuple(axis for axis in range(array.ndim) if axis not in spare)
    if len(names) != array.ndim or [names[axis] for axis in kept] != ["z", "y", "x"]:
        shape = " × ".join(map(str, array.shape))
        raise FragmentError(
            f"{where} has the shape {shape}, which is not three-dimensional",
            "give layers, rows and columns (z, y, x), with one channel and one time at most",
        )
    _check_chunks(array, where)
    return ZarrVolume(array, where, kept)


def _plane(array: zarr.Array, where: str, depth: int) -> BasePlane:
    kept = tuple(range(array.ndim))
    while len(kept) > 2 and array.shape[kept[0]] == 1:
        kept = kept[1:]
    if len(kept) == 3 and array.shape[kept[0]] != depth:
        raise FragmentError(
            f"{where} has {array.shape[kept[0]]} slices, the volume has {depth} layers",
            "give one plane (y, x), or slices of the volume's depth",
        )
    if len(kept) not in (2, 3):
        raise FragmentError(f"{where} has {len(kept)} axes", "give one plane (y, x)")
    if array.dtype.kind not in "buif":
        raise FragmentError(f"{where} holds {array.dtype} values", "save it as uint8")
    _check_chunks(array, where)
    return ZarrPlane(array, where, kept)


def _check_chunks(array: zarr.Array, where: str) -> None:
    if 0 in array.chunks:
        raise FragmentError(f"{where} has chunks of no size", "copy or download it again")
