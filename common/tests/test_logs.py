import io
import logging

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.test import RequestFactory
from django.utils.log import log_response


@pytest.fixture
def console(monkeypatch):
    """What the server's own handler writes."""
    handler = next(
        each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler
    )
    written = io.StringIO()
    monkeypatch.setattr(handler, "stream", written)
    return written


def answer(error, status):
    """Have Django log an answer as it does for what a view raised."""
    request = RequestFactory().get("/training/")
    try:
        raise error
    except type(error) as raised:
        response = type("Response", (), {"status_code": status})()
        log_response(
            "%s", type(raised).__name__, response=response, request=request, exception=raised
        )


@pytest.mark.parametrize(
    ("error", "status"), [(PermissionDenied("no"), 403), (Http404("none"), 404)]
)
def test_a_refused_request_is_one_line_of_the_log(console, error, status):
    answer(error, status)
    assert console.getvalue().count("\n") == 1
    assert type(error).__name__ in console.getvalue()


def test_an_error_of_ours_keeps_its_traceback(console):
    answer(ZeroDivisionError("ours"), 500)
    assert "Traceback" in console.getvalue()
    assert "ZeroDivisionError: ours" in console.getvalue()


def test_what_is_logged_outside_of_a_request_keeps_its_traceback(console):
    try:
        raise OSError("the disk is gone")
    except OSError:
        logging.getLogger("classifr").exception("A picture could not be stored")
    assert "OSError: the disk is gone" in console.getvalue()
