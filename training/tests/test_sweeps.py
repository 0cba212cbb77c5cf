"""Sweeps: several runs asked for at once, done one after another, and nothing promoted."""

from io import StringIO
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from common import jobs
from common.errors import Conflict, InvalidInput
from predictions import registry
from predictions.tests.factories import make_live_model, make_project, make_user
from training import tasks  # noqa: F401 (defines the task)
from training.data.datasets import NotEnoughData
from training.models import Sweep, TrainingRun
from training.runs import execution, submission, sweeps
from training.runs.sweeps import SweepOptions
from training.tests.factories import make_run, make_trainable
from training.trainers.dummy import DummyTrainer

pytestmark = pytest.mark.django_db

Status = TrainingRun.Status


def make_sweep(project=None, *, by=None, seeds=(0, 1, 2), **fields) -> Sweep:
    wanted = SweepOptions(seeds=seeds, **fields)
    return sweeps.submit_sweep(project or make_trainable(), wanted, by=by)


def statuses(sweep: Sweep) -> list[str]:
    return list(sweep.runs.order_by("pk").values_list("status", flat=True))


def work_off(sweep: Sweep) -> None:
    while sweeps.is_under_way(sweep):
        jobs.run_due_jobs("training")
        sweeps.start_queued_runs()


class TestPlan:
    def test_every_combination_once(self):
        project = make_project(trainer="dummy")
        options = SweepOptions(backbones=("dummy", "dummy"), fine_tune=(False, True), seeds=(0, 1))
        with patch.object(DummyTrainer, "supports_fine_tuning", return_value=True):
            planned = sweeps.plan_runs(project, options)
        assert [(each.fine_tune, each.seed) for each in planned] == [
            (False, 0), (False, 1), (True, 0), (True, 1)
        ]  # fmt: skip

    def test_what_cannot_be_fine_tuned_is_tried_without(self):
        project = make_project(trainer="dummy")
        planned = sweeps.plan_runs(project, SweepOptions(fine_tune=(False, True)))
        assert [each.fine_tune for each in planned] == [False]

    def test_too_many_and_none_are_refused(self):
        project = make_project(trainer="dummy")
        with pytest.raises(InvalidInput, match="at most 48"):
            sweeps.plan_runs(project, SweepOptions(seeds=tuple(range(49))))
        with pytest.raises(InvalidInput, match="nothing to try"):
            sweeps.plan_runs(project, SweepOptions(seeds=()))


class TestQueue:
    def test_the_first_begins_and_the_others_wait_their_turn(self):
        sweep = make_sweep()
        assert statuses(sweep) == ["waiting", "queued", "queued"]
        assert sweeps.start_queued_runs() == 0, "one is active"
        jobs.run_due_jobs("training")
        assert sweeps.start_queued_runs() == 1
        assert statuses(sweep) == ["succeeded", "waiting", "queued"]

    def test_all_learn_from_one_data_set_and_nothing_is_promoted(self):
        sweep = make_sweep()
        work_off(sweep)
        assert statuses(sweep) == ["succeeded"] * 3
        assert set(sweep.runs.values_list("dataset", flat=True)) == {sweep.dataset_id}
        assert list(sweep.runs.order_by("pk").values_list("seed", flat=True)) == [0, 1, 2]
        assert registry.live_version(sweep.project) is None

    def test_a_run_that_somebody_asked_for_goes_first(self):
        project = make_trainable()
        other = make_run(project)
        sweep = make_sweep(project)
        assert statuses(sweep) == ["queued"] * 3
        execution.cancel_run(other)
        assert sweeps.start_queued_runs() == 1

    def test_a_failure_does_not_stop_the_others(self):
        sweep = make_sweep()
        with patch.object(DummyTrainer, "train", side_effect=RuntimeError):
            jobs.run_due_jobs("training")
        work_off(sweep)
        assert statuses(sweep) == ["failed", "succeeded", "succeeded"]

    def test_two_processes_begin_one(self):
        sweep = make_sweep()
        jobs.run_due_jobs("training")
        with patch.object(type(TrainingRun.objects.all()), "active", TrainingRun.objects.none):
            assert sweeps.start_next(sweep.project)
            assert sweeps.start_next(sweep.project) is None, "the constraint says no"
        assert statuses(sweep) == ["succeeded", "waiting", "queued"]

    def test_a_second_sweep_waits_until_the_first_has_ended(self):
        sweep = make_sweep()
        with pytest.raises(Conflict, match="A sweep of this project has not ended"):
            make_sweep(sweep.project)

    def test_too_little_data_and_a_bad_backbone_leave_nothing_behind(self):
        with pytest.raises(NotEnoughData):
            make_sweep(make_project(trainer="dummy"))
        with pytest.raises(InvalidInput, match="no backbone “huge”"):
            make_sweep(backbones=("dummy", "huge"))
        assert not Sweep.objects.exists() and not TrainingRun.objects.exists()

    def test_cancelling_ends_what_waits_and_what_runs(self):
        sweep = make_sweep()
        jobs.run_due_jobs("training")
        sweeps.start_queued_runs()
        sweeps.cancel_sweep(sweep)
        assert statuses(sweep) == ["succeeded", "cancelled", "cancelled"]
        with pytest.raises(Conflict, match="ended already"):
            sweeps.cancel_sweep(sweep)

    def test_one_queued_run_can_be_cancelled_alone(self):
        sweep = make_sweep()
        execution.cancel_run(sweep.runs.order_by("pk").last())
        assert statuses(sweep) == ["waiting", "queued", "cancelled"]


class TestResults:
    def test_each_run_has_its_figures_and_seeds_are_summed_up(self):
        sweep = make_sweep(seeds=(0, 1))
        work_off(sweep)
        results = sweeps.sweep_results(sweep)
        assert [each.evaluation.accuracy for each in results] == [1.0, 1.0]
        assert results[0].accuracy_between[1] == pytest.approx(1.0)
        (one,) = sweeps.summarize_configurations(results)
        assert (one.backbone, one.measured, one.mean, one.lowest) == ("dummy", 2, 1.0, 1.0)

    def test_promotion_goes_through_the_gate(self):
        project = make_trainable()
        sweep = make_sweep(project, seeds=(0,))
        work_off(sweep)
        run, maintainer = sweep.runs.get(), make_user("maintainer")
        outcome = sweeps.promote_by_gate(run, by=maintainer)
        assert outcome.promoted
        with pytest.raises(Conflict, match="is live already"):
            sweeps.promote_by_gate(run, by=maintainer)

    def test_the_gate_says_no_where_the_live_model_cannot_be_compared(self):
        project = make_trainable()
        sweep = make_sweep(project, seeds=(0,))
        work_off(sweep)
        live = make_live_model(project, ("dark", "light"))
        outcome = sweeps.promote_by_gate(sweep.runs.get(), by=make_user("maintainer"))
        assert not outcome.promoted and "Not enough evidence" in outcome.sentence
        assert registry.live_version(project) == live

    def test_a_run_without_a_model_is_not_promoted(self):
        with pytest.raises(Conflict, match="has made no model"):
            sweeps.promote_by_gate(make_run(), by=make_user("maintainer"))


class TestPages:
    @pytest.fixture
    def maintainer(self, client):
        user = make_user("maintainer")
        client.force_login(user)
        return user

    def test_a_form_asks_for_a_sweep_and_its_page_shows_it(self, client, maintainer):
        project = make_trainable()
        address = reverse("training:start_sweep", args=[project.slug])
        assert "There was no sweep yet." in client.get(address).content.decode()
        response = client.post(address, {"backbones": ["dummy"], "seeds": "2"})
        sweep = Sweep.objects.get()
        assert response["Location"] == reverse("training:sweep", args=[sweep.pk])
        assert sweep.requested_by == maintainer
        page = client.get(response["Location"]).content.decode()
        assert 'hx-trigger="every 5s"' in page and ">queued<" in page
        work_off(sweep)
        page = client.get(response["Location"]).content.decode()
        assert 'hx-trigger="every' not in page and "100.0%" in page

    @pytest.mark.parametrize(
        ("wanted", "sentence"),
        [({"seeds": "1"}, "required"), ({"backbones": ["dummy"], "seeds": "11"}, "less than")],
    )
    def test_a_form_that_asks_for_nothing_or_too_much_is_refused(
        self, client, maintainer, wanted, sentence
    ):
        address = reverse("training:start_sweep", args=[make_trainable().slug])
        response = client.post(address, wanted)
        assert response.status_code == 400 and sentence in response.content.decode()

    def test_a_button_promotes_if_the_gate_passes(self, client, maintainer):
        sweep = make_sweep(seeds=(0,))
        work_off(sweep)
        run = sweep.runs.get()
        response = client.post(reverse("training:promote_by_gate", args=[run.pk]))
        assert response["Location"] == reverse("training:sweep", args=[sweep.pk])
        assert registry.live_version(sweep.project) == run.model_version

    def test_a_queued_run_has_a_page_without_progress(self, client, maintainer):
        run = make_sweep().runs.order_by("pk").last()
        page = client.get(reverse("training:run", args=[run.pk])).content.decode()
        assert ">queued<" in page and "data-run-progress" not in page


class TestCommand:
    def call(self, *arguments) -> str:
        out = StringIO()
        call_command("sweep", *arguments, stdout=out)
        return out.getvalue()

    def test_it_does_all_runs_and_prints_a_table(self):
        project = make_trainable()
        told = self.call("--seeds", "2", "--backbone", "dummy")
        assert "2 runs on data set version 1" in told
        assert "dummy, seed 0        1     1.000  0.76-1.00     1.000" in told
        assert "dummy, seed 1        2     1.000  0.76-1.00     1.000" in told
        assert registry.live_version(project) is None

    def test_stopped_it_begins_no_further_run(self):
        make_trainable()
        with (
            patch.object(DummyTrainer, "train", side_effect=execution.Interrupted),
            pytest.raises(CommandError, match="Cancelled"),
        ):
            self.call("--seeds", "3")
        assert statuses(Sweep.objects.get()) == ["cancelled"] * 3

    def test_a_wrong_wish_is_refused(self):
        make_trainable()
        with pytest.raises(CommandError, match="from 1 to 10"):
            self.call("--seeds", "0")
        with pytest.raises(CommandError, match="no backbone “huge”"):
            self.call("--backbone", "huge")


def test_a_run_still_needs_the_place_of_the_active_one():
    sweep = make_sweep()
    with pytest.raises(submission.RunActive):
        make_run(sweep.project)
