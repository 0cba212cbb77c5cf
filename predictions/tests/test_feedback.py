import pytest

from common.errors import Conflict, InvalidInput, NotFound
from common.models import Job
from predictions import feedback, holds
from predictions.models import Feedback, Sample
from predictions.tests.factories import (
    make_category,
    make_feedback,
    make_prediction,
    make_project,
    make_user,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def settled(monkeypatch):
    """Every sample counts as ruled about."""
    from django.db.models import Exists

    monkeypatch.setattr(holds, "_settling", [lambda: Exists(Sample.objects.all())])


def jobs_of(kind: str) -> list:
    return list(Job.objects.filter(kind=kind))


def test_an_ok_lets_the_picture_go():
    prediction = make_prediction()
    feedback.give_feedback(prediction, "OK", by=prediction.user)
    prediction.sample.refresh_from_db()
    assert not prediction.sample.has_picture


def test_a_nok_keeps_the_picture_and_asks_for_it_to_be_brought_to_safety():
    prediction = make_prediction()
    given = feedback.give_feedback(prediction, "NOK", by=prediction.user)
    prediction.sample.refresh_from_db()
    assert prediction.sample.has_picture
    assert [job.payload for job in jobs_of("predictions.store_misclassified")] == [
        {"feedback": given.pk}
    ]


def test_unsure_keeps_the_picture_where_it_is():
    prediction = make_prediction()
    feedback.give_feedback(prediction, "UNSURE", by=prediction.user)
    prediction.sample.refresh_from_db()
    assert prediction.sample.location == Sample.Location.UPLOADS
    assert not Job.objects.exists()


def test_a_verdict_without_its_job_is_not_kept_either(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("the database went away")

    monkeypatch.setattr("common.jobs.insert", fail)
    prediction = make_prediction()
    with pytest.raises(RuntimeError):
        feedback.give_feedback(prediction, "NOK", by=prediction.user)
    assert not Feedback.objects.exists()


def test_a_known_category_is_found_whatever_its_case():
    prediction = make_prediction()
    pizza = make_category(prediction.project, "pizza")
    assert (
        feedback.give_feedback(prediction, "NOK", by=prediction.user, category=" Pizza ").category
        == pizza
    )


def test_an_unknown_category_is_kept_as_a_suggestion():
    prediction = make_prediction()
    given = feedback.give_feedback(prediction, "NOK", by=prediction.user, category="Tarte  Tatin")
    assert (given.category, given.suggestion) == (None, "Tarte Tatin")


def test_the_category_can_be_told_after_the_nok():
    prediction = make_prediction()
    first = feedback.give_feedback(prediction, "NOK", by=prediction.user)
    second = feedback.give_feedback(prediction, "NOK", by=prediction.user, category="pizza")
    assert first.pk == second.pk
    assert Feedback.objects.get().suggestion == "pizza"
    assert len(jobs_of("predictions.store_misclassified")) == 2


def test_the_same_verdict_again_changes_nothing():
    prediction = make_prediction()
    first = feedback.give_feedback(prediction, "NOK", by=prediction.user, category="pizza")
    assert feedback.give_feedback(prediction, "NOK", by=prediction.user, category="pizza") == first
    assert len(jobs_of("predictions.store_misclassified")) == 1
    again = make_prediction()
    first = feedback.give_feedback(again, "OK", by=again.user)
    # Though the picture is gone by now
    assert feedback.give_feedback(again, "OK", by=again.user) == first


def test_an_ok_with_another_category_is_refused():
    prediction = make_prediction()
    with pytest.raises(InvalidInput) as refusal:
        feedback.give_feedback(prediction, "OK", by=prediction.user, category="pizza")
    assert refusal.value.fields["category"]
    assert not Feedback.objects.exists()


def test_a_nok_that_names_what_the_model_said_is_refused():
    prediction = make_prediction()
    with pytest.raises(InvalidInput, match="what the model predicted"):
        feedback.give_feedback(prediction, "NOK", by=prediction.user, category=prediction.top.name)
    unsure = make_prediction(abstained=True)
    assert (
        feedback.give_feedback(unsure, "NOK", by=unsure.user, category=unsure.top.name).category
        == unsure.top
    )


@pytest.mark.parametrize("verdict", ["", "ok", "MAYBE", "NOK\x00"])
def test_an_unknown_verdict_is_refused(verdict):
    prediction = make_prediction()
    with pytest.raises(InvalidInput):
        feedback.give_feedback(prediction, verdict, by=prediction.user)


def test_nobody_answers_for_somebody_else():
    with pytest.raises(NotFound):
        feedback.give_feedback(make_prediction(), "OK", by=make_user("reviewer"))


def test_a_nok_on_a_picture_that_is_gone_is_refused():
    prediction = make_prediction()
    Sample.objects.update(location=Sample.Location.NOWHERE, file_name="")
    with pytest.raises(Conflict, match="already deleted"):
        feedback.give_feedback(prediction, "NOK", by=prediction.user)
    assert not Feedback.objects.exists()
    assert feedback.give_feedback(prediction, "OK", by=prediction.user).verdict == "OK"


def test_an_ok_cannot_become_a_nok_once_the_picture_was_let_go():
    prediction = make_prediction()
    feedback.give_feedback(prediction, "OK", by=prediction.user)
    with pytest.raises(Conflict):
        feedback.give_feedback(prediction, "NOK", by=prediction.user)


def test_where_pictures_are_kept_an_ok_can_become_a_nok():
    prediction = make_prediction(project=make_project(retention="all"))
    feedback.give_feedback(prediction, "OK", by=prediction.user)
    assert feedback.give_feedback(prediction, "NOK", by=prediction.user).verdict == "NOK"


def test_after_a_ruling_a_verdict_stays(settled):
    given = make_feedback()
    with pytest.raises(Conflict, match="reviewer"):
        feedback.give_feedback(given.prediction, "OK", by=given.user)
    assert not feedback.can_change_feedback(given.prediction, given)


def test_a_first_verdict_is_welcome_even_after_a_ruling(settled):
    prediction = make_prediction()
    assert feedback.can_change_feedback(prediction, None)
    assert feedback.give_feedback(prediction, "NOK", by=prediction.user).verdict == "NOK"
