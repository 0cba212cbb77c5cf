import json
import logging
import re

import pytest

from common import jobs, logs
from common.models import Job


def record(message, *arguments, **more):
    made = logging.LogRecord("a.logger", logging.INFO, __file__, 1, message, arguments, None)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def written(record):
    return json.loads(logs.JsonFormatter().format(record))


def test_a_line_of_json_says_what_the_record_says():
    said = written(record("%s\nis here", "Zoë", status_code=404))
    assert (said["message"], said["logger"], said["level"]) == ("Zoë\nis here", "a.logger", "INFO")
    assert said["status"] == 404
    assert "request_id" not in said


def test_one_record_is_one_line_even_with_a_traceback():
    made = record("broke")
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    text = logs.JsonFormatter().format(made)
    assert "\n" not in text
    assert "ValueError" in json.loads(text)["exception"]


def test_lines_bear_the_id_of_their_request():
    with logs.working_for("abc"):
        assert written(record("said"))["request_id"] == "abc"
        assert logs.LineFormatter("%(message)s").format(record("said")) == "said [abc]"
    assert logs.LineFormatter("%(message)s").format(record("said")) == "said"


def test_the_line_on_a_refused_request_bears_its_id(client, caplog):
    client.get("/no/such/page", headers={"X-Request-ID": "abc"})
    (refused,) = [each for each in caplog.records if each.name == "django.request"]
    assert written(refused)["request_id"] == "abc"


def test_an_id_that_a_proxy_gives_is_kept(client):
    assert client.get("/healthz", headers={"X-Request-ID": "a-b.7"})["X-Request-ID"] == "a-b.7"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, 'a"b', "ä", "-a"])
def test_an_id_that_makes_no_sense_is_replaced(client, given):
    found = client.get("/healthz", headers={"X-Request-ID": given})["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", found)


@pytest.mark.django_db
def test_a_job_works_for_the_request_that_asked_for_it(monkeypatch):
    seen = []
    monkeypatch.setitem(
        jobs._runners, "a.kind", lambda job, progress: seen.append(logs.current_request_id())
    )
    with logs.working_for("abc"):
        jobs.insert("a.kind")
    alone = jobs.insert("a.kind")
    jobs.run_due_jobs()
    assert seen == ["abc", f"job-{alone.pk}"]
    assert logs.current_request_id() == ""
    assert Job.objects.filter(status=Job.Status.SUCCEEDED).count() == 2
