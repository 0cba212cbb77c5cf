"""A picture that is accepted is upright, RGB and ours; any other is refused with a sentence."""

import hashlib
import io
import json
import struct
import subprocess
import sys
import threading
import zlib
from functools import partial

import numpy as np
import pytest
from django.conf import settings as settings_of_django
from hypothesis import HealthCheck, given, settings, strategies
from PIL import Image, ImageCms, ImageFile

from common.errors import Unavailable
from common.media import images
from common.media.images import InvalidPicture
from common.tests import corpus, crafted
from common.tests.crafted import encoded, png, scene, segment, with_segments

MARKS = [
    b"Exif",
    b"http://ns.adobe.com/xap",
    b"ICC_PROFILE",
    b"iCCP",
    b"eXIf",
    b"tEXt",
    b"zTXt",
    b"iTXt",
    b"MPF\0",
]


def colour_at(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    return image.getpixel((int(x * (image.width - 1)), int(y * (image.height - 1))))


def nearest_name(colour) -> str:
    known = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
    return min(
        known, key=lambda name: sum(abs(a - b) for a, b in zip(known[name], colour, strict=True))
    )


def corners(image: Image.Image) -> list[str]:
    return [nearest_name(colour_at(image, x, y)) for y in (0, 1) for x in (0, 1)]


def assert_ours(picture: images.Picture) -> None:
    """Assert what holds for every accepted picture: upright RGB, stored without anything else."""
    assert picture.image.mode == "RGB"
    assert picture.size == picture.image.size
    with Image.open(io.BytesIO(picture.data)) as stored:
        stored.load()
        assert stored.size == picture.image.size
        assert stored.mode in ("RGB", "L")
        assert f"image/{stored.format.lower()}" == picture.media_type
        assert not stored.getexif()
        assert set(stored.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert not [
        mark for mark in [*MARKS, corpus.GPS_MARK, b"<script", b"<?php"] if mark in picture.data
    ]
    if picture.media_type == "image/jpeg":
        assert [
            each[1]
            for each in crafted.jpeg_segments(picture.data)
            if each[1] == 0xFE or each[1] >= 0xE1
        ] == []
    assert all(isinstance(value, str | int) for value in picture.capture.values())
    assert len(json.dumps(dict(picture.capture))) < 600


@pytest.mark.parametrize("case", corpus.cases(), ids=str)
def test_the_hostile_corpus_is_accepted_correctly_or_refused(case):
    try:
        picture = images.decode_upload(case.data)
    except InvalidPicture as refused:
        assert case.accepted is not True, refused
        assert refused.status == 400
        assert "JPEG, PNG, WEBP, BMP, GIF, HEIC" in str(refused)
    else:
        assert case.accepted is not False
        assert_ours(picture)


def test_the_corpus_has_several_hundred_different_cases():
    names = [case.name for case in corpus.cases()]
    assert len(names) == len(set(names)) >= 300


# What is accepted


@pytest.mark.parametrize(
    ("format", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/jpeg"),
        ("HEIF", "image/jpeg"),
        ("PNG", "image/png"),
        ("GIF", "image/png"),
        ("BMP", "image/png"),
    ],
)
def test_what_came_without_loss_is_kept_without_loss(format, media_type):
    picture = images.decode_upload(encoded(format))
    assert picture.media_type == media_type
    assert corners(picture.image) == ["red", "lime", "blue", "yellow"]
    if format in ("PNG", "BMP"):
        assert np.array_equal(np.asarray(images.decode_stored(picture.data)), np.asarray(scene()))


def test_a_large_drawing_is_kept_as_jpeg():
    assert images.decode_upload(png(1_200, 1_000)).media_type == "image/jpeg"


def test_the_digest_is_of_what_is_stored_and_another_of_what_came():
    data = encoded("JPEG")
    picture = images.decode_upload(data)
    assert picture.sha256 == hashlib.sha256(picture.data).hexdigest()
    assert picture.received_sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_comes_out_upright(format, value):
    turned = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[value]
    image = scene()
    for step in turned:
        image = image.transpose(step)
    picture = images.decode_upload(
        encoded(format, image, exif=crafted.orientation(value, order=">" if value % 2 else "<"))
    )
    assert picture.image.size == images.decode_stored(picture.data).size == (64, 48)
    assert (
        corners(picture.image)
        == corners(images.decode_stored(picture.data))
        == ["red", "lime", "blue", "yellow"]
    )
    assert (picture.capture["width"], picture.capture["height"]) == (64, 48)


def test_a_heic_is_turned_once():
    picture = images.decode_upload(encoded("HEIF", exif=crafted.orientation(6)))
    assert (picture.image.size, corners(picture.image)) == (
        (48, 64),
        ["blue", "red", "yellow", "lime"],
    )


def test_an_orientation_that_only_xmp_tells_is_not_obeyed():
    block = segment(0xE1, crafted.xmp("<tiff:Orientation>6</tiff:Orientation>"))
    assert images.decode_upload(with_segments(encoded("JPEG"), block)).image.size == (64, 48)


def test_what_is_transparent_lies_on_white():
    picture = images.decode_upload(encoded("PNG", Image.new("RGBA", (4, 4), (0, 0, 0, 0))))
    assert picture.image.getpixel((0, 0)) == (255, 255, 255)
    half = images.decode_upload(
        encoded("WEBP", Image.new("RGBA", (16, 16), (255, 0, 0, 128)), lossless=True)
    )
    assert half.image.getpixel((3, 3)) == pytest.approx((255, 127, 127), abs=2)


def test_a_transparent_palette_colour_lies_on_white():
    assert (
        images.decode_upload(
            encoded("GIF", Image.new("P", (4, 4), 5), transparency=5)
        ).image.getpixel((0, 0))
        == (255,) * 3
    )


def test_sixteen_bits_are_scaled_not_cut():
    rows = b"".join(b"\0" + struct.pack(">2H", 0x8000, 0xFFFF) for _ in range(2))
    image = images.decode_upload(
        png(2, 2, depth=16, colour_type=0, pixels=zlib.compress(rows))
    ).image
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(128,) * 3, (255,) * 3]


def test_cmyk_becomes_the_same_colours():
    assert (
        corners(images.decode_upload(encoded("JPEG", scene(mode="CMYK"), quality=95)).image)[0]
        == "red"
    )


def test_of_an_animation_the_first_picture_counts():
    others = [Image.new("RGB", (64, 48), "black")] * 3
    for format in ("GIF", "WEBP", "PNG"):
        picture = images.decode_upload(
            encoded(format, scene(), save_all=True, append_images=others)
        )
        assert corners(picture.image) == ["red", "lime", "blue", "yellow"]


def swapped_profile() -> bytes:
    """Return an RGB profile with red and green exchanged: easy to see whether it was applied."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for name in (b"rXYZ", b"gXYZ"):
        assert name in profile
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)  # and it is still called sRGB


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_colour_profile_is_applied(format):
    data = encoded(format, Image.new("RGB", (32, 32), (250, 5, 5)), icc_profile=swapped_profile())
    assert nearest_name(images.decode_upload(data).image.getpixel((9, 9))) == "lime"


def test_a_broken_colour_profile_is_ignored():
    data = encoded(
        "JPEG", Image.new("RGB", (32, 32), (250, 5, 5)), icc_profile=swapped_profile()[:300]
    )
    assert nearest_name(images.decode_upload(data).image.getpixel((9, 9))) == "red"


# What is remembered


def test_camera_and_time_are_remembered_and_the_place_is_not():
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Acme", "Pocket 7\x00"
    exif.get_ifd(0x8769).update({0x9003: "2026:05:17 18:30:00", 0x9011: "+02:00"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 0x1D: "2026:05:17"})
    data = encoded("JPEG", exif=exif)
    picture = images.decode_upload(data)
    assert picture.capture == {
        "format": "JPEG",
        "width": 64,
        "height": 48,
        "size_bytes": len(data),
        "camera_make": "Acme",
        "camera_model": "Pocket 7",
        "taken_at": "2026-05-17T18:30:00+02:00",
    }
    assert_ours(picture)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"<b>\0", "<b>"),
        (b"a\x01\x1b[1m\0", "a[1m"),
        (b"\xff\xfe\0", "\ufffd\ufffd"),
        (b"9" * 190, "9" * 100),
    ],
)
def test_what_a_camera_calls_itself_is_kept_short_and_printable(value, kept):
    block = crafted.exif(
        [(0x010F, 2, len(value), struct.pack("<I", 26) if len(value) > 4 else value)], more=value
    )
    picture = images.decode_upload(with_segments(encoded("JPEG"), segment(0xE1, block)))
    assert picture.capture["camera_make"] == kept


@pytest.mark.parametrize(
    "moment", [b"0000:00:00 00:00:00\0", b"yesterday evening!!\0", b"2026:13:45 99:99:99\0"]
)
def test_a_moment_that_never_was_is_not_remembered(moment):
    block = crafted.exif([(0x0132, 2, len(moment), struct.pack("<I", 26))], more=moment)
    assert (
        "taken_at"
        not in images.decode_upload(with_segments(encoded("JPEG"), segment(0xE1, block))).capture
    )


# What is refused


def test_only_the_formats_of_the_setting_are_accepted(settings):
    settings.UPLOAD_FORMATS = ["jpeg"]
    images.decode_upload(encoded("JPEG"))
    for format in ("PNG", "WEBP", "BMP", "GIF", "HEIF"):
        with pytest.raises(
            InvalidPicture, match="which is not accepted. Accepted formats: JPEG, up to 20 MB"
        ):
            images.decode_upload(encoded(format))


def test_a_caller_may_accept_less(settings):
    with pytest.raises(InvalidPicture, match="Accepted formats: PNG,"):
        images.decode_upload(encoded("JPEG"), accepted=["PNG"])


def test_a_file_of_the_longest_length_is_accepted_and_one_byte_more_is_not(settings):
    data = encoded("JPEG")
    settings.UPLOAD_MAX_BYTES = len(data)
    images.decode_upload(data)
    with pytest.raises(InvalidPicture, match="The file is too large"):
        images.decode_upload(data + b"\0")


def test_as_many_pixels_as_the_setting_says_are_accepted_and_no_more(settings):
    settings.UPLOAD_MAX_PIXELS = 64 * 48
    images.decode_upload(png(64, 48))
    with pytest.raises(InvalidPicture, match="65 x 48 pixels"):
        images.decode_upload(png(65, 48))


def test_a_bomb_within_a_larger_setting_is_refused_by_pillows_own_limit(settings):
    settings.UPLOAD_MAX_PIXELS = 10**12
    with pytest.raises(InvalidPicture, match="too many pixels"):
        images.decode_upload(crafted.with_jpeg_size(encoded("JPEG"), 60_000, 60_000))


def test_no_memory_is_told_as_such(monkeypatch):
    def out_of_memory(*args):
        raise MemoryError

    monkeypatch.setattr(images.colours, "to_srgb", out_of_memory)
    with pytest.raises(Unavailable, match="no memory"):
        images.decode_upload(encoded("JPEG"))


def test_a_mistake_of_ours_is_refused_but_logged(monkeypatch, caplog):
    monkeypatch.setattr(images, "_encode", lambda *args, **kw: {}["mistake"])
    with pytest.raises(InvalidPicture):
        images.decode_upload(encoded("PNG"))
    assert "KeyError: 'mistake'" in caplog.text


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_large_pictures_are_decoded_one_after_the_other(monkeypatch, format):
    monkeypatch.setattr(images, "LARGE_PIXELS", 100)
    monkeypatch.setattr(images, "_MAX_WAIT_SECONDS", 0.01)
    to_srgb, inside, go_on = images.colours.to_srgb, threading.Event(), threading.Event()

    def slowly(*args, **kwargs):
        inside.set()
        go_on.wait(5)
        return to_srgb(*args, **kwargs)

    monkeypatch.setattr(images.colours, "to_srgb", slowly)
    first = threading.Thread(target=images.decode_upload, args=[encoded(format)])
    first.start()
    inside.wait(5)
    with pytest.raises(Unavailable, match="large pictures"):
        images.decode_upload(encoded(format))
    go_on.set()
    first.join()
    images.decode_upload(encoded(format))


def test_truncated_pictures_are_never_loaded():
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(strategies.data())
def test_any_bytes_are_a_picture_or_refused(data):
    format = data.draw(strategies.sampled_from(sorted(corpus.FORMATS)))
    original = encoded(format)
    start = data.draw(strategies.integers(0, len(original)))
    end = data.draw(strategies.integers(start, min(len(original), start + 16)))
    changed = original[:start] + data.draw(strategies.binary(max_size=16)) + original[end:]
    try:
        assert_ours(images.decode_upload(changed))
    except InvalidPicture as refused:
        assert str(refused)


DEAREST_OF_THEIR_KIND = (
    *("JPEG, many scans", "PNG, RGBA of 16 bits, interlaced"),
    *("WebP, animated", "PNG of many chunks", "GIF after a comment of tiny blocks"),
)


@pytest.mark.outer
def test_the_dearest_pictures_are_taken_in_within_the_bounds_that_make_them_affordable():
    # What they cost depends on the machine: `python -m bench.run dearest` compares all of them with
    # a plain picture of their size. Here stands what keeps it bounded, for one of each kind.
    command = [sys.executable, "-m", "common.tests.dearest", *DEAREST_OF_THEIR_KIND]
    done = subprocess.run(command, capture_output=True, check=True, cwd=settings_of_django.BASE_DIR)
    for line in done.stdout.splitlines():
        cost = json.loads(line)
        assert cost["answer"].startswith("("), cost
        most = settings_of_django.UPLOAD_MAX_PIXELS * images.MAX_SCANS / 1e6
        assert 0 < cost["megapixels"] <= most, cost


# Our own bytes


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_stored_picture_tells_its_media_type(format):
    picture = images.decode_upload(encoded(format))
    assert images.stored_media_type(picture.data) == picture.media_type == f"image/{format.lower()}"


def test_a_thumbnail_is_small_and_keeps_the_proportions():
    picture = images.decode_upload(encoded("JPEG", scene(640, 480)))
    with Image.open(io.BytesIO(images.make_thumbnail(picture.data, 128))) as small:
        assert (small.format, small.size) == ("JPEG", (128, 96))


def test_a_thumbnail_of_a_small_or_a_narrow_picture(settings):
    for size, expected in (((64, 48), (64, 48)), ((65_500, 1), (128, 1))):
        picture = images.decode_upload(png(*size))
        with Image.open(io.BytesIO(images.make_thumbnail(picture.data, 128))) as small:
            assert small.size == expected


@pytest.mark.parametrize(
    "read",
    [images.decode_stored, partial(images.make_thumbnail, side=16)],
    ids=["load", "thumbnail"],
)
@pytest.mark.parametrize(
    "damage", ["cut off", "short header", "short pixels", "larger than any we take"]
)
def test_stored_bytes_that_were_damaged_are_told(read, damage):
    before, pixels = encoded("PNG").split(b"IDAT", 1)
    damaged = {
        "cut off": encoded("JPEG")[:200],
        "short header": before.replace(b"\x0dIHDR", b"\x02IHDR") + b"IDAT" + pixels,
        "short pixels": before[:-4] + struct.pack(">I", 10) + b"IDAT" + pixels,
        "larger than any we take": png(60_000, 60_000, pixels=b""),
    }[damage]
    with pytest.raises(OSError, match="."):
        read(damaged)
