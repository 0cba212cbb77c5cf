"""Builds picture files byte by byte, well and badly formed: what no image library would write."""

import io
import re
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

_END_OF_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
MODES = {"JPEG": "RGB", "PNG": "RGB", "WEBP": "RGB", "BMP": "RGB", "GIF": "P", "HEIF": "RGB"}


@cache
def scene(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """Return a picture of smooth noise, always the same, with each corner of another colour."""
    small = np.random.default_rng(7).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    side = max(1, min(width, height) // 4)
    for colour, x, y in (("red", 0, 0), ("lime", 1, 0), ("blue", 0, 1), ("yellow", 1, 1)):
        left, top = x * (width - side), y * (height - side)
        image.paste(colour, (left, top, left + side, top + side))
    return image.convert(mode)


def encoded(format: str, image: Image.Image | None = None, **options: Any) -> bytes:
    """Return a picture in this format of Pillow (HEIC is `HEIF`)."""
    if format == "HEIF":
        pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    buffer = io.BytesIO()
    (image or scene(mode=MODES.get(format, "RGB"))).save(buffer, format, **options)
    return buffer.getvalue()


# JPEG


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_segments(data: bytes) -> list[bytes]:
    """Cut a well-formed JPEG behind its first marker into segments; a scan stays with its data."""
    segments, position = [], 2
    while data[position + 1] != 0xD9:
        end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
        if data[position + 1] == 0xDA:
            end = _END_OF_SCAN.search(data, end).start()
        segments.append(data[position:end])
        position = end
    return [*segments, data[position:]]


def with_segments(data: bytes, *extra: bytes) -> bytes:
    """Put segments right behind the start of a JPEG."""
    return data[:2] + b"".join(extra) + data[2:]


def with_scans(data: bytes, count: int) -> bytes:
    """Repeat the refining scans of a progressive JPEG until it has this many."""
    segments = jpeg_segments(data)
    scans = [index for index, each in enumerate(segments) if each[1] == 0xDA]
    again = [segments[index] for index in scans[1:]]
    extra = [again[i % len(again)] for i in range(count - len(scans))]
    return data[:2] + b"".join([*segments[: scans[-1] + 1], *extra, segments[-1]])


def with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    """Let the header of a JPEG claim another size."""
    frame = re.search(rb"\xff[\xc0-\xc2]\x00.\x08", data, re.DOTALL).start()
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


# PNG


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(data: bytes, *extra: bytes) -> bytes:
    """Return the PNG with these chunks right behind its header."""
    header_end = 8 + 25
    return data[:header_end] + b"".join(extra) + data[header_end:]


def png(
    width: int = 64,
    height: int = 48,
    *,
    depth: int = 8,
    colour_type: int = 2,
    interlaced: bool = False,
    extra: bytes = b"",
    pixels: bytes | None = None,
) -> bytes:
    """Return a PNG; without `pixels` it is black and costs few bytes whatever it claims."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    if pixels is None:
        row = bytes(1 + (width * channels * depth + 7) // 8)
        compressor = zlib.compressobj(9)
        rows = height * 2 if interlaced else height
        pixels = b"".join([*(compressor.compress(row) for _ in range(rows)), compressor.flush()])
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# Others


def bmp(
    width: int, height: int, *, bits: int = 24, compression: int = 0, pixels: bytes = b""
) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    palette = bytes(1024) if bits <= 8 else b""
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + len(palette)) + header + palette + pixels


def gif_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded("GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def exif(
    entries: list[tuple[int, int, int, bytes]], *, order: str = "<", more: bytes = b""
) -> bytes:
    """Return EXIF of one directory of entries: tag, type, count, four bytes of value or offset."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count) + value for tag, kind, count, value in entries
    )
    directory = struct.pack(f"{order}H", len(entries)) + body + bytes(4)
    return b"Exif\0\0" + head + struct.pack(f"{order}I", 8) + directory + more


def orientation(value: int, *, order: str = "<") -> bytes:
    return exif([(0x0112, 3, 1, struct.pack(f"{order}HH", value, 0))], order=order)


def xmp(text: str) -> bytes:
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{text}</rdf:RDF></x:xmpmeta>'
    return b"http://ns.adobe.com/xap/1.0/\0" + packet.encode()
