"""Pictures as the service accepts them: JPEG, the same bytes for the same picture.

Documented limits: 4 MB for a prediction and 6 MB for training, no side above 10,240 px, none 25
times the other. HEIC and WebP are not accepted at all, but what reaches this module is pixels.
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

    One that is too long and narrow gets black borders along its long sides, so that nothing of it
    is cut off.
    """
    image = image.convert("RGB")
    width, height = image.size
    least = -(-max(width, height) // STEEPEST_ASPECT)  # rounded up
    if min(width, height) < least:
        canvas = Image.new("RGB", (max(width, least), max(height, least)))
        canvas.paste(image, ((canvas.width - width) // 2, (canvas.height - height) // 2))
        image = canvas
    if max(image.size) > MAX_SIDE:
        scale = MAX_SIDE / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        # With a gap of 3 Pillow shrinks by whole factors first: far faster, and nearly as good
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(
            buffer, "JPEG", quality=quality, subsampling=0 if quality == QUALITIES[0] else -1
        )
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()
