"""The pages about runs, data sets, models and categories, as maintainers and others meet them."""

import pytest
from django.urls import reverse

from common import jobs
from predictions import registry
from predictions.models import Sample
from predictions.tests.factories import (
    make_category,
    make_model_version,
    make_picture_bytes,
    make_project,
    make_upload,
    make_user,
)
from review import ground_truth
from training import tasks  # noqa: F401 (defines the task)
from training.data import datasets
from training.models import TrainingRun
from training.tests.factories import (
    make_dataset,
    make_finished_run,
    make_labelled,
    make_run,
    make_trainable,
    make_trained,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def maintainer(client):
    user = make_user("maintainer")
    client.force_login(user)
    return user


def page(client, name, *arguments) -> str:
    response = client.get(reverse(f"training:{name}", args=arguments))
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("role", ["user", "reviewer"])
def test_others_are_kept_out(client, role):
    run = make_finished_run()
    client.force_login(make_user(role))
    category = run.project.categories.first()
    for address in [
        reverse("training:overview"),
        reverse("training:project", args=[run.project.slug]),
        reverse("training:run", args=[run.pk]),
        reverse("training:run_progress", args=[run.pk]),
        reverse("training:dataset", args=[run.dataset_id]),
        reverse("training:models", args=[run.project.slug]),
        reverse("training:promote", args=[run.model_version_id]),
        reverse("training:categories", args=[run.project.slug]),
        reverse("training:pictures", args=[category.pk]),
    ]:
        assert client.get(address).status_code == 403, address
    for address in [
        reverse("training:project", args=[run.project.slug]),
        reverse("training:cancel", args=[run.pk]),
        reverse("training:use_threshold", args=[run.pk]),
        reverse("training:promote", args=[run.model_version_id]),
        reverse("training:rename", args=[category.pk]),
    ]:
        assert client.post(address).status_code == 403, address


def test_strangers_are_sent_to_the_log_in(client):
    assert client.get(reverse("training:overview")).status_code == 302


def test_what_does_not_exist_is_not_found(client, maintainer):
    for name in ("run", "dataset", "promote", "pictures"):
        assert client.get(reverse(f"training:{name}", args=[999])).status_code == 404
    for name in ("project", "models", "categories"):
        assert client.get(reverse(f"training:{name}", args=["nowhere"])).status_code == 404


@pytest.mark.parametrize("name", ["cancel", "rename"])
def test_changes_are_posts(client, maintainer, name):
    assert client.get(reverse(f"training:{name}", args=[1])).status_code == 405


class TestOverview:
    def test_without_projects_it_says_what_to_do(self, client, maintainer):
        assert "There is no project yet." in page(client, "overview")

    def test_it_shows_the_live_model_and_the_newest_run(self, client, maintainer):
        make_finished_run(promote=True)
        make_project("Empty one")
        shown = page(client, "overview")
        assert "Version 1" in shown
        assert "succeeded" in shown
        assert "none yet" in shown


class TestRuns:
    def test_an_empty_project_has_an_empty_page(self, client, maintainer):
        shown = page(client, "project", make_project(trainer="dummy").slug)
        assert "There was no run yet." in shown

    def test_the_button_asks_for_a_run(self, client, maintainer):
        project = make_trainable()
        wanted = {"backbone": "dummy", "seed": "3", "promote": "on"}
        response = client.post(reverse("training:project", args=[project.slug]), wanted)
        run = TrainingRun.objects.get()
        assert response["Location"] == reverse("training:run", args=[run.pk])
        assert (run.seed, run.promote, run.requested_by) == (3, True, maintainer)
        assert run.job.queue == "training"

    @pytest.mark.parametrize(
        ("wanted", "sentence"),
        [
            ({"backbone": "huge", "seed": "0"}, "Select a valid choice"),
            ({"seed": "-1"}, "greater than or equal to 0"),
        ],
    )
    def test_what_cannot_be_is_told_in_the_form(self, client, maintainer, wanted, sentence):
        project = make_trainable()
        response = client.post(reverse("training:project", args=[project.slug]), wanted)
        assert response.status_code == 400
        assert sentence in response.content.decode()

    def test_too_little_to_learn_is_told_in_the_form(self, client, maintainer):
        project = make_project(trainer="dummy")
        response = client.post(reverse("training:project", args=[project.slug]), {"seed": "0"})
        assert response.status_code == 409
        assert "There is too little to learn from" in response.content.decode()

    def test_a_second_run_is_refused(self, client, maintainer):
        project = make_trainable()
        make_run(project)
        response = client.post(reverse("training:project", args=[project.slug]), {"seed": "0"})
        assert response.status_code == 409
        assert project.runs.count() == 1

    def test_an_active_run_is_asked_about_every_two_seconds(self, client, maintainer):
        run = make_run()
        address = reverse("training:run_progress", args=[run.pk])
        for shown in (page(client, "project", run.project.slug), page(client, "run", run.pk)):
            assert f'hx-get="{address}" hx-trigger="every 2s"' in shown
        job = jobs.claim_next("worker", "training")
        type(job).objects.update(
            progress_done=1, progress_total=4, progress_note="Reading <pictures>"
        )
        shown = page(client, "run_progress", run.pk)
        assert 'width="25"' in shown
        assert "waits for a worker" not in shown
        assert "Reading &lt;pictures&gt;" in shown

    def test_when_it_ends_the_page_loads_again(self, client, maintainer):
        run = make_finished_run()
        response = client.get(reverse("training:run_progress", args=[run.pk]))
        assert (response.status_code, response["HX-Refresh"]) == (204, "true")

    def test_figures_come_with_intervals_and_calibration(self, client, maintainer):
        run = make_finished_run()
        shown = page(client, "run", run.pk)
        assert "61.0% to 100.0%" in shown  # 6 of 6
        assert "75.8% to 100.0%" in shown  # 12 of 12
        assert "Expected calibration error on the test samples" in shown
        assert "Before temperature scaling" not in shown  # the dummy has none
        assert "Reliability diagram as a table" in shown

    def test_what_was_measured_before_calibration_was_is_still_shown(self, client, maintainer):
        run = make_finished_run()
        measured = run.model_version.evaluations.get()
        for figures in measured.per_category.values():
            del figures["average_precision"]
        measured.calibration = {}
        measured.save()
        assert "Reliability diagram" not in page(client, "run", run.pk)

    def test_cancel(self, client, maintainer):
        run = make_run()
        client.post(reverse("training:cancel", args=[run.pk]))
        run.refresh_from_db()
        assert run.status == "cancelled"
        assert "cancelled" in page(client, "run", run.pk)

    def test_cancelling_what_has_ended_is_a_conflict(self, client, maintainer):
        run = make_finished_run()
        response = client.post(reverse("training:cancel", args=[run.pk]))
        assert response.status_code == 409
        assert "ended already" in response.content.decode()

    def test_a_finished_run_shows_its_figures_curves_and_log(self, client, maintainer):
        project = make_trainable()
        registry.promote_version(make_model_version(project, ("light", "dark")), by=None)
        run = make_finished_run(project)
        shown = page(client, "run", run.pk)
        for part in (
            "100.0%",
            "against live version 1",
            ">0.0%",
            "<polyline",
            'class="matrix"',
            "Pretending to learn",
        ):
            assert part in shown, part
        assert "style=" not in shown.split("<main")[1]

    def test_a_failed_run_shows_why(self, client, maintainer):
        run = make_run()
        TrainingRun.objects.update(status="failed", error="All pictures are <the same>.")
        assert "All pictures are &lt;the same&gt;." in page(client, "run", run.pk)

    def test_many_runs_take_few_queries(self, client, maintainer, django_assert_max_num_queries):
        project = make_trainable()
        for _number in range(3):
            make_finished_run(project)
        client.get(reverse("training:project", args=[project.slug]))
        with django_assert_max_num_queries(16):
            page(client, "project", project.slug)


class TestDataSets:
    def test_counts_what_was_left_out_and_what_changed(self, client, maintainer):
        project = make_trainable()
        make_dataset(project)
        make_labelled(project, "dusk", train=1, validation=0, test=0)
        make_labelled(project, "dark", train=3, validation=0, test=0)
        shown = page(client, "dataset", datasets.freeze_dataset(project).pk)
        assert "3 pictures added" in shown
        assert "“dusk” is left out: it has 1 picture" in shown


class TestModels:
    def test_an_empty_project_has_an_empty_page(self, client, maintainer):
        shown = page(client, "models", make_project().slug)
        assert "No model is live yet." in shown
        assert "Nothing was promoted yet." in shown

    def test_promote_asks_why_and_keeps_it(self, client, maintainer):
        version = make_trained()
        address = reverse("training:promote", args=[version.pk])
        assert "will answer from the next upload on" in page(client, "promote", version.pk)
        assert registry.live_version(version.project) is None
        response = client.post(address, {"reason": "the first one"})
        assert response["Location"] == reverse("training:models", args=[version.project.slug])
        promotion = version.project.promotions.get()
        assert (promotion.model_version, promotion.promoted_by) == (version, maintainer)
        shown = page(client, "models", version.project.slug)
        assert "the first one" in shown
        assert maintainer.username in shown

    def test_what_the_gate_refused_is_promoted_anyway_without_a_reason(self, client, maintainer):
        project = make_trainable()
        make_trained(project, promote=True)
        run = make_finished_run(project, promote=True)
        assert registry.live_version(project).number == 1
        shown = page(client, "run", run.pk)
        assert "Not enough evidence" in shown
        assert "Promote anyway" in shown
        client.post(reverse("training:promote", args=[run.model_version_id]), {"reason": ""})
        assert registry.live_version(project) == run.model_version
        assert "Promote anyway" not in page(client, "run", run.pk)

    def test_roll_back(self, client, maintainer):
        project = make_trainable()
        first, second = make_trained(project), make_trained(project)
        for version in (first, second):
            registry.promote_version(version, by=None)
        shown = page(client, "models", project.slug)
        assert "Roll back to version 1" in shown
        client.post(reverse("training:promote", args=[first.pk]), {"reason": "it was better"})
        assert registry.live_version(project) == first

    def test_what_is_live_is_refused(self, client, maintainer):
        version = make_trained(promote=True)
        response = client.post(reverse("training:promote", args=[version.pk]), {"reason": "again"})
        assert response.status_code == 409
        assert "is live already" in response.content.decode()


class TestCategories:
    def test_an_empty_project_says_what_to_do(self, client, maintainer):
        assert "There is no category yet." in page(client, "categories", make_project().slug)

    def test_counts_thumbnails_and_the_warning(
        self, client, maintainer, django_assert_max_num_queries
    ):
        project = make_trainable()
        make_labelled(project, "dusk", train=1, validation=0, test=0)
        with django_assert_max_num_queries(14):
            shown = page(client, "categories", project.slug)
        assert "11 pictures" in shown
        assert shown.count("<img ") >= 6 + 6 + 1
        assert shown.count("The next run will leave it out") == 1

    def test_of_the_demo_it_says_that_only_feature_vectors_are_kept(self, client, maintainer):
        """On the list, beside the form for more pictures, and of a data set."""
        project = make_trainable()
        sentence = "shown as drawings"
        places = [("categories", project.slug), ("dataset", make_dataset(project).pk)]
        places.append(("pictures", project.categories.get(name="dark").pk))
        for place in places:
            assert sentence not in page(client, *place)
        dark = ground_truth.labelled_samples(project).filter(
            true_category_id=project.categories.get(name="dark").pk
        )
        Sample.objects.filter(pk__in=list(dark.values_list("pk", flat=True)[:7])).update(
            location=Sample.Location.NOWHERE, file_name="", origin=Sample.Origin.DEMO
        )
        for place in places:
            assert page(client, *place).count(f"7 are {sentence}") == 1

    def test_add_one(self, client, maintainer):
        project = make_project()
        client.post(
            reverse("training:categories", args=[project.slug]),
            {"name": "pizza", "description": "round"},
        )
        assert project.categories.get().description == "round"

    def test_add_one_with_pictures(self, client, maintainer):
        project = make_project()
        data = make_picture_bytes()
        files = [
            make_upload(data, name="a.jpg"),
            make_upload(data, name="b.jpg"),
            make_upload(b"no", name="c.jpg"),
        ]
        response = client.post(
            reverse("training:categories", args=[project.slug]),
            {"name": "pizza", "pictures": files},
        )
        shown = response.content.decode()
        assert "1 picture added" in shown
        assert "The same picture as a.jpg." in shown
        assert "c.jpg" in shown
        assert Sample.objects.get().uploaded_by == maintainer

    def test_a_bad_name_is_told_in_the_form(self, client, maintainer):
        project = make_project()
        response = client.post(
            reverse("training:categories", args=[project.slug]), {"name": "piz\u202eza"}
        )
        assert response.status_code == 400
        assert "control characters" in response.content.decode()
        assert not project.categories.exists()

    def test_more_samples(self, client, maintainer):
        category = make_category(name="pizza")
        address = reverse("training:pictures", args=[category.pk])
        assert "has 0 pictures: the next run" in page(client, "pictures", category.pk)
        response = client.post(address, {"pictures": [make_upload(), make_upload()]})
        assert "2 pictures added." in response.content.decode()

    def test_no_pictures_are_refused(self, client, maintainer):
        response = client.post(reverse("training:pictures", args=[make_category().pk]))
        assert response.status_code == 400

    def test_rename(self, client, maintainer):
        category = make_category(name="piza")
        client.post(reverse("training:rename", args=[category.pk]), {"name": "pizza"})
        category.refresh_from_db()
        assert category.name == "pizza"

    def test_many_categories_come_page_by_page_and_are_found_by_name(self, client, maintainer):
        project = make_project(categories=[f"dish {number:03}" for number in range(120)])
        first = page(client, "categories", project.slug)
        assert "dish 049 <" in first and "dish 050 <" not in first
        address = reverse("training:categories", args=[project.slug])
        following = client.get(address, {"page": "2"}).content.decode()
        assert "dish 050 <" in following and "dish 100 <" not in following
        found = client.get(address, {"search": "DISH 11"}).content.decode()
        assert "dish 110 <" in found and "dish 050 <" not in found
        nothing = client.get(address, {"search": "pizza\0"}).content.decode()
        assert "No category has this in its name." in nothing

    def test_two_categories_cannot_have_one_name(self, client, maintainer):
        category = make_category(name="piza")
        make_category(category.project, name="pizza")
        response = client.post(reverse("training:rename", args=[category.pk]), {"name": "Pizza"})
        assert response.status_code == 409
        category.refresh_from_db()
        assert category.name == "piza"
