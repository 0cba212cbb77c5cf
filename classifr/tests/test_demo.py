"""The demo: made once, harmless when made again."""

import csv
import json
import stat
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts import roles
from accounts.models import User
from classifr import demo
from predictions import registry
from predictions.models import Project, Sample
from predictions.predictors.text import encoders
from predictions.tests.factories import make_project, make_sample
from review import ground_truth
from review.tests.factories import make_reviewer
from training import backbones
from training.backbones import lite0
from training.backbones.base import Backbone
from training.features.cache import FeatureCache
from training.trainers.local import head

pytestmark = pytest.mark.django_db

SAMPLES_PER_DISH = 20


@pytest.fixture
def small_demo(monkeypatch, tmp_path, settings) -> None:
    """A few samples with made-up vectors, learned by the dummy trainer."""
    numbers = range(SAMPLES_PER_DISH * len(demo.DISHES))
    np.savez(
        tmp_path / "features.npz",
        sha256=np.array([f"{number:064x}" for number in numbers]),
        category=np.array([demo.DISHES[number % len(demo.DISHES)] for number in numbers]),
        features=np.zeros((len(numbers), 4), np.float32),
    )
    monkeypatch.setattr(demo, "VECTORS", tmp_path / "features.npz")
    monkeypatch.setattr(demo, "BACKBONE", "")
    monkeypatch.setattr(demo, "_keep_vectors", lambda digests, vectors: None)
    monkeypatch.delenv(demo.PASSWORD_VARIABLE, raising=False)
    settings.DEFAULT_TRAINER = settings.DEFAULT_TEXT_TRAINER = "dummy"
    settings.DATA_DIR = tmp_path


def passwords() -> dict[str, str]:
    return json.loads(demo.passwords_file().read_text())


def test_the_users_have_their_roles_and_can_log_in(small_demo):
    demo.make_users()
    for username, role in demo.ROLES.items():
        user = User.objects.get(username=username)
        assert roles.role_of(user) == role
        assert user.check_password(passwords()[username])
        assert passwords()[username] in demo.format_users()
    assert len(set(passwords().values())) == len(demo.ROLES)


def test_only_the_owner_can_read_the_passwords(small_demo):
    demo.make_users()
    assert stat.S_IMODE(demo.passwords_file().stat().st_mode) == 0o600


def test_made_again_the_users_keep_their_passwords(small_demo):
    demo.make_users()
    before = passwords()
    demo.make_users()
    assert passwords() == before


def test_a_password_that_was_changed_is_not_shown(small_demo):
    demo.make_users()
    user = User.objects.get(username="demo")
    user.set_password("something else entirely")
    user.save()
    assert passwords()["demo"] not in demo.format_users()
    assert "(changed)" in demo.format_users()


def test_one_password_from_the_environment_holds_for_all(small_demo, monkeypatch):
    demo.make_users()
    monkeypatch.setenv(demo.PASSWORD_VARIABLE, "trattoria al ponte")
    demo.make_users()
    assert all(
        user.check_password("trattoria al ponte")
        for user in User.objects.filter(username__in=demo.ROLES)
    )


def test_a_long_password_keeps_its_distance_from_the_next_column(small_demo, monkeypatch):
    monkeypatch.setenv(demo.PASSWORD_VARIABLE, "trattoria al ponte vecchio")
    demo.make_users()
    assert f"trattoria al ponte vecchio  {demo.MAY['demo']}" in demo.format_users()


def test_a_weak_password_is_refused_with_a_reason(small_demo, monkeypatch):
    monkeypatch.setenv(demo.PASSWORD_VARIABLE, "demo")
    with pytest.raises(CommandError, match="CLASSIFR_DEMO_PASSWORD.*10 characters"):
        call_command("demo")


def test_the_samples_are_true_without_a_picture(small_demo):
    project = demo.make_project()
    assert demo.load_demo_samples(project) == SAMPLES_PER_DISH * len(demo.DISHES)
    assert ground_truth.labelled_samples(project).count() == SAMPLES_PER_DISH * len(demo.DISHES)
    assert not Sample.objects.with_picture().exists()


def test_made_again_nothing_is_added_and_a_renamed_category_stays_renamed(small_demo):
    project = demo.make_project()
    demo.load_demo_samples(project)
    project.categories.filter(name="gnocchi").update(name="dumplings")
    assert demo.make_project() == project
    assert demo.load_demo_samples(project) == 0
    assert {category.name for category in project.categories.all()} == {
        "dumplings",
        *demo.DISHES,
    } - {"gnocchi"}


def test_the_command_ends_with_a_live_model_and_keeps_it(small_demo, capsys):
    call_command("demo")
    project = Project.objects.get(slug=demo.SLUG)
    live = registry.live_version(project)
    assert live is not None and set(live.class_names) == set(demo.DISHES)
    assert "maintainer" in capsys.readouterr().out
    call_command("demo")
    assert registry.live_version(project) == live


@pytest.fixture
def seen_by(monkeypatch):
    """Have a backbone of this digest be the one of now."""

    def set_digest(digest: str) -> None:
        backbone = Backbone(demo.BACKBONE, digest, 224, 1704, lambda: None)
        monkeypatch.setitem(backbones.FROZEN, demo.BACKBONE, lambda parameters: backbone)

    set_digest("1" * 32)
    return set_digest


def test_after_an_update_the_samples_are_seen_by_the_backbone_of_now(settings, seen_by):
    project = demo.make_project()
    demo.load_demo_samples(project)
    assert demo.restore_vectors() == 0
    seen_by("2" * 32)
    assert demo.restore_vectors() >= project.samples.count() > 0
    assert demo.restore_vectors() == 0


def test_a_demo_of_an_earlier_version_gets_the_vectors_of_now_when_it_is_made_again(seen_by):
    demo.load_demo_samples(demo.make_project())
    seen_by("2" * 32)
    project = demo.make_project()
    assert demo.load_demo_samples(project) == 0
    samples = list(project.samples.values_list("sha256", flat=True))
    assert FeatureCache("2" * 32).get(samples).keys() == set(samples)


def test_without_its_data_only_the_demo_is_missing(monkeypatch, tmp_path, seen_by):
    project = demo.make_project()
    demo.load_demo_samples(project)
    seen_by("2" * 32)
    monkeypatch.setattr(demo, "VECTORS", tmp_path / "gone.npz")
    assert demo.restore_vectors() == 0
    with pytest.raises(CommandError, match="gone.npz is missing. Everything but the demo works"):
        call_command("demo")


def test_the_vectors_are_of_the_network_of_now():
    with np.load(demo.VECTORS, allow_pickle=False) as stored:
        assert str(stored["network"]) == lite0.network_name(demo.BACKBONE)
        assert stored["features"].shape[1] == lite0.FEATURES


def test_without_the_demo_there_is_nothing_to_restore(db):
    assert demo.restore_vectors() == 0


def test_the_texts_are_labelled_in_three_languages_and_come_once():
    project = demo.make_text_project()
    assert {each.name for each in project.categories.all()} == {"complaint", "praise", "question"}
    assert ground_truth.labelled_samples(project).count() == 135
    assert demo.make_text_project() == project
    assert project.samples.count() == 135


def test_a_model_taught_in_english_answers_in_french_and_japanese():
    """The sentences are translations of each other; a model never sees the one it is asked about
    in any language.
    """
    rows = list(csv.DictReader(demo.TEXTS.open(encoding="utf-8")))
    right: Counter[str] = Counter()
    encoder = encoders.load_encoder("use")
    vectors = encoder.encode([row["text"] for row in rows])
    names = sorted({row["label"] for row in rows})
    labels = np.array([names.index(row["label"]) for row in rows])
    fold = np.array([int(row["number"]) % 5 for row in rows])
    language = np.array([row["language"] for row in rows])
    nothing = np.empty((0, encoder.width), np.float32), np.empty(0, np.int64)
    for held_out in range(5):
        learned = (fold != held_out) & (language == "en")
        fitted = head.fit_head((vectors[learned], labels[learned]), nothing, len(names))
        answers = fitted.head.logits(vectors).argmax(axis=1)
        for each in ("en", "fr", "ja"):
            asked = (fold == held_out) & (language == each)
            right[each] += int((answers[asked] == labels[asked]).sum())
    assert right["en"] >= 36  # of 45
    assert right["fr"] >= 0.85 * right["en"] and right["ja"] >= 0.85 * right["en"]


def test_a_sample_is_shown_as_a_drawing_of_its_dish_that_says_so(small_demo, client):
    project = demo.make_project()
    demo.load_demo_samples(project)
    first, second = project.samples.order_by("-pk")[:2]  # a tiramisu and sushi
    client.force_login(make_reviewer())
    address = reverse("demo_drawing", args=[first.uuid])
    drawing = client.get(address)
    assert drawing["Content-Type"] == "image/svg+xml"
    ElementTree.fromstring(drawing.content)  # noqa: S314 (our own)
    assert drawing.content == client.get(address).content
    assert drawing.content != client.get(reverse("demo_drawing", args=[second.uuid])).content
    page = client.get(reverse("samples", args=[project.slug])).content.decode()
    assert address in page and "Drawing in place of a photo" in page


def test_what_is_no_sample_of_the_demo_is_not_drawn(small_demo, client):
    client.force_login(make_reviewer())
    gone = make_sample(make_project(), location=Sample.Location.NOWHERE)
    assert client.get(reverse("demo_drawing", args=[gone.uuid])).status_code == 404
