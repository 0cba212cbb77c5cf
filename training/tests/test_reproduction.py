"""Runs by number: what made them, and whether they come out again."""

import hashlib
import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.urls import reverse

from common import jobs
from common.errors import Conflict
from predictions.tests.factories import make_category, make_project, make_sample, make_user
from training import tasks  # noqa: F401 (defines the task)
from training.models import TrainingRun
from training.runs import code_version, reproduction, submission
from training.tests.factories import (
    label,
    make_finished_run,
    make_labelled,
    make_run,
    make_trainable,
    sha_in,
)
from training.tests.trainer_contract import CLASS_NAMES, as_png, make_image

pytestmark = pytest.mark.django_db


def call(*arguments) -> str:
    out = StringIO()
    call_command("retrain", *map(str, arguments), stdout=out)
    return out.getvalue()


class TestCode:
    def test_a_run_keeps_the_release_the_sources_and_the_commit(self):
        code = make_finished_run().code
        assert code["version"]
        assert len(code["digest"]) == 64
        assert len(code.get("commit", "0" * 40)) == 40

    def test_the_digest_is_of_what_makes_models_and_not_of_tests(self, tmp_path):
        for name in ("training/trainers/a.py", "training/trainers/tests/test_a.py", "review/b.py"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("1")
        before = code_version._sources_digest(tmp_path)
        line = f"training/trainers/a.py {hashlib.sha256(b'1').hexdigest()}\n"
        assert before == hashlib.sha256(line.encode()).hexdigest()
        (tmp_path / "training/trainers/a.py").write_text("2")
        assert code_version._sources_digest(tmp_path) != before

    @pytest.mark.parametrize("packed", [True, False])
    def test_the_commit_is_read_without_git(self, tmp_path, packed):
        git = tmp_path / ".git"
        (git / "refs/heads").mkdir(parents=True)
        (git / "HEAD").write_text("ref: refs/heads/main\n")
        if packed:
            (git / "packed-refs").write_text(f"# pack-refs\n{'a' * 40} refs/heads/main\n")
        else:
            (git / "refs/heads/main").write_text("a" * 40)
        assert code_version._commit(tmp_path) == "a" * 40

    def test_an_installation_without_git_has_no_commit(self, tmp_path):
        assert code_version._commit(Path(tmp_path)) == ""


class TestRepeat:
    def test_takes_the_data_set_the_parameters_and_the_seed(self):
        first = make_finished_run(seed=7)
        TrainingRun.objects.filter(pk=first.pk).update(parameters={"backbone": "dummy", "x": 1})
        first.refresh_from_db()
        make_labelled(first.project, "dark", train=3)
        again = submission.submit_run(first.project, submission.options_of(first), by=None)
        assert (again.repeats, again.dataset, again.seed) == (first, first.dataset, 7)
        assert again.parameters == {"backbone": "dummy", "x": 1}
        assert first.project.datasets.count() == 1, "nothing is frozen"

    def test_says_that_the_same_model_came_out(self):
        first = make_finished_run()
        told = call("--like", first.number)
        assert f"The same model as that of run {first.number}, byte for byte." in told

    def test_says_what_may_explain_another_model(self):
        first = make_finished_run()
        make_labelled(first.project, "dark", train=1)
        first.project.categories.filter(name="light").update(name="bright")
        told = call("--like", first.number)
        assert f"Another model than that of run {first.number}." in told
        assert "Categories were renamed" in told

    def test_other_code_and_libraries_are_named(self):
        first = make_finished_run()
        again = make_finished_run(first.project)
        again.repeats, again.code = first, {"digest": "another"}
        again.model_version.manifest["libraries"] = {"numpy": "9"}
        again.model_version.reference = "another"
        reasons = reproduction.compare_with_repeated(again).reasons
        assert reasons == ("The code is another one.", "Other versions of: numpy.")

    def test_a_run_without_a_model_cannot_be_repeated(self):
        with pytest.raises(Conflict, match="has made no model"):
            submission.options_of(make_run())

    def test_a_run_that_repeats_none_is_compared_with_none(self):
        assert reproduction.compare_with_repeated(make_finished_run()) is None

    @pytest.mark.parametrize("other", [("--seed", 3), ("--backbone", "dummy"), ("--fine-tune",)])
    def test_other_options_beside_like_are_refused(self, other):
        run = make_finished_run()
        with pytest.raises(CommandError, match=f"leave out {other[0]}"):
            call("--like", run.number, *other)

    def test_an_unknown_run_or_one_of_another_project_is_refused(self):
        run, stranger = make_finished_run(), make_trainable(slug="elsewhere")
        with pytest.raises(CommandError, match=f"There is no run 999999 in {run.project.slug}."):
            call("--like", 999999, "--project", run.project.slug)
        with pytest.raises(CommandError, match=f"no run {run.number} in elsewhere"):
            call("--like", run.number, "--project", stranger.slug)

    def test_the_button_asks_for_it_and_the_page_tells(self, client):
        first = make_finished_run()
        client.force_login(make_user("maintainer"))
        response = client.post(reverse("training:repeat", args=[first.pk]))
        again = TrainingRun.objects.get(repeats=first)
        assert response["Location"] == reverse("training:run", args=[again.pk])
        jobs.run_due_jobs("training")
        page = client.get(response["Location"]).content.decode()
        assert f"The same model as that of run {first.number}, byte for byte." in page


def bundle_files(version) -> dict[str, bytes]:
    folder = Path(storages["models"].path(version.reference))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.outer
def test_a_head_on_a_frozen_backbone_comes_out_again_byte_for_byte():
    project = make_project(trainer="keras")
    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    for kind, name in enumerate(CLASS_NAMES):
        category = make_category(project, name)
        for number, split in enumerate(splits):
            data = as_png(make_image(kind, number))
            label(make_sample(project, data=data, sha256=sha_in(split)), category)
    first = make_finished_run(project, backbone="lite0", seed=3)
    before = bundle_files(first.model_version)
    # Nothing is left that the second run could have copied: bundle, vectors
    shutil.rmtree(storages["models"].path(""))
    told = call("--like", first.number)
    assert f"The same model as that of run {first.number}, byte for byte." in told
    again = TrainingRun.objects.get(repeats=first)
    assert again.model_version.digest == first.model_version.digest
    assert bundle_files(again.model_version) == before
