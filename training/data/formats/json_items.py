"""Reads large JSON piece by piece: the elements of a list, or of the lists in one object.

Nothing larger than one element is in memory, however long the file is.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from django.utils.translation import gettext as _

from common.errors import InvalidInput

MAX_ELEMENT = 4_000_000  # characters
MAX_ELEMENTS = 5_000_000
_CHUNK_BYTES = 256 * 1024
_SPACE = re.compile(r"[ \t\r\n]*+")
_decoder = json.JSONDecoder()


class _NeedsMore(Exception):
    """The buffer ends before the value does."""


def elements(title: str, file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield each element of a JSON list with "", or of each list in an object with its member.

    Members that hold no list are passed over.

    Raises:
        InvalidInput: it is no such JSON, or one element is larger than any should be.
    """
    try:
        yield from _Reader(file).read()
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnicodeDecodeError):
            reason: object = _("it is no text in UTF-8")
        else:
            reason = error if isinstance(error, _Refused) else _("it is no JSON of this kind")
        sentence = _("%(name)s cannot be read: %(reason)s.")
        raise InvalidInput(sentence % {"name": title, "reason": reason}) from error


class _Refused(ValueError):
    """This could be JSON, but is more than anybody needs."""


class _Reader:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._place, self._ended = "", 0, False
        self._count = 0

    def read(self) -> Iterator[tuple[str, Any]]:
        match self._next():
            case "[":
                yield from self._list("")
            case "{":
                yield from self._object()
            case _:
                raise ValueError

    def _object(self) -> Iterator[tuple[str, Any]]:
        self._place += 1
        if self._next() == "}":
            return
        while True:
            name = self._value()
            if not isinstance(name, str):
                raise ValueError
            self._expect(":")
            if self._next() == "[":
                yield from self._list(name)
            else:
                self._value()
            if self._next() == "}":
                return
            self._expect(",")

    def _list(self, name: str) -> Iterator[tuple[str, Any]]:
        self._place += 1
        if self._next() == "]":
            self._place += 1
            return
        while True:
            self._count += 1
            if self._count > MAX_ELEMENTS:
                raise _Refused(_("it has too many entries"))
            yield name, self._value()
            if self._next() == "]":
                self._place += 1
                return
            self._expect(",")

    def _expect(self, letter: str) -> None:
        if self._next() != letter:
            raise ValueError
        self._place += 1

    def _next(self) -> str:
        """Return the next character that is no space, without going past it."""
        while True:
            match = _SPACE.match(self._text, self._place)
            self._place = match.end() if match else self._place
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._fill():
                raise ValueError

    def _value(self) -> Any:
        self._next()
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError:
                # It may be whole once more is there; a value that is wrong is found at the limit
                if not self._fill():
                    raise
                continue
            # A number may go on in the next piece
            if end == len(self._text) and self._fill():
                continue
            self._place = end
            return value

    def _fill(self) -> bool:
        """Read on; say whether there was more."""
        if len(self._text) - self._place > MAX_ELEMENT:
            raise _Refused(_("one of its entries is too long"))
        if self._ended:
            return False
        # As much again as is waiting, so that a long element is not parsed too often
        wanted = max(_CHUNK_BYTES, len(self._text) - self._place)
        data = self._file.read(wanted)
        self._ended = not data
        added = self._decode.decode(data, final=self._ended)
        self._text = self._text[self._place :] + added
        self._place = 0
        return not self._ended
