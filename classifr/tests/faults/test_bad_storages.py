"""Promise 18: a blob service that hangs or fails keeps nobody waiting, and we say what to do."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from classifr.tests.faults.installation import LONGEST_ANSWER_SECONDS, Installation
from classifr.tests.faults.proxy import Proxy
from classifr.tests.faults.test_killed_processes import connection_string
from predictions.tests.factories import make_picture_bytes

pytestmark = pytest.mark.outer

IN_AZURE = {
    f"{alias}_STORAGE": f"azure:{alias.lower()}" for alias in ("UPLOADS", "MISCLASSIFIED", "MODELS")
}


def in_time(ask: Callable[[], requests.Response]) -> requests.Response:
    started = time.monotonic()
    answer = ask()
    assert time.monotonic() - started < LONGEST_ANSWER_SECONDS, answer.url
    return answer


@pytest.mark.parametrize("trouble", ["hang", "refuse"])
def test_everything_is_answered_in_time(install, azurite, trouble):
    with Proxy(azurite.port) as line:
        installation: Installation = install(
            **IN_AZURE, AZURE_STORAGE_CONNECTION_STRING=connection_string(line.port)
        )
        installation.start_web()
        browser = installation.signed_in()
        before = installation.predict()
        assert before.status_code == 200, before.text
        shown = browser.get(f"{installation.url}/predictions/{before.json()['id']}/").text
        picture = next(
            part
            for part in shown.split('"')
            if part.startswith("/samples/") and "/picture/" in part
        )
        page = f"{installation.url}/projects/dishes/classify/"
        form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        files = [
            ("file", (f"{number}.jpg", make_picture_bytes(), "image/jpeg")) for number in range(20)
        ]
        line.mode = trouble
        with ThreadPoolExecutor() as people:
            predict = people.submit(in_time, installation.predict)
            batch = people.submit(
                in_time,
                lambda: browser.post(
                    page, files=files, data=form, headers={"Referer": page}, timeout=30
                ),
            )
            seen = people.submit(
                in_time,
                lambda: requests.get(
                    installation.url + picture, cookies=browser.cookies, timeout=30
                ),
            )
            ready = people.submit(
                in_time, lambda: requests.get(f"{installation.url}/readyz", timeout=30)
            )
            others = [
                people.submit(
                    in_time,
                    lambda path=path: requests.get(
                        installation.url + path, cookies=browser.cookies, timeout=30
                    ),
                )
                for path in ("/", "/predictions/", "/review/", "/training/", "/healthz")
            ]
        assert predict.result().status_code == 503
        assert "could not be stored" in predict.result().json()["message"]
        assert int(predict.result().headers["Retry-After"]) > 0
        assert batch.result().status_code == 503
        assert "could not be stored" in batch.result().text
        assert seen.result().status_code == 503
        assert "does not answer" in seen.result().text
        assert ready.result().status_code == 503
        assert ready.result().json()["parts"]["storage uploads"] == "cannot be used"
        assert [answer.result().status_code for answer in others] == [200] * len(others)
        said = in_time(lambda: installation.say_nok(before.json()["id"], "pizza"))
        assert said.status_code == 200, "the outbox takes it"
        assert installation.rows("SELECT COUNT(*) FROM predictions_sample") == [(1,)], (
            "nothing of a failed upload is kept"
        )
        line.mode = "pass"
        assert installation.predict().status_code == 200
