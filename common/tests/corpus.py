"""Several hundred files that nobody should send, and some that people do send, all made here.

    for case in corpus.cases(): ...      `accepted`: True, False, or None where either answer is
    right

Whoever takes pictures in pushes all of them through: each is accepted correctly or refused with a
sentence.
"""

import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from PIL import Image, ImageCms

from common.tests import corpus_words, crafted
from common.tests.crafted import chunk, encoded, png, scene, segment, with_segments

FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "GIF": "gif", "HEIF": "heic"}
GPS_MARK = b"GPSMARK-48.8584N"


@dataclass(frozen=True)
class Case:
    """One file: what it tries, how it is called, its bytes, and whether it has to be accepted."""

    name: str
    file_name: str
    data: bytes
    accepted: bool | None = None

    def __str__(self) -> str:
        return self.name


@cache
def cases() -> list[Case]:
    """Return all cases, always the same ones."""
    makers = (
        _good,
        _upright,
        _truncated,
        _flipped,
        _bombs,
        _structures,
        _metadata,
        _polyglots,
        _foreign,
        _names,
    )
    return [case for maker in makers for case in maker()]


def _good() -> Iterator[Case]:
    for format, suffix in FORMATS.items():
        yield Case(f"plain {format}", f"a.{suffix}", encoded(format), True)
        yield Case(
            f"one pixel {format}",
            f"a.{suffix}",
            encoded(format, scene(1, 1, crafted.MODES[format])),
            True,
        )
        yield Case(f"{format} under a foreign name", "a.pdf", encoded(format), True)
    for mode in ("L", "CMYK"):
        yield Case(f"JPEG {mode}", "a.jpg", encoded("JPEG", scene(mode=mode)), True)
    for mode in ("1", "L", "LA", "P", "RGBA"):
        yield Case(f"PNG {mode}", "a.png", encoded("PNG", scene(mode=mode)), True)
    for colour_type, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}.items():
        for depth in depths:
            for interlaced in (False, True):
                name = f"PNG type {colour_type} depth {depth}{' interlaced' if interlaced else ''}"
                data = png(depth=depth, colour_type=colour_type, interlaced=interlaced)
                yield Case(name, "a.png", data, True)
    yield Case(
        "PNG grey with a transparent value",
        "a.png",
        png(colour_type=0, extra=chunk(b"tRNS", b"\0\0")),
        True,
    )
    yield Case(
        "PNG RGB with a transparent colour", "a.png", png(extra=chunk(b"tRNS", bytes(6))), True
    )
    yield Case("GIF with a transparent colour", "a.gif", encoded("GIF", transparency=0), True)
    yield Case("WebP with alpha", "a.webp", encoded("WEBP", scene(mode="RGBA")), True)
    yield Case("WebP without loss", "a.webp", encoded("WEBP", lossless=True), True)
    yield Case("progressive JPEG", "a.jpg", encoded("JPEG", progressive=True), True)
    yield Case("JPEG 4:4:4", "a.jpg", encoded("JPEG", subsampling=0, quality=100), True)
    for format in ("GIF", "WEBP", "PNG"):
        first, second = scene(mode="RGB"), Image.new("RGB", (64, 48), "black")
        data = encoded(format, first, save_all=True, append_images=[second] * 4, duration=50)
        yield Case(f"animated {format}", f"a.{FORMATS[format]}", data, True)
    for size in ((65_500, 1), (1, 65_500)):
        yield Case(
            f"{size[0]} x {size[1]} JPEG", "a.jpg", encoded("JPEG", Image.new("RGB", size)), True
        )
        yield Case(f"{size[0]} x {size[1]} PNG", "a.png", png(*size), True)


def _upright() -> Iterator[Case]:
    for value in range(0, 10):
        for format in ("JPEG", "PNG", "WEBP"):
            data = encoded(format, exif=crafted.orientation(value))
            yield Case(f"{format} orientation {value}", f"a.{FORMATS[format]}", data, True)


def _truncated() -> Iterator[Case]:
    for format, suffix in FORMATS.items():
        data = encoded(format)
        for percent in (0, 1, 2, 5, 10, 20, 35, 50, 65, 80, 90, 95, 99):
            end = len(data) * percent // 100
            refused = False if percent <= 50 else None
            yield Case(f"{format} cut at {percent} %", f"a.{suffix}", data[:end], refused)
        for missing in (1, 2, 3, 8):
            yield Case(f"{format} without its last {missing} bytes", f"a.{suffix}", data[:-missing])


def _flipped() -> Iterator[Case]:
    chance = random.Random(11)
    for format, suffix in FORMATS.items():
        for number in range(20):
            data = bytearray(encoded(format))
            reach = 64 if number % 2 else len(data)
            for _ in range(1 + number % 5):
                data[chance.randrange(min(reach, len(data)))] = chance.randrange(256)
            yield Case(f"{format} with flipped bytes {number}", f"a.{suffix}", bytes(data))


def _bombs() -> Iterator[Case]:
    flat = encoded("JPEG", Image.new("RGB", (8, 8)), quality=1)
    for width, height in (
        (50_000, 50_000),
        (65_535, 65_535),
        (65_535, 1_000),
        (0, 0),
        (0, 100),
        (100, 0),
    ):
        yield Case(
            f"JPEG claims {width} x {height}",
            "a.jpg",
            crafted.with_jpeg_size(flat, width, height),
            False,
        )
        yield Case(
            f"PNG claims {width} x {height}",
            "a.png",
            png(width, height, pixels=zlib.compress(b"\0")),
            False,
        )
        yield Case(f"BMP claims {width} x {height}", "a.bmp", crafted.bmp(width, height), False)
    yield Case("BMP claims a negative width", "a.bmp", crafted.bmp(-50_000, 50_000), False)
    yield Case("PNG claims 2 thousand million", "a.png", png(2**31 - 1, 1, pixels=b""), False)
    yield Case("PNG really is 64 megapixels", "a.png", png(8_000, 8_000), False)
    yield Case("GIF claims 65535 x 65535", "a.gif", crafted.gif_of_size(65_535, 65_535), False)
    yield Case("GIF claims 8000 x 8000", "a.gif", crafted.gif_of_size(8_000, 8_000), False)
    webp = bytearray(encoded("WEBP", scene(mode="RGBA")))
    webp[24:30] = b"\xff" * 6
    yield Case("WebP claims a canvas of 2 ** 48", "a.webp", bytes(webp), False)
    heic = encoded("HEIF")
    size = heic.index(b"ispe") + 8
    claimed = heic[:size] + struct.pack(">II", 50_000, 50_000) + heic[size + 8 :]
    yield Case("HEIC claims 50000 x 50000", "a.heic", claimed, False)
    small = heic[:size] + struct.pack(">II", 1, 1) + heic[size + 8 :]
    yield Case("HEIC claims less than it is", "a.heic", small)
    progressive = encoded("JPEG", scene(256, 256), progressive=True, quality=5)
    yield Case("progressive JPEG of 100 scans", "a.jpg", crafted.with_scans(progressive, 100), True)
    for scans in (101, 2_000):
        yield Case(
            f"progressive JPEG of {scans} scans",
            "a.jpg",
            crafted.with_scans(progressive, scans),
            False,
        )
    frames = [Image.new("P", (64, 48), number) for number in range(200)]
    yield Case(
        "GIF of many frames", "a.gif", encoded("GIF", save_all=True, append_images=frames), True
    )
    rows = crafted.bmp(65_500, 700, bits=8, compression=1, pixels=b"\x01\0\0\0" * 700)
    yield Case("BMP of run lengths", "a.bmp", rows, False)
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000)))
    yield Case("PNG with text that inflates", "a.png", png(extra=text * 100), True)
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(20_000_000)))
    yield Case("PNG with a profile that inflates", "a.png", png(extra=profile))
    inflating = zlib.compress(bytes(20_000_000), 9)
    yield Case("PNG with more pixels than it claims", "a.png", png(64, 48, pixels=inflating))


def _structures() -> Iterator[Case]:
    jpeg, plain = encoded("JPEG"), png()
    yield Case(
        "JPEG of comments", "a.jpg", with_segments(jpeg, segment(0xFE, b"") * 200_000), False
    )
    yield Case(
        "JPEG after a long comment",
        "a.jpg",
        with_segments(jpeg, segment(0xFE, b"x" * 65_000) * 30),
        True,
    )
    yield Case("JPEG with fill bytes", "a.jpg", with_segments(jpeg, b"\xff" * 100_000), True)
    yield Case("JPEG with junk between segments", "a.jpg", with_segments(jpeg, b"junk" * 10_000))
    yield Case("JPEG of stray restarts", "a.jpg", with_segments(jpeg, b"\xff\xd0" * 500_000), False)
    yield Case("JPEG segment of length 0", "a.jpg", with_segments(jpeg, b"\xff\xe5\0\0"), False)
    yield Case(
        "JPEG segment past the end", "a.jpg", with_segments(jpeg, b"\xff\xe5\xff\xff"), False
    )
    yield Case("JPEG ends in a marker", "a.jpg", jpeg[:2] + b"\xff\xe1\x00", False)
    yield Case("JPEG of nothing but ends", "a.jpg", b"\xff\xd8\xff\xd9", False)
    yield Case(
        "JPEG with two frames",
        "a.jpg",
        with_segments(jpeg, segment(0xC0, b"\x08" + bytes(14))),
        None,
    )
    yield Case(
        "JPEG without tables",
        "a.jpg",
        jpeg[:2]
        + b"".join(each for each in crafted.jpeg_segments(jpeg) if each[1] not in (0xC4, 0xDB)),
    )
    yield Case("PNG of empty chunks", "a.png", png(extra=chunk(b"teSt", b"") * 200_000), False)
    yield Case("PNG with a wrong checksum", "a.png", plain[:29] + bytes(4) + plain[33:], False)
    yield Case(
        "PNG chunk past the end",
        "a.png",
        plain[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt" + plain[33:],
        False,
    )
    yield Case("PNG without pixels", "a.png", plain[:33] + chunk(b"IEND", b""), False)
    yield Case("PNG without an end", "a.png", plain[:-12])
    yield Case("PNG with a palette missing", "a.png", png(colour_type=3, depth=8))
    yield Case("PNG with two headers", "a.png", plain[:33] + plain[8:])
    gif = encoded("GIF")
    start = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    comment = b"!\xfe" + b"\x01x" * 500_000 + b"\0"
    yield Case("GIF after a comment of tiny blocks", "a.gif", gif[:start] + comment + gif[start:])
    yield Case("GIF without pictures", "a.gif", gif[:start] + b";", False)
    yield Case("WebP that is only RIFF", "a.webp", b"RIFF\x04\0\0\0WEBP", False)
    yield Case("HEIC that is only a brand", "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", False)


def _metadata() -> Iterator[Case]:
    far = struct.pack("<I", 26)
    camera = [
        (0x010F, 2, 6, far),
        (0x8825, 4, 1, struct.pack("<I", 8)),
        (0x8769, 4, 1, struct.pack("<I", 8)),
    ]
    blocks = {
        "GPS": crafted.exif([(0x8825, 4, 1, struct.pack("<I", 26))], more=GPS_MARK),
        "directories that name themselves": crafted.exif(camera),
        "overlapping entries": crafted.exif(
            [(tag, 7, 60_000, far) for tag in range(5_000)], more=bytes(100)
        ),
        "an offset past the end": crafted.exif([(0x010F, 2, 100, b"\xff" * 4)]),
        "nothing in it": b"Exif\0\0",
        "an odd byte order": b"Exif\0\0XX*\0" + bytes(20),
        "an orientation of 65535": crafted.orientation(65_535),
        "big endian": crafted.orientation(6, order=">"),
    }
    for name, block in blocks.items():
        yield Case(
            f"JPEG EXIF: {name}",
            "a.jpg",
            with_segments(encoded("JPEG"), segment(0xE1, block)),
            True,
        )
        yield Case(f"PNG EXIF: {name}", "a.png", png(extra=chunk(b"eXIf", block[6:])), True)
        yield Case(f"WebP EXIF: {name}", "a.webp", encoded("WEBP", exif=block), True)
    turned = crafted.xmp("<tiff:Orientation>6</tiff:Orientation>" + GPS_MARK.decode())
    yield Case(
        "JPEG that only XMP turns",
        "a.jpg",
        with_segments(encoded("JPEG"), segment(0xE1, turned)),
        True,
    )
    yield Case("JPEG with a comment", "a.jpg", encoded("JPEG", comment=GPS_MARK), True)
    directory = struct.pack("<H", 5_000) + b"".join(
        struct.pack("<HHII", 0xB000 + n, 3, 30_000, 100) for n in range(5_000)
    )
    several = b"MPF\0II*\0" + struct.pack("<I", 8) + directory
    yield Case(
        "JPEG with a hostile index of pictures",
        "a.jpg",
        with_segments(encoded("JPEG"), segment(0xE2, several)),
        True,
    )
    yield Case("PNG with text", "a.png", png(extra=chunk(b"tEXt", b"Comment\0" + GPS_MARK)), True)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profiles = {
        "sRGB": srgb,
        "broken": srgb[:200],
        "random": random.Random(3).randbytes(3_000),
        "huge": bytes(500_000),
    }
    for name, profile in profiles.items():
        for format in ("JPEG", "PNG", "WEBP"):
            data = encoded(format, icc_profile=profile)
            yield Case(f"{format} with a profile: {name}", f"a.{FORMATS[format]}", data, True)
    yield Case(
        "CMYK JPEG with an RGB profile",
        "a.jpg",
        encoded("JPEG", scene(mode="CMYK"), icc_profile=srgb),
        True,
    )
    for format, suffix in FORMATS.items():
        data = encoded(format) + b"<script>alert(1)</script>" + GPS_MARK
        yield Case(f"{format} with bytes after its end", f"a.{suffix}", data)


def _polyglots() -> Iterator[Case]:
    html = b"<html><script>alert(document.domain)</script></html>"
    yield Case("JPEG and HTML in a comment", "a.html", encoded("JPEG", comment=html), True)
    yield Case("JPEG and HTML after the end", "a.jpg.html", encoded("JPEG") + html, True)
    yield Case("JPEG and ZIP", "a.zip", encoded("JPEG") + b"PK\x05\x06" + bytes(18), True)
    yield Case(
        "JPEG and PHP",
        "a.php",
        with_segments(encoded("JPEG"), segment(0xFE, b"<?php system($_GET[0]); ?>")),
        True,
    )
    yield Case("PNG and HTML", "a.html", png(extra=chunk(b"tEXt", b"x\0" + html)), True)
    gif = bytearray(encoded("GIF"))
    gif[6:10] = b"/*\0\0"
    yield Case("GIF and JavaScript", "a.js", bytes(gif) + b"*/=1;alert(1)")
    yield Case(
        "GIF89a and JavaScript only", "a.gif", b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)", False
    )
    yield Case("BMP and JavaScript", "a.js", b"BM=1;alert(1);//" + bytes(100), False)
    yield Case("PDF before JPEG", "a.jpg", b"%PDF-1.7\n" + encoded("JPEG"), False)
    yield Case("HTML before PNG", "a.png", html + png(), False)
    yield Case(
        "JPEG within HEIC", "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + encoded("JPEG"), False
    )


def _foreign() -> Iterator[Case]:
    for name, head in corpus_words.HEADS.items():
        yield Case(f"{name} as .jpg", "a.jpg", head + bytes(200), False)
    for format in ("TIFF", "ICO", "TGA", "PPM", "PCX", "SGI", "DDS", "JPEG2000", "AVIF"):
        yield Case(f"{format} as .jpg", "a.jpg", encoded(format), False)
    yield Case("nothing", "a.jpg", b"", False)
    yield Case("one byte", "a.jpg", b"\xff", False)
    for length in (2, 12, 100, 10_000, 1_000_000):
        yield Case(f"{length} zero bytes", "a.jpg", bytes(length), False)
        yield Case(
            f"{length} random bytes", "a.jpg", random.Random(length).randbytes(length), False
        )
    yield Case("too long", "a.jpg", encoded("JPEG") + bytes(settings.UPLOAD_MAX_BYTES + 1), False)


def _names() -> Iterator[Case]:
    for number, (name, file_name) in enumerate(corpus_words.NAMES.items()):
        data = encoded("JPEG", Image.new("RGB", (16, 16), (number * 7, 99, 200 - number)))
        yield Case(f"name: {name}", file_name, data, True)
