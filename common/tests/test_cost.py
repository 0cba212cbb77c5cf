"""What a picture will cost to decode is known before it is decoded."""

import pytest

from common.media import cost, images
from common.tests import corpus, crafted
from common.tests.crafted import (
    bmp,
    chunk,
    encoded,
    gif_of_size,
    png,
    scene,
    segment,
    with_segments,
)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "HEIF"])
def test_every_format_tells_its_pixels(format):
    assert cost.megapixels(encoded(format, scene(640, 480))) == pytest.approx(0.3072)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"exif": crafted.orientation(6)}, {"save_all": True}]
)
def test_every_kind_of_webp_does(options):
    assert cost.megapixels(encoded("WEBP", scene(640, 480), **options)) == pytest.approx(0.3072)


@pytest.mark.parametrize(
    "data",
    [
        png(7_000, 7_000),
        gif_of_size(7_000, 7_000),
        bmp(7_000, -7_000),
        crafted.with_jpeg_size(encoded("JPEG"), 7_000, 7_000),
    ],
)
def test_what_a_header_claims_counts(data):
    assert cost.megapixels(data) == pytest.approx(49)


@pytest.mark.parametrize("count", [10, 11, 99])
def test_each_scan_goes_over_all_pixels(count):
    data = crafted.with_scans(encoded("JPEG", scene(640, 480), progressive=True), count)
    assert cost.megapixels(data) == pytest.approx(0.3072 * count)


@pytest.mark.parametrize("between", [b"\xff" * 9, b"\xff\xd0", b"\xff\x01"])
def test_a_jpeg_put_together_in_an_unusual_way_costs_no_less(between):
    data = crafted.with_scans(encoded("JPEG", scene(640, 480), progressive=True), 50)
    assert cost.megapixels(data[:2] + between + data[2:]) >= 0.3072 * 50
    assert cost.megapixels(data[:20] + between + data[20:]) >= 0.3072 * 50
    assert cost.megapixels(data.replace(b"\xff\xc2", between + b"\xff\xc2", 1)) >= 0.3072 * 50


def test_a_png_whose_header_comes_late_costs_no_less():
    data = png(700, 700)
    assert cost.megapixels(data[:8] + chunk(b"teSt", bytes(8)) + data[8:]) == pytest.approx(0.49)


def test_a_gif_whose_frame_is_larger_than_its_screen_costs_what_is_decoded():
    data = bytearray(encoded("GIF", scene(640, 480)))
    data[6:10] = bytes([1, 0, 1, 0])
    assert images.decode_upload(bytes(data)).size == (640, 480)
    assert cost.megapixels(bytes(data)) == pytest.approx(0.3072)
    start = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    commented = bytes(data[:start]) + b"!\xfe" + b"\x01x" * 1_000 + b"\0" + bytes(data[start:])
    assert cost.megapixels(commented) >= 0.3072


def test_what_is_refused_before_it_is_decoded_costs_nothing():
    assert cost.megapixels(png(8_000, 8_000)) == 0
    assert cost.megapixels(crafted.with_scans(encoded("JPEG", progressive=True), 101)) == 0


def test_a_thumbnail_within_is_no_scan_of_the_picture():
    inner = encoded("JPEG", scene(160, 120))
    data = with_segments(encoded("JPEG", scene(640, 480)), segment(0xE1, b"Exif\0\0" + inner))
    assert cost.megapixels(data) == pytest.approx(0.3072)


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"\xff\xd8\xff", b"\xff\xd8\xff\xda\xff\xda\xff"]
)
def test_what_is_no_picture_costs_nothing(data):
    assert cost.megapixels(data) == 0


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "HEIF"])
def test_a_file_that_is_cut_off_breaks_nothing(format):
    data = encoded(format)
    for length in range(60):
        cost.megapixels(data[:length])


def test_nothing_in_the_hostile_corpus_is_decoded_for_less():
    cheaper = []
    for case in corpus.cases():
        try:
            width, height = images.decode_upload(case.data, least_side=1).size
        except images.InvalidPicture:
            continue
        if cost.megapixels(case.data) * 1e6 < width * height * 0.999:
            cheaper.append(str(case))
    assert cheaper == []
