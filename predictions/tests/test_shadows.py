"""A second model is asked about every upload: nobody waits for it, and no picture stays long."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from common import jobs, tasks
from common.models import Job
from common.progress import no_progress
from predictions import (
    batches,
    classification,
    feedback,
    registry,
    retention,
    shadow_deployment,
    shadow_inference,
)
from predictions.models import Prediction, Sample, Shadow, ShadowPrediction
from predictions.predictors.base import PredictorError, PredictorUnavailable
from predictions.predictors.dummy import DummyPredictor
from predictions.tests.factories import (
    make_live_model,
    make_model_version,
    make_project,
    make_upload,
    make_user,
)

pytestmark = pytest.mark.django_db

TURNED = ("tiramisu", "risotto", "gnocchi")  # the dummy model by these names says the opposite


@pytest.fixture(autouse=True)
def handlers():
    tasks.autodiscover()


@pytest.fixture
def candidate():
    """A model version in shadow, of a project whose live model says something else."""
    version = make_model_version(make_live_model().project, TURNED)
    shadow_deployment.start_shadow(version, by=None)
    return version


def send(version, **picture) -> Prediction:
    return classification.classify_upload(version.project, make_upload(**picture), by=make_user())


def work() -> None:
    """What a worker does within a few seconds."""
    Job.objects.update(due_at=timezone.now())
    shadow_inference.enqueue_pending()
    jobs.run_due_jobs("shadow")
    jobs.run_due_jobs()


def predict_with(monkeypatch, candidate, answer):
    """Let the model in shadow, and no other, answer by this function."""
    real = DummyPredictor.predict

    def predict(self, pictures, model, *, augment=False):
        if model.class_names == tuple(candidate.class_names):
            return answer(lambda: real(self, pictures, model, augment=augment), pictures)
        return real(self, pictures, model, augment=augment)

    monkeypatch.setattr(DummyPredictor, "predict", predict)


def age(prediction, by=shadow_deployment.PICTURE_HOLD + timedelta(minutes=1)) -> None:
    """Make a prediction older, and the choice of the shadow too."""
    Prediction.objects.filter(pk=prediction.pk).update(created_at=prediction.created_at - by)
    for choice in Shadow.objects.all():
        Shadow.objects.filter(pk=choice.pk).update(created_at=choice.created_at - by)


class TestChoosing:
    def test_the_newest_choice_counts(self, candidate):
        other = make_model_version(candidate.project)
        shadow_deployment.start_shadow(other, by=None)
        assert shadow_deployment.shadow_version(candidate.project) == other

    def test_an_empty_one_stops_it(self, candidate):
        shadow_deployment.stop_shadow(candidate.project, by=None)
        assert shadow_deployment.shadow_version(candidate.project) is None
        assert Shadow.objects.count() == 2

    def test_the_live_model_is_refused(self):
        with pytest.raises(shadow_deployment.NotShadowable, match="live model"):
            shadow_deployment.start_shadow(make_live_model(), by=None)

    def test_the_same_again_is_refused(self, candidate):
        with pytest.raises(shadow_deployment.NotShadowable, match="already"):
            shadow_deployment.start_shadow(candidate, by=None)

    def test_stopping_none_is_refused(self):
        with pytest.raises(shadow_deployment.NotShadowable, match="No model"):
            shadow_deployment.stop_shadow(make_project(), by=None)


class TestAnswering:
    def test_it_looks_at_the_pixels_that_the_live_model_saw(self, candidate, monkeypatch):
        seen: list[tuple[tuple[int, int], bytes]] = []
        real = DummyPredictor.predict

        def predict(self, pictures, model, *, augment=False):
            seen.extend((picture.image.size, picture.image.tobytes()) for picture in pictures)
            return real(self, pictures, model, augment=augment)

        monkeypatch.setattr(DummyPredictor, "predict", predict)
        monkeypatch.setattr(DummyPredictor, "least_side", lambda self, model, *, augment=False: 12)
        sample = send(candidate).sample
        work()
        live, shadow = seen
        assert live == shadow
        assert live[0] == (sample.width // 4, sample.height // 4)

    def test_every_upload_is_answered_by_both(self, candidate):
        prediction = send(candidate, colour="black")
        assert prediction.top.name == "gnocchi"
        work()
        answer = ShadowPrediction.objects.get()
        assert (answer.prediction, answer.model_version, answer.top.name) == (
            prediction,
            candidate,
            "tiramisu",
        )
        assert answer.agrees is False
        assert answer.confidence == max(answer.scores.values())
        assert answer.latency_ms > 0

    def test_the_user_sees_the_live_answer_only(self, candidate):
        before = send(candidate, colour="black")
        work()
        after = Prediction.objects.get()
        assert (after.scores, after.top, after.model_version) == (
            before.scores,
            before.top,
            before.model_version,
        )

    def test_the_same_answer_is_known_as_such(self, candidate):
        send(candidate, colour=(128, 128, 128))
        work()
        assert ShadowPrediction.objects.get().agrees

    def test_a_batch_is_answered_too(self, candidate):
        batches.create_batch(
            candidate.project, [make_upload() for _number in range(20)], by=make_user()
        )
        jobs.run_due_jobs()
        work()
        assert ShadowPrediction.objects.filter(error="").count() == 20

    def test_what_was_sent_before_is_not_asked_about(self):
        live = make_live_model()
        send(live)
        shadow_deployment.start_shadow(make_model_version(live.project), by=None)
        send(live)
        work()
        assert ShadowPrediction.objects.get().prediction == Prediction.objects.latest("pk")

    def test_what_was_sent_before_it_stopped_is_still_answered(self, candidate):
        prediction = send(candidate)
        shadow_deployment.stop_shadow(candidate.project, by=None)
        send(candidate)
        work()
        assert ShadowPrediction.objects.get().prediction == prediction

    def test_after_a_change_each_answers_what_came_in_its_time(self, candidate):
        first = send(candidate)
        other = make_model_version(candidate.project)
        shadow_deployment.start_shadow(other, by=None)
        second = send(candidate)
        work()
        answered = set(ShadowPrediction.objects.values_list("prediction", "model_version"))
        assert answered == {(first.pk, candidate.pk), (second.pk, other.pk)}

    def test_once_promoted_it_is_asked_once_only(self, candidate):
        registry.promote_version(candidate, by=None)
        send(candidate)
        work()
        assert not ShadowPrediction.objects.exists()

    def test_a_removed_version_is_asked_no_more(self, candidate):
        project = candidate.project
        send(candidate)
        work()
        send(candidate)
        candidate.delete()
        work()
        send(project.model_versions.get())
        work()
        assert shadow_deployment.shadow_version(project) is None
        assert not ShadowPrediction.objects.exists()

    def test_nothing_waits_where_nothing_is_in_shadow(self):
        send(make_live_model())
        assert shadow_inference.enqueue_pending() == 0
        assert not Job.objects.exists()

    def test_other_queues_do_not_wait_for_it(self, candidate):
        send(candidate)
        shadow_inference.enqueue_pending()
        assert Job.objects.get(kind=shadow_inference.answer_pending.kind).queue == "shadow"


class TestSafeToDoTwice:
    def test_asking_twice_makes_one_job(self, candidate):
        send(candidate)
        shadow_inference.enqueue_pending()
        shadow_inference.enqueue_pending()
        assert Job.objects.filter(kind=shadow_inference.answer_pending.kind).count() == 1

    def test_a_killed_workers_job_goes_on_where_it_ended(self, candidate, monkeypatch):
        for _number in range(shadow_inference.CHUNK + 2):
            send(candidate)
        asked = []

        def die_at_the_second(answer, pictures):
            asked.append(len(pictures))
            if len(asked) == 2:
                raise KeyboardInterrupt
            return answer()

        predict_with(monkeypatch, candidate, die_at_the_second)
        shadow_inference.enqueue_pending()
        job = jobs.claim_next("the one that dies", "shadow")
        with pytest.raises(KeyboardInterrupt):
            shadow_inference.answer_pending(no_progress, job.payload["project"])
        assert ShadowPrediction.objects.count() == shadow_inference.CHUNK
        Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
        jobs.requeue_stalled()
        jobs.run_due_jobs("shadow")
        assert asked == [shadow_inference.CHUNK, 2, 2]
        assert ShadowPrediction.objects.count() == shadow_inference.CHUNK + 2

    def test_of_two_workers_at_the_same_picture_one_writes(self, candidate, monkeypatch):
        send(candidate)

        def be_overtaken(answer, pictures):
            monkeypatch.undo()
            shadow_inference.answer_pending(no_progress, candidate.project_id)
            return answer()

        predict_with(monkeypatch, candidate, be_overtaken)
        shadow_inference.answer_pending(no_progress, candidate.project_id)
        assert ShadowPrediction.objects.count() == 1

    def test_the_database_takes_one_answer_only(self, candidate):
        send(candidate)
        work()
        answer = ShadowPrediction.objects.get()
        answer.pk = None
        with pytest.raises(IntegrityError), transaction.atomic():
            answer.save(force_insert=True)


class TestFailing:
    def test_the_live_answer_is_untouched_and_the_reason_kept(self, candidate, monkeypatch):
        def refuse(answer, pictures):
            raise PredictorError("The file of the model is damaged.")

        predict_with(monkeypatch, candidate, refuse)
        assert send(candidate).top
        work()
        answer = ShadowPrediction.objects.get()
        assert (answer.error, answer.agrees, answer.confidence) == (
            "The file of the model is damaged.",
            None,
            None,
        )

    def test_one_bad_picture_spoils_no_other(self, candidate, monkeypatch):
        def choke(answer, pictures):
            if any(picture.image.getpixel((0, 0))[0] > 250 for picture in pictures):
                raise ZeroDivisionError("by a white picture")
            return answer()

        predict_with(monkeypatch, candidate, choke)
        for colour in ("black", "white", "gray"):
            send(candidate, colour=colour)
        work()
        assert list(
            ShadowPrediction.objects.order_by("prediction").values_list("error", flat=True)
        ) == [
            "",
            "The model failed: ZeroDivisionError",
            "",
        ]

    def test_a_model_that_is_busy_is_asked_later(self, candidate, monkeypatch):
        with monkeypatch.context() as busy:
            predict_with(busy, candidate, _busy)
            send(candidate)
            work()
        assert not ShadowPrediction.objects.exists()
        work()
        assert ShadowPrediction.objects.get().error == ""

    def test_a_model_that_stays_busy_did_not_answer(self, candidate, monkeypatch):
        predict_with(monkeypatch, candidate, _busy)
        age(send(candidate))
        work()
        assert ShadowPrediction.objects.get().error == "Too many requests."


class TestPictures:
    def test_after_an_ok_it_stays_until_the_shadow_has_seen_it(self, candidate):
        prediction = send(candidate)
        feedback.give_feedback(prediction, "OK", by=prediction.user)
        assert Sample.objects.get().has_picture
        work()
        assert ShadowPrediction.objects.get().error == ""
        assert not Sample.objects.get().has_picture

    def test_after_an_ok_it_goes_when_the_shadow_fails(self, candidate, monkeypatch):
        predict_with(monkeypatch, candidate, _busy)
        prediction = send(candidate)
        feedback.give_feedback(prediction, "OK", by=prediction.user)
        age(prediction)
        work()
        assert not Sample.objects.get().has_picture

    def test_an_ok_after_the_answer_lets_it_go_at_once(self, candidate):
        prediction = send(candidate)
        work()
        feedback.give_feedback(prediction, "OK", by=prediction.user)
        assert not Sample.objects.get().has_picture

    def test_it_is_not_held_for_longer_than_some_minutes(self, candidate):
        prediction = send(candidate)
        age(prediction)
        feedback.give_feedback(prediction, "OK", by=prediction.user)
        assert not Sample.objects.get().has_picture
        work()
        assert "deleted before" in ShadowPrediction.objects.get().error

    def test_after_an_ok_one_that_is_in_question_stays(self, candidate):
        prediction = send(candidate, colour="black")
        other = send(candidate, colour="black")
        feedback.give_feedback(other, "NOK", by=other.user)
        feedback.give_feedback(prediction, "OK", by=prediction.user)
        work()
        assert Sample.objects.get().has_picture

    def test_one_that_was_moved_after_a_nok_is_seen_too(self, candidate):
        prediction = send(candidate)
        feedback.give_feedback(prediction, "NOK", by=prediction.user)
        jobs.run_due_jobs()
        assert Sample.objects.get().location == Sample.Location.MISCLASSIFIED
        work()
        assert ShadowPrediction.objects.get().error == ""

    def test_an_old_unanswered_one_goes_by_its_own_rule(self, candidate, settings):
        settings.UNANSWERED_TTL = timedelta(minutes=1)
        prediction = send(candidate)
        Sample.objects.update(created_at=timezone.now() - timedelta(minutes=5))
        age(prediction, timedelta(minutes=5))
        assert retention.delete_unanswered_pictures() == 0
        work()
        assert retention.delete_unanswered_pictures() == 1


class TestCost:
    def test_sending_a_picture_asks_the_database_no_more_than_without(
        self, django_assert_num_queries
    ):
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        version, user = make_live_model(), make_user()
        classification.classify_upload(version.project, make_upload(), by=user)
        with CaptureQueriesContext(connection) as without:
            classification.classify_upload(version.project, make_upload(), by=user)
        shadow_deployment.start_shadow(make_model_version(version.project), by=None)
        with django_assert_num_queries(len(without)):
            prediction = classification.classify_upload(version.project, make_upload(), by=user)
        assert (
            shadow_deployment.pending_predictions(
                shadow_deployment.latest_shadow(version.project)
            ).get()
            == prediction
        )

    def test_what_was_searched_is_not_searched_again(self, candidate):
        prediction = send(candidate)
        work()
        age(prediction)
        shadow_inference.enqueue_pending()
        assert Shadow.objects.get().searched_to == prediction.pk

    def test_the_search_never_passes_what_waits(self, candidate, monkeypatch):
        predict_with(monkeypatch, candidate, _busy)
        first = send(candidate)
        second = send(candidate)
        for prediction in (first, second):
            Prediction.objects.filter(pk=prediction.pk).update(
                created_at=timezone.now() - timedelta(minutes=5)
            )
        Shadow.objects.update(created_at=timezone.now() - timedelta(minutes=6))
        work()
        assert Shadow.objects.get().searched_to == first.pk - 1


def _busy(answer, pictures):
    raise PredictorUnavailable("Too many requests.")
