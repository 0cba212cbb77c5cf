"""In which form the API answers."""

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class JsonFirstNegotiation(DefaultContentNegotiation):
    """REST framework's own, with a short way for clients that take anything, as most do."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        # Without a query, too: `?format=` asks for a form as well.
        sent = request.META
        if (
            sent.get("HTTP_ACCEPT", "*/*") == "*/*"
            and not sent.get("QUERY_STRING")
            and not format_suffix
        ):
            first = next(iter(renderers))
            return first, first.media_type
        return super().select_renderer(request, renderers, format_suffix)
