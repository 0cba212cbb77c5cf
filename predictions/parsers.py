"""How the API reads a request's body: with a limit, never trusting what it says of itself."""

from email.message import Message
from typing import IO, Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.base import ContentFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser

from common import json_bodies
from common.errors import InvalidInput
from common.media import texts
from common.media.upload_handlers import read_body, read_to_the_end
from predictions.modalities.base import WrongKind


class PictureParser(BaseParser):
    """A picture as the whole body, of any `image/...` type: what it really is, its bytes say."""

    media_type = "image/*"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> DataAndFiles:
        file = ContentFile(read_body(stream), name="")
        return DataAndFiles(QueryDict(), MultiValueDict({"file": [file]}))


class OctetStreamParser(PictureParser):
    media_type = "application/octet-stream"


class PlainTextParser(BaseParser):
    """A text as the whole body, in UTF-8; whether it is one, its bytes say."""

    media_type = "text/plain"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> DataAndFiles:
        charset = _charset(media_type or "")
        if charset.strip('"').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise WrongKind(
                _("A text is taken in UTF-8 only, not in %(charset)s.") % {"charset": charset}
            )
        return _as_file(read_body(stream))


class JsonTextParser(BaseParser):
    """A text as `{"text": ...}`; further members are none of ours."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> DataAndFiles:
        # Six bytes a letter where all are escaped, twice that beyond U+FFFF
        most_bytes = 2 * texts.longest_upload() + json_bodies.MAX_BYTES
        body = stream.read(most_bytes + 1)
        try:
            value = json_bodies.loads(body, most_bytes=most_bytes)
        except json_bodies.TooMuchJson as error:
            read_to_the_end(stream)
            raise RequestDataTooBig from error
        except json_bodies.NotJson as error:
            raise ParseError(_("This is not valid JSON.")) from error
        text = value.get("text") if isinstance(value, dict) else None
        if not isinstance(text, str):
            sentence = _("Send an object with the member “text”, which is a string.")
            raise InvalidInput(sentence, fields={"text": [sentence]})
        # A surrogate without its other half is no character; the door refuses what is left of it
        return _as_file(text.encode("utf-8", "surrogatepass"))


def _charset(media_type: str) -> str:
    header = Message()
    header["content-type"] = media_type
    return str(header.get_param("charset", "utf-8"))


def _as_file(data: bytes) -> DataAndFiles:
    return DataAndFiles(QueryDict(), MultiValueDict({"file": [ContentFile(data, name="")]}))


class LimitedJSONParser(JSONParser):
    """JSON of a few kilobytes and a sensible depth: no operation needs more."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        # One byte more than is allowed tells that there is more, whatever Content-Length says.
        body = stream.read(json_bodies.MAX_BYTES + 1)
        try:
            return json_bodies.loads(body)
        except json_bodies.TooMuchJson as error:
            read_to_the_end(stream)
            raise RequestDataTooBig from error
        except json_bodies.NotJson as error:
            raise ParseError(_("This is not valid JSON.")) from error
