"""A photo that needs no change keeps its coefficients, and nothing else of what came with it."""

import hashlib
import io
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies
from PIL import Image, ImageCms

from common.media import colours, images, jpeg
from common.tests import crafted
from common.tests.crafted import encoded, scene, segment, with_segments

SECRET = b"GPS 48.8584N 2.2945E <script>"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXTRA = {
    "EXIF": segment(0xE1, crafted.exif([], more=SECRET)),
    "XMP": segment(0xE1, crafted.xmp(SECRET.decode())),
    "several pictures": segment(0xE2, b"MPF\0" + SECRET),
    "sRGB": segment(0xE2, b"ICC_PROFILE\0\x01\x01" + SRGB + SECRET),
    "Photoshop": segment(0xED, b"Photoshop 3.0\0" + SECRET),
    "a maker's own": segment(0xEF, SECRET),
    "a comment": segment(0xFE, SECRET),
    "JFIF with a thumbnail": segment(0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\x0a\x01" + SECRET + b"."),
}


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def markers(data: bytes) -> list[int]:
    return [each[1] for each in crafted.jpeg_segments(data)]


def put_in(data: bytes, position: int, extra: bytes) -> bytes:
    return data[:position] + extra + data[position:]


@pytest.mark.parametrize(
    "options", [{}, {"quality": 100, "subsampling": 0}, {"optimize": True}, {"quality": 5}], ids=str
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_no_pixel_changes(mode, options):
    data = encoded("JPEG", scene(mode=mode), **options)
    picture = images.decode_upload(data)
    assert picture.data == jpeg.strip_metadata(data).data
    assert np.array_equal(pixels(picture.data), pixels(data))


def test_what_is_kept_twice_is_the_same():
    once = images.decode_upload(with_segments(encoded("JPEG"), *EXTRA.values())).data
    assert images.decode_upload(once).data == once


@pytest.mark.parametrize("name", EXTRA)
def test_nothing_but_the_picture_is_kept(name):
    data = with_segments(encoded("JPEG"), EXTRA[name])
    picture = images.decode_upload(data)
    assert picture.data == images.decode_upload(encoded("JPEG")).data
    assert picture.sha256 == hashlib.sha256(picture.data).hexdigest()


def test_what_follows_the_end_is_not_kept():
    assert (
        images.decode_upload(encoded("JPEG") + SECRET).data
        == images.decode_upload(encoded("JPEG")).data
    )


def test_tables_that_nothing_uses_are_not_kept():
    unused = segment(0xDB, b"\x03" + SECRET.ljust(64, b".")) + segment(
        0xC4, b"\x13\x1d" + bytes(15) + SECRET
    )
    data = with_segments(encoded("JPEG"), unused)
    assert (
        images.decode_upload(data).data
        == images.decode_upload(encoded("JPEG")).data
        == jpeg.strip_metadata(data).data
    )


def test_bytes_behind_the_last_coefficient_are_not_kept():
    plain = encoded("JPEG")
    data = put_in(plain, len(plain) - 2, SECRET)
    assert SECRET in jpeg.strip_metadata(data).data
    picture = images.decode_upload(data)
    assert SECRET not in picture.data
    assert np.array_equal(np.asarray(picture.image), pixels(plain))


@settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(strategies.data())
def test_a_segment_that_is_put_in_anywhere_is_not_kept(data):
    plain = encoded("JPEG", subsampling=0, quality=97)
    changed = plain
    for _time in range(data.draw(strategies.integers(1, 3))):
        extra = EXTRA[data.draw(strategies.sampled_from(sorted(EXTRA)))]
        changed = put_in(changed, data.draw(strategies.integers(2, len(changed))), extra)
    try:
        stored = images.decode_upload(changed).data
    except images.InvalidPicture:
        return
    assert SECRET not in stored
    assert {
        marker for marker in markers(stored) if marker == 0xFE or 0xE1 <= marker <= 0xEF
    } == set()
    assert stored.endswith(b"\xff\xd9")


@settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(strategies.integers(0, 1 << 20), strategies.binary(min_size=9, max_size=40))
def test_bytes_in_the_middle_of_the_file_never_bring_a_marker_along(place, junk):
    plain = encoded("JPEG")
    changed = put_in(
        plain, 2 + place % (len(plain) - 2), b"\xff\xfe" + struct.pack(">H", len(junk) + 2) + junk
    )
    try:
        stored = images.decode_upload(changed).data
    except images.InvalidPicture:
        return
    assert set(markers(stored)) <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA, 0xD9}


@settings(
    max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(strategies.integers(0, 1 << 20))
def test_a_truncated_file_is_refused_or_encoded_anew(place):
    """As ever: a file without its end may still have all of its picture."""
    plain = encoded("JPEG")
    cut = plain[: place % (len(plain) - 1)]
    assert jpeg.strip_metadata(cut) is None
    try:
        stored = images.decode_upload(cut).data
    except images.InvalidPicture:
        assume(len(cut) < len(plain))
        return
    assert stored.endswith(b"\xff\xd9")


PLAIN = encoded("JPEG")
FRAME_ENDS = PLAIN.index(b"\xff\xc0") + 19
OTHER_PROFILE = colours.matrix_profile(colours.DISPLAY_P3, 0)
UNUSUAL = {
    "progressive": encoded("JPEG", progressive=True),
    "with restarts": encoded("JPEG", restart_marker_rows=1),
    "CMYK": encoded("JPEG", scene(mode="CMYK")),
    "RGB, as Adobe says": with_segments(PLAIN, segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")),
    "another profile": encoded("JPEG", icc_profile=OTHER_PROFILE),
    "fill bytes": put_in(PLAIN, 2, b"\xff" * 8),
    "bytes between segments": put_in(PLAIN, 20, b"junk"),
    "a table that comes twice": with_segments(PLAIN, segment(0xDB, bytes([0, *[1] * 64]))),
    "a table with more bytes than it has": with_segments(
        PLAIN, segment(0xDB, b"\x02" + b"\x01" * 70)
    ),
    "a frame with more bytes than it has": put_in(PLAIN, FRAME_ENDS, b"JUNK").replace(
        b"\xc0\0\x11", b"\xc0\0\x15"
    ),
    "restarts that nothing announced": put_in(PLAIN, len(PLAIN) - 2, b"\xff\xd0"),
    "turned": encoded("JPEG", exif=crafted.orientation(6)),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_is_encoded_anew_or_refused(name):
    try:
        picture = images.decode_upload(UNUSUAL[name])
    except images.InvalidPicture:
        assert "more bytes" in name
        return
    with Image.open(io.BytesIO(picture.data)) as stored:
        assert stored.quantization[0][0] == 3  # the first value of quality 90, which is ours
    assert b"JUNK" not in picture.data and b"junk" not in picture.data


@pytest.mark.parametrize(
    ("least_side", "expected"),
    [(None, (1280, 960)), (481, (1280, 960)), (480, (640, 480)), (1, (160, 120))],
)
def test_a_jpeg_is_scaled_down_while_it_is_decoded_but_not_below_what_is_needed(
    least_side, expected
):
    picture = images.decode_upload(encoded("JPEG", scene(1280, 960)), least_side=least_side)
    assert picture.image.size == expected
    assert picture.size == (picture.capture["width"], picture.capture["height"]) == (1280, 960)
    assert pixels(picture.data).shape == (960, 1280, 3)


def test_a_truncated_picture_is_refused_however_small_it_is_decoded():
    whole = encoded("JPEG", scene(1280, 960))
    for part in (0.3, 0.9):
        cut = whole[: int(len(whole) * part)]
        for data in (cut, cut + b"\xff"):
            with pytest.raises(images.InvalidPicture):
                images.decode_upload(data, least_side=1)
