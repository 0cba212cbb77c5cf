"""Where answers come from, and where labels that turned out wrong have led."""

import csv
from datetime import timedelta
from unittest.mock import patch

import numpy as np
import pytest
from django.urls import reverse
from django.utils import timezone

from common import jobs
from common.models import Job
from predictions.predictors.base import PredictorUnavailable
from predictions.tests.factories import (
    make_feedback,
    make_live_model,
    make_prediction,
    make_user,
)
from review.models import Decision
from training import tasks  # noqa: F401 (defines the task)
from training.features.cache import FeatureCache
from training.features.neighbours import find_nearest, find_nearest_cached
from training.models import DatasetItem, NeighbourSearch
from training.provenance import answers, labels, neighbours
from training.provenance.neighbours import SearchState
from training.tests.factories import label, make_finished_run
from training.trainers.dummy import DummyTrainer

pytestmark = pytest.mark.django_db


@pytest.fixture
def prediction():
    """An answer of a model that learned from a data set of 22 samples."""
    run = make_finished_run(promote=True)
    return make_prediction(make_user(), model_version=run.model_version)


def search() -> None:
    jobs.run_due_jobs("analysis")


class TestNearest:
    def test_the_nearest_by_cosine_come_first_however_the_vectors_are_cut(self):
        generator = np.random.default_rng(5)
        vectors = generator.normal(size=(50, 8)).astype(np.float32)
        names = [f"{place:064x}" for place in range(50)]
        asked = generator.normal(size=8)
        cosines = vectors @ asked / np.linalg.norm(vectors, axis=1) / np.linalg.norm(asked)
        expected = [names[place] for place in np.argsort(-cosines)[:5]]
        for size in (1, 7, 50):
            blocks = (
                (names[start : start + size], vectors[start : start + size])
                for start in range(0, 50, size)
            )
            found = find_nearest(asked, blocks, 5)
            assert [each.sha256 for each in found.nearest] == expected
            assert found.compared == 50
            assert found.nearest[0].cosine == pytest.approx(cosines.max(), abs=1e-6)

    def test_of_equals_the_lower_digest_is_first_and_zeros_do_no_harm(self):
        found = find_nearest(np.ones(2), [(["b", "a", "c"], np.array([[1, 1], [2, 2], [0, 0]]))], 3)
        assert [(each.sha256, round(each.cosine)) for each in found.nearest] == [
            ("a", 1),
            ("b", 1),
            ("c", 0),
        ]

    def test_only_what_was_asked_for_is_read_from_the_cache_and_once(self):
        cache = FeatureCache("backbone")
        names = [f"{place:064x}" for place in range(4)]
        cache.put(names[:3], np.eye(3, 4, dtype=np.float32))
        cache.put(names[2:], np.eye(2, 4, dtype=np.float32))  # one sample in two shards
        found = find_nearest_cached(cache, np.ones(4), names[1:], 10)
        assert found.compared == 3
        assert {each.sha256 for each in found.nearest} == set(names[1:])


class TestSearch:
    def test_a_worker_searches_once_and_the_result_is_kept(self, prediction):
        assert neighbours.find_or_request(prediction, by=prediction.user).state == "searching"
        assert neighbours.find_or_request(prediction, by=prediction.user).state == "searching"
        assert Job.objects.filter(kind="training.search_neighbours").count() == 1
        search()
        found = neighbours.find_or_request(prediction, by=prediction.user)
        assert found.state == SearchState.READY
        assert (found.search.compared, len(found.search.nearest)) == (8, 8)
        with patch.object(DummyTrainer, "nearest_samples", side_effect=AssertionError):
            neighbours.search_neighbours(lambda *_: None, prediction.pk)
        assert NeighbourSearch.objects.count() == 1

    def test_a_model_without_vectors_says_so(self, prediction):
        neighbours.find_or_request(prediction, by=prediction.user)
        with patch.object(DummyTrainer, "nearest_samples", return_value=None):
            search()
        found = neighbours.find_or_request(prediction, by=prediction.user)
        assert found.state == SearchState.UNAVAILABLE
        assert "keeps no feature vectors" in found.problem

    def test_while_the_storage_is_away_it_is_tried_again(self, prediction):
        neighbours.find_or_request(prediction, by=prediction.user)
        away = PredictorUnavailable("away")
        with patch.object(DummyTrainer, "nearest_samples", side_effect=away):
            search()
        assert not NeighbourSearch.objects.exists()
        assert Job.objects.get(kind="training.search_neighbours").status == Job.Status.WAITING

    def test_a_model_that_learned_nowhere_here_has_no_neighbours(self):
        prediction = make_prediction()
        found = neighbours.find_or_request(prediction, by=prediction.user)
        assert (found.state, found.problem) == (
            SearchState.UNAVAILABLE,
            "This model learned from no data set that is kept here.",
        )
        assert not Job.objects.filter(kind="training.search_neighbours").exists()

    def test_who_asks_too_much_is_told_so(self, prediction, settings):
        settings.UPLOAD_RATE, settings.UPLOAD_MEGAPIXELS = "1/d", 1
        other = make_prediction(prediction.user, model_version=prediction.model_version)
        neighbours.find_or_request(prediction, by=prediction.user)
        found = neighbours.find_or_request(other, by=prediction.user)
        assert found.state == SearchState.UNAVAILABLE
        assert Job.objects.filter(kind="training.search_neighbours").count() == 1


class TestOrigin:
    def test_an_answer_leads_to_its_model_run_and_data_set(self, prediction):
        origin = answers.trace_answer(prediction, by=prediction.user)
        assert origin.run.model_version == origin.version == prediction.model_version
        assert (origin.dataset.number, origin.split_totals) == (1, [8, 2, 12])
        assert origin.promotion.model_version == prediction.model_version

    def test_the_nearest_say_who_labelled_them_and_what_is_true_now(self, prediction):
        reviewer = make_user("reviewer")
        Decision.objects.update(reviewer=reviewer)
        answers.trace_answer(prediction, by=prediction.user)
        search()
        first = answers.trace_answer(prediction, by=prediction.user).nearest[0]
        assert (first.decision.reviewer, first.latest, first.is_overruled) == (
            reviewer,
            None,
            False,
        )
        label(first.sample, prediction.project.categories.exclude(name=first.categories[0])[0])
        near = answers.trace_answer(prediction, by=prediction.user).nearest[0]
        assert (near.sample, near.decision, near.is_overruled) == (
            first.sample,
            first.decision,
            True,
        )

    def test_a_sample_that_was_learned_from_is_told(self, prediction):
        item = DatasetItem.objects.filter(split="train").first()
        same = make_prediction(sample=item.sample, model_version=prediction.model_version)
        assert answers.trace_answer(same, by=same.user).own_item == item

    def test_a_version_that_was_not_live_has_no_promotion(self, prediction):
        make_live_model(prediction.project)
        later = make_prediction(model_version=prediction.model_version)
        assert answers.trace_answer(later, by=later.user).promotion is None

    def test_reviewers_see_all_and_users_their_own(self, prediction):
        assert answers.traceable_by(prediction.user).get() == prediction
        assert not answers.traceable_by(make_user()).exists()
        assert answers.traceable_by(make_user("reviewer")).get() == prediction


class TestPage:
    def page(self, client, prediction, user) -> str:
        client.force_login(user)
        return client.get(reverse("training:origin", args=[prediction.uuid])).content.decode()

    def test_it_asks_again_until_the_nearest_are_there(self, client, prediction):
        assert 'hx-trigger="every 2s"' in self.page(client, prediction, prediction.user)
        search()
        response = client.get(
            reverse("training:origin", args=[prediction.uuid]), headers={"HX-Request": "true"}
        )
        part = response.content.decode()
        assert part.lstrip().startswith("<section")
        assert "hx-trigger" not in part
        assert part.count("<li") == 8

    def test_names_and_pictures_of_others_are_for_reviewers(self, client, prediction):
        other = make_user(username="somebody-else")
        make_feedback(make_prediction(other, sample=prediction.sample), "NOK")
        reviewer = make_user("reviewer", username="the-judge")
        Decision.objects.update(reviewer=reviewer)
        label(prediction.sample, prediction.project.categories.first(), reviewer=reviewer)
        answers.trace_answer(prediction, by=prediction.user)
        search()
        own = self.page(client, prediction, prediction.user)
        assert "the-judge" not in own and "somebody-else" not in own
        assert own.count("Not shown") == 8
        seen = self.page(client, prediction, reviewer)
        assert "by the-judge" in seen and "by somebody-else" in seen
        assert "Not shown" not in seen

    def test_the_page_of_a_prediction_leads_there(self, client, prediction):
        client.force_login(prediction.user)
        page = client.get(prediction.get_absolute_url()).content.decode()
        assert reverse("training:origin", args=[prediction.uuid]) in page

    def test_the_queries_are_few(self, client, prediction, django_assert_max_num_queries):
        answers.trace_answer(prediction, by=prediction.user)
        search()
        client.force_login(make_user("maintainer"))
        with django_assert_max_num_queries(30):
            client.get(reverse("training:origin", args=[prediction.uuid]))


class TestApi:
    def test_one_call_gives_everything(self, client, prediction):
        judge = make_user("reviewer", username="the-judge")
        label(prediction.sample, prediction.project.categories.first(), reviewer=judge)
        client.force_login(prediction.user)
        address = reverse("api:origin", args=[prediction.uuid])
        assert client.get(address).json()["nearest"]["state"] == "searching"
        search()
        answer = client.get(address).json()
        assert answer["model_version"] == 1
        assert (answer["data_set"]["train"], answer["data_set"]["test"]) == (8, 12)
        assert len(answer["nearest"]["samples"]) == 8
        assert answer["decisions"][0]["reviewer"] is None, "not for users"
        client.force_login(judge)
        assert client.get(address).json()["decisions"][0]["reviewer"] == "the-judge"


class TestWrongLabels:
    @pytest.fixture
    def wrong(self):
        """A sample that a model learned as dark, and that is light."""
        run = make_finished_run()
        item = run.dataset.items.filter(split="train", category__name="dark").first()
        label(item.sample, run.project.categories.get(name="light"))
        return item.sample

    def test_a_wrong_label_leads_to_the_models_that_learned_it(self, wrong):
        second = make_finished_run(wrong.project)
        uses = labels.trace_sample(wrong)
        assert uses.truth == ("light",)
        assert [(label.item.dataset.number, label.is_wrong) for label in uses.labels] == [
            (2, False),
            (1, True),
        ]
        assert [version.number for version in uses.misled] == [1]
        assert uses.labels[0].versions == [second.model_version]

    def test_what_was_only_tested_with_misled_nobody(self, wrong):
        DatasetItem.objects.filter(sample=wrong).update(split="test")
        assert labels.trace_sample(wrong).misled == []

    def test_a_decision_that_was_taken_back_says_nothing(self, wrong):
        Decision.objects.create(sample=wrong, outcome=Decision.Outcome.REOPENED)
        uses = labels.trace_sample(wrong)
        assert (uses.truth, uses.misled) == ((), [])

    def test_the_answers_of_these_models_are_counted_and_listed(self, client, wrong):
        version = wrong.project.model_versions.get()
        made = [make_prediction(model_version=version) for _number in range(2)]
        make_prediction(model_version=make_live_model(wrong.project))
        client.force_login(make_user("maintainer"))
        page = client.get(reverse("training:sample_uses", args=[wrong.uuid])).content.decode()
        assert "2 answers came from these versions:" in page
        assert page.count(reverse("training:origin", args=[made[0].uuid])) == 1

    def test_the_answers_as_csv_name_no_user_and_run_no_formula(self, client, wrong):
        version = wrong.project.model_versions.get()
        dark = wrong.project.categories.get(name="dark")
        made = make_prediction(make_user(username="secret-name"), model_version=version, top=dark)
        make_feedback(made, "NOK")
        dark.name = "=1+1"
        dark.save()
        client.force_login(make_user("maintainer"))
        response = client.get(reverse("training:misled_answers", args=[wrong.uuid]))
        text = b"".join(response.streaming_content).decode()
        (row,) = csv.DictReader(text.splitlines())
        assert (row["prediction"], row["answer"], row["verdict"]) == (
            str(made.uuid),
            "'=1+1",
            "NOK",
        )
        assert "secret-name" not in text

    def test_a_data_set_lists_what_was_decided_otherwise_since(self, client, wrong):
        dataset = wrong.project.datasets.get()
        discarded = dataset.items.filter(category__name="light").first().sample
        Decision.objects.create(sample=discarded, outcome=Decision.Outcome.DISCARDED)
        assert {item.sample for item in labels.overruled_items(dataset)} == {wrong, discarded}
        client.force_login(make_user("maintainer"))
        page = client.get(reverse("training:overruled", args=[dataset.pk])).content.decode()
        assert page.count('<li class="list-group-item') == 2

    def test_a_sample_that_no_data_set_holds(self, client):
        prediction = make_prediction()
        client.force_login(make_user("maintainer"))
        page = client.get(reverse("training:sample_uses", args=[prediction.sample.uuid]))
        assert "No data set holds it." in page.content.decode()


def test_decisions_after_the_data_set_was_frozen_are_no_reason_for_its_labels(prediction):
    """Of three decisions, the second one made the label."""
    dataset = prediction.model_version.run.dataset
    item = dataset.items.filter(split="train").first()
    before, after = dataset.created_at - timedelta(1), timezone.now()
    Decision.objects.filter(sample=item.sample).update(created_at=before - timedelta(1))
    second = label(item.sample, item.category, created_at=before)
    third = label(item.sample, item.category, created_at=after)
    answers.trace_answer(prediction, by=prediction.user)
    search()
    near = answers.trace_answer(prediction, by=prediction.user).nearest
    found = next(each for each in near if each.sample == item.sample)
    assert (found.decision, found.latest, found.is_overruled) == (second, third, False)
