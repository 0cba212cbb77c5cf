"""The type of a request that has passed django-htmx's middleware."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class HtmxRequest(HttpRequest):
    """A request with `htmx`: true when a part of a page is asked for, not a whole one."""

    htmx: HtmxDetails
