"""The overview of a project: what to do next, and how it is doing."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from classifr.overview import charts, figures
from classifr.overview.next_steps import next_steps
from predictions import registry
from predictions.models import DailyFigures, Feedback, Promotion
from predictions.tests.factories import (
    make_feedback,
    make_live_model,
    make_prediction,
    make_project,
    make_user,
)
from review.queue import Reason
from review.tests.factories import make_decision, make_nok
from training.models import DriftEpisode
from training.tests.factories import (
    make_finished_run,
    make_labelled,
    make_run,
    make_trainable,
    make_trained,
)

pytestmark = pytest.mark.django_db

Verdict = Feedback.Verdict


def titles(project, role: str = "maintainer") -> list[str]:
    """Return the titles of what a project's people are asked to do next."""
    promotion = figures.newest_promotion(project)
    steps = next_steps(
        project,
        make_user(role),
        live=promotion.model_version if promotion else None,
        waiting=figures.waiting(project),
        suggested=figures.suggested_names(project),
        sizes=figures.category_sizes(project, project.datasets.first()),
    )
    return [step.title for step in steps]


class TestWhatNext:
    def test_a_new_project_needs_categories(self):
        assert titles(make_project()) == ["There is no category yet"]

    def test_labels_are_there_to_train_the_first_model(self):
        assert "labels are there" in titles(make_trainable())[0]

    def test_a_run_under_way_is_followed(self):
        project = make_trainable()
        make_run(project)
        assert titles(project)[0] == "A run is under way"

    def test_a_version_that_was_not_promoted_waits_for_a_word(self):
        project = make_trainable()
        make_trained(project)
        assert titles(project)[0] == "Version 1 waits for your word"

    def test_new_labels_since_the_last_run_are_to_be_learned(self):
        project = make_trainable()
        registry.promote_version(make_trained(project), by=None)
        make_labelled(project, "dark", train=2, validation=0, test=0)
        assert titles(project)[0] == "2 new labels since the last run"

    def test_noks_wait_for_review(self):
        project = make_project()
        make_nok(project)
        make_nok(project)
        assert titles(project, "reviewer") == ["2 verdicts wait for review"]

    def test_a_reviewer_is_not_asked_to_train(self):
        assert titles(make_trainable(), "reviewer") == []

    def test_a_category_with_few_samples_is_named(self):
        project = make_project(categories=("cake", "pizza"))
        make_labelled(project, "cake", train=6, validation=0, test=0)
        make_labelled(project, "pizza", train=20, validation=0, test=0)
        assert titles(project)[-1] == "cake has 6 samples"

    def test_a_name_that_people_suggest_can_be_added(self):
        project = make_project(categories=("cake", "pizza"))
        for name in ("Lasagne", "lasagne", "pizza"):
            make_nok(project, suggestion=name)
        assert "People say “lasagne”, which is no category yet" in titles(project)

    def test_the_button_hands_on_a_name_with_every_sign(self, client):
        project = make_project(categories=("cake", "pizza"))
        for _time in range(2):
            make_nok(project, suggestion="fish & chips #1")
        client.force_login(make_user("maintainer"))
        page = client.get(reverse("overview", args=[project.slug])).content.decode()
        assert "?name=fish+%26+chips+%231" in page


class TestFigures:
    def test_a_sample_waits_for_its_most_urgent_reason_alone(self):
        project = make_project()
        make_nok(project)
        make_feedback(make_prediction(project=project, abstained=True), Verdict.UNSURE)
        found = {each.reason: each.count for each in figures.waiting(project)}
        assert found == {Reason.NOK: 1, Reason.UNSURE: 1}

    def test_the_most_corrected_pair_comes_first(self):
        project = make_project(categories=("pizza", "gnocchi", "risotto"))
        for truth, times in (("pizza", 2), ("risotto", 1), ("gnocchi", 1)):
            for _time in range(times):
                answer = make_prediction(project=project)  # says gnocchi
                truly = project.categories.get(name=truth)
                make_decision(answer.sample, truly, prediction=answer)
        pairs = figures.confused_pairs(project)
        assert [(each.truth, each.answer, each.count) for each in pairs] == [
            ("pizza", "gnocchi", 2),
            ("risotto", "gnocchi", 1),
        ]

    def test_corrections_of_long_ago_do_not_count(self):
        project = make_project(categories=("pizza", "gnocchi"))
        answer = make_prediction(project=project)
        long_ago = timezone.now() - timedelta(days=figures.DAYS + 1)
        pizza = project.categories.get(name="pizza")
        make_decision(answer.sample, pizza, prediction=answer, created_at=long_ago)
        assert figures.confused_pairs(project) == []

    def test_a_name_said_once_is_not_suggested_yet(self):
        project = make_project()
        make_nok(project, suggestion="lasagne")
        assert figures.suggested_names(project) == []

    def test_few_verdicts_have_a_wide_interval(self):
        low, high = figures.OkRate(5, 5).interval or (0, 0)
        assert low < 0.6 and high == 1
        assert figures.OkRate(0, 0).rate is None and figures.OkRate(0, 0).interval is None


def make_days(*counts: tuple[int, int]) -> list[DailyFigures]:
    today = timezone.localdate()
    return [
        DailyFigures(day=today - timedelta(days=len(counts) - 1 - place), ok=ok, nok=nok)
        for place, (ok, nok) in enumerate(counts)
    ]


class TestChart:
    def test_ok_stands_on_the_line_and_nok_hangs_below_it(self):
        chart = charts.days_chart(make_days((4, 2), (0, 0)), [])
        assert chart is not None
        first, second = chart.bars
        assert first.ok_y + first.ok_height == pytest.approx(chart.axis)
        assert first.ok_height == pytest.approx(2 * first.nok_height)
        assert second.ok_height == second.nok_height == 0

    def test_the_first_and_the_last_day_are_named_and_few_between(self):
        chart = charts.days_chart(make_days(*[(1, 0)] * 30), [])
        assert chart is not None
        assert [chart.bars.index(bar) for bar in chart.labelled] == [0, 10, 20, 29]

    def test_where_nobody_said_anything_there_is_none(self):
        assert charts.days_chart(make_days((0, 0), (0, 0)), []) is None

    def test_a_line_leaves_out_days_without_a_value(self):
        spark = charts.spark([0.5, None, 1.0])
        assert spark is not None and spark.line.count("L") == 1
        assert charts.spark([None, 1.0, None]) is None


class TestPage:
    def test_it_shows_a_project_with_everything(self, client):
        project = make_trainable()
        registry.promote_version(make_trained(project), by=None)
        make_nok(project, suggestion="lasagne")
        client.force_login(make_user("maintainer"))
        shown = client.get(reverse("overview", args=[project.slug])).content.decode()
        assert "Version 1 live" in shown and "1 verdict waits for review" in shown

    def test_an_empty_project_has_one_too(self, client):
        client.force_login(make_user("maintainer"))
        shown = client.get(reverse("overview", args=[make_project().slug])).content.decode()
        assert "There is no category yet" in shown

    def test_it_tells_what_more_labels_are_likely_to_bring(self, client):
        run = make_finished_run()
        gains = {"10": [0.02, 0.0, 0.04], "50": [0.05, 0.01, 0.08]}
        found = {"gains": gains, "categories": [{"name": "dark", "labels": 8, "gains": gains}]}
        type(run).objects.filter(pk=run.pk).update(outlook=found)
        client.force_login(make_user("reviewer"))
        shown = client.get(reverse("overview", args=[run.project.slug])).content.decode()
        assert "10 more labels of dark are likely to bring" in shown

    def test_who_only_classifies_goes_there(self, client):
        project = make_project()
        client.force_login(make_user())
        answer = client.get(reverse("overview", args=[project.slug]))
        assert answer.url == project.get_absolute_url()

    def test_it_costs_as_many_queries_for_many_rows_as_for_few(self, client):
        project = make_trainable()
        client.force_login(make_user("maintainer"))
        address = reverse("overview", args=[project.slug])
        for number in range(2):
            make_nok(project, suggestion="lasagne")
            make_nok(project, suggestion=f"dish {number}")
        few = self.queries(client, address)
        for _number in range(10):
            make_nok(project, suggestion="lasagne")
        assert self.queries(client, address) == few

    def test_it_says_where_answers_got_worse(self, client):
        project = make_project(categories=("cake", "pizza"))
        make_live_model(project)
        episode = DriftEpisode.objects.create(
            project=project,
            promotion=Promotion.objects.get(project=project),
            measure="ok_rate",
            index=1.2,
            threshold=1.0,
            before=0.95,
            now=0.7,
            alarmed_at=timezone.now(),
        )
        client.force_login(make_user("reviewer"))
        address = reverse("overview", args=[project.slug])
        sentence = "The OK rate has fallen from 95.0% to 70.0%"
        assert sentence in client.get(address).content.decode()
        episode.ended_at = timezone.now()
        episode.save()
        assert sentence not in client.get(address).content.decode()

    def queries(self, client, address: str) -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as captured:
            client.get(address)
        return len(captured)


class TestTheme:
    def test_it_is_kept_in_a_cookie_and_written_by_the_server(self, client):
        answer = client.post(reverse("theme"), {"theme": "dark", "next": "/account/login/"})
        assert answer.url == "/account/login/"
        assert 'data-bs-theme="dark"' in client.get("/account/login/").content.decode()

    def test_without_a_choice_the_system_decides(self, client):
        assert 'data-theme="system"' in client.get("/account/login/").content.decode()

    @pytest.mark.parametrize("theme", ["", "pink", '"><script>'])
    def test_what_is_no_theme_is_not_kept(self, client, theme):
        client.post(reverse("theme"), {"theme": theme})
        assert "theme" not in client.cookies

    def test_it_leads_to_no_other_site(self, client):
        answer = client.post(reverse("theme"), {"theme": "dark", "next": "https://example.com/"})
        assert answer.url == "/"


def test_the_number_beside_review_is_of_this_project(client):
    project = make_project()
    make_nok(project)
    make_nok(make_project())
    client.force_login(make_user("reviewer"))
    shown = client.get(reverse("review:waiting", args=[project.slug])).content.decode()
    assert ">1<" in shown
    assert client.get(reverse("review:waiting", args=["nothing"])).status_code == 404
