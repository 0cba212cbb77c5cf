"""The story of a run: what the verdict, the tiles, the matrix and the mistakes say."""

import pytest
from django.urls import reverse

from predictions import registry
from predictions.tests.factories import make_model_version, make_user
from training import evaluation_plots
from training.models import Evaluation
from training.runs import promotion, story
from training.tests.factories import make_finished_run, make_labelled, make_trainable, make_trained

pytestmark = pytest.mark.django_db


def told(run, beside=None):
    own = Evaluation.objects.get(model_version=run.model_version, dataset=run.dataset)
    other = run.dataset.evaluations.exclude(pk=own.pk).first() if beside is None else beside
    return story.tell_story(own, other)


@pytest.fixture
def compared():
    """A run beside a live model that has all wrong, and does not know the category zebra."""
    project = make_trainable()
    registry.promote_version(make_model_version(project, ("light", "dark")), by=None)
    make_labelled(project, "zebra", colour="white", test=4)
    return make_finished_run(project, promote=True)


def shown_to_maintainer(client, run, **query):
    client.force_login(make_user("maintainer"))
    return client.get(reverse("training:run", args=[run.pk]), query).content.decode()


class TestVerdict:
    def test_names_the_new_categories_and_what_the_old_ones_cost(self, compared):
        found = told(compared)
        assert found.headline.startswith("Newly knows zebra (4 of 4). Old categories: ")
        assert found.facts.new_count == 4

    def test_a_difference_beyond_chance_is_called_that(self, compared):
        found = told(compared)
        assert not found.is_within_chance
        assert "more than chance explains" in found.headline

    def test_equal_models_are_as_good(self):
        project = make_trainable()
        make_trained(project, promote=True)
        found = told(make_finished_run(project))
        assert found.headline == "As many right as before, 12 of 12."
        assert found.evidence == "Both have the same pictures right."

    def test_the_first_model_is_compared_with_none(self):
        run = make_finished_run()
        own = Evaluation.objects.get(model_version=run.model_version)
        found = story.tell_story(own, None)
        assert found.headline == "12 of 12 test samples are right."
        assert found.more_right is None

    def test_it_stands_on_the_page(self, client, compared):
        assert told(compared).evidence in shown_to_maintainer(client, compared)

    def test_a_promotion_by_hand_is_told_with_its_reason(self, client):
        project = make_trainable()
        make_trained(project, promote=True)
        run = make_finished_run(project, promote=True)
        user = make_user("maintainer", username="ada")
        promotion.promote_version(run.model_version, by=user, reason="new camera")
        page = shown_to_maintainer(client, run)
        assert "was promoted by ada" in page
        assert "new camera" in page


class TestMistakes:
    def test_are_told_apart_by_who_is_wrong(self, compared):
        own, live = told(compared).own, told(compared).beside
        found = story.find_mistakes(own, live, "fixed")
        assert found.kind == "fixed"
        assert all(each.is_right and not each.is_right_beside for each in found.shown)
        assert found.counts["fixed"] >= len(found.shown) > 0

    def test_an_unknown_kind_is_that_of_the_new_model(self, client, compared):
        assert story.find_mistakes(told(compared).own, None, "nonsense").kind == "broke"
        assert "Mistakes" in shown_to_maintainer(client, compared, mistakes="nonsense")


class TestMatrix:
    def test_shows_what_is_confused_most(self):
        count = evaluation_plots.MOST_CONFUSED + 2
        counts = [[9 if i == j else 0 for j in range(count)] for i in range(count)]
        counts[-1][0] = 5
        table = evaluation_plots.confusion_table([f"c{i}" for i in range(count)], counts)
        assert table.is_cut
        assert len(table.rows) == evaluation_plots.MOST_CONFUSED
        assert table.names[0] == "c0"
        assert table.names[-1] == f"c{count - 1}"
        assert table.rows[-1].cells[0].count == 5

    def test_a_small_one_is_whole(self):
        table = evaluation_plots.confusion_table(["a", "b"], [[3, 1], [0, 2]])
        assert not table.is_cut
        assert [cell.css_class for cell in table.rows[0].cells] == ["heat-4", "miss-3"]

    def test_the_whole_is_a_download_in_which_names_are_no_formulas(self, client, compared):
        own = told(compared).own
        own.confusion["names"][0] = "=1+1"
        own.save()
        client.force_login(make_user("maintainer"))
        response = client.get(reverse("training:matrix", args=[compared.pk]))
        lines = b"".join(response.streaming_content).decode().splitlines()
        assert len(lines) == 1 + len(own.confusion["names"])
        assert lines[0].startswith(",'=1+1,")

    def test_a_run_without_a_model_has_none(self, client):
        from training.tests.factories import make_run

        client.force_login(make_user("maintainer"))
        assert client.get(reverse("training:matrix", args=[make_run().pk])).status_code == 404


def test_many_categories_make_no_huge_page(client, compared):
    names = [f"category {number:03}" for number in range(505)]
    matrix = [[7 if i == j else int(j == (i * 7) % 505) for j in range(505)] for i in range(505)]
    figures = {"precision": 0.875, "recall": 0.875, "average_precision": 0.9, "support": 8}
    for each in compared.dataset.evaluations.all():
        each.confusion = {"names": names, "matrix": matrix, "mistakes": {}}
        each.per_category = dict.fromkeys(names, figures)
        each.save()
    page = shown_to_maintainer(client, compared)
    assert names[0] in page
    assert "The 30 categories of 505 that are confused most." in page
    assert len(page.encode()) < 900_000


class TestThreshold:
    def choose(self, client, run, text):
        client.force_login(make_user("maintainer"))
        return client.post(reverse("training:use_threshold", args=[run.pk]), {"threshold": text})

    def test_any_is_chosen_for_the_live_model(self, client):
        run = make_finished_run(promote=True)
        self.choose(client, run, "0.62")
        run.project.refresh_from_db()
        assert run.project.abstain_below == 0.62

    @pytest.mark.parametrize("text", ["", "much", "nan", "1.5", "-1"])
    def test_what_is_no_share_is_refused(self, client, text):
        assert self.choose(client, make_finished_run(promote=True), text).status_code == 400

    def test_that_of_a_model_that_is_not_live_is_refused(self, client):
        assert self.choose(client, make_finished_run(), "0.5").status_code == 409

    def test_the_line_rises_where_fewer_get_an_answer(self):
        bins = [
            {"low": 0.0, "count": 4, "accuracy": 0.5},
            {"low": 0.5, "count": 4, "accuracy": 1.0},
        ]
        chart = evaluation_plots.coverage_chart(bins, 0.3)
        assert chart.rows == [(0.5, 0.5, 1.0), (0.0, 1.0, 0.75)]
        assert chart.mark[2] == 0.5
        assert evaluation_plots.coverage_chart([]) is None
