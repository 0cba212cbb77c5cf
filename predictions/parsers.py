"""How the API reads a request's body: always with a limit, never trusting what it says of itself."""

import json
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.base import ContentFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser

from classifr.common.media.upload_handlers import read_limited


class PictureParser(BaseParser):
    """A picture as the whole body, of any `image/...` type: what it really is, its bytes say."""

    media_type = "image/*"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> DataAndFiles:
        file = ContentFile(read_limited(stream), name="")
        return DataAndFiles(QueryDict(), MultiValueDict({"file": [file]}))


class BytesParser(PictureParser):
    media_type = "application/octet-stream"


class LimitedJSONParser(JSONParser):
    """JSON of a sensible size and depth."""

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ParseError(_("This is not valid JSON.")) from error
