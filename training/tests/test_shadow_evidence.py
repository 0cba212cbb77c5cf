"""The evidence to switch: agreement, who was right by verdicts and by decisions, and a plain
sentence.
"""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from predictions import registry, shadow_deployment
from predictions.models import Category, Prediction, Project, Sample, Shadow, ShadowPrediction
from predictions.tests.factories import (
    make_feedback,
    make_live_model,
    make_model_version,
    make_prediction,
    make_project,
    make_user,
)
from review import decisions
from review.tests.factories import make_decision
from training.evaluation import shadow_comparison
from training.tests.factories import make_trainable, make_trained

pytestmark = pytest.mark.django_db

GNOCCHI, RISOTTO, TIRAMISU = "gnocchi", "risotto", "tiramisu"


@pytest.fixture
def candidate():
    version = make_model_version(make_live_model().project)
    shadow_deployment.start_shadow(version, by=None)
    return version


def make_pair(candidate, live: str, shadow: str, **fields) -> Prediction:
    """Make what the two said about a new picture."""
    project = candidate.project
    rest = dict.fromkeys(candidate.class_names, 0.1)
    prediction = make_prediction(project=project, scores=rest | {live: 0.8}, **fields)
    ShadowPrediction.objects.create(
        prediction=prediction,
        model_version=candidate,
        scores=rest | {shadow: 0.8},
        top=Category.objects.filter(project=project, name=shadow).first(),
        confidence=0.8,
        agrees=live == shadow,
        latency_ms=4.0,
    )
    return prediction


def rule(prediction: Prediction, name: str) -> None:
    make_decision(prediction.sample, Category.objects.get(project=prediction.project, name=name))


def found(candidate) -> shadow_comparison.ShadowComparison:
    return shadow_comparison.compare_shadow(candidate, registry.live_version(candidate.project))


def numbers(counts) -> tuple[int, int, int, int]:
    return counts.both, counts.first_alone, counts.second_alone, counts.neither


class TestAgreement:
    def test_it_comes_with_its_interval_and_a_cross_table(self, candidate):
        for live, shadow in [(GNOCCHI, GNOCCHI), (RISOTTO, RISOTTO), (RISOTTO, TIRAMISU)]:
            make_pair(candidate, live, shadow)
        evidence = found(candidate)
        assert (evidence.compared, evidence.agreeing) == (3, 2)
        assert evidence.agreement_between == pytest.approx((0.2077, 0.9385), abs=0.001)
        assert evidence.names == [GNOCCHI, RISOTTO, TIRAMISU]
        assert evidence.counts == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]

    def test_every_category_that_a_picture_shows_is_right(self, candidate):
        project = candidate.project
        Project.objects.filter(pk=project.pk).update(multilabel=True)
        project.refresh_from_db()
        prediction = make_pair(candidate, GNOCCHI, RISOTTO)
        shown = list(Category.objects.filter(project=project, name__in=[GNOCCHI, RISOTTO]))
        decisions.label_many_multilabel(
            project, [(prediction.sample, shown)], by=None, reason="import"
        )
        assert numbers(found(candidate).by_decisions) == (1, 0, 0, 0)

    def test_the_same_picture_counts_once(self, candidate):
        first = make_pair(candidate, GNOCCHI, RISOTTO)
        make_feedback(first, "OK")
        make_pair(candidate, GNOCCHI, RISOTTO, sample=first.sample)
        evidence = found(candidate)
        assert (evidence.compared, numbers(evidence.by_verdicts)) == (1, (0, 1, 0, 0))

    def test_times_are_medians(self, candidate):
        for latency in (1.0, 2.0, 900.0):
            make_pair(candidate, GNOCCHI, GNOCCHI, latency_ms=latency)
        assert (found(candidate).live_ms, found(candidate).shadow_ms) == (2.0, 4.0)

    def test_what_was_not_answered_is_counted_by_its_reason(self, candidate):
        make_pair(candidate, GNOCCHI, GNOCCHI)
        for reason in ("Busy.", "Busy.", "Broken."):
            prediction = make_prediction(project=candidate.project)
            ShadowPrediction.objects.create(
                prediction=prediction, model_version=candidate, error=reason
            )
        evidence = found(candidate)
        assert (evidence.compared, evidence.silent, evidence.unanswered_count) == (
            1,
            [("Busy.", 2), ("Broken.", 1)],
            3,
        )

    def test_answers_beside_another_live_model_are_another_matter(self, candidate):
        make_pair(candidate, GNOCCHI, RISOTTO)
        registry.promote_version(make_model_version(candidate.project), by=None)
        make_pair(candidate, GNOCCHI, GNOCCHI)
        assert (found(candidate).compared, found(candidate).agreeing) == (1, 1)

    def test_only_the_newest_answers_are_read(self, candidate, monkeypatch):
        monkeypatch.setattr(shadow_comparison, "WINDOW", 2)
        for shadow in (RISOTTO, GNOCCHI, GNOCCHI):
            make_pair(candidate, GNOCCHI, shadow)
        evidence = found(candidate)
        assert (evidence.compared, evidence.agreeing, evidence.is_cut) == (2, 2, True)

    def test_it_is_told_that_older_ones_are_left_out_where_another_model_was_live(
        self, candidate, monkeypatch
    ):
        monkeypatch.setattr(shadow_comparison, "WINDOW", 2)
        for _number in range(2):
            make_pair(candidate, GNOCCHI, RISOTTO)
        assert not found(candidate).is_cut
        registry.promote_version(make_model_version(candidate.project), by=None)
        make_pair(candidate, GNOCCHI, GNOCCHI)
        assert (found(candidate).compared, found(candidate).is_cut) == (1, True)

    def test_more_samples_cost_no_more_queries(self, candidate, django_assert_max_num_queries):
        for _number in range(5):
            make_feedback(make_pair(candidate, GNOCCHI, RISOTTO), "OK")
        live = registry.live_version(candidate.project)
        with django_assert_max_num_queries(6):
            shadow_comparison.compare_shadow(candidate, live)


class TestVerdicts:
    @pytest.mark.parametrize(
        ("live", "shadow", "verdict", "category", "expected"),
        [
            (GNOCCHI, GNOCCHI, "OK", "", (1, 0, 0, 0)),
            (GNOCCHI, RISOTTO, "OK", "", (0, 1, 0, 0)),
            (GNOCCHI, RISOTTO, "NOK", RISOTTO, (0, 0, 1, 0)),
            (GNOCCHI, RISOTTO, "NOK", TIRAMISU, (0, 0, 0, 1)),
            (GNOCCHI, RISOTTO, "NOK", "pizza", (0, 0, 0, 1)),
            (GNOCCHI, GNOCCHI, "NOK", "", (0, 0, 0, 1)),
            (GNOCCHI, RISOTTO, "NOK", "", (0, 0, 0, 0)),
            (GNOCCHI, RISOTTO, "UNSURE", "", (0, 0, 0, 0)),
        ],
    )
    def test_they_say_who_was_right(self, candidate, live, shadow, verdict, category, expected):
        known = Category.objects.filter(project=candidate.project, name=category).first()
        suggestion = "" if known else category
        make_feedback(
            make_pair(candidate, live, shadow), verdict, category=known, suggestion=suggestion
        )
        assert numbers(found(candidate).by_verdicts) == expected

    def test_a_suggestion_that_became_a_category_counts(self, candidate):
        make_feedback(make_pair(candidate, GNOCCHI, "pizza"), "NOK", suggestion="pizza")
        assert numbers(found(candidate).by_verdicts) == (0, 0, 0, 1)
        ShadowPrediction.objects.update(
            top=Category.objects.create(project=candidate.project, name="pizza")
        )
        assert numbers(found(candidate).by_verdicts) == (0, 0, 1, 0)


class TestDecisions:
    def test_they_say_who_was_right(self, candidate):
        rule(make_pair(candidate, GNOCCHI, RISOTTO), RISOTTO)
        rule(make_pair(candidate, GNOCCHI, RISOTTO), TIRAMISU)
        assert numbers(found(candidate).by_decisions) == (0, 0, 1, 1)

    def test_one_that_was_taken_back_says_nothing(self, candidate):
        prediction = make_pair(candidate, GNOCCHI, RISOTTO)
        rule(prediction, RISOTTO)
        make_decision(prediction.sample, outcome="reopened")
        assert numbers(found(candidate).by_decisions) == (0, 0, 0, 0)

    def test_together_a_decision_outweighs_a_verdict(self, candidate):
        prediction = make_pair(candidate, GNOCCHI, RISOTTO)
        make_feedback(prediction, "OK")
        rule(prediction, RISOTTO)
        make_feedback(make_pair(candidate, GNOCCHI, GNOCCHI), "OK")
        evidence = found(candidate)
        assert numbers(evidence.by_verdicts) == (1, 1, 0, 0)
        assert numbers(evidence.together) == (1, 0, 1, 0)


class TestWhatWasLearnedFrom:
    def test_a_picture_that_one_of_them_was_trained_on_is_no_evidence(self):
        live = make_trained(make_trainable())
        registry.promote_version(live, by=None)
        candidate = make_model_version(live.project, live.class_names)
        shadow_deployment.start_shadow(candidate, by=None)
        items = live.run.dataset.items
        for split in ("train", "validation", "test"):
            item = items.filter(split=split).first()
            make_pair(candidate, item.category.name, item.category.name, sample=item.sample)
        evidence = found(candidate)
        assert (evidence.compared, evidence.learned_from, numbers(evidence.together)) == (
            3,
            2,
            (1, 0, 0, 0),
        )


class TestSentence:
    def test_without_any_truth(self, candidate):
        make_pair(candidate, GNOCCHI, RISOTTO)
        assert "No picture has a known label" in found(candidate).sentence

    def test_five_to_none_is_not_enough(self, candidate):
        for _number in range(5):
            rule(make_pair(candidate, GNOCCHI, RISOTTO), RISOTTO)
        assert found(candidate).sentence == (
            "Of 5 pictures with a known label, the shadow is right on 5, the live model on 0."
            " That is not enough evidence yet."
        )

    def test_six_to_none_is(self, candidate):
        for _number in range(6):
            rule(make_pair(candidate, GNOCCHI, RISOTTO), RISOTTO)
        assert found(candidate).sentence.endswith("enough evidence to switch.")

    def test_or_to_stay(self, candidate):
        for _number in range(6):
            make_feedback(make_pair(candidate, GNOCCHI, RISOTTO), "OK")
        assert found(candidate).sentence.endswith("enough evidence to stay with the live model.")


class TestPage:
    @pytest.fixture(autouse=True)
    def maintainer(self, client):
        client.force_login(make_user("maintainer"))

    def see(self, client, candidate, query: str = "") -> str:
        response = client.get(reverse("training:shadow", args=[candidate.project.slug]) + query)
        assert response.status_code == 200
        return response.content.decode()

    def test_before_the_first_answer_it_says_so(self, client, candidate):
        assert "Nothing was compared yet" in self.see(client, candidate)

    def test_without_a_second_model_it_says_what_to_do(self, client):
        assert "Train a second one" in self.see(client, make_live_model())

    def test_without_any_model_it_says_what_comes_first(self, client):
        page = client.get(reverse("training:shadow", args=[make_project().slug])).content.decode()
        assert "No model is live yet" in page
        assert "first upload" not in page

    def test_it_shows_figures_differences_and_the_way_to_switch(self, client, candidate):
        make_feedback(make_pair(candidate, GNOCCHI, RISOTTO), "OK")
        page = self.see(client, candidate)
        assert "not enough evidence yet" in page
        assert reverse("training:promote", args=[candidate.pk]) in page
        assert reverse("predictions:thumbnail", args=[Sample.objects.get().uuid]) in page
        assert "Show as table" in page

    def test_a_picture_that_was_let_go_is_not_asked_for(self, client, candidate):
        make_pair(candidate, GNOCCHI, RISOTTO)
        Sample.objects.update(location="nowhere", file_name="")
        assert "/thumbnail" not in self.see(client, candidate)

    def test_the_reason_of_silence_is_shown(self, client, candidate):
        prediction = make_prediction(project=candidate.project)
        ShadowPrediction.objects.create(
            prediction=prediction, model_version=candidate, error="<b>Broken"
        )
        page = self.see(client, candidate)
        assert "1 time: &lt;b&gt;Broken" in page

    def test_differences_come_page_by_page(self, client, candidate, monkeypatch):
        monkeypatch.setattr(shadow_comparison.disagreements, "__kwdefaults__", {"size": 2})
        for _number in range(3):
            make_pair(candidate, GNOCCHI, RISOTTO)
        make_pair(candidate, GNOCCHI, GNOCCHI)
        newest = self.see(client, candidate)
        assert newest.count("Look at this sample") == 2
        older = ShadowPrediction.objects.order_by("pk")[1].pk
        assert f"?before={older}#" in newest
        assert self.see(client, candidate, f"?before={older}").count("Look at this sample") == 1

    def test_a_made_up_end_of_a_page_is_refused(self, client, candidate):
        make_pair(candidate, GNOCCHI, RISOTTO)
        response = client.get(
            reverse("training:shadow", args=[candidate.project.slug]) + "?before=x"
        )
        assert response.status_code == 400

    def test_a_version_is_put_in_shadow_and_taken_out(self, client):
        version = make_model_version(make_live_model().project)
        page = client.get(reverse("training:models", args=[version.project.slug])).content.decode()
        assert reverse("training:start_shadow", args=[version.pk]) in page
        client.post(reverse("training:start_shadow", args=[version.pk]))
        assert Shadow.objects.get().chosen_by.username.startswith("maintainer")
        assert shadow_deployment.shadow_version(version.project) == version
        client.post(reverse("training:stop_shadow", args=[version.project.slug]))
        assert shadow_deployment.shadow_version(version.project) is None

    def test_after_it_stopped_the_figures_are_still_there(self, client, candidate):
        make_pair(candidate, GNOCCHI, RISOTTO)
        shadow_deployment.stop_shadow(candidate.project, by=None)
        assert "No model runs in shadow." in self.see(client, candidate)
        assert "Cross table" in self.see(client, candidate)

    def test_the_live_model_is_refused_with_a_sentence(self, client):
        version = make_live_model()
        response = client.post(reverse("training:start_shadow", args=[version.pk]), follow=True)
        assert "nothing to compare it with" in response.content.decode()
        assert not Shadow.objects.exists()


class TestCommand:
    def call(self, *arguments) -> str:
        out = StringIO()
        call_command("shadow", *arguments, stdout=out)
        return out.getvalue()

    def test_it_starts_reports_and_stops(self):
        version = make_model_version(make_live_model().project)
        assert "Version 2 of" in self.call("2")
        assert "Nothing was compared yet." in self.call("--report")
        rule(make_pair(version, GNOCCHI, RISOTTO), RISOTTO)
        report = self.call("--report")
        assert "Live: version 1. In shadow: version 2." in report
        assert "1 pictures compared, the same answer on 0.0%" in report
        assert "not enough evidence yet" in report
        assert "runs in shadow any more" in self.call("--off")

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["9"], "no version 9"),
            (["1"], "live model"),
            (["--off"], "No model runs"),
            (["2", "--off"], "not allowed"),
        ],
    )
    def test_what_cannot_be_is_refused(self, arguments, sentence):
        make_model_version(make_live_model().project)
        with pytest.raises(CommandError, match=sentence):
            self.call(*arguments)
