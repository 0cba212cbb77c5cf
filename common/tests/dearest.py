"""Measures what the dearest pictures cost that the door accepts: `python -m common.tests.dearest`.

Each is received in a process of its own, so that its peak of memory can be read; prints one line of
JSON per picture.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from django.conf import settings
from PIL import Image

from common.media import colours
from common.tests import crafted
from common.tests.crafted import chunk, encoded, png, segment, with_segments

WIDTH, HEIGHT = 8_000, 6_250  # 50 megapixels, all that is accepted


def _noise(width: int = WIDTH, height: int = HEIGHT, detail: int = 16) -> Image.Image:
    small = np.random.default_rng(5).integers(
        0, 256, (height // detail, width // detail, 3), dtype=np.uint8
    )
    return Image.fromarray(small).resize((width, height))


def _profile() -> bytes:
    """Return a profile that has to be applied."""
    return colours.matrix_profile(colours.DISPLAY_P3, 0)


def _flat(mode: str) -> Image.Image:
    return Image.new(mode, (WIDTH, HEIGHT), 77)


def _scans(image: Image.Image) -> bytes:
    """Return 100 scans, or as many of a picture with more in it as fit into the longest file."""
    data = encoded("JPEG", image, progressive=True, quality=2, subsampling=0)
    counts = range(100, 10, -10)
    return next(
        many
        for count in counts
        if len(many := crafted.with_scans(data, count)) < settings.UPLOAD_MAX_BYTES
    )


def _turned(data: bytes) -> bytes:
    return with_segments(data, segment(0xE1, crafted.orientation(6)))


def _animated_webp() -> bytes:
    frames = [
        Image.new("RGBA", (WIDTH, HEIGHT), (9, 9, 9, 99)),
        Image.new("RGBA", (WIDTH, HEIGHT), (99, 9, 9, 99)),
    ]
    return encoded("WEBP", frames[0], save_all=True, append_images=frames[1:], quality=1, method=0)


DEAREST: dict[str, Callable[[], bytes]] = {
    "nothing, for comparison": lambda: encoded("JPEG"),
    "JPEG of a camera, 12 megapixels": lambda: _turned(
        encoded("JPEG", _noise(4_000, 3_000), quality=80)
    ),
    "JPEG, plain": lambda: encoded("JPEG", _noise(), quality=30),
    "JPEG, noise": lambda: _turned(encoded("JPEG", _noise(), quality=30)),
    "JPEG, many scans": lambda: _turned(_scans(_flat("RGB"))),
    "JPEG, many scans of noise": lambda: _turned(_scans(_noise(detail=64))),
    "JPEG, progressive CMYK": lambda: _turned(
        encoded("JPEG", _flat("CMYK"), progressive=True, quality=3, subsampling=0)
    ),
    "JPEG with a profile": lambda: _turned(
        encoded("JPEG", _noise(detail=32), quality=5, icc_profile=_profile())
    ),
    "PNG, RGBA of 16 bits, interlaced": lambda: png(
        WIDTH,
        HEIGHT,
        depth=16,
        colour_type=6,
        interlaced=True,
        extra=chunk(b"eXIf", crafted.orientation(6)[6:]),
    ),
    "PNG, grey of 16 bits": lambda: png(WIDTH, HEIGHT, depth=16, colour_type=0),
    "PNG, RGBA with a profile": lambda: encoded(
        "PNG", _flat("RGBA"), icc_profile=_profile(), compress_level=1
    ),
    "PNG of a million pixels of noise": lambda: encoded(
        "PNG",
        Image.fromarray(
            np.random.default_rng(1).integers(0, 256, (1_000, 1_000, 3), dtype=np.uint8)
        ),
    ),
    "GIF, transparent": lambda: encoded("GIF", _flat("P"), transparency=77),
    "WebP, noise": lambda: encoded("WEBP", _noise(), quality=1, method=0),
    "WebP, RGBA": lambda: encoded(
        "WEBP", _flat("RGBA"), quality=1, method=0, exif=crafted.orientation(6)
    ),
    "WebP, animated": _animated_webp,
    "HEIC": lambda: encoded("HEIF", _noise(), quality=10),
    "PNG of many chunks": lambda: png(extra=chunk(b"teSt", b"") * 49_000),
    "GIF after a comment of tiny blocks": lambda: _commented_gif(),
}


def _commented_gif() -> bytes:
    gif = encoded("GIF")
    start = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    return gif[:start] + b"!\xfe" + b"\x01x" * 1_990_000 + b"\0" + gif[start:]


def _in_a_child(work: Callable[[], bytes]) -> bytes:
    """Return what this gives in a process of its own, which begins with little memory."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(work())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.wait()
    return answer


def _cost(name: str, data: bytes) -> bytes:
    from common.media import cost, images

    images.decode_upload(encoded("JPEG"))
    before, wall, cpu = _peak_mb(), time.perf_counter(), time.process_time()
    try:
        answer = str(images.decode_upload(data).image.size)
    except images.InvalidPicture as refused:
        answer = str(refused)
    costs = {
        "name": name,
        "bytes": len(data),
        "megapixels": round(cost.megapixels(data), 4),  # times scans, as the quota counts them
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "megabytes": _peak_mb() - before,
        "answer": answer,
    }
    return json.dumps(costs).encode()


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    import django

    django.setup()
    for name in sys.argv[1:] or DEAREST:
        data = _in_a_child(DEAREST[name])
        sys.stdout.write(_in_a_child(partial(_cost, name, data)).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.tests.settings")
    main()
