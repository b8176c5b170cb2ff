"""PNG and JPEG planes: every kind of PNG against Pillow, huge ones, damaged ones."""

import io
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from napari_ink.errors import FragmentError
from napari_ink.volumes import images, png
from napari_ink.volumes.images import ImageFile, ImageMask, ImagePlane

GREY = np.add.outer(np.arange(61) ** 2, 3 * np.arange(83)).astype(np.uint8)


def filtered_png(pixels, bits, kind, filters):
    """A PNG whose rows use the given filters in turn: encoders seldom use all five."""
    rows = pixels.reshape(len(pixels), -1).astype(">u2" if bits == 16 else np.uint8)
    octets = rows.view(np.uint8).astype(int)
    step = {0: 1, 2: 3, 4: 2, 6: 4}[kind] * bits // 8
    data, up = b"", np.zeros(octets.shape[1], int)
    for number, row in enumerate(octets):
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        corner = np.concatenate([np.zeros(step, int), up[:-step]])
        guess = left + up - corner
        distances = np.stack([abs(guess - left), abs(guess - up), abs(guess - corner)])
        paeth = np.choose(distances.argmin(0), [left, up, corner])
        use = filters[number % len(filters)]
        predicted = [0, left, up, (left + up) // 2, paeth][use]
        data += bytes([use]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        up = row

    def chunk(name, body):
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    header = struct.pack(">IIBBBBB", pixels.shape[1], len(pixels), bits, kind, 0, 0, 0)
    packed = zlib.compress(data)
    body = b"".join(chunk(b"IDAT", packed[k : k + 700]) for k in range(0, len(packed), 700))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.fixture
def small_strips(monkeypatch):
    monkeypatch.setattr(png, "_STRIP", 700)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_gives_the_grey_levels_that_pillow_gives(tmp_path, mode):
    path = tmp_path / "plane.png"
    if mode == "I;16":
        expected = GREY.astype(np.uint16) * 257
        Image.fromarray(expected).save(path)
    else:
        picture = Image.fromarray(GREY).convert(mode)
        picture.save(path)
        expected = np.asarray(picture.convert("L"))  # grey, opaque
    plane = ImagePlane(ImageFile.open(str(path)))
    assert plane.shape == GREY.shape
    np.testing.assert_allclose(np.asarray(plane).astype(int), expected, atol=1)
    np.testing.assert_array_equal(
        plane.read(slice(17, 40), slice(5, 9)), np.asarray(plane)[17:40, 5:9]
    )


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [0, 2, 6])
def test_strips_carry_all_row_filters_over(tmp_path, bits, kind):
    channels = {0: 1, 2: 3, 6: 4}[kind]
    dtype = np.uint16 if bits == 16 else np.uint8
    pixels = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (40, 33, channels), dtype)
    if kind == 6:
        pixels[..., 3] = np.iinfo(dtype).max
    (tmp_path / "a.png").write_bytes(filtered_png(pixels, bits, kind, (4, 3, 1, 2, 0, 3, 4)))
    grey = np.asarray(ImagePlane(ImageFile.open(str(tmp_path / "a.png"))))
    weights = [1] if channels == 1 else [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey, pixels[..., : len(weights)] @ np.array(weights), atol=0.6)


def test_interlaced_png_is_read(tmp_path):
    # Adam7 by hand: seven small images one after the other.
    pixels = GREY[:16, :16]
    data = b""
    for y0, x0, dy, dx in (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4),
        (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
    ):  # fmt: skip
        for row in pixels[y0::dy, x0::dx]:
            data += b"\0" + row.tobytes()
    plain = filtered_png(pixels, 8, 0, (0,))
    header = plain[16:28] + b"\x01"
    body = zlib.compress(data)

    def chunk(name, content):
        crc = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + crc

    (tmp_path / "a.png").write_bytes(
        plain[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(
        np.asarray(ImagePlane(ImageFile.open(str(tmp_path / "a.png")))), pixels
    )


def test_transparent_pixels_are_dark(tmp_path):
    colours = np.full((4, 6, 4), 255, np.uint8)
    colours[:, :3, 3] = 0
    Image.fromarray(colours).save(tmp_path / "a.png")
    plane = np.asarray(ImagePlane(ImageFile.open(str(tmp_path / "a.png"))))
    assert not plane[:, :3].any()
    assert (plane[:, 3:] == 255).all()


@pytest.mark.usefixtures("small_strips")
def test_mask_is_one_bit_a_pixel_and_windows_agree(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "mask.png")
    mask = ImageMask(ImageFile.open(str(tmp_path / "mask.png")))
    np.testing.assert_array_equal(np.asarray(mask), GREY > 0)
    for left, right in ((0, 83), (7, 9), (8, 16), (3, 80), (82, 83)):
        np.testing.assert_array_equal(
            mask.read(slice(5, 50), slice(left, right)), GREY[5:50, left:right] > 0
        )
    assert mask._pixels().nbytes == 61 * 11
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(mask))), GREY > 0)


def test_mask_beyond_pillows_limit_opens_in_little_memory(tmp_path):
    side = 14_000  # 196 million pixels; Pillow refuses 179 million
    row = zlib.compressobj(1)
    half = b"\0" + b"\xff" * (side // 2) + b"\0" * (side // 2)
    packed = b"".join(row.compress(half * 500) for _ in range(side // 500)) + row.flush()

    def chunk(name, body):
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path = tmp_path / "mask.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    mask = ImageMask(ImageFile.open(str(path)))
    assert mask.shape == (side, side)
    window = mask.read(slice(13_990, 14_000), slice(6_990, 7_010))
    assert window[:, :10].all()
    assert not window[:, 10:].any()
    assert mask._pixels().nbytes == side * side // 8


def test_large_plane_goes_to_a_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_IN_MEMORY", 100)
    Image.fromarray(GREY).save(tmp_path / "label.png")
    plane = ImagePlane(ImageFile.open(str(tmp_path / "label.png")))
    np.testing.assert_array_equal(np.asarray(plane), GREY)
    assert isinstance(plane._pixels(), np.memmap)


@pytest.mark.parametrize("colour", [False, True])
def test_jpeg_is_read_as_grey(tmp_path, colour):
    smooth = np.add.outer(np.arange(64), np.arange(80)).astype(np.uint8)
    Image.fromarray(smooth).convert("RGB" if colour else "L").save(tmp_path / "a.jpg", quality=95)
    image = ImageFile.open(str(tmp_path / "a.jpg"))
    assert (image.shape, image.dtype) == ((64, 80), np.uint8)
    np.testing.assert_allclose(np.asarray(ImagePlane(image)).astype(int), smooth, atol=3)


def test_jpeg_noise_around_a_mask_is_outside(tmp_path):
    inside = np.zeros((64, 64), np.uint8)
    inside[:, 30:] = 255
    Image.fromarray(inside).save(tmp_path / "mask.jpg", quality=60)
    mask = ImageMask(ImageFile.open(str(tmp_path / "mask.jpg")))
    np.testing.assert_array_equal(np.asarray(mask), inside > 0)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("share", [0.002, 0.3, 0.99])
def test_truncated_image_is_told_at_opening(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG" if suffix == "png" else "JPEG")
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data.getvalue()[: max(10, int(len(data.getvalue()) * share))])
    with pytest.raises(FragmentError, match=rf"a\.{suffix}"):
        ImageFile.open(str(path))


def test_damaged_png_is_one_error_that_names_it(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(GREY).save(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xaa" * 40
    path.write_bytes(data)
    with pytest.raises(FragmentError, match=r"mask\.png cannot be decoded"):
        np.asarray(ImagePlane(ImageFile.open(str(path))))


def test_something_else_is_no_image(tmp_path):
    (tmp_path / "mask.png").write_text("not a picture")
    with pytest.raises(FragmentError, match="neither PNG nor JPEG"):
        ImageFile.open(str(tmp_path / "mask.png"))
