"""The page that Prometheus reads."""

import ipaddress
import os
from hmac import compare_digest

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from classifr.metrics.database_figures import DatabaseFigures


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with all metrics, to whoever has the token or comes from an allowed network."""
    if not settings.METRICS:
        raise Http404
    if not (_has_token(request) or _comes_from_allowed_network(request)):
        raise PermissionDenied
    figures = CollectorRegistry()
    figures.register(DatabaseFigures())
    counters = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counters = CollectorRegistry()
        MultiProcessCollector(counters)
    text = generate_latest(counters) + generate_latest(figures)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    wanted = f"Bearer {settings.METRICS_TOKEN}".encode()
    given = request.headers.get("Authorization", "").encode()
    return bool(settings.METRICS_TOKEN) and compare_digest(given, wanted)


def _comes_from_allowed_network(request: HttpRequest) -> bool:
    if not settings.METRICS_NETWORKS:
        return False
    try:  # the address that rate limits count, which no client can make up behind our proxy
        address = ipaddress.ip_address(get_adapter().get_client_ip(request))
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(one) for one in settings.METRICS_NETWORKS)
