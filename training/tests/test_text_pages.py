"""The pages on which maintainers bring texts to learn from."""

import io

import pytest
from django.core.management import call_command

from predictions.models import Category, Prediction, Project, Sample
from predictions.tests.factories import make_project, make_user
from review import ground_truth

pytestmark = pytest.mark.django_db
ADDRESS = "/training/mail/categories/"


@pytest.fixture
def project() -> Project:
    return make_project("Mail", slug="mail", modality="text")


@pytest.fixture
def maintainer(client):
    client.force_login(make_user("maintainer"))
    return client


def named(name: str, data: bytes) -> io.BytesIO:
    file = io.BytesIO(data)
    file.name = name
    return file


def test_a_category_comes_with_a_text_on_each_line(maintainer, project):
    maintainer.post(ADDRESS, {"name": "greeting", "lines": "Hello.\nGood <b>morning</b>.\n\x1b"})
    category = Category.objects.get()
    assert ground_truth.samples_showing(category).count() == 2
    shown = maintainer.get(ADDRESS).content.decode()
    assert "2 texts" in shown and "Good &lt;b&gt;morning&lt;/b&gt;." in shown


def test_more_texts_come_from_a_file_and_what_is_refused_is_told(maintainer, project):
    maintainer.post(ADDRESS, {"name": "greeting"})
    category = Category.objects.get()
    address = f"/training/categories/{category.pk}/pictures/"
    file = named("more.csv", b"text\nHello.\nHello.\n\x1b\n")
    shown = maintainer.post(address, {"file": file}).content.decode()
    assert "more.csv:3" in shown and "more.csv:4" in shown
    assert Sample.objects.count() == 1
    assert maintainer.post(address, {}).status_code == 400
    bad = maintainer.post(address, {"file": named("more.csv", b"id\n1\n")})
    assert bad.status_code == 400 and "no column" in bad.content.decode()


def test_a_file_of_labelled_texts_makes_the_categories(maintainer, project):
    file = named("all.csv", b"text,label\nHello.,greeting\nBye.,farewell\nHm,\n")
    shown = maintainer.post(ADDRESS, {"import": "1", "labelled": file}).content.decode()
    assert {each.name for each in Category.objects.all()} == {"greeting", "farewell"}
    assert "all.csv:4" in shown
    refused = maintainer.post(ADDRESS, {"import": "1", "labelled": named("all.csv", b"x")})
    assert refused.status_code == 400


def test_texts_have_no_options_of_pictures_and_no_trainer_of_them(maintainer, project):
    shown = maintainer.get("/training/mail/options/").content.decode()
    assert "test-time augmentation" not in shown.lower()
    assert 'value="text"' in shown and 'value="keras"' not in shown


def test_the_words_that_spoke_for_an_answer_are_marked_and_escaped(client, project, tmp_path):
    for name, words in (("blame", "cold rude dirty slow"), ("praise", "fine kind tasty lovely")):
        lines = [f"The {it} was {word}." for word in words.split() for it in "abcdefgh"]
        file = tmp_path / f"{name}.txt"
        file.write_text("\n".join(lines))
        call_command("add_category", name, "--project", "mail", "--texts", str(file))
    call_command("retrain", "--project", "mail", "--promote")
    client.force_login(make_user())
    client.post("/projects/mail/classify/", {"text": "It <i>was</i> \u202erude."})
    address = f"{Prediction.objects.get().get_absolute_url()}explanation/"
    shown = client.get(address).content.decode()
    assert '<mark class="said said-4">rude</mark>' in shown
    assert "&lt;" in shown and "<i>was" not in shown and "⟨U+202E⟩" in shown
    assert "No single word" not in shown
    refused = client.get(address, {"category": "nothing"})
    assert refused.status_code == 400
