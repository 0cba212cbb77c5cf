"""Counts requests and measures how long they take, by the name of the view."""

from collections.abc import Callable
from time import perf_counter

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

Answer = Callable[[HttpRequest], HttpResponse]

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_VIEW = "none"  # an address that does not exist, or a static file

requests = Counter("classifr_requests", "Requests answered.", ["view", "method", "status"])
seconds = Histogram(
    "classifr_request_seconds",
    "From the request to the beginning of its response.",
    ["view"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class RequestMetricsMiddleware:
    """The outermost one, so that it sees what the others refuse; not there with metrics off."""

    def __init__(self, get_response: Answer) -> None:
        if not settings.METRICS:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = perf_counter()
        response = self.get_response(request)
        # Names of views and known methods only: what a client makes up is no label
        match = request.resolver_match
        view = match.view_name or NO_VIEW if match else NO_VIEW
        method = request.method if request.method in METHODS else "other"
        requests.labels(view, method, response.status_code).inc()
        seconds.labels(view).observe(perf_counter() - started)
        return response
