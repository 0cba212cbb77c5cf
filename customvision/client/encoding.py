"""Pictures as the service takes them: JPEG of an accepted size and shape, the same bytes for the
same picture.

Documented limits: 4 MB for a prediction and 6 MB for training, no side above 10,240 px, none 25
times the other. HEIC and WebP are not taken at all; what reaches this module is pixels, so nothing
of that matters to a caller.
"""

import io

from PIL import Image

# The service looks at a few hundred pixels; this keeps the best quality far below 4 MB
MAX_SIDE = 2048
STEEPEST_ASPECT = 24
QUALITIES = (92, 80, 60)
MAX_BYTES = 4_000_000


def encode_picture(image: Image.Image) -> bytes:
    """Return a picture as a JPEG of at most `MAX_BYTES`.

    One that is too long and narrow gets a black border along its long sides, so that nothing of it
    is cut off.
    """
    image = _within_sides(_widened(image.convert("RGB")))
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(
            buffer, "JPEG", quality=quality, subsampling=0 if quality == QUALITIES[0] else -1
        )
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()


def _within_sides(image: Image.Image) -> Image.Image:
    if max(image.size) <= MAX_SIDE:
        return image
    scale = MAX_SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)


def _widened(image: Image.Image) -> Image.Image:
    width, height = image.size
    least = -(-max(width, height) // STEEPEST_ASPECT)
    if min(width, height) >= least:
        return image
    whole = Image.new("RGB", (max(width, least), max(height, least)))
    whole.paste(image, ((whole.width - width) // 2, (whole.height - height) // 2))
    return whole
