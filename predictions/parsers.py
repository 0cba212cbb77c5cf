"""How the API reads a request's body: with a limit, never trusting what it says of itself."""

from typing import IO, Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.base import ContentFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser

from common import json_bodies
from common.media.upload_handlers import read_body, read_to_the_end


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
