"""Multilabel projects: several tags for an image, and a probability of its own for each."""

import io

import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image, ImageDraw

from common import jobs, tasks
from customvision.api.tests.factories import Caller, make_caller, make_tagged
from predictions.models import Category, Prediction, Project, Sample
from predictions.tests.factories import make_picture_bytes
from review import decisions, ground_truth
from training.data import dataset_diff, datasets
from training.models import DatasetVersion, Evaluation, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
SHADES = {"dark": range(0, 50, 4), "light": range(205, 255, 4), "dark,light": range(115, 140, 2)}


@pytest.fixture
def caller():
    tasks.autodiscover()
    return make_caller()


def make_several(caller: Caller) -> tuple[str, dict[str, str]]:
    """Make a Multilabel project with two tags; return its path and the tags' ids."""
    made = caller.training("POST", "projects?name=Several&classificationType=Multilabel").json()
    Project.objects.update(trainer="dummy")
    path = f"projects/{made['id']}"
    return path, {
        name: caller.training("POST", f"{path}/tags?name={name}").json()["id"]
        for name in ("dark", "light")
    }


def add(caller: Caller, path: str, data: bytes, *tags: str) -> dict:
    return caller.training("POST", f"{path}/images?tagIds={','.join(tags)}", data).json()["images"][
        0
    ]


def grey(shade: int) -> bytes:
    return make_picture_bytes((shade, shade, shade), format="PNG")


def train(caller: Caller, path: str) -> dict:
    """Ask for an iteration, have it made, and publish it as `live`."""
    asked = caller.training("POST", f"{path}/train").json()
    jobs.run_due_jobs("training")
    found = caller.training("GET", f"{path}/iterations/{asked['id']}").json()
    assert found["status"] == "Completed", TrainingRun.objects.get().error
    assert caller.training(
        "POST", f"{path}/iterations/{found['id']}/publish?publishName=live&predictionId=x"
    ).json()
    return found


def classify(caller: Caller, path: str, data: bytes) -> dict[str, float]:
    """Return what the published iteration says, in its order."""
    answer = caller.prediction(
        "POST", f"{path.removeprefix('projects/')}/classify/iterations/live/image", data
    )
    return {one["tagName"]: one["probability"] for one in answer.json()["predictions"]}


def tags_of(image: dict) -> set[str]:
    return {one["tagName"] for one in image.get("tags", [])}


@pytest.fixture
def learned(caller):
    """A trained and published project of dark and light pictures, and grey ones tagged as both."""
    path, tags = make_several(caller)
    for names, shades in SHADES.items():
        for shade in shades:
            assert (
                add(caller, path, grey(shade), *(tags[name] for name in names.split(",")))["status"]
                == "OK"
            )
    return path, tags, train(caller, path)


def test_a_project_without_a_type_is_multilabel_as_with_the_service(caller):
    made = caller.training("POST", "projects?name=One").json()
    assert made["settings"]["classificationType"] == "Multilabel"
    made = caller.training("POST", "projects?name=Two&classificationType=multiclass").json()
    assert made["settings"]["classificationType"] == "Multiclass"


def test_an_image_has_several_tags(caller):
    path, tags = make_several(caller)
    image = add(caller, path, grey(9), *tags.values())["image"]
    assert tags_of(image) == {"dark", "light"}
    for tag in tags.values():
        assert (
            caller.training("GET", f"{path}/images/tagged?tagIds={tag}").json()[0]["id"]
            == image["id"]
        )
        assert caller.training("GET", f"{path}/tags/{tag}").json()["imageCount"] == 1
    assert caller.training("GET", f"{path}/images/tagged/count").json() == 1


def test_a_second_tag_comes_beside_the_first(caller):
    path, tags = make_several(caller)
    image = add(caller, path, grey(9), tags["dark"])["image"]
    again = add(caller, path, grey(9), tags["light"])
    assert (again["status"], tags_of(again["image"])) == ("OKDuplicate", {"dark", "light"})
    pairs = [{"imageId": image["id"], "tagId": tag} for tag in tags.values()]
    summary = caller.training("POST", f"{path}/images/tags", {"tags": pairs}).json()
    assert [len(summary[name]) for name in ("created", "duplicated", "exceeded")] == [0, 2, 0]


def test_in_a_multiclass_project_a_second_tag_is_still_refused(caller):
    project, tags = make_tagged(caller, pictures=1)
    assert (
        add(caller, f"projects/{project.uuid}", grey(99), *tags.values())["status"]
        == "ErrorTagLimitExceed"
    )


def test_taking_one_tag_away_leaves_the_other(caller):
    path, tags = make_several(caller)
    image = add(caller, path, grey(9), *tags.values())["image"]
    taken = f"{path}/images/tags?imageIds={image['id']}&tagIds="
    caller.training("DELETE", taken + tags["dark"])
    assert tags_of(caller.training("GET", f"{path}/images/tagged").json()[0]) == {"light"}
    caller.training("DELETE", taken + tags["light"])
    assert caller.training("GET", f"{path}/images/untagged/count").json() == 1


def test_a_deleted_tag_leaves_the_others_of_its_images(caller):
    path, tags = make_several(caller)
    add(caller, path, grey(9), *tags.values())
    assert caller.training("DELETE", f"{path}/tags/{tags['dark']}").status_code == 204
    assert tags_of(caller.training("GET", f"{path}/images/tagged").json()[0]) == {"light"}


def test_both_tags_are_learned_and_answered(caller, learned):
    path, _tags, iteration = learned
    assert iteration["classificationType"] == "Multilabel"
    both = classify(caller, path, grey(128))
    assert min(both.values()) > 0.5 and sum(both.values()) > 1
    dark = classify(caller, path, grey(1))
    assert list(dark) == ["dark", "light"] and dark["dark"] > 0.5 > dark["light"]


def test_the_performance_counts_every_tag(caller, learned):
    path, tags, iteration = learned
    answer = caller.training(
        "GET", f"{path}/iterations/{iteration['id']}/performance?threshold=0.5"
    ).json()
    assert {one["id"] for one in answer["perTagPerformance"]} == set(tags.values())
    assert (answer["precision"], answer["recall"]) == (1.0, 1.0)
    found = Evaluation.objects.get()
    assert found.is_multilabel and (found.accuracy, found.macro_f1) == (1.0, 1.0)
    assert sum(found.confusion["support"]) > found.confusion["pictures"], "one of them shows both"


def test_an_iteration_keeps_the_tags_it_was_trained_with(caller, learned):
    path, tags, iteration = learned
    both = f"{path}/images/tagged?iterationId={iteration['id']}&tagIds={tags['dark']}&take=256"
    before = [tags_of(one) for one in caller.training("GET", both).json()]
    assert {"dark", "light"} in before and {"light"} not in before
    caller.training("DELETE", f"{path}/tags/{tags['light']}")
    assert [tags_of(one) for one in caller.training("GET", both).json()] == before
    counts = caller.training("GET", f"{path}/tags?iterationId={iteration['id']}").json()
    assert sum(one["imageCount"] for one in counts) == sum(len(s) for s in SHADES.values()) + len(
        SHADES["dark,light"]
    )


def test_another_set_of_tags_is_something_new_to_learn(caller, learned):
    path, tags, _iteration = learned
    assert caller.training("POST", f"{path}/train").json()["code"] == "BadRequestTrainingNotNeeded"
    add(caller, path, grey(0), tags["light"])
    assert caller.training("POST", f"{path}/train").json()["status"] == "Training"
    newest = DatasetVersion.objects.first()
    found = dataset_diff.count_changes(datasets.previous_version(newest), newest)
    assert (found.added, found.removed, found.relabelled, found.moved) == (0, 0, 1, 0)


def test_the_pages_say_that_categories_do_not_exclude_each_other(caller, learned):
    path, _tags, _iteration = learned
    classify(caller, path, grey(128))
    project, client = Project.objects.get(), Client()
    client.force_login(caller.user)
    run = client.get(reverse("training:run", args=[TrainingRun.objects.get().pk])).content.decode()
    assert "All categories right" in run and "Accuracy" not in run
    assert (
        "do not exclude each other"
        in client.get(reverse("training:models", args=[project.slug])).content.decode()
    )
    prediction = Prediction.objects.get()
    assert "do not add up to 100 %" in client.get(prediction.get_absolute_url()).content.decode()


def test_the_pages_count_a_picture_for_each_of_its_categories_and_once_in_all(caller, learned):
    client, one_kind, both = Client(), len(SHADES["dark"]), len(SHADES["dark,light"])
    client.force_login(caller.user)
    page = client.get(
        reverse("training:categories", args=[Project.objects.get().slug])
    ).content.decode()
    assert page.count(f"{one_kind + both} pictures") == 2
    dataset = client.get(reverse("training:dataset", args=[DatasetVersion.objects.get().pk]))
    assert sum(dataset.context["totals"]) == 2 * one_kind + both
    assert sum(map(sum, (splits for _name, splits in dataset.context["rows"]))) == 2 * (
        one_kind + both
    )


def test_a_reviewer_is_told_what_a_decision_does_to_the_tags(caller):
    path, tags = make_several(caller)
    add(caller, path, grey(9), *tags.values())
    client, sample = Client(), Sample.objects.get()
    client.force_login(caller.user)
    page = client.get(reverse("review:sample", args=[sample.uuid])).content.decode()
    assert "a decision here names one" in page and "Labelled: dark, light" in page


def test_a_reviewers_decision_names_one_category_and_takes_the_place_of_the_tags(caller):
    path, tags = make_several(caller)
    add(caller, path, grey(9), *tags.values())
    sample, light = Sample.objects.get(), Category.objects.get(name="light")
    project = sample.project
    assert ground_truth.samples_showing(light).get() == sample and list(
        ground_truth.additional_categories(project)
    ) == [sample.pk]
    decisions.label_sample(sample, light, by=caller.user)
    assert ground_truth.additional_categories(project) == {}
    assert tags_of(caller.training("GET", f"{path}/images/tagged").json()[0]) == {"light"}


def test_the_type_changes_only_while_nothing_is_tagged(caller):
    path, tags = make_several(caller)
    wanted = {"settings": {"classificationType": "Multiclass"}}
    image = add(caller, path, grey(9), *tags.values())["image"]
    refused = caller.training("PATCH", path, wanted)
    assert (refused.status_code, refused.json()["code"]) == (400, "BadRequest")
    assert "no tagged image" in refused.json()["message"]
    caller.training("DELETE", f"{path}/images?imageIds={image['id']}")
    assert (
        caller.training("PATCH", path, wanted).json()["settings"]["classificationType"]
        == "Multiclass"
    )
    unknown = caller.training("PATCH", path, {"settings": {"classificationType": "Both"}})
    assert unknown.json()["code"] == "BadRequestProjectUnknownClassification"


def test_what_was_trained_keeps_its_type(caller, learned):
    path, _tags, _iteration = learned
    caller.training("DELETE", f"{path}/images?allImages=true")
    assert (
        caller.training(
            "PATCH", path, {"settings": {"classificationType": "Multiclass"}}
        ).status_code
        == 400
    )


PAINTS = {"red": (200, 40, 40), "blue": (40, 60, 200)}
SHAPES = ("round", "square")


def painted(colour: str, shape: str, number: int) -> bytes:
    """Return a disc or a square of one colour, somewhere on a grey ground."""
    side, shift = 60 + 7 * (number % 8), 5 * (number % 7)
    image = Image.new("RGB", (160, 160), (150 + number, 150 + number, 150))
    box = (10 + shift, 50 - shift, 10 + shift + side, 50 - shift + side)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if shape == "round" else draw.rectangle)(box, fill=PAINTS[colour])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.outer
def test_the_local_trainer_finds_colour_and_shape(caller, settings):
    path, _tags = make_several(caller)
    Project.objects.update(trainer="keras")
    tags = {
        name: caller.training("POST", f"{path}/tags?name={name}").json()["id"]
        for name in (*PAINTS, *SHAPES)
    }
    for colour in PAINTS:
        for shape in SHAPES:
            for number in range(24):
                assert (
                    add(caller, path, painted(colour, shape, number), tags[colour], tags[shape])[
                        "status"
                    ]
                    == "OK"
                )
    iteration = train(caller, path)
    for colour in PAINTS:
        for shape in SHAPES:
            scores = classify(caller, path, painted(colour, shape, 31))
            assert {name for name, value in scores.items() if value >= 0.5} == {colour, shape}, (
                scores
            )
    version = TrainingRun.objects.get().model_version
    assert (
        version.manifest["activation"] == "sigmoid" and version.manifest["engine"]["accuracy"] > 0.9
    )
    answer = caller.training("GET", f"{path}/iterations/{iteration['id']}/performance").json()
    assert answer["averagePrecision"] > 0.9
