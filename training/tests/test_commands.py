"""What the commands of this room print, and how they end."""

import os
import signal
from io import StringIO
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command

from common.models import Job
from predictions import registry
from predictions.models import ModelVersion, Project
from predictions.tests.factories import make_model_version, make_project
from training.errors import TrainingFailed
from training.management.terminal import TerminalProgress, format_table
from training.models import TrainingRun
from training.tests.factories import (
    make_folder,
    make_labelled,
    make_run,
    make_trainable,
    make_trained,
)
from training.trainers.dummy import DummyTrainer

pytestmark = pytest.mark.django_db


def call(*arguments) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def pictures(folder, count: int):
    return make_folder(folder, *(f"{place}.jpg" for place in range(count)))


class TestProjects:
    def test_the_only_project_need_not_be_named(self):
        project = make_project()
        call("add_category", "pizza")
        assert project.categories.get().name == "pizza"

    def test_of_several_one_must_be_named(self):
        make_project(slug="a")
        make_project(slug="b")
        with pytest.raises(CommandError, match="Name one with --project: a, b"):
            call("add_category", "pizza")

    def test_an_unknown_one_is_refused(self):
        make_project(slug="a")
        with pytest.raises(CommandError, match="no project 'c'. There are: a"):
            call("retrain", "--project", "c")

    def test_without_any_it_says_how_to_make_one(self):
        with pytest.raises(CommandError, match="create_project"):
            call("retrain")


class TestAddCategory:
    def test_with_pictures(self, tmp_path):
        project = make_project()
        folder = pictures(tmp_path, 5)
        (folder / "notes.txt").write_text("no picture")
        told = call("add_category", "pizza", "--images", str(folder))
        assert "Category pizza: added" in told
        assert "100 %  Importing pictures" in told
        assert "notes.txt: " in told
        assert "leave it out" not in told
        assert project.samples.count() == 5

    def test_again_adds_only_what_is_new(self, tmp_path):
        project = make_project()
        folder = pictures(tmp_path, 2)
        call("add_category", "pizza", "--images", str(folder))
        make_folder(folder, "new.jpg")
        told = call("add_category", "Pizza", "--images", str(folder))
        assert "Category pizza: there already" in told
        assert "0.jpg: It is in the project already." in told
        assert (project.samples.count(), project.categories.count()) == (3, 1)

    def test_fewer_than_five_pictures_are_allowed_with_a_warning(self, tmp_path):
        make_project()
        told = call("add_category", "pizza", "--images", str(pictures(tmp_path, 1)))
        assert "“pizza” has 1 picture: the next run will leave it out until it has 5." in told

    def test_a_missing_folder_is_refused(self, tmp_path):
        make_project()
        with pytest.raises(CommandError, match="cannot be read: No such file or directory"):
            call("add_category", "pizza", "--images", str(tmp_path / "nowhere"))

    def test_a_bad_name_is_refused(self):
        make_project()
        with pytest.raises(CommandError, match="control characters"):
            call("add_category", "piz\x00za")

    def test_and_retrain(self):
        project = make_trainable()
        told = call("add_category", "dusk", "--retrain", "--promote")
        assert "“dusk” is left out: it has 0 pictures" in told
        assert registry.live_version(project).number == 1


class TestRetrain:
    def test_prints_the_figures_and_registers(self):
        project = make_trainable()
        told = call("retrain", "--project", project.slug, "--seed", "7", "--backbone", "dummy")
        run = TrainingRun.objects.get()
        assert (run.status, run.seed, run.parameters) == ("succeeded", 7, {"backbone": "dummy"})
        assert f"Run {run.number}: training on data set version 1" in told
        assert (
            "dark          1.000  0.61-1.00   1.000  0.61-1.00           1.000        6\n" in told
        )
        assert (
            "this version: accuracy 1.000 (0.76-1.00), macro F1 1.000 (12 pictures), calibration "
            "error 0." in told
        )
        assert "No abstain threshold proposed: too few validation samples." in told
        assert "Registered version 1." in told
        assert registry.live_version(project) is None

    def test_prints_the_live_models_figures_beside(self):
        project = make_trainable()
        registry.promote_version(make_model_version(project, ("light", "dark")), by=None)
        make_labelled(project, "night", colour="white", test=0)
        told = call("retrain")
        assert "live precision  live recall" in told
        assert "live, version 1: accuracy 0.000 (0.00-0.24), macro F1 0.000 (12 pictures)" in told

    def test_names_the_threshold_to_abstain_below(self):
        project = make_trainable()
        make_labelled(project, "dark", colour="black", validation=10, test=0)
        told = call("retrain")
        kept = "(keeps 12 of 12 validation answers, 12 of them right)"
        assert f"Proposed abstain threshold for a precision of 0.9: 0.00 {kept}" in told

    def test_says_when_no_threshold_is_good_enough(self):
        project = make_trainable()
        make_labelled(project, "dark", colour="white", validation=10, test=0)
        assert "No abstain threshold reaches a precision of 0.9 on the validation split." in call(
            "retrain"
        )

    def test_promotes_what_is_not_worse(self):
        project = make_trainable(test=30)
        told = call("retrain", "--promote")
        assert "Version 1 is live now. It is the first model of this project." in told
        assert registry.live_version(project).number == 1
        assert "Version 2 is live now. Not worse" in call("retrain", "--promote")
        assert project.datasets.count() == 1

    def test_does_not_promote_on_too_little_evidence_and_says_so(self):
        project = make_trainable(test=2)
        call("retrain", "--promote")
        told = call("retrain", "--promote")
        assert "Version 2 was not promoted. Not enough evidence: only 4 test samples" in told
        assert "manage.py promote 2 --project " in told
        assert registry.live_version(project).number == 1

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--backbone", "huge"], "no backbone “huge” here. There are: dummy."),
            (["--trainer", "magic"], "no trainer “magic”. There are: keras, dummy."),
            (["--seed", "-1"], "The seed must be between"),
        ],
    )
    def test_what_cannot_be_is_refused(self, arguments, sentence):
        make_trainable()
        with pytest.raises(CommandError, match=sentence):
            call("retrain", *arguments)
        assert not TrainingRun.objects.exists()

    def test_too_few_samples_are_refused(self):
        make_project(trainer="dummy")
        with pytest.raises(CommandError, match="too little to learn from"):
            call("retrain")

    def test_a_second_run_is_refused(self):
        run = make_run()
        with pytest.raises(
            CommandError, match=f"Run {run.number} of this project, requested at .*, has not ended"
        ):
            call("retrain")

    def test_a_failure_is_told(self):
        make_trainable()
        failure = TrainingFailed("All pictures are the same.")
        with (
            patch.object(DummyTrainer, "train", side_effect=failure),
            pytest.raises(CommandError, match="All pictures are the same."),
        ):
            call("retrain")
        assert Job.objects.get().status == Job.Status.FAILED

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_cancels_the_run(self, number):
        project = make_trainable()
        before = signal.getsignal(number)

        def interrupted(self, task, progress):
            os.kill(os.getpid(), number)
            progress(1, 2, "one more step")
            raise AssertionError("it went on")

        with (
            patch.object(DummyTrainer, "train", interrupted),
            pytest.raises(CommandError, match="Cancelled") as error,
        ):
            call("retrain")
        assert error.value.returncode == 130
        assert TrainingRun.objects.get().status == "cancelled"
        assert Job.objects.get().status == Job.Status.CANCELLED
        assert signal.getsignal(number) == before
        assert not ModelVersion.objects.exists()
        call("retrain", "--project", project.slug)

    def test_a_run_that_another_process_cancels_ends(self):
        make_trainable()

        def cancelled_meanwhile(self, task, progress):
            Job.objects.update(cancel_requested=True)
            progress(1, 2, "one more step")

        with (
            patch.object(DummyTrainer, "train", cancelled_meanwhile),
            pytest.raises(CommandError, match="Cancelled. Nothing was changed."),
        ):
            call("retrain")
        assert TrainingRun.objects.get().status == "cancelled"


class TestImportImages:
    def test_one_folder_per_category(self, tmp_path):
        project = make_project()
        pictures(tmp_path / "pizza", 5)
        pictures(tmp_path / "cake", 1)
        told = call("import_images", str(tmp_path), "--project", project.slug)
        assert "taken                 6" in told
        assert "“cake” has 1 picture" in told
        assert "“pizza”" not in told

    def test_what_is_no_folder_is_refused(self, tmp_path):
        make_project()
        with pytest.raises(CommandError, match="cannot be read: Not a directory"):
            call("import_images", str(make_folder(tmp_path, "a.jpg") / "a.jpg"))


class TestPromote:
    def test_by_number_with_a_reason(self):
        project: Project = make_trainable()
        version = make_trained(project)
        assert f"Version 1 of {project.slug} is live now." in call(
            "promote", "1", "--reason", "the first"
        )
        assert project.promotions.get().reason == "the first"
        assert registry.live_version(project) == version

    def test_an_unknown_number_is_refused(self):
        make_trained()
        with pytest.raises(CommandError, match="There are: 1"):
            call("promote", "2")

    def test_what_is_live_is_refused(self):
        make_trained(promote=True)
        with pytest.raises(CommandError, match="live already"):
            call("promote", "1")


def test_a_table_has_columns():
    assert format_table(("name", "n"), [("a", "10"), ("long name", "2")]) == (
        "name        n\n---------  --\na          10\nlong name   2"
    )


def test_a_terminal_gets_a_bar():
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    from django.core.management.base import OutputWrapper

    screen = Terminal()
    bar = TerminalProgress(OutputWrapper(screen))
    bar(1, 2, "Importing")
    bar(2, 2, "Importing")
    bar.close()
    assert (
        screen.getvalue()
        == f"\r{'█' * 12}{'░' * 12}  50 %  Importing\r{'█' * 24} 100 %  Importing\n"
    )
