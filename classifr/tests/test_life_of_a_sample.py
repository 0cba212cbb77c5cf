"""The life of one sample, as people use it: from a wrong answer to a model that knows better."""

import io
import json
import re

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.test import Client
from PIL import Image

from accounts.models import User
from predictions import registry
from predictions.models import Prediction, Project, Sample
from predictions.tests.factories import make_live_model, make_project, make_user
from review import ground_truth

pytestmark = pytest.mark.django_db

# The dummy model goes by brightness: of K classes in alphabetical order, the first is the darkest.
DISHES = ("gnocchi", "risotto", "tiramisu")
# Of gnocchi, pizza, risotto and tiramisu the second; of the first three between two
PIZZA_BRIGHTNESS = 96


def photo(number: int = 0, brightness: int = PIZZA_BRIGHTNESS) -> io.BytesIO:
    """Return a photo, which no other number has, as a file with a name."""
    image = Image.new("RGB", (80, 60), (brightness,) * 3)
    image.putpixel((number % 80, number // 80), (255, 255, 255))
    file = io.BytesIO()
    image.save(file, "PNG")
    file.name = f"IMG_{number:04}.png"
    file.seek(0)
    return file


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def project(settings) -> Project:
    settings.DEFAULT_TRAINER = "dummy"
    project = make_project("Dishes", slug="dishes")
    make_live_model(project, DISHES)
    return project


def upload(client: Client, project: Project, number: int) -> Prediction:
    response = client.post(f"/projects/{project.slug}/classify/", {"file": photo(number)})
    assert response.status_code == 302
    return Prediction.objects.latest("pk")


def test_a_wrong_answer_becomes_the_next_model(project, tmp_path):
    user, reviewer = signed_in(make_user()), signed_in(make_user("reviewer"))

    # 1, 2  She uploads a pizza, and the model takes it for a dish that it knows.
    first = upload(user, project, 1)
    assert first.top.name in DISHES
    assert first.model_version.number == 1

    # 3  She says so, and the picture is in the blob storage with its prediction.
    response = user.post(
        f"/predictions/{first.uuid}/feedback/", {"verdict": "NOK", "category": "pizza"}
    )
    assert response.status_code == 302
    call_command("worker", "--once", "--queues", "default")
    sample = Sample.objects.get()
    assert sample.location == Sample.Location.MISCLASSIFIED
    beside = re.sub(r"\.\w+$", ".json", sample.file_name)
    with storages["misclassified"].open(beside) as file:
        kept = json.load(file)
    assert "pizza" in json.dumps(kept) and first.top.name in json.dumps(kept)

    # 6  The maintainer adds the category, with photos.
    folder = tmp_path / "pizza"
    folder.mkdir()
    for number in range(100, 152):
        (folder / f"{number}.png").write_bytes(photo(number).read())
    for place, dish in enumerate(DISHES):
        other = tmp_path / "others" / dish
        other.mkdir(parents=True)
        for number in range(20):
            (other / f"{number}.png").write_bytes(photo(number, (32, 160, 224)[place]).read())
    call_command("add_category", "pizza", "--project", "dishes", "--images", str(folder))
    call_command("import_images", str(tmp_path / "others"), "--project", "dishes")

    # 4, 5  The reviewer finds it in the queue, labels it, and it is true from then on. She sees
    # what became of it.
    page = reviewer.get("/review/")
    assert str(sample.uuid) in page.content.decode()
    pizza = project.categories.get(name="pizza")
    reviewer.post(
        f"/review/samples/{sample.uuid}/decide/",
        {"ruling": f"category:{pizza.pk}", "prediction": first.pk},
    )
    assert ground_truth.labelled_samples(project).get(pk=sample.pk).true_category_id == pizza.pk
    assert str(sample.uuid) not in reviewer.get("/review/").content.decode()
    assert "pizza" in user.get(f"/predictions/{first.uuid}/").content.decode()

    # 7, 8  One command trains, measures and promotes.
    call_command("retrain", "--project", "dishes", "--promote")
    live = registry.live_version(project)
    assert live is not None and live.number == 2
    assert live.class_names == ["gnocchi", "pizza", "risotto", "tiramisu"]

    # 9  The next upload is answered by the new model.
    second = upload(user, project, 2)
    assert (second.model_version, second.top.name) == (live, "pizza")


def test_a_right_answer_leaves_nothing_behind(project):
    user = signed_in(make_user())
    prediction = upload(user, project, 1)
    stored = (storages["uploads"], prediction.sample.file_name)
    assert stored[0].exists(stored[1])
    user.post(f"/predictions/{prediction.uuid}/feedback/", {"verdict": "OK"})
    call_command("worker", "--once", "--queues", "default")
    prediction.sample.refresh_from_db()
    assert not prediction.sample.has_picture
    assert not stored[0].exists(stored[1])
    assert not ground_truth.labelled_samples(project).exists(), "a model must not confirm itself"


def test_a_category_without_pictures_is_left_out_of_the_next_model(project, capsys, tmp_path):
    for place, dish in enumerate(DISHES):
        folder = tmp_path / dish
        folder.mkdir()
        for number in range(20):
            (folder / f"{number}.png").write_bytes(photo(number, (32, 160, 224)[place]).read())
    call_command("import_images", str(tmp_path), "--project", "dishes")
    call_command("add_category", "cake", "--project", "dishes")
    call_command("retrain", "--project", "dishes", "--promote")
    live = registry.live_version(project)
    assert live is not None and live.class_names == list(DISHES)
    assert "cake" in capsys.readouterr().out
