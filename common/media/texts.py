"""The one way in for texts: from hostile bytes to normalised UTF-8 of our own making.

What is kept is in NFC, with "\n" as the end of line and nothing around it, so the same text is the
same bytes whatever it was typed with. Other ends of line and form feeds, which come with what was
copied from a document, become "\n", and what Windows-1252 meant is understood. A control character
else says that the file is no text, and is refused rather than dropped: a text that is silently
another one than was sent would be worse.
Marks that turn the direction of writing or cannot be seen are part of a text, and kept; pages show
what they are (`visible`).
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.errors import InvalidInput

MEDIA_TYPE = "text/plain"
EXCERPT = 160  # characters that a list shows
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\u2028\u2029]")
_REFUSED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
# U+0080 to U+009F in a text were Windows-1252 before they were taken for Latin-1: they become the
# letters that they meant, as in browsers. Source: HTML Living Standard, section 13.2.5.80
_MEANT = {
    code: meant for code in range(0x80, 0xA0) if (meant := bytes([code]).decode("cp1252", "ignore"))
}
# What turns the direction of writing, or stands for nothing that anybody would see; not the joiners
# and variation selectors, without which words of some scripts and many emojis are others
_UNSEEN = re.compile(
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]"
)


class InvalidText(InvalidInput):
    """These bytes are no text that we accept; the message says why."""

    code = "invalid_text"


@dataclass(frozen=True)
class Text:
    """A text that was checked; see `common.media.content` for the rest."""

    text: str
    data: bytes
    sha256: str
    media_type: str = MEDIA_TYPE
    received_sha256: str = ""
    capture: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)  # it has no pixels


def longest_upload() -> int:
    """Return how many bytes a text of the most characters may have, as it comes."""
    # Four bytes a character in UTF-8, and room for line ends and spaces that are taken off
    return 8 * settings.TEXT_MAX_CHARACTERS + 1024


def decode_upload(data: bytes) -> Text:
    """Make a text of bytes that anybody may have sent.

    Raises:
        InvalidText: with a sentence that says what is wrong.
    """
    if len(data) > longest_upload():
        raise _too_long()
    try:
        received = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidText(
            _("This is no text in UTF-8. Save it as plain text in UTF-8, or paste it.")
        ) from error
    return of_string(received, received_sha256=hashlib.sha256(data).hexdigest())


def of_string(received: str, *, received_sha256: str = "") -> Text:
    """Make a text of a string, as `decode_upload` does of bytes."""
    if len(received) > 2 * longest_upload():
        raise _too_long()
    text = unicodedata.normalize("NFC", _LINE_ENDS.sub("\n", received.translate(_MEANT))).strip()
    if _REFUSED.search(text):
        raise InvalidText(
            _("The text holds control characters, as files of other kinds do. Send plain text.")
        )
    if not _UNSEEN.sub("", text).strip():
        raise InvalidText(_("The text is empty."))
    if len(text) > settings.TEXT_MAX_CHARACTERS:
        raise _too_long()
    data = text.encode()
    return Text(text, data, hashlib.sha256(data).hexdigest(), received_sha256=received_sha256)


def decode_stored(data: bytes) -> str:
    """Return a stored text of ours. Raises OSError: the bytes were damaged since."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise OSError(f"The stored text is damaged: {error}") from error


def visible(text: str) -> str:
    """Return a text as pages show it: what turns or hides is named, as ⟨U+202E⟩."""
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def excerpt(text: str) -> str:
    """Return the beginning of a text on one line, for a list."""
    line = " ".join(visible(text[: 4 * EXCERPT]).split())
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1].rstrip()}…"


def _too_long() -> InvalidText:
    sentence = ngettext(
        "The text is too long: at most %(limit)d character.",
        "The text is too long: at most %(limit)d characters.",
        settings.TEXT_MAX_CHARACTERS,
    )
    return InvalidText(sentence % {"limit": settings.TEXT_MAX_CHARACTERS})
