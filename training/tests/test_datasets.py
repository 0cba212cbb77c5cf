import pytest

from predictions.models import Sample
from predictions.tests.factories import make_project, make_sample, make_user
from review.models import Decision
from training.data import datasets
from training.models import DatasetItem, DatasetVersion
from training.tests.factories import label, make_dataset, make_labelled, make_trainable, sha_in

pytestmark = pytest.mark.django_db


def test_a_data_set_holds_what_is_true_with_its_splits():
    project = make_trainable()
    dataset = datasets.freeze_dataset(project, by=make_user("maintainer"))
    assert dataset.number == 1
    assert datasets.category_counts(dataset) == {
        "dark": {"train": 4, "validation": 1, "test": 6},
        "light": {"train": 4, "validation": 1, "test": 6},
    }
    assert dataset.report["counts"]["dark"] == {"train": 4, "validation": 1, "test": 6}


@pytest.mark.parametrize(
    ("digest", "split"),
    [
        ("00000000" + "f" * 56, "train"),
        (f"{69:08x}", "train"),
        (f"{70:08x}", "validation"),
        (f"{85:08x}", "test"),
    ],
)
def test_the_split_follows_from_the_digest_alone(digest, split):
    assert datasets.split_of(digest) == split


def test_about_seventy_fifteen_fifteen():
    splits = [
        datasets.split_of(f"{number * 2_654_435_761 % 2**32:08x}") for number in range(10_000)
    ]
    assert 6_800 < splits.count("train") < 7_200
    assert 1_300 < splits.count("validation") < 1_700
    assert 1_300 < splits.count("test") < 1_700


def test_a_picture_stays_in_its_split_when_others_come_and_when_it_is_relabelled():
    project = make_trainable()
    first = make_dataset(project)
    wanderer = first.items.filter(split="test", category__name="dark").first().sample
    make_labelled(project, "light", train=9)
    label(wanderer, project.categories.get(name="light"))
    second = datasets.freeze_dataset(project)
    assert second.items.get(sample=wanderer).split == "test"
    before = dict(first.items.values_list("sample", "split"))
    after = dict(second.items.values_list("sample", "split"))
    assert all(after[sample] == split for sample, split in before.items())


def test_the_same_content_is_the_same_version():
    project = make_trainable()
    assert datasets.freeze_dataset(project) == datasets.freeze_dataset(project)
    assert DatasetVersion.objects.count() == 1


def test_renaming_a_category_makes_no_new_version():
    project = make_trainable()
    first = datasets.freeze_dataset(project)
    project.categories.filter(name="dark").update(name="night")
    assert datasets.freeze_dataset(project) == first


def test_a_new_picture_makes_a_new_version_and_leaves_the_old_one_alone():
    project = make_trainable()
    first = datasets.freeze_dataset(project)
    make_labelled(project, "dark", train=1, validation=0, test=0)
    second = datasets.freeze_dataset(project)
    assert (second.number, second.items.count()) == (2, 23)
    assert first.items.count() == 22


def test_a_category_with_four_pictures_is_left_out_and_told():
    project = make_trainable()
    make_labelled(project, "dusk", train=3, validation=1, test=0)
    dataset = datasets.freeze_dataset(project)
    assert not dataset.items.filter(category__name="dusk").exists()
    (told,) = dataset.report["left_out"]
    assert (
        datasets.ExcludedCategory(**told).sentence
        == "“dusk” is left out: it has 4 pictures, and needs at least 5."
    )


def test_a_category_with_five_pictures_is_in():
    project = make_trainable()
    make_labelled(project, "dusk", train=4, validation=1, test=0)
    dataset = datasets.freeze_dataset(project)
    assert dataset.items.filter(category__name="dusk").count() == 5
    assert datasets.categories_without_test(dataset) == ["dusk"]


def test_a_category_with_nothing_to_train_on_is_left_out_and_told():
    project = make_trainable()
    make_labelled(project, "dusk", train=0, validation=3, test=3)
    content = datasets.collect_labelled(project)
    assert [each.category for each in content.left_out] == ["dusk"]
    assert "none of its pictures" in content.left_out[0].sentence


def test_one_usable_category_is_too_little():
    project = make_project()
    make_labelled(project, "dark")
    make_labelled(project, "light", train=1, validation=0, test=0)
    with pytest.raises(
        datasets.NotEnoughData, match="at least 2 categories need 5 .* “light” is left out"
    ):
        datasets.freeze_dataset(project)
    assert not DatasetVersion.objects.exists()


def test_only_what_a_reviewer_says_last_counts():
    project = make_trainable()
    sample = project.samples.first()
    Decision.objects.create(sample=sample, outcome=Decision.Outcome.DISCARDED)
    unlabelled = make_sample(project)
    dataset = datasets.freeze_dataset(project)
    assert not dataset.items.filter(sample__in=[sample, unlabelled]).exists()


def test_a_picture_that_was_let_go_is_not_in_but_one_of_the_demo_is():
    project = make_trainable()
    gone = make_sample(project, sha256=sha_in("train"), location=Sample.Location.NOWHERE)
    demo = make_sample(
        project, sha256=sha_in("train"), location=Sample.Location.NOWHERE, origin=Sample.Origin.DEMO
    )
    for sample in (gone, demo):
        label(sample, project.categories.get(name="dark"))
    samples = set(datasets.freeze_dataset(project).items.values_list("sample", flat=True))
    assert demo.pk in samples
    assert gone.pk not in samples


def test_the_version_before():
    project = make_trainable()
    first = datasets.freeze_dataset(project)
    make_labelled(project, "dark", train=2, validation=0, test=0)
    second = datasets.freeze_dataset(project)
    assert datasets.previous_version(second) == first
    assert datasets.previous_version(first) is None


def test_freezing_takes_few_queries(django_assert_max_num_queries):
    project = make_trainable()
    make_labelled(project, "dusk", train=30)
    with django_assert_max_num_queries(12):
        datasets.freeze_dataset(project)
    assert DatasetItem.objects.count() == 22 + 33


def test_of_two_samples_that_are_the_same_picture_one_is_in():
    project = make_trainable()
    first, second = project.samples.order_by("sha256")[:2]
    before = datasets.freeze_dataset(project)
    project.samples.filter(pk=second.pk).update(content_sha256=first.sha256)
    dataset = datasets.freeze_dataset(project)
    assert before.items.count() - dataset.items.count() == 1
    assert not dataset.items.filter(sample=second).exists()
    assert datasets.left_out_sentences(dataset) == [
        "1 sample is left out: it is the same picture as another one, with other metadata."
    ]
    assert datasets.left_out_sentences(before) == []


def test_samples_whose_content_is_not_known_yet_are_no_twins():
    project = make_trainable()
    count = datasets.freeze_dataset(project).items.count()
    project.samples.update(content_sha256=Sample.UNKNOWN_CONTENT)
    assert datasets.freeze_dataset(project).items.count() == count
