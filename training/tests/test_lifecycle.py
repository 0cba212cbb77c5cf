"""Deleting projects and categories with what they have, and merging categories."""

import pytest
from django.core.files.storage import storages
from django.utils import timezone

from accounts.tests.factories import make_maintainer
from common import jobs, tasks
from common.errors import Conflict, InvalidInput
from common.models import Job
from predictions import categories, category_keys, classification, projects, registry
from predictions.models import Category, Feedback, Project, Sample
from predictions.tests.factories import (
    make_feedback,
    make_model_version,
    make_prediction,
    make_project,
    make_sample,
    make_upload,
    make_user,
)
from review import decisions, ground_truth
from review.models import Decision
from training.lifecycle import category_removal, project_deletion
from training.models import DatasetImport, TrainingPolicy, TrainingRun
from training.runs import retraining, submission
from training.tests.factories import make_trainable, make_trained

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def handlers():
    tasks.autodiscover()


@pytest.fixture
def maintainer():
    return make_maintainer()


def run_jobs():
    Job.objects.update(due_at=timezone.now())
    jobs.run_due_jobs()


def labelled(project, name, maintainer):
    sample = make_sample(project)
    category = project.categories.get(name=name)
    decisions.label_sample(sample, category, by=maintainer)
    return sample


def test_a_project_goes_with_a_live_model_its_rows_and_its_files():
    version = make_trained(make_trainable())
    registry.promote_version(version, by=None)
    project = version.project
    files = [(one.storage, one.file_name) for one in project.samples.with_picture()]
    project_deletion.delete_named_project(project, typed=f" {project.name.upper()} ")
    assert not Project.objects.exists()
    run_jobs()
    assert not Project.everywhere.exists() and not Sample.objects.exists()
    assert not Category.everywhere.exists() and not TrainingRun.objects.exists()
    assert files and not any(storage.exists(name) for storage, name in files)


def test_the_files_of_data_sets_that_were_sent_go_too():
    project = make_project()
    storages["models"].save("sent/data", make_upload())
    DatasetImport.objects.create(project=project, name="a.zip", file_name="sent/data")
    project_deletion.delete_project(project)
    run_jobs()
    assert not storages["models"].exists("sent/data") and not DatasetImport.objects.exists()


def test_a_project_whose_name_was_mistyped_stays():
    project = make_project()
    with pytest.raises(InvalidInput, match="nothing was deleted"):
        project_deletion.delete_named_project(project, typed="another")
    assert Project.objects.filter(pk=project.pk).exists()


def test_a_project_that_is_being_trained_stays(maintainer):
    project = make_trainable()
    submission.submit_run(project, by=maintainer)
    with pytest.raises(project_deletion.RunUnderWay, match="cancel run"):
        project_deletion.delete_project(project)
    assert Project.objects.filter(pk=project.pk).exists()


def test_a_project_into_which_a_data_set_is_imported_stays():
    project = make_project()
    DatasetImport.objects.create(project=project, name="a.zip", job=jobs.insert("training.x"))
    with pytest.raises(project_deletion.ProjectBusy, match="data set is being imported"):
        project_deletion.delete_project(project)


def test_an_archived_project_takes_no_upload_until_it_is_brought_back():
    version = make_model_version(make_project(categories=["a", "b"]))
    registry.promote_version(version, by=None)
    user = make_user()
    projects.archive_project(version.project)
    project = Project.objects.get()
    with pytest.raises(projects.ProjectArchived, match="is archived"):
        classification.classify_upload(project, make_upload(), by=user)
    assert not Sample.objects.exists()
    projects.restore_project(project)
    assert classification.classify_upload(Project.objects.get(), make_upload(), by=user)


def test_an_archived_project_is_listed_only_among_the_archived():
    project = make_project()
    projects.archive_project(project)
    assert not projects.projects_with_live_version()
    assert projects.projects_with_live_version(archived=True).get() == project


def test_an_archived_project_is_not_trained_by_itself():
    project = make_trainable()
    TrainingPolicy.objects.create(project=project, retrain_after_labels=1)
    projects.archive_project(project)
    assert retraining.retrain_where_due() == 0
    projects.restore_project(project)
    assert retraining.retrain_where_due() == 1


def test_the_samples_of_a_deleted_category_wait_again_and_their_history_stays(maintainer):
    project = make_project(categories=["pizza", "risotto"])
    sample, other = labelled(project, "pizza", maintainer), labelled(project, "risotto", maintainer)
    category_removal.delete_category(project.categories.get(name="pizza"), by=maintainer)
    assert [each.name for each in project.categories.all()] == ["risotto"]
    assert list(ground_truth.labelled_samples(project)) == [other]
    history = Decision.objects.filter(sample=sample).order_by("pk")
    assert [each.outcome for each in history] == ["labelled", "reopened"]
    assert history[0].category.name == "pizza"


def test_a_deleted_category_cannot_be_decided_for(maintainer):
    project = make_project(categories=["pizza", "risotto"])
    labelled(project, "pizza", maintainer)
    pizza = project.categories.get(name="pizza")
    category_removal.delete_category(pizza, by=maintainer)
    with pytest.raises(InvalidInput, match="was deleted"):
        decisions.label_sample(make_sample(project), pizza, by=maintainer)


def test_a_category_that_nothing_names_is_deleted_for_good(maintainer):
    project = make_project(categories=["pizza", "risotto"])
    category_removal.delete_category(project.categories.get(name="pizza"), by=maintainer)
    assert Category.everywhere.get().name == "risotto"


def test_a_deleted_category_that_is_added_again_is_the_same_without_its_labels(maintainer):
    project = make_project(categories=["pizza"])
    labelled(project, "pizza", maintainer)
    pizza = project.categories.get()
    category_removal.delete_category(pizza, by=maintainer)
    again, is_new = categories.add_category(project, "Pizza")
    assert (again.pk, again.name, is_new) == (pizza.pk, "Pizza", True)
    assert not ground_truth.labelled_samples(project).exists()


def test_a_name_of_a_deleted_category_is_not_given_to_another(maintainer):
    project = make_project(categories=["pizza", "risotto"])
    labelled(project, "pizza", maintainer)
    category_removal.delete_category(project.categories.get(name="pizza"), by=maintainer)
    with pytest.raises(Conflict, match="was deleted"):
        categories.rename_category(project.categories.get(), "pizza")


def test_each_sample_of_a_merged_category_gets_its_own_decision(maintainer):
    project = make_project(categories=["margherita", "pizza"])
    samples = [labelled(project, "margherita", make_maintainer()) for _number in range(3)]
    pizza = project.categories.get(name="pizza")
    margherita = project.categories.get(name="margherita")
    category_removal.merge_category(margherita, into=pizza, by=maintainer)
    for sample in samples:
        newest = decisions.latest_decision(sample)
        assert (newest.category, newest.reviewer) == (pizza, maintainer)
        assert newest.reason == "margherita → pizza"
        assert sample.decisions.count() == 2
    assert list(project.categories.all()) == [pizza]


def test_what_users_said_follows_a_merge(maintainer):
    project = make_project(categories=["margherita", "pizza"])
    margherita, pizza = project.categories.order_by("name")
    said = make_feedback(make_prediction(project=project, top=margherita), category=margherita)
    category_removal.merge_category(margherita, into=pizza, by=maintainer)
    said.refresh_from_db()
    assert said.category == pizza and said.prediction.top == pizza


def test_what_a_model_answers_by_a_merged_name_counts_for_the_other(maintainer):
    project = make_project(categories=["margherita", "pizza"])
    version = make_model_version(project, ["margherita", "pizza"])
    margherita, pizza = project.categories.order_by("name")
    version.manifest = {"category_uuids": [str(margherita.uuid), str(pizza.uuid)]}
    category_removal.merge_category(margherita, into=pizza, by=maintainer)
    assert registry.class_categories_now(version) == [
        ("margherita", pizza.pk),
        ("pizza", pizza.pk),
    ]


def test_many_samples_are_merged_by_a_worker_some_at_a_time(maintainer, monkeypatch):
    monkeypatch.setattr(category_removal, "ROWS_AT_ONCE", 2)
    project = make_project(categories=["margherita", "pizza"])
    for _number in range(5):
        labelled(project, "margherita", maintainer)
    margherita, pizza = project.categories.order_by("name")
    assert category_removal.merge_category(margherita, into=pizza, by=maintainer)
    assert ground_truth.samples_showing(pizza).count() == 2
    with pytest.raises(Conflict, match="still being deleted"):
        categories.add_category(project, "margherita")
    run_jobs()
    assert ground_truth.samples_showing(pizza).count() == 5
    assert not Feedback.objects.exists()


def test_a_category_is_not_merged_into_itself_nor_into_one_of_another_project(maintainer):
    pizza = make_project(categories=["pizza"]).categories.get()
    other = make_project(categories=["pizza"]).categories.get()
    for wrong in (pizza, other):
        with pytest.raises(InvalidInput, match="another category of the same project"):
            category_removal.merge_category(pizza, into=wrong, by=maintainer)
    assert Category.objects.count() == 2


def test_of_two_merges_into_each_other_one_is_refused(maintainer):
    project = make_project(categories=["a", "b"])
    first, second = project.categories.order_by("name")
    category_removal.merge_category(first, into=second, by=maintainer)
    with pytest.raises(InvalidInput, match="deleted in the meantime"):
        category_removal.merge_category(second, into=first, by=maintainer)
    assert project.categories.get() == second


def test_a_sample_that_shows_both_categories_shows_the_merged_one_once(maintainer):
    project = make_project(categories=["a", "b", "c"], multilabel=True)
    a, b, c = project.categories.order_by("name")
    sample = make_sample(project)
    decisions.label_many_multilabel(project, [(sample, [a, b, c])], by=maintainer, reason="")
    category_removal.merge_category(a, into=b, by=maintainer)
    newest = decisions.latest_decision(sample)
    assert newest.category == b
    assert [each.category for each in newest.additional_categories.all()] == [c]


def test_a_category_stays_while_an_import_may_go_on_to_label_with_it(maintainer):
    project = make_project(categories=["a", "b"])
    DatasetImport.objects.create(project=project, name="a.zip", job=jobs.insert("training.x"))
    with pytest.raises(project_deletion.ProjectBusy, match="data set is being imported"):
        category_removal.delete_category(project.categories.first(), by=maintainer)
    assert project.categories.count() == 2


def test_a_deleted_category_lets_go_of_its_key_and_comes_back_with_another(
    maintainer,
):
    project = make_project(categories=["pizza", "risotto"])
    labelled(project, "pizza", maintainer)
    before = {each.name: each.key for each in category_keys.keyed_categories(project)}
    category_removal.delete_category(project.categories.get(name="pizza"), by=maintainer)
    assert Category.everywhere.get(name="pizza").key == ""
    again, _is_new = categories.add_category(project, "pizza")
    assert again.key and again.key not in before.values()
