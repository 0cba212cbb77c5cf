"""The catalogues: every sentence in every language, with its placeholders, and on the pages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import polib
import pytest
from babel.messages.frontend import CompileCatalog
from django.conf import settings
from django.urls import reverse
from django.utils import translation

from accounts.tests.factories import make_maintainer
from common import jobs, tasks
from predictions import batches
from predictions.tests.factories import make_live_model, make_upload
from training.tests.factories import make_run, make_trainable

BASE = Path(settings.BASE_DIR)
LANGUAGES = ["fr", "ja"]
FORMS = {"fr": 2, "ja": 1}
# %(name)s and %(part).2g of Python, {name} of our scripts, and the markup of a sentence
PLACEHOLDER = re.compile(r"%\(\w+\)[^a-zA-Z]*[a-zA-Z]|(?<!%)\{\w+\}|%%|</?[a-z]+(?: [^>]*)?>")


def catalogue(language: str) -> polib.POFile:
    return polib.pofile(str(BASE / "locale" / language / "LC_MESSAGES" / "django.po"))


def key(entry: polib.POEntry) -> tuple[str, str, str]:
    return entry.msgctxt or "", entry.msgid, entry.msgid_plural or ""


def translations(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def placeholders(sentence: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(sentence))


def rooms() -> list[str]:
    """Return the folders of our own applications."""
    return sorted(
        {
            app.split(".")[0]
            for app in settings.INSTALLED_APPS
            if (BASE / app.split(".")[0]).is_dir()
        }
    )


@pytest.fixture
def _compiled(tmp_path: Path, settings) -> None:
    """Read the catalogues as they are now, whatever was compiled before."""
    shutil.copytree(BASE / "locale", tmp_path / "locale", ignore=shutil.ignore_patterns("*.mo"))
    command = CompileCatalog()
    command.directory, command.domain = str(tmp_path / "locale"), "django"
    command.finalize_options()
    command.run()
    settings.LOCALE_PATHS = [tmp_path / "locale"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated_and_none_is_guessed(language):
    entries = catalogue(language)
    assert [entry.msgid for entry in entries if not all(translations(entry))] == []
    assert [entry.msgid for entry in entries if entry.fuzzy or entry.obsolete] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_plurals_have_as_many_forms_as_the_language(language):
    plural = [entry for entry in catalogue(language) if entry.msgid_plural]
    assert plural
    assert [entry.msgid for entry in plural if len(entry.msgstr_plural) != FORMS[language]] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_and_markup_survive_translation(language):
    differing = [
        (entry.msgid, sentence)
        for entry in catalogue(language)
        for sentence in translations(entry)
        if placeholders(sentence) != placeholders(entry.msgid_plural or entry.msgid)
    ]
    assert differing == []


def test_the_languages_have_the_same_sentences():
    assert {key(entry) for entry in catalogue("fr")} == {key(entry) for entry in catalogue("ja")}


def test_every_language_of_the_settings_but_english_has_a_catalogue():
    assert {code for code, _name in settings.LANGUAGES} == {"en", *LANGUAGES}


@pytest.mark.usefixtures("_compiled")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "log_in", "start"),
    [("fr", "Se connecter", "Nouveau projet"), ("ja", "ログイン", "新しいプロジェクト")],
)
def test_the_log_in_and_the_start_page_speak_the_browsers_language(client, language, log_in, start):
    header = f"{language},en;q=0.3"
    page = client.get(reverse("account_login"), HTTP_ACCEPT_LANGUAGE=header).content.decode()
    assert f'<html lang="{language}"' in page
    assert log_in in page

    client.force_login(make_maintainer())
    page = client.get(reverse("home"), HTTP_ACCEPT_LANGUAGE=header).content.decode()
    assert f'<html lang="{language}"' in page
    assert start in page


@pytest.mark.usefixtures("_compiled")
@pytest.mark.django_db
def test_a_language_that_is_not_spoken_here_gets_english(client):
    page = client.get(reverse("account_login"), HTTP_ACCEPT_LANGUAGE="sv").content.decode()
    assert '<html lang="en"' in page
    assert "Log in" in page


@pytest.fixture
def _tasks() -> None:
    tasks.autodiscover()


@pytest.mark.usefixtures("_tasks")
@pytest.mark.django_db
def test_a_training_run_is_told_in_the_language_of_who_asked_for_it():
    with translation.override("ja"):
        make_run(make_trainable())
    heard = []
    with patch(
        "training.runs.execution.execute_run",
        side_effect=lambda *_: heard.append(translation.get_language()),
    ):
        jobs.run_due_jobs("training")
    assert heard == ["ja"]
    assert translation.get_language() == "en"


@pytest.mark.usefixtures("_tasks")
@pytest.mark.django_db
def test_a_batch_of_pictures_is_answered_in_the_language_of_who_sent_it():
    with translation.override("fr"):
        batches.create_batch(make_live_model().project, [make_upload()], by=make_maintainer())
    heard = []

    def answer(batch, chunk):
        heard.append(translation.get_language())
        batch.items.update(error="heard")

    with patch("predictions.batches._answer", side_effect=answer):
        jobs.run_due_jobs()
    assert heard == ["fr"]


@pytest.mark.usefixtures("_tasks")
@pytest.mark.django_db
def test_work_that_nobody_asked_for_speaks_the_servers_language(settings):
    settings.LANGUAGE_CODE = "fr"
    heard = []
    with translation.override("ja"):
        jobs.insert("predictions.answer_in_shadow", {"project": 0}, queue="shadow")
        with patch(
            "predictions.models.Shadow.objects.filter",
            side_effect=lambda **_: heard.append(translation.get_language()),
        ):
            jobs.run_due_jobs("shadow")
    assert heard == ["fr"]


@pytest.mark.outer
def test_no_sentence_of_the_source_is_missing_from_the_catalogues(tmp_path):
    assert shutil.which("xgettext"), "Install gettext to extract the sentences."
    for folder in [*rooms(), "templates"]:
        shutil.copytree(
            BASE / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "tests")
        )
    (tmp_path / "locale").mkdir()
    command = [
        sys.executable,
        "-m",
        "django",
        "makemessages",
        "--locale",
        "fr",
        "--keep-pot",
        "--no-location",
    ]
    environment = {
        name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"
    }
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)  # noqa: S603
    wanted = {key(entry) for entry in polib.pofile(str(tmp_path / "locale" / "django.pot"))}
    assert len(wanted) > 500
    for language in LANGUAGES:
        known = {key(entry) for entry in catalogue(language)}
        assert sorted(wanted - known) == [], language
        assert sorted(known - wanted) == [], f"{language}: no longer used"
