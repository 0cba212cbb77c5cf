"""A picture is stored as Chromium shows it: colours, transparency, orientation, pixel by pixel."""

import base64
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from common.media import colours, images
from common.tests.crafted import chunk, encoded, orientation, png, with_chunks

pytestmark = pytest.mark.outer

MOST_MEAN, MOST_ANYWHERE = 1.5, 12  # of 255: coded with loss, upsampled and rounded by two decoders
SHOWN = """
async ([type, data]) => {
  const image = new Image();
  image.src = `data:${type};base64,${data}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return [canvas.width, canvas.height, Array.from(pixels)];
}
"""
P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)


def gradient(mode: str = "RGB") -> Image.Image:
    """Every mixture of red and green, blue along the diagonal; with `A`, clearer from top to
    bottom.
    """
    y, x = np.mgrid[0:48, 0:64]
    channels = [x * 4, y * 5, (x + y) * 2]
    if mode == "RGBA":
        channels.append(y * 5)
    pixels = np.stack(channels, axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chromaticities(values: tuple[float, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def png_with(*chunks: bytes, mode: str = "RGB") -> bytes:
    return with_chunks(encoded("PNG", gradient(mode)), *chunks)


def grey_16_with_a_transparent_value() -> bytes:
    return png(64, 48, depth=16, colour_type=0, extra=chunk(b"tRNS", b"\0\0"))


def profile(primaries: str = "DISPLAY_P3", exponent: float = 0) -> bytes:
    return colours.matrix_profile(getattr(colours, primaries), exponent)


def plain_bmp_with_masks() -> bytes:
    """32 bits a pixel, the places of the colours told by masks."""
    pixels = np.asarray(gradient())[::-1].astype(np.uint32)
    words = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    body = words.astype("<u4").tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, 32, 3, len(body), 2835, 2835, 0, 0)
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    offset = 14 + len(head) + len(masks)
    return struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + head + masks + body


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "PNG": ("image/png", png_with),
    "PNG with a gamma of 1": ("image/png", lambda: png_with(gamma(1.0))),
    "PNG with a gamma of 1/2.2": ("image/png", lambda: png_with(gamma(0.45455))),
    "PNG with the primaries of P3": (
        "image/png",
        lambda: png_with(gamma(0.45455), chromaticities(P3)),
    ),
    "PNG, turned": ("image/png", lambda: png_with(chunk(b"eXIf", orientation(6)[6:]))),
    "PNG that says sRGB and a gamma": (
        "image/png",
        lambda: png_with(chunk(b"sRGB", b"\0"), gamma(1.0)),
    ),
    "PNG with cICP of P3": ("image/png", lambda: png_with(chunk(b"cICP", b"\x0c\x0d\0\x01"))),
    "PNG with a profile and transparency": (
        "image/png",
        lambda: encoded("PNG", gradient("RGBA"), icc_profile=profile()),
    ),
    "PNG, grey of 16 bits, black transparent": ("image/png", grey_16_with_a_transparent_value),
    "JPEG": ("image/jpeg", lambda: encoded("JPEG", gradient(), quality=95)),
    "JPEG in P3": (
        "image/jpeg",
        lambda: encoded("JPEG", gradient(), quality=95, icc_profile=profile()),
    ),
    "JPEG in linear light": (
        "image/jpeg",
        lambda: encoded("JPEG", gradient(), quality=95, icc_profile=profile("SRGB", 1.0)),
    ),
    "JPEG in sRGB by another name": (
        "image/jpeg",
        lambda: encoded("JPEG", gradient(), quality=95, icc_profile=profile("SRGB")),
    ),
    "JPEG, turned": (
        "image/jpeg",
        lambda: encoded("JPEG", gradient(), quality=95, exif=orientation(6)),
    ),
    "WebP in P3": (
        "image/webp",
        lambda: encoded("WEBP", gradient(), lossless=True, icc_profile=profile()),
    ),
    "WebP, turned": (
        "image/webp",
        lambda: encoded("WEBP", gradient(), lossless=True, exif=orientation(6)),
    ),
    "GIF, transparent": ("image/gif", lambda: encoded("GIF", gradient("P"), transparency=0)),
    "BMP of 32 bits with masks": ("image/bmp", plain_bmp_with_masks),
}


@pytest.fixture(scope="module")
def canvas(browser):
    page = browser.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("name", FILES)
def test_it_is_stored_as_chromium_shows_it(canvas, name):
    media_type, make = FILES[name]
    data = make()
    shown = canvas.evaluate(SHOWN, [media_type, base64.b64encode(data).decode()])
    width, height, values = shown
    expected = np.array(values, np.int16).reshape(height, width, 4)[..., :3]
    found = np.asarray(images.decode_upload(data).image, np.int16)
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference.mean() <= MOST_MEAN and difference.max() <= MOST_ANYWHERE


def test_what_would_be_shown_otherwise_is_told_as_unsupported():
    rows = gradient("L").tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, 8, 1, len(rows), 2835, 2835, 0, 0)
    data = struct.pack("<2sIHHI", b"BM", 54 + len(rows), 0, 0, 54) + head + rows
    with pytest.raises(images.InvalidPicture, match="stored in a rare way"):
        images.decode_upload(data)
