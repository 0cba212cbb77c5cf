import numpy as np
import pytest

from predictions import registry
from predictions.tests.factories import make_model_version
from training.data.examples import Example
from training.evaluation import evaluations
from training.evaluation.counts import CategoryCounts
from training.evaluation.significance import wilson_interval
from training.models import Evaluation
from training.tests.factories import (
    make_dataset,
    make_finished_run,
    make_labelled,
    make_trainable,
    make_trained,
)


def example(category: str) -> Example:
    return Example(sha256="", category=category, split="test", read=None)


def asked(*categories: str) -> list[tuple[int, Example]]:
    return [(place, example(category)) for place, category in enumerate(categories)]


def test_precision_and_recall_of_a_known_matrix():
    precision, recall = CategoryCounts.of_matrix(np.array([[8, 2], [1, 9]])).precision_and_recall
    assert precision == pytest.approx([8 / 9, 9 / 11])
    assert recall == pytest.approx([0.8, 0.9])


def test_what_is_undefined_is_none():
    figures = evaluations.category_metrics(
        ["a", "b", "c"],
        CategoryCounts.of_matrix(np.array([[3, 0, 0], [1, 0, 0], [0, 0, 0]])),
        {"a": 1.0, "c": None},
    )
    assert figures["b"] == {
        "precision": None,
        "recall": 0.0,
        "average_precision": None,
        "support": 1,
    }
    assert figures["c"] == {
        "precision": None,
        "recall": None,
        "average_precision": None,
        "support": 0,
    }
    assert figures["a"]["average_precision"] == 1.0


def test_a_matrix_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="square"):
        CategoryCounts.of_matrix(np.zeros((2, 3)))


def test_macro_f1_is_the_mean_over_the_categories_with_pictures():
    # F1: 2 * 8 / (9 + 10) and 2 * 9 / (11 + 10); the third class has no picture
    assert CategoryCounts.of_matrix(
        np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    ).macro_f1 == pytest.approx((16 / 19 + 18 / 21) / 2)


def test_a_row_of_nan_is_left_out_and_counted():
    scores = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    measured = evaluations.tally_scores(scores, ["a", "b"], asked("a", "a", "a"))
    assert measured.right == {0: True, 2: False}
    assert measured.skipped == 1
    assert measured.accuracy == 0.5


def test_a_category_that_the_model_does_not_know_is_missed():
    measured = evaluations.tally_scores(
        np.array([[0.9, 0.1], [0.6, 0.4]]), ["a", "b"], asked("a", "pizza")
    )
    assert measured.names == ["a", "b", "pizza"]
    assert measured.right == {0: True, 1: False}
    assert measured.matrix.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_counting_keeps_top_probabilities_and_what_the_temperature_did():
    scores = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    measured = evaluations.tally_scores(scores, ["a", "b"], asked("a", "a", "a"), temperature=2.0)
    confidences, right = measured.answers
    assert (confidences.tolist(), right.tolist()) == ([0.9, 0.8], [True, False])
    assert measured.average_precision == {"a": 1.0, "b": None}
    assert measured.calibration["error"] == pytest.approx((0.1 + 0.8) / 2)
    # One bin
    assert measured.calibration["error_before"] == pytest.approx((81 / 82 + 64 / 68) / 2 - 1 / 2)


def test_nothing_to_count_is_counted_as_nothing():
    measured = evaluations.tally_scores(np.empty((0, 2)), ["a", "b"], [])
    assert measured.calibration == {}
    assert measured.answers[0].shape == (0,)


def test_where_categories_do_not_exclude_each_other_a_picture_is_right_if_all_of_them_are():
    several = [
        (1, Example("", "a", "test", None, additional=("b",))),
        (2, Example("", "a", "test", None)),
        (3, Example("", "c", "test", None)),
    ]
    scores = np.array([[0.9, 0.5], [0.8, 0.7], [0.4, 0.3]])
    measured = evaluations.tally_scores(scores, ["a", "b"], several, 1.5, multilabel=True)
    assert measured.names == ["a", "b", "c"] and measured.right == {1: True, 2: False, 3: False}
    assert measured.counts.as_json() == {
        "hits": [2, 1, 0],
        "named": [2, 2, 0],
        "support": [2, 1, 1],
    }
    assert measured.average_precision == {
        "a": 1.0,
        "b": 0.5,
    } and measured.accuracy == pytest.approx(1 / 3)
    found = Evaluation(confusion=measured.confusion)
    assert found.is_multilabel and measured.calibration == {}
    by_category, overall = evaluations.metric_intervals(found)
    assert (by_category["b"]["precision"], overall) == (
        wilson_interval(1, 2),
        wilson_interval(1, 3),
    )


def test_intervals_follow_from_the_confusion_matrix():
    found = Evaluation(
        confusion={"names": ["a", "b", "c"], "matrix": [[9, 1, 0], [0, 10, 0], [0, 0, 0]]}
    )
    by_category, accuracy = evaluations.metric_intervals(found)
    assert by_category["a"]["recall"] == wilson_interval(9, 10)
    assert by_category["b"]["precision"] == wilson_interval(10, 11)
    assert by_category["c"] == {"precision": None, "recall": None}
    assert accuracy == wilson_interval(19, 20)


@pytest.mark.django_db
def test_a_model_is_measured_once_per_data_set():
    project = make_trainable()
    dataset = make_dataset(project)
    version = make_model_version(project, ("dark", "light"))
    first = evaluations.evaluate_version(version, dataset)
    assert (first.accuracy, first.macro_f1, first.skipped) == (1.0, 1.0, 0)
    assert first.per_category["dark"] == {
        "precision": 1.0,
        "recall": 1.0,
        "average_precision": 1.0,
        "support": 6,
    }
    assert sum(each["count"] for each in first.calibration["bins"]) == 12
    assert first.confusion == {
        "names": ["dark", "light"],
        "matrix": [[6, 0], [0, 6]],
        "mistakes": {},
    }
    assert evaluations.evaluate_version(version, dataset) == first
    assert Evaluation.objects.count() == 1


@pytest.mark.django_db
def test_a_data_set_without_test_pictures_measures_nothing():
    project = make_trainable(test=0)
    version = make_model_version(project, ("dark", "light"))
    with pytest.raises(evaluations.NoTestPictures):
        evaluations.evaluate_version(version, make_dataset(project))


@pytest.mark.django_db
def test_a_model_of_an_unknown_predictor_cannot_be_measured():
    project = make_trainable()
    version = make_model_version(project, ("dark", "light"), predictor="azure-of-old")
    with pytest.raises(evaluations.NoTrainerForModel, match="azure-of-old"):
        evaluations.evaluate_version(version, make_dataset(project))


@pytest.mark.django_db
def test_a_model_is_scored_by_the_trainer_that_made_it(settings):
    settings.TRAINERS = {
        "other": {"BACKEND": "training.trainers.dummy.DummyTrainer"},
        "dummy": {"BACKEND": "training.trainers.dummy.DummyTrainer"},
    }
    run = make_finished_run(make_trainable(), trainer="other")
    assert run.model_version
    assert evaluations.trainer_for(run.model_version).alias == "other"
    assert evaluations.trainer_for(make_model_version(run.project)).alias == "dummy"


@pytest.mark.django_db
def test_a_model_keeps_its_meaning_when_a_category_is_renamed():
    project = make_trainable()
    version = make_trained(project)
    project.categories.filter(name="dark").update(name="night")
    make_labelled(project, "night", train=1)
    assert registry.class_names_now(version) == ["night", "light"]
    assert evaluations.evaluate_version(version, make_dataset(project)).accuracy == 1.0


@pytest.mark.django_db
def test_what_a_model_had_to_learn_from_is_not_asked_about():
    version = make_trained()
    dataset = version.run.dataset
    tests = list(dataset.items.filter(split="test").values_list("sample__sha256", flat=True))
    version.manifest["learned_from_test"] = tests[:1]
    version.save()
    Evaluation.objects.filter(model_version=version).delete()
    evaluation = evaluations.evaluate_version(version, dataset)
    assert (len(evaluation.answers), evaluation.skipped) == (len(tests) - 1, 1)
