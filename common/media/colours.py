"""What the numbers of a picture mean as colours, and the same picture as sRGB, which browsers show.

A profile is judged by what it does, not by its name: "DCI-P3 D65 Gamut with sRGB Transfer" is not
sRGB. PNG can tell its colours without a profile (PNG specification, third edition, 4.3 and 13.13
to 13.16): one is made of that, so that one engine does all conversions.
"""

import hashlib
import io
import logging
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)

PNG_CHUNKS = {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"}  # the first that is there counts

_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_LARGEST_DIFFERENCE = 3  # of 255, between two ways to compute the same colour
_MAX_KNOWN = 256

# Chromaticities x and y of white, red, green and blue
_D65 = (0.3127, 0.3290)
SRGB = (_D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
DISPLAY_P3 = (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_BT2020 = (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
# cICP names colours by numbers (ITU-T H.273): those of pictures that are not high dynamic range
_PRIMARIES = {1: SRGB, 9: _BT2020, 12: DISPLAY_P3}
_GAMMA_OF_SRGB = range(45_000, 46_000)  # 1/2.2, times 100,000
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_SRGB_TRANSFERS = {1, 6, 13, 14, 15}  # the curve of BT.709 is shown as that of sRGB by browsers

_PROBE = np.stack(
    np.meshgrid(*[np.linspace(0, 255, 9).round().astype(np.uint8)] * 3, indexing="ij"), axis=-1
).reshape(27, 27, 3)
_known: dict[bytes, bool] = {}


def is_srgb(profile: bytes) -> bool:
    """Tell whether a profile leaves colours as they are: it is sRGB, or makes no sense."""
    key = hashlib.sha256(profile).digest()
    answer = _known.get(key)
    if answer is None:
        answer = _leaves_colours(profile)
        if len(_known) >= _MAX_KNOWN:
            _known.clear()  # cameras have few profiles; who sends others makes them be judged again
        _known[key] = answer
    return answer  # never read back: another thread may have cleared it by now


def _leaves_colours(profile: bytes) -> bool:
    for mode in ("RGB", "L"):
        probe = Image.fromarray(_PROBE).convert(mode)
        before = np.asarray(probe.convert("RGB"), np.int16)
        changed = _apply_profile(probe, profile).convert("RGB")  # in place
        if np.abs(np.asarray(changed, np.int16) - before).max() > _LARGEST_DIFFERENCE:
            return False
    return profile[16:20] != b"CMYK"  # none of the probes is in CMYK


def to_srgb(image: Image.Image, profile: bytes = b"") -> Image.Image:
    """Return the picture in RGB: transparent parts on white, a usable colour profile applied.

    Args:
        profile: used where given; that of the picture itself otherwise.
    """
    profile = profile or image.info.get("icc_profile") or b""
    if image.mode.startswith("I"):
        # Pillow would cut 16 bits off at 255, that is: white.
        values = np.asarray(image)
        grey = (values.clip(0, 65535) >> 8).astype(np.uint8)
        if isinstance(transparent := image.info.get("transparency"), int):
            grey[values == transparent] = 255
        flat = Image.fromarray(grey)
    elif image.has_transparency_data:
        seen = image if image.mode == "RGBA" else image.convert("RGBA")
        # Before it is laid on white, which stays white whatever the profile says
        if profile and not is_srgb(profile):
            colours = _apply_profile(seen.convert("RGB"), profile)
            seen = Image.merge("RGBA", (*colours.convert("RGB").split(), seen.getchannel("A")))
            profile = b""
        flat = Image.new("RGB", image.size, "white")
        flat.paste(seen, mask=seen)
    else:
        wanted = {"1": "L", "L": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
        flat = image if image.mode == wanted else image.convert(wanted)
    if profile and not is_srgb(profile):
        flat = _apply_profile(flat, profile)
    return flat if flat.mode == "RGB" else flat.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the picture in sRGB, or as it is where its profile makes no sense."""
    try:
        # Neither profile is kept for the next call: Little CMS makes no promise about one in two
        # threads.
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODE_OF_SPACE.get(source.profile.xcolor_space.strip())
        if mode == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if mode != image.mode:
            return image
        target = ImageCms.createProfile("sRGB")
        changed = ImageCms.profileToProfile(
            image, source, target, outputMode="RGB", inPlace=mode == "RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        logger.info("A colour profile was ignored: %s", error)
        return image
    return image if changed is None else changed


def png_profile(chunks: Mapping[bytes, bytes]) -> bytes:
    """Return the profile that a PNG's chunks amount to; b"" where Pillow reads it, or none is
    needed.
    """
    try:
        if b"cICP" in chunks:
            primaries, transfer, _matrix, _range = chunks[b"cICP"][:4]
            gamma = _GAMMAS.get(transfer, 0.0)
            if primaries not in _PRIMARIES or not (gamma or transfer in _SRGB_TRANSFERS):
                return b""  # high dynamic range, which would have to be mapped to ours
            return matrix_profile(_PRIMARIES[primaries], gamma)
        if b"iCCP" in chunks or b"sRGB" in chunks or b"gAMA" not in chunks:
            return b""
        (gamma_100000,) = struct.unpack(">I", chunks[b"gAMA"])
        chromaticities = SRGB
        # What encoders write that mean sRGB, and browsers take for it
        if gamma_100000 in _GAMMA_OF_SRGB and b"cHRM" not in chunks:
            return b""
        if b"cHRM" in chunks:
            numbers = [value / 100_000 for value in struct.unpack(">8I", chunks[b"cHRM"])]
            chromaticities = tuple(zip(numbers[::2], numbers[1::2], strict=True))  # type: ignore[assignment]
        return matrix_profile(chromaticities, 100_000 / gamma_100000)
    except (struct.error, ValueError, ZeroDivisionError, np.linalg.LinAlgError):
        return b""


def matrix_profile(chromaticities: Sequence[tuple[float, float]], gamma: float) -> bytes:
    """Return an ICC profile (version 4, ICC.1:2010) of these primaries and this curve.

    Args:
        chromaticities: x and y of white, red, green and blue.
        gamma: the exponent from the stored value to light; 0 for the curve of sRGB.

    Raises:
        LinAlgError, ValueError, ZeroDivisionError: for numbers that no colours have.
    """
    if not 0 <= gamma <= 10:
        raise ValueError("no exponent that a picture has")
    xyz = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in chromaticities])
    white, primaries = xyz[0], xyz[1:].T
    columns = primaries * np.linalg.solve(primaries, white)
    adapted = _to_d50(white) @ columns
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 4:
        raise ValueError("no primaries that a picture has")
    curve = _parametric_curve(gamma)
    tags = [(b"wtpt", _xyz_tag((0.9642, 1.0, 0.8249)))]
    for index, letter in enumerate(b"rgb"):
        tags.append((bytes([letter]) + b"XYZ", _xyz_tag(adapted[:, index])))
        tags.append((bytes([letter]) + b"TRC", curve))
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags:
        table += struct.pack(">4sII", name, offset + len(body), len(content))
        body += content
    size = offset + len(body)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4xI4s4sQI3I4s16s28x",
        *(size, b"    ", 0x04000000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp"),
        *(0, bytes(4), bytes(4), 0, 1, *_fixed((0.9642, 1.0, 0.8249)), bytes(4), bytes(16)),
    )
    return header + struct.pack(">I", len(tags)) + table + body


def _to_d50(white: np.ndarray) -> np.ndarray:
    """Return the Bradford adaptation from a white to that of profiles, shape (3, 3)."""
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    scale = (bradford @ np.array([0.9642, 1.0, 0.8249])) / (bradford @ white)
    adaptation: np.ndarray = np.linalg.inv(bradford) @ np.diag(scale) @ bradford
    return adaptation


def _parametric_curve(gamma: float) -> bytes:
    if gamma:
        return struct.pack(">4s4xHxxI", b"para", 0, *_fixed([gamma]))
    srgb = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return struct.pack(">4s4xHxx5I", b"para", 3, *_fixed(srgb))


def _xyz_tag(values: Sequence[float] | np.ndarray) -> bytes:
    return struct.pack(">4s4x3I", b"XYZ ", *_fixed(values))


def _fixed(values: Sequence[float] | np.ndarray) -> list[int]:
    """Return numbers as the s15Fixed16 of ICC, in the bits of unsigned ones."""
    return [round(float(value) * 65536) & 0xFFFFFFFF for value in values]
