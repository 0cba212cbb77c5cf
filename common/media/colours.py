"""Brings any kind of pixels to RGB as the eye sees them: depth, palette, transparency, colour
profile.
"""

import io
import logging

import numpy as np
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)

_SRGB_NAMES = (b"sRGB", "sRGB".encode("utf-16-be"))
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_srgb(image: Image.Image) -> Image.Image:
    """Return the picture in RGB: transparent parts on white, the colour profile applied if it can
    be used.
    """
    profile = image.info.get("icc_profile")
    flat = _flat(image)
    if profile and not is_srgb(profile):
        flat = _with_profile(flat, profile)
    return flat if flat.mode == "RGB" else flat.convert("RGB")


def is_srgb(profile: bytes) -> bool:
    """Tell whether a colour profile says of itself that it is sRGB, so that nothing has to be
    done.
    """
    return any(name in profile for name in _SRGB_NAMES)


def _flat(image: Image.Image) -> Image.Image:
    """Return the picture in L, RGB or CMYK."""
    if image.mode.startswith("I"):
        # Pillow would cut 16 bits off at 255, that is: white
        values = np.asarray(image)
        return Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        return _on_white(image)
    wanted = {"1": "L", "L": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    return image if image.mode == wanted else image.convert(wanted)


def _on_white(image: Image.Image) -> Image.Image:
    seen = image if image.mode == "RGBA" else image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(seen, mask=seen)
    return paper


def _with_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the colours that the profile means, as sRGB; the picture as it is where the profile
    makes no sense.

    Nothing is shared between calls: Little CMS makes no promise about one profile in two threads.
    """
    try:
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
