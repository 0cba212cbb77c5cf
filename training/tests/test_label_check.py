import numpy as np
import pytest

from common import jobs
from common.errors import Conflict
from predictions.models import Sample
from predictions.tests.factories import make_user
from review import leases
from review.models import Decision
from training.data import datasets
from training.evaluation import label_check
from training.evaluation.confident_learning import Doubt
from training.models import DoubtfulLabel, LabelCheck
from training.tests.factories import label, make_dataset, make_run, make_trainable
from training.trainers.base import trainers

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_trainable()


@pytest.fixture
def reviewer():
    return make_user("reviewer")


@pytest.fixture(autouse=True)
def doubts_where_the_second_number_is_one(monkeypatch):
    """How well wrong labels are found is a matter of `test_confident_learning`."""

    def found(matrix, labels, groups, classes, progress=None):
        rows = np.flatnonzero(matrix[:, 1])
        return [Doubt(int(row), 1 - int(labels[row]), 0.1, 0.9) for row in rows]

    monkeypatch.setattr(label_check, "find_doubts", found)


def vectors_for(project, *, wrong=()) -> dict[str, np.ndarray]:
    """Return a vector per sample, each of another direction; those in `wrong` are doubted."""
    samples = enumerate(project.samples.order_by("pk"))
    return {
        sample.sha256: np.array([1.0, sample in wrong, number + 1.0]) for number, sample in samples
    }


def check(project, vectors) -> LabelCheck | None:
    dataset = make_dataset(project)
    return label_check.check_labels(dataset, datasets.load_examples_by_sample(dataset), vectors)


@pytest.fixture
def doubt(project):
    wrong = project.samples.order_by("pk").first()
    check(project, vectors_for(project, wrong=[wrong]))
    return label_check.open_doubts(project).get()


def test_a_wrong_label_is_doubted_with_its_evidence(project, doubt):
    assert doubt.sample == project.samples.order_by("pk").first()
    assert (doubt.decision.category.name, doubt.suggested.name) == ("dark", "light")
    assert doubt.quality < 0.5 < doubt.probability
    names = {
        sample.decisions.latest("pk").category.name
        for sample in (doubt.nearest_as_given, doubt.nearest_as_suggested)
    }
    assert names == {"dark", "light"}
    assert doubt.nearest_as_given != doubt.sample


def test_a_data_set_is_checked_once_and_not_without_vectors(project):
    assert check(project, {}) is None
    first = check(project, vectors_for(project))
    assert check(project, {}) == first
    assert (first.checked, label_check.open_doubts(project).count()) == (22, 0)


def test_a_label_that_is_kept_is_not_doubted_again(project, reviewer, doubt):
    before = Decision.objects.count()
    label_check.keep_label(project, doubt.pk, by=reviewer)
    assert not label_check.open_doubts(project).exists()
    with pytest.raises(label_check.NotDoubted):
        label_check.keep_label(project, doubt.pk, by=reviewer)
    other = project.samples.order_by("pk").last()
    label(other, project.categories.get(name="dark"))
    check(project, vectors_for(project, wrong=[doubt.sample, other]))
    assert [each.sample for each in label_check.open_doubts(project)] == [other]
    assert Decision.objects.count() == before + 1  # the one of this test


def test_a_label_of_which_nobody_can_see_the_picture_is_not_shown(project, doubt):
    nowhere = {"location": Sample.Location.NOWHERE, "file_name": ""}
    Sample.objects.filter(pk=doubt.sample.pk).update(**nowhere)
    assert not label_check.open_doubts(project).exists()


def test_a_correction_is_one_more_decision(project, reviewer, doubt):
    label_check.correct_label(project, doubt.pk, by=reviewer)
    newest = doubt.sample.decisions.latest("pk")
    assert (newest.category.name, newest.reviewer) == ("light", reviewer)
    assert doubt.sample.decisions.count() == 2
    assert not label_check.open_doubts(project).exists()


def test_nothing_is_corrected_under_the_eyes_of_another_reviewer(project, reviewer, doubt):
    leases.acquire(doubt.sample, make_user("reviewer"))
    with pytest.raises(Conflict, match="Another reviewer"):
        label_check.correct_label(project, doubt.pk, by=reviewer)
    assert doubt.sample.decisions.count() == 1


def test_a_doubt_of_another_project_is_not_found(reviewer, doubt):
    with pytest.raises(label_check.NotDoubted):
        label_check.correct_label(make_trainable(), doubt.pk, by=reviewer)


def test_what_was_decided_since_is_no_longer_doubted(project, doubt):
    label(doubt.sample, project.categories.get(name="light"))
    assert DoubtfulLabel.objects.exists()
    assert not label_check.open_doubts(project).exists()


def test_a_run_whose_model_has_vectors_has_its_labels_checked(project, monkeypatch):
    trainer = trainers["dummy"]
    wrong = project.samples.order_by("pk").first()
    vectors = vectors_for(project, wrong=[wrong])
    monkeypatch.setattr(trainer, "has_vectors", True, raising=False)
    monkeypatch.setattr(trainer, "feature_vectors", lambda *_args: vectors, raising=False)
    run = make_run(project)
    jobs.run_due_jobs(queue="training")
    jobs.run_due_jobs()
    run.refresh_from_db()
    assert LabelCheck.objects.get().dataset == run.dataset
    assert [each.sample for each in label_check.open_doubts(project)] == [wrong]


@pytest.mark.parametrize(("verdict", "decisions"), [("keep", 1), ("correct", 2)])
def test_a_reviewer_judges_a_doubted_label_on_its_page(
    client, project, reviewer, doubt, verdict, decisions
):
    client.force_login(reviewer)
    url = f"/training/{project.slug}/labels/"
    shown = client.get(url).content.decode()
    assert "Labelled dark, looks like light" in shown
    assert client.post(f"{url}{doubt.pk}/", {"verdict": verdict}).status_code == 302
    assert doubt.sample.decisions.count() == decisions
    assert "Nothing is left to look at." in client.get(url).content.decode()


def test_the_page_takes_as_many_queries_for_many_doubts(
    client, project, reviewer, doubt, django_assert_max_num_queries
):
    client.force_login(reviewer)
    for sample in project.samples.exclude(pk=doubt.sample.pk)[:15]:
        DoubtfulLabel.objects.create(
            label_check=doubt.label_check,
            sample=sample,
            decision=sample.decisions.latest("pk"),
            suggested=doubt.suggested,
            quality=0.1,
            probability=0.8,
            nearest_as_given=doubt.sample,
        )
    with django_assert_max_num_queries(15):
        client.get(f"/training/{project.slug}/labels/")
