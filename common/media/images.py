"""The one way in for pictures: from hostile bytes to an upright RGB picture of our own making.

A JPEG that needs no change keeps its coefficients (`jpeg`); every other picture is encoded anew.

What keeps the cost of a hostile file bounded is known before anything is decoded: its length, its
pixels and its scans, and a decoder sees nothing but pixels (`formats`). So no clock is needed
that would have to stop a C library in a thread: the dearest pictures that are accepted are measured
against a plain one of their size (`python -m bench.run dearest`).
"""

import hashlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from PIL import Image, WebPImagePlugin  # noqa: F401 (registers WebP, or Pillow would load every plugin it has)

from common.errors import InvalidInput, Unavailable
from common.media import colours, formats, jpeg
from common.turns import Turns

logger = logging.getLogger(__name__)

# Ours is the stricter limit; where it is set beyond Pillow's, what is above Pillow's is refused
# rather than warned of. Once for the process: `catch_warnings` is not made for threads.
warnings.simplefilter("error", Image.DecompressionBombWarning)

MAX_SCANS = 100
MAX_SIDE = 65_500  # of what we store: JPEG knows no more
LARGE_PIXELS = 16_000_000  # from here on a process decodes one picture at a time
LOSSLESS_PIXELS = 1_000_000
QUALITY = 90

_IN_PILLOW = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "GIF": "GIF",
    "WEBP": "WEBP",
    "BMP": "BMP",
    "HEIC": "HEIF",
}
_OTHER_NAMES = {"JPG": "JPEG", "HEIF": "HEIC"}
_LOSSLESS = {"PNG", "GIF", "BMP"}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_USUAL_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    jpeg.MalformedFile,
)
_TOO_MANY_PIXELS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# A large picture takes hundreds of megabytes while it is decoded, so a process decodes them one
# after the other.
_one_large_at_a_time = Turns()
_MAX_WAIT_SECONDS = 30


class InvalidPicture(InvalidInput):
    """These bytes are no picture that we accept; the message says why, and what is accepted."""

    code = "invalid_picture"


@dataclass(frozen=True)
class Picture:
    """A picture that was checked.

    `image` is upright RGB, or a smaller decoding of the picture where the caller asked for no more;
    `data` is what is stored, of type `media_type`, free of metadata; `sha256` is of that, so the
    same picture with other metadata has the same; `received_sha256` is of the bytes as they came;
    `capture` holds camera, time and size, read before the metadata was dropped;
    `full_size` is that of `data` where `image` is smaller.
    """

    image: Image.Image
    data: bytes
    media_type: str
    sha256: str
    capture: Mapping[str, Any] = field(default_factory=dict)
    full_size: tuple[int, int] | None = None
    received_sha256: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is stored, in pixels."""
        return self.full_size or self.image.size

    def without_pixels(self) -> "Picture":
        """Return the same picture for those who only keep it: it takes little room meanwhile."""
        return replace(self, image=Image.new("RGB", (1, 1)), full_size=self.size)


def decode_upload(
    data: bytes,
    *,
    accepted: Sequence[str] | None = None,
    most_bytes: int | None = None,
    least_side: int | None = None,
    sender: object = None,
) -> Picture:
    """Make a picture of bytes that anybody may have sent.

    Args:
        data: the file, whatever it was called.
        accepted: the formats that are, `UPLOAD_FORMATS` unless given.
        most_bytes: how long it may be, `UPLOAD_MAX_BYTES` unless given.
        least_side: `image` needs no more pixels than this on its shorter side, so that a JPEG may
            be scaled down while it is decoded, by 2, 4 or 8; every pixel unless given. What is
            stored does not depend on it.
        sender: who sent it: large pictures of others do not wait until all of theirs are decoded.

    Raises:
        InvalidPicture: with a sentence that says what is wrong and what is accepted.
        Unavailable: there is no memory for it now.
    """
    accepted = _names(settings.UPLOAD_FORMATS if accepted is None else accepted)
    if not data:
        raise invalid_picture(_("The file is empty."), accepted)
    if len(data) > (most_bytes or settings.UPLOAD_MAX_BYTES):
        raise file_too_large(accepted)
    format = formats.detect_format(data)
    if not format:
        raise invalid_picture(_("This file is not a readable picture."), accepted)
    if format not in accepted:
        raise invalid_picture(
            _("This is a %(format)s picture, which is not accepted.") % {"format": format}, accepted
        )
    with _refusing_what_cannot_be_read(accepted):
        kept = _kept_as_coded(data, accepted, least_side, sender) if format == "JPEG" else None
        return kept or _encoded_anew(data, format, accepted, sender)


def _kept_as_coded(
    data: bytes, accepted: Sequence[str], least_side: int | None, sender: object
) -> Picture | None:
    """Return a JPEG with its coefficients as they are, or None if it has to be encoded anew."""
    stripped = jpeg.strip_metadata(data)
    if stripped is None or (stripped.profile and not colours.is_srgb(stripped.profile)):
        return None
    facts = formats.read_exif(stripped.exif)
    if facts.orientation in _UPRIGHT:
        return None
    feed = jpeg.TrailingDataReader(stripped.data)
    # The format is named: Pillow would try every decoder that it has.
    image: Image.Image = Image.open(feed, formats=["JPEG"])
    full_size = image.size
    _check_size(full_size, accepted)
    if least_side:
        image.draft(image.mode, (least_side, least_side))
    with _room_for(image, sender):
        image.load()
        image.info.clear()  # no profile is left to apply: it was sRGB, or there was none
        image = colours.to_srgb(image)
    # The decoder was content with less than the file has: what is left over may be anything.
    if not feed.was_needed:
        return None
    capture = _capture(data, "JPEG", full_size, facts)
    return Picture(
        image,
        stripped.data,
        "image/jpeg",
        _digest(stripped.data),
        capture,
        full_size,
        received_sha256=_digest(data),
    )


def _encoded_anew(data: bytes, format: str, accepted: Sequence[str], sender: object) -> Picture:
    container = formats.split_container(data, format)
    if container.scans > MAX_SCANS:
        raise invalid_picture(_("The picture is stored in too many scans."), accepted)
    _check_size(container.claimed, accepted)
    if format == "HEIC":
        _register_heic()
    image: Image.Image = Image.open(io.BytesIO(container.pixels), formats=[_IN_PILLOW[format]])
    _check_size(image.size, accepted)
    with _room_for(image, sender):
        image.load()
        # Free what a decoder keeps for the next picture of an animation: with WebP that is thrice
        # the picture.
        vars(image).update(fp=None, _decoder=None)
        # Again: a GIF whose frame is larger than its screen grows while it is loaded.
        _check_size(image.size, accepted)
        exif = container.exif or image.info.get("exif")
        facts = formats.read_exif(exif if isinstance(exif, bytes) else b"")
        image = colours.to_srgb(image, container.profile)
        image.info.clear()
        # HEIC is turned by its decoder. As in browsers, and so in the preview of whoever sends it,
        # WebP is not turned by EXIF, and nothing by a rotation that only XMP tells of.
        if format not in ("HEIC", "WEBP") and facts.orientation in _UPRIGHT:
            image = image.transpose(_UPRIGHT[facts.orientation])
        encoded, media_type = _encode(image, lossless=format in _LOSSLESS)
    return Picture(
        image,
        encoded,
        media_type,
        _digest(encoded),
        _capture(data, format, image.size, facts),
        received_sha256=_digest(data),
    )


def decode_stored(data: bytes, *, least_side: int | None = None) -> Image.Image:
    """Return a stored picture of ours as RGB, scaled as `decode_upload` does by `least_side`.

    Raises:
        OSError: the bytes were damaged since.
    """
    with _stored(data) as image:
        if least_side:
            image.draft(image.mode, (least_side, least_side))
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")


def stored_media_type(data: bytes) -> str:
    """Return the media type of a stored picture of ours."""
    return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"


def make_thumbnail(data: bytes, side: int) -> bytes:
    """Return a stored picture of ours as a JPEG with no side longer than `side`, never enlarged.

    Raises:
        OSError: the bytes were damaged since.
    """
    with _stored(data) as image:
        image.thumbnail((side, side))
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def invalid_picture(reason: str, accepted: Sequence[str] | None = None) -> InvalidPicture:
    """Return the refusal to raise: the reason, a translated sentence, and what is accepted."""
    limits = _(
        "Accepted formats: %(formats)s, up to %(megabytes)s MB and %(megapixels)s megapixels."
    ) % {
        "formats": ", ".join(accepted or _names(settings.UPLOAD_FORMATS)),
        "megabytes": f"{settings.UPLOAD_MAX_BYTES / 1e6:g}",
        "megapixels": f"{settings.UPLOAD_MAX_PIXELS / 1e6:g}",
    }
    return InvalidPicture(f"{reason} {limits}")


def file_too_large(accepted: Sequence[str] | None = None) -> InvalidPicture:
    return invalid_picture(_("The file is too large."), accepted)


def _names(formats: Sequence[str]) -> tuple[str, ...]:
    return tuple(_OTHER_NAMES.get(name.strip().upper(), name.strip().upper()) for name in formats)


@contextmanager
def _stored(data: bytes) -> Iterator[Image.Image]:
    """Open a stored picture of ours; whatever a decoder makes of damage is an OSError."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            yield image
    except OSError:
        raise
    except (*_USUAL_ERRORS, *_TOO_MANY_PIXELS) as error:
        raise OSError(f"The stored picture is damaged: {error}") from error


@contextmanager
def _refusing_what_cannot_be_read(accepted: Sequence[str]) -> Iterator[None]:
    """Turn whatever a decoder makes of hostile bytes into a refusal; log what is unusual."""
    try:
        yield
    except (InvalidPicture, Unavailable):
        raise
    except MemoryError as error:
        logger.exception("No memory for a picture")
        raise Unavailable(
            _("The server has no memory left for this picture. Try again in a minute.")
        ) from error
    except _TOO_MANY_PIXELS as error:
        raise invalid_picture(_("The picture has too many pixels."), accepted) from error
    except formats.UnsupportedCoding as error:
        raise _unsupported_coding(accepted) from error
    except Exception as error:
        # Pillow has no class of its own for it
        if isinstance(error, OSError) and str(error).startswith("Unsupported BMP"):
            raise _unsupported_coding(accepted) from error
        if not isinstance(error, _USUAL_ERRORS):
            logger.warning("A picture was refused for an unusual reason", exc_info=True)
        raise invalid_picture(_("The picture is damaged or incomplete."), accepted) from error


def _unsupported_coding(accepted: Sequence[str]) -> InvalidPicture:
    sentence = _(
        "The picture is stored in a rare way that cannot be read here. Save it again, for example "
        "as JPEG or PNG."
    )
    return invalid_picture(sentence, accepted)


@cache
def _register_heic() -> None:
    # When the first one comes: the library is large, and many never send one.
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def _check_size(size: tuple[int, int], accepted: Sequence[str]) -> None:
    width, height = size
    if width * height > settings.UPLOAD_MAX_PIXELS or max(size) > MAX_SIDE:
        reason = _("The picture has %(width)s x %(height)s pixels, which is too many.")
        raise invalid_picture(reason % {"width": width, "height": height}, accepted)
    if min(size) < 1:
        raise invalid_picture(_("The picture is damaged or incomplete."), accepted)


@contextmanager
def _room_for(image: Image.Image, sender: object) -> Iterator[None]:
    if image.width * image.height <= LARGE_PIXELS:
        yield
        return
    if not _one_large_at_a_time.take(sender, timeout=_MAX_WAIT_SECONDS):
        raise Unavailable(
            _("Many large pictures are being read. Try again in a minute, or send a smaller one."),
            retry_after_seconds=60,
        )
    try:
        yield
    finally:
        _one_large_at_a_time.give_back()


def _encode(image: Image.Image, *, lossless: bool) -> tuple[bytes, str]:
    """Return our own encoding of a picture and its media type."""
    buffer = io.BytesIO()
    # Drawings stay sharp as PNG; of a large picture it would be several times as long as JPEG.
    if lossless and image.width * image.height <= LOSSLESS_PIXELS:
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), "image/png"
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue(), "image/jpeg"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _capture(
    data: bytes, format: str, size: tuple[int, int], facts: formats.ExifFacts
) -> dict[str, str | int]:
    told = {
        "camera_make": facts.camera_make,
        "camera_model": facts.camera_model,
        "taken_at": facts.taken_at,
    }
    # Format and bytes are of the file as received: what is stored may be encoded anew.
    measured: dict[str, str | int] = {
        "format": format,
        "width": size[0],
        "height": size[1],
        "size_bytes": len(data),
    }
    return measured | {name: value for name, value in told.items() if value}
