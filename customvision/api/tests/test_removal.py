"""What carries a label or a decision outlives the thing that it came from."""

import pytest
from django.urls import reverse

from accounts.tests.factories import make_reviewer
from common import jobs, tasks
from customvision.api import image_upload
from customvision.api.tests.factories import make_caller, make_published, make_tagged
from customvision.models import ImportedImage, ImportedPrediction, StoredPrediction, TrainingImage
from customvision.tests.factories import make_imported
from predictions import feedback
from predictions.models import Feedback, Prediction, Sample
from predictions.tests.factories import (
    make_feedback,
    make_picture_bytes,
    make_prediction,
    make_user,
)
from review import decisions, leases

pytestmark = pytest.mark.django_db


@pytest.fixture
def caller():
    return make_caller()


@pytest.fixture
def site(caller):
    """A project with a published iteration; what `classify` gives is stored."""
    return make_published(caller)


def classify(caller, project, *, pictures=1):
    path = f"{project.uuid}/classify/iterations/live%20one/image"
    return [
        caller.prediction("POST", path, make_picture_bytes()).json()["id"]
        for _number in range(pictures)
    ]


def images_of(caller, project):
    return {
        one["id"]
        for one in caller.training("GET", f"projects/{project.uuid}/images?take=256").json()
    }


def make_images(caller, project, ids, **entry):
    body = {"images": [{"id": one} | entry for one in ids]}
    answer = caller.training("POST", f"projects/{project.uuid}/images/predictions", body)
    return [one["status"] for one in answer.json()["images"]]


def delete(caller, project, ids):
    answer = caller.training("DELETE", f"projects/{project.uuid}/predictions?ids={','.join(ids)}")
    assert answer.status_code == 204
    tasks.autodiscover()
    jobs.run_due_jobs()


def is_whole(sample):
    sample.refresh_from_db()
    return sample.has_picture and sample.storage.exists(sample.file_name)


@pytest.mark.parametrize("is_tagged", [True, False])
def test_images_made_from_predictions_outlive_them(caller, site, is_tagged):
    project, tags, _iteration = site
    ids = classify(caller, project, pictures=5)
    entry = {"tagIds": [tags["dark"]]} if is_tagged else {}
    assert make_images(caller, project, ids, **entry) == ["OK"] * 5
    before = images_of(caller, project)
    assert len(before) == 15
    delete(caller, project, ids)
    assert images_of(caller, project) == before
    assert not StoredPrediction.objects.exists()
    assert all(is_whole(sample) for sample in project.samples.all())


def test_what_nothing_was_made_of_goes_with_its_prediction(caller, site):
    ids = classify(caller, site[0])
    sample = Prediction.objects.get(uuid=ids[0]).sample
    delete(caller, site[0], ids)
    assert not Sample.objects.filter(pk=sample.pk).exists()
    assert not sample.storage.exists(sample.file_name)


def test_a_reviewers_decision_keeps_its_picture_and_what_was_on_the_screen(caller, site):
    project, *_rest = site
    (id_,) = classify(caller, project)
    prediction = Prediction.objects.get(uuid=id_)
    decision = decisions.confirm_prediction(
        prediction.sample, by=make_reviewer(), prediction=prediction
    )
    delete(caller, project, [id_])
    decision.refresh_from_db()
    assert decision.prediction == prediction and is_whole(prediction.sample)
    assert not StoredPrediction.objects.exists()


HOLDS = ("decision", "undone decision", "lease", "imported image", "imported prediction")


@pytest.mark.parametrize("what", HOLDS)
def test_whatever_holds_a_picture_outlives_its_prediction(caller, site, what):
    project, *_rest = site
    (id_,) = classify(caller, project)
    sample = Prediction.objects.get(uuid=id_).sample
    imported = make_imported(project)
    match what:
        case "decision":
            decisions.discard_sample(sample, by=make_reviewer())
        case "undone decision":
            reviewer = make_reviewer()
            decisions.discard_sample(sample, by=reviewer)
            decisions.reopen(sample, by=reviewer)
        case "lease":
            leases.acquire(sample, make_reviewer())
        case "imported image":
            ImportedImage.objects.create(imported=imported, remote_id=sample.uuid, sample=sample)
        case _:
            ImportedPrediction.objects.create(
                imported=imported,
                remote_id=sample.uuid,
                sample=sample,
                scores={},
                predicted_at=sample.created_at,
            )
    delete(caller, project, [id_])
    assert is_whole(sample)
    assert not Prediction.objects.filter(uuid=id_).exists()


def test_one_that_a_user_answered_stays_and_is_only_not_stored(caller, site):
    (id_,) = classify(caller, site[0])
    prediction = Prediction.objects.get(uuid=id_)
    feedback.give_feedback(prediction, Feedback.Verdict.NOK, by=prediction.user, category="pizza")
    delete(caller, site[0], [id_])
    assert Feedback.objects.filter(prediction__uuid=id_).exists() and is_whole(prediction.sample)


def test_what_users_said_it_is_outlives_the_tag(caller):
    project, tags = make_tagged(caller, pictures=0)
    category = project.categories.get(name="dark")
    nok = make_feedback(make_prediction(project=project), category=category)
    assert (
        caller.training("DELETE", f"projects/{project.uuid}/tags/{tags['dark']}").status_code == 204
    )
    nok.refresh_from_db()
    assert not project.categories.filter(name="dark").exists()
    assert (nok.category, nok.suggestion) == (None, "dark")


def test_images_outlive_the_iteration_that_learned_them(caller, site):
    project, _tags, iteration = site
    before = images_of(caller, project)
    path = f"projects/{project.uuid}/iterations/{iteration}"
    assert caller.training("DELETE", f"{path}/publish").status_code == 204
    assert caller.training("DELETE", path).status_code == 204
    assert images_of(caller, project) == before
    assert all(is_whole(sample) for sample in project.samples.all())


def test_a_user_whose_verdicts_wait_cannot_be_deleted_even_by_a_superuser(client):
    nok = make_feedback()
    client.force_login(make_user(is_superuser=True, is_staff=True))
    answer = client.post(reverse("admin:accounts_user_delete", args=[nok.user_id]), {"post": "yes"})
    assert answer.status_code == 403
    many = {"action": "delete_selected", "_selected_action": [nok.user_id], "post": "yes"}
    client.post(reverse("admin:accounts_user_changelist"), many)
    assert Feedback.objects.get() == nok and is_whole(nok.prediction.sample)


def test_a_picture_that_goes_while_it_is_made_an_image_is_told(caller, site, monkeypatch):
    project, *_rest = site
    look = image_upload.sample_of_prediction

    def let_go_after_the_look(call, prediction_id):
        sample = look(call, prediction_id)
        Sample.objects.filter(pk=sample.pk).update(location=Sample.Location.NOWHERE, file_name="")
        return sample

    monkeypatch.setattr(image_upload, "sample_of_prediction", let_go_after_the_look)
    before = TrainingImage.objects.count()
    assert make_images(caller, project, classify(caller, project)) == ["ErrorStorage"]
    assert TrainingImage.objects.count() == before


def test_a_prediction_that_is_not_there_makes_no_image(caller, site):
    assert make_images(caller, site[0], ["00000000-0000-0000-0000-000000000000"]) == ["ErrorSource"]
