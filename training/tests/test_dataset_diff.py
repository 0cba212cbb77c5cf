"""What changed between two data set versions, and which answers of their models flipped."""

import pytest
from django.urls import reverse

from predictions.models import Category
from predictions.tests.factories import make_project, make_user
from review.models import AdditionalCategory, Decision
from training.data import dataset_diff, datasets
from training.data.dataset_diff import Change, DatasetDiff
from training.evaluation import paired_answers
from training.models import DatasetItem
from training.tests.factories import label, make_finished_run, make_labelled, make_trainable

pytestmark = pytest.mark.django_db


def change_something(project) -> None:
    """Two samples come, one is relabelled, one goes."""
    make_labelled(project, "dark", train=2, validation=0, test=0)
    light = project.samples.filter(decisions__category__name="light").order_by("pk")
    relabelled, discarded = light[:2]
    label(relabelled, project.categories.get(name="dark"))
    Decision.objects.create(sample=discarded, outcome=Decision.Outcome.DISCARDED)


def make_versions(project):
    first = datasets.freeze_dataset(project)
    change_something(project)
    return first, datasets.freeze_dataset(project)


def test_changes_are_counted():
    first, second = make_versions(make_trainable())
    assert dataset_diff.count_changes(first, second) == DatasetDiff(
        added=2, removed=1, relabelled=1
    )
    assert dataset_diff.count_changes(second, first) == DatasetDiff(
        added=1, removed=2, relabelled=1
    )
    assert dataset_diff.count_changes(second, second).is_empty


def test_a_sample_in_another_split_has_moved():
    first, second = make_versions(make_trainable())
    item = second.items.filter(split="test", category__name="dark").first()
    DatasetItem.objects.filter(pk=item.pk).update(split="train")
    (row,) = dataset_diff.change_page(first, second, Change.MOVED).rows
    assert (row.sample, row.split_before, row.split_after) == (item.sample, "test", "train")


def test_a_relabelled_sample_shows_both_labels():
    first, second = make_versions(make_trainable())
    (row,) = dataset_diff.change_page(first, second, Change.RELABELLED).rows
    assert (row.before, row.after, row.is_relabelled) == (("light",), ("dark",), True)


def test_pages_go_on_after_the_last_sample(monkeypatch):
    monkeypatch.setattr(dataset_diff, "PAGE", 3)
    project = make_trainable()
    first = datasets.freeze_dataset(project)
    added = make_labelled(project, "dark", train=7, validation=0, test=0)
    second = datasets.freeze_dataset(project)
    shown, after, pages = [], None, 0
    while pages == 0 or after is not None:
        page = dataset_diff.change_page(first, second, Change.ADDED, after=after)
        shown += [row.sample.pk for row in page.rows]
        after, pages = page.next_key, pages + 1
    assert shown == [sample.pk for sample in added]
    assert pages == 3


class TestSeveralCategories:
    """Of samples that show several categories, the whole set counts, in no order."""

    @pytest.fixture
    def project(self):
        project = make_project(trainer="dummy", multilabel=True)
        for name in ("plate", "spoon", "table"):
            make_labelled(project, name)
        for decision in Decision.objects.filter(category__name="plate"):
            AdditionalCategory.objects.create(
                decision=decision, category=project.categories.get(name="table")
            )
        return project

    def test_another_order_is_no_change(self, project):
        first = datasets.freeze_dataset(project)
        # By its name a category may come before another one, and then stands on the item itself
        Category.objects.filter(project=project, name="table").update(name="a table")
        make_labelled(project, "spoon", train=1, validation=0, test=0)
        second = datasets.freeze_dataset(project)
        assert second.items.filter(category__name="a table").count() == 14
        assert dataset_diff.count_changes(first, second) == DatasetDiff(added=1)

    def test_one_label_more_fewer_or_another_is_a_change(self, project):
        first = datasets.freeze_dataset(project)
        spoon, table = (project.categories.get(name=name) for name in ("spoon", "table"))
        more = project.samples.filter(decisions__category=spoon).first()
        fewer, other = project.samples.filter(decisions__category__name="plate")[:2]
        also = [label(more, spoon), label(other, project.categories.get(name="plate"))]
        label(fewer, table)
        AdditionalCategory.objects.create(decision=also[0], category=table)
        AdditionalCategory.objects.create(decision=also[1], category=spoon)
        second = datasets.freeze_dataset(project)
        rows = dataset_diff.change_page(first, second, Change.RELABELLED).rows
        assert {row.sample for row in rows} == {more, fewer, other}


class TestFlips:
    """The dummy model is right on dark and light pictures, as long as they are labelled so."""

    def test_answers_that_flipped_are_told_from_others(self):
        project = make_trainable()
        first = make_finished_run(project)
        dark = project.samples.filter(decisions__category__name="dark").order_by("-pk")
        relabelled = dark.first()  # of the test split
        label(relabelled, project.categories.get(name="light"))
        second = make_finished_run(project)
        pair = paired_answers.pair_datasets(first.dataset, second.dataset)
        assert pair.broke == [relabelled.pk]
        assert (pair.fixed, pair.outcomes.count) == ([], 12)
        assert pair.flip_of(relabelled.pk) == "broke"
        changed = dataset_diff.changed_test_samples(first.dataset, second.dataset)
        assert paired_answers.among(pair.broke, changed) == 1

    def test_without_a_model_nothing_is_known(self):
        first, second = make_versions(make_trainable())
        assert paired_answers.pair_datasets(first, second) is None

    def test_models_are_compared_on_the_newest_data_set_that_both_were_asked_about(self):
        project = make_trainable()
        first = make_finished_run(project, promote=True)
        make_labelled(project, "dark", train=0, validation=0, test=3)
        second = make_finished_run(project)
        pair = paired_answers.pair_datasets(first.dataset, second.dataset)
        assert pair.is_on_one_dataset
        assert pair.outcomes.count == 15, "the live model was asked about the new ones, too"


class TestPage:
    @pytest.fixture
    def shown(self, client):
        client.force_login(make_user("maintainer"))

        def get(project, **query) -> str:
            response = client.get(reverse("training:difference", args=[project.slug]), query)
            assert response.status_code == 200
            return response.content.decode()

        return get

    def test_the_newest_two_are_compared_unless_others_are_chosen(self, shown):
        project = make_trainable()
        make_versions(project)
        page = shown(project)
        assert "Added <span" in page
        assert page.count('<li class="list-group-item') == 2
        assert "Which answers flipped is not known" in page
        assert "Nothing here." in shown(project, older=1, newer=1)

    def test_a_project_without_data_sets_says_so(self, shown):
        assert "There is no data set yet." in shown(make_project(trainer="dummy"))

    def test_a_data_set_that_does_not_exist_is_not_found(self, client):
        client.force_login(make_user("maintainer"))
        project = make_trainable()
        make_versions(project)
        address = reverse("training:difference", args=[project.slug])
        assert client.get(address, {"older": "9"}).status_code == 404
        assert client.get(address, {"older": "x"}).status_code == 404

    def test_the_queries_do_not_grow_with_the_samples(self, client, django_assert_max_num_queries):
        project = make_trainable()
        make_versions(project)
        make_labelled(project, "dark", train=40, validation=0, test=0)
        datasets.freeze_dataset(project)
        client.force_login(make_user("maintainer"))
        with django_assert_max_num_queries(30):
            client.get(reverse("training:difference", args=[project.slug]))


class TestApi:
    def test_the_difference_page_by_page(self, client, monkeypatch):
        monkeypatch.setattr(dataset_diff, "PAGE", 1)
        project = make_trainable()
        make_versions(project)
        client.force_login(make_user("maintainer"))
        address = reverse("api:data_set_difference", args=[project.slug, 1, 2])
        answer = client.get(address).json()
        assert (answer["added"], answer["removed"], answer["relabelled"]) == (2, 1, 1)
        assert answer["models"] is None
        (sample,) = answer["samples"]
        assert (sample["before"], sample["after"], sample["answer"]) == ([], ["dark"], None)
        assert client.get(answer["next"]).json()["next"] is None

    def test_an_unknown_kind_is_refused(self, client):
        project = make_trainable()
        make_versions(project)
        client.force_login(make_user("maintainer"))
        address = reverse("api:data_set_difference", args=[project.slug, 1, 2])
        answer = client.get(address, {"kind": "stolen"})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")

    def test_the_data_sets_of_a_project(self, client):
        project = make_trainable()
        make_versions(project)
        client.force_login(make_user("maintainer"))
        answer = client.get(reverse("api:data_sets", args=[project.slug])).json()
        assert [each["number"] for each in answer] == [2, 1]
