"""The versions of a project one after another: on the same pictures, or each on its own."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.urls import reverse
from django.utils import timezone

from common import jobs
from predictions import registry
from predictions.tests.factories import make_user
from training.evaluation.version_history import compare_versions
from training.models import TrainingRun
from training.runs import stages
from training.tests.factories import make_finished_run, make_run, make_trainable, make_trained


def measured(number, right, wrong=()):
    answers = dict.fromkeys(map(str, right), True) | dict.fromkeys(map(str, wrong), False)
    version = SimpleNamespace(pk=100 + number, number=number)
    return SimpleNamespace(answers=answers, model_version=version)


class TestHistory:
    def test_counts_the_pictures_that_all_were_asked_about(self):
        found = compare_versions([measured(2, range(30)), measured(1, range(10), range(10, 20))])
        assert found.shared == 20
        assert [(each.number, each.right) for each in found.versions] == [(1, 10), (2, 20)]
        assert found.points_against(101) == {101: 0, 102: 50}

    def test_with_too_few_in_common_each_stands_by_itself_and_none_is_compared(self):
        found = compare_versions([measured(1, range(20)), measured(2, range(15, 40))])
        assert found.shared == 0
        assert [each.count for each in found.versions] == [20, 25]
        assert found.points_against(101) == {}

    def test_nothing_measured_is_no_history(self):
        assert compare_versions([measured(1, ())]).versions == []


@pytest.mark.django_db
class TestPage:
    def test_roll_back_stands_in_the_row_of_what_was_live(self, client):
        project = make_trainable()
        versions = [make_trained(project) for _number in range(3)]
        for version in versions[:2]:
            registry.promote_version(version, by=None)
        client.force_login(make_user("maintainer"))
        page = client.get(reverse("training:models", args=[project.slug])).content.decode()
        assert "Roll back to version 1…" in page
        assert "Promote version 3…" in page
        assert "Roll back to version 2…" not in page
        assert "Roll back to version 3…" not in page

    def test_the_confirmation_names_both(self, client):
        project = make_trainable()
        first, second = make_trained(project), make_trained(project)
        for version in (first, second):
            registry.promote_version(version, by=None)
        client.force_login(make_user("maintainer"))
        page = client.get(reverse("training:promote", args=[first.pk])).content.decode()
        assert "Replace version 2 by version 1" in page
        assert "Cancel" not in page.split("<main")[1]


@pytest.mark.django_db
class TestStages:
    def working(self, *, seconds, done):
        """A run that has worked so long on its second stage, of which so many are done."""
        run = make_run()
        job = jobs.claim_next("worker", "training")
        now = timezone.now()
        began = [now - timedelta(seconds=seconds + 6), now - timedelta(seconds=seconds)]
        run.stages = [
            {"note": note, "began": each.isoformat(), "done": 0}
            for note, each in zip(("Reading", "Learning"), began, strict=True)
        ]
        job.progress_done, job.progress_total, job.progress_note = done, 100, "Learning, epoch 3"
        run.status, run.job = TrainingRun.Status.RUNNING, job
        return run

    def test_tell_the_time_of_each_and_what_is_left(self):
        first, second = stages.stages_of(self.working(seconds=10, done=50))
        assert (first.note, first.is_done, round(first.spent.total_seconds())) == (
            "Reading",
            True,
            6,
        )
        assert (second.note, second.is_done) == ("Learning, epoch 3", False)
        assert round(second.left.total_seconds()) == 10

    @pytest.mark.parametrize(("seconds", "done"), [(1, 50), (60, 0), (60, 2)])
    def test_say_nothing_of_the_rest_too_early(self, seconds, done):
        assert stages.stages_of(self.working(seconds=seconds, done=done))[-1].left is None

    def test_a_run_that_waits_has_none(self):
        assert stages.stages_of(make_run()) == []

    def test_a_finished_run_kept_them(self):
        run = make_finished_run()
        notes = [each.note for each in stages.stages_of(run)]
        assert "Pretending to learn" in notes
        assert all(each.is_done for each in stages.stages_of(run))
