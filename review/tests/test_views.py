import re

import pytest
from django.core.files.storage import storages
from django.urls import reverse

from predictions.models import Category, Sample
from predictions.tests.factories import make_category, make_live_model, make_project, make_user
from review import card, leases
from review.models import Decision, Lease, Skip
from review.tests.factories import make_decision, make_nok, make_reviewer

pytestmark = pytest.mark.django_db
QUEUE = "/review/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def project():
    project = make_project(slug="dishes")
    make_live_model(project)
    return project


@pytest.fixture
def alice(client):
    alice = make_reviewer(username="alice")
    client.force_login(alice)
    return alice


def decide(client, sample, ruling, *, htmx=True, **data):
    url = reverse("review:decide", args=[sample.uuid])
    return client.post(url, {"ruling": ruling} | data, headers=HTMX if htmx else {})


def urls(sample):
    names = ["decide", "renew", "leave"]
    return [reverse(f"review:{name}", args=[sample.uuid]) for name in names] + [
        "/review/undo/",
        "/review/unskip/",
    ]


def test_the_next_sample_is_shown_with_everything_a_reviewer_needs(client, alice, project):
    sample = make_nok(project, suggestion="pizza")
    following = make_nok(project)
    page = client.get(QUEUE).content.decode()
    assert reverse("predictions:picture", args=[sample.uuid]) in page
    for part in [
        "A user said NOK",
        "says it is pizza",
        "80.0%",
        "Model version 1",
        "Confirm gnocchi",
        "2 waiting",
    ]:
        assert part in page
    assert f'data-next-picture="{reverse("predictions:picture", args=[following.uuid])}"' in page
    assert Lease.objects.get().sample == sample


def test_the_number_of_queries_does_not_depend_on_what_waits(
    client, alice, project, django_assert_max_num_queries
):
    for _ in range(12):
        make_nok(project)
    with django_assert_max_num_queries(45):
        client.get(QUEUE)


def test_an_empty_queue_says_so(client, alice):
    assert "All caught up" in client.get(QUEUE).content.decode()


def test_users_without_the_right_are_refused(client, project):
    sample = make_nok(project)
    client.force_login(make_user("user"))
    pages = [QUEUE, "/review/history/", reverse("review:sample", args=[sample.uuid])]
    assert {client.get(url).status_code for url in pages} == {403}
    assert {client.post(url).status_code for url in urls(sample)} == {403}
    assert not Lease.objects.exists()


def test_who_is_not_logged_in_is_sent_to_the_login(client, project):
    assert client.get(QUEUE).status_code == 302


def test_nothing_is_written_by_a_get(client, alice, project):
    sample = make_nok(project)
    assert {client.get(url).status_code for url in urls(sample)} == {405}


def test_a_label_is_told_and_the_next_sample_comes(client, alice, project):
    sample, following = make_nok(project), make_nok(project)
    gnocchi = project.categories.get(name="gnocchi")
    answer = decide(
        client,
        sample,
        f"category:{gnocchi.pk}",
        reason="clear",
        prediction=sample.predictions.get().pk,
    )
    page = answer.content.decode()
    assert "Labelled as gnocchi." in page
    assert reverse("review:decide", args=[following.uuid]) in page
    decision = Decision.objects.get()
    assert (decision.category, decision.reviewer, decision.reason) == (gnocchi, alice, "clear")
    assert decision.prediction == sample.predictions.get()


@pytest.mark.parametrize(
    ("ruling", "outcome"),
    [("confirm", "confirmed"), ("discard", "discarded"), ("name:risotto", "labelled")],
)
def test_the_other_decisions(client, alice, project, ruling, outcome):
    decide(client, make_nok(project), ruling)
    assert Decision.objects.get().outcome == outcome


def test_without_javascript_the_same_form_leads_back_to_the_queue(client, alice, project):
    answer = decide(client, make_nok(project), "confirm", htmx=False, filters="reason=nok&evil=1")
    assert answer.status_code == 302
    assert answer["Location"] == "/review/?reason=nok"
    assert "Confirmed: gnocchi." in client.get("/review/").content.decode()


def test_a_skip_is_remembered_and_can_be_taken_back(client, alice, project):
    sample = make_nok(project)
    page = decide(client, sample, "skip").content.decode()
    assert "Show what I skipped" in page
    assert Skip.objects.get().reviewer == alice
    assert (
        reverse("review:decide", args=[sample.uuid])
        in client.post("/review/unskip/", headers=HTMX).content.decode()
    )


def test_undo_brings_the_sample_back_onto_the_screen(client, alice, project):
    sample = make_nok(project)
    make_nok(project)
    decide(client, sample, "confirm")
    page = client.post("/review/undo/", headers=HTMX).content.decode()
    assert "Undone" in page
    assert reverse("review:decide", args=[sample.uuid]) in page


def test_a_decision_and_an_undo_whose_answers_were_lost_are_sent_again_and_count_once(
    client, alice, project
):
    first, second = make_nok(project), make_nok(project)
    decide(client, first, "confirm")
    for _time in range(2):
        assert decide(client, second, "confirm").status_code == 200
    assert Decision.objects.count() == 2
    ruling = Decision.objects.get(sample=second)
    assert f'name="undo" value="{ruling.pk}"' in client.get("/review/").content.decode()
    for _time in range(2):
        page = client.post("/review/undo/", {"undo": ruling.pk}, headers=HTMX).content.decode()
        assert reverse("review:decide", args=[second.uuid]) in page
    assert [one.outcome for one in Decision.objects.order_by("pk")] == [
        "confirmed",
        "confirmed",
        "reopened",
    ]


@pytest.mark.parametrize("meant", ["0", "9" * 18, "9" * 5000, "²", "x"])
def test_an_undo_of_what_is_no_decision_is_refused(client, alice, project, meant):
    assert client.post("/review/undo/", {"undo": meant}, headers=HTMX).status_code == 409


def test_undo_without_a_decision_is_refused(client, alice, project):
    answer = client.post("/review/undo/", headers=HTMX)
    assert answer.status_code == 409
    assert "nothing left to undo" in answer.content.decode()


def test_what_somebody_else_decided_first_is_told_and_the_next_one_shown(client, alice, project):
    sample, following = make_nok(project), make_nok(project)
    client.get(QUEUE)
    Lease.objects.all().delete()
    make_decision(sample)
    answer = decide(client, sample, "confirm")
    assert answer.status_code == 409
    assert "Somebody else has decided" in answer.content.decode()
    assert reverse("review:decide", args=[following.uuid]) in answer.content.decode()
    assert Decision.objects.count() == 1


@pytest.mark.parametrize(
    "ruling", ["", "nonsense", "category:999999", "category:x", "name: ", "name:"]
)
def test_a_decision_that_makes_no_sense_shows_the_same_sample_again(client, alice, project, ruling):
    sample = make_nok(project)
    answer = decide(client, sample, ruling)
    assert answer.status_code == 400
    assert reverse("review:decide", args=[sample.uuid]) in answer.content.decode()
    assert not Decision.objects.exists()


def test_a_category_of_another_project_is_no_choice(client, alice, project):
    assert decide(client, make_nok(project), f"category:{make_category().pk}").status_code == 400


@pytest.mark.parametrize("text", ["9" * 5000, str(2**63), "²", "x"])
def test_a_number_that_is_none_breaks_nothing(client, alice, project, text):
    sample = make_nok(project)
    assert decide(client, sample, f"category:{text}").status_code == 400
    assert decide(client, sample, "discard", prediction=text).status_code == 200
    assert Decision.objects.get().prediction is None


def test_a_reviewer_accepts_the_new_name_that_the_user_suggested(client, alice, project):
    sample = make_nok(project, suggestion="pizza")
    assert 'value="name:pizza"' in client.get(QUEUE).content.decode()
    decide(client, sample, "name:pizza")
    assert Decision.objects.get().category == Category.objects.get(name="pizza")


def test_a_suggested_name_that_has_become_a_category_is_not_offered_a_second_time(
    client, alice, project
):
    make_nok(project, suggestion="pizza")
    category = make_category(project, "Pizza")
    page = client.get(QUEUE).content.decode()
    assert "Add “pizza”" not in page
    assert re.search(f'value="category:{category.pk}"[^>]* data-also-key="g"', page)


def test_a_suggested_category_has_its_button_however_many_there_are(
    client, alice, project, monkeypatch
):
    monkeypatch.setattr(card, "MAX_BUTTONS", 1)
    make_nok(project, suggestion="pizza")
    category, other = make_category(project, "zz pizza"), make_category(project, "pizza")
    page = client.get(QUEUE).content.decode()
    assert re.search(f'value="category:{other.pk}"[^>]* data-also-key="g"', page)
    assert f'value="category:{category.pk}"' not in page


def test_filters_lie_folded_until_one_narrows_the_project(client, alice, project):
    make_nok(project)
    client.force_login(alice)
    open_filters = '<details class="mb-3" open>'
    address = reverse("review:queue")
    assert open_filters not in client.get(address, {"project": project.slug}).content.decode()
    narrowed = {"project": project.slug, "reason": "nok"}
    assert open_filters in client.get(address, narrowed).content.decode()


def test_filters_are_kept_from_picture_to_picture(client, alice, project):
    sample = make_nok(project)
    make_nok(project, "UNSURE")
    answer = decide(client, sample, "confirm", filters="reason=nok")
    assert "Nothing to review matches these filters" in answer.content.decode()
    assert answer["HX-Replace-Url"] == "/review/?reason=nok"


@pytest.mark.parametrize(
    "query",
    [
        "reason=password",
        "project=unknown",
        "version=1%27",
        "predicted=none",
        "suggested=" + "x" * 101,
    ],
)
def test_filters_outside_the_allowed_ones_are_refused(client, alice, project, query):
    assert client.get(f"{QUEUE}?{query}").status_code == 400


def test_a_page_keeps_its_lease_and_gives_it_back(client, alice, project):
    sample = make_nok(project)
    renew, leave = (reverse(f"review:{name}", args=[sample.uuid]) for name in ("renew", "leave"))
    assert client.post(renew).status_code == 204
    assert client.post(leave).status_code == 204
    leases.acquire(sample, make_reviewer())
    assert client.post(renew).status_code == 409


def test_a_picture_that_cannot_be_read_does_not_break_the_page(client, alice, project):
    sample = make_nok(project)
    storages["uploads"].delete(sample.file_name)
    page = client.get(QUEUE)
    assert page.status_code == 200
    assert "The picture cannot be read just now" in page.content.decode()


def test_a_decided_sample_can_be_opened_with_its_history(client, alice, project):
    sample = make_nok(project)
    make_decision(sample, project.categories.first(), by=alice, reason="first look")
    page = client.get(reverse("review:sample", args=[sample.uuid])).content.decode()
    assert "first look" in page
    assert "Not in the queue" in page


def test_a_sample_on_another_screen_shows_no_buttons(client, alice, project):
    sample = make_nok(project)
    leases.acquire(sample, make_reviewer())
    page = client.get(reverse("review:sample", args=[sample.uuid])).content.decode()
    assert "Another reviewer is looking" in page
    assert reverse("review:decide", args=[sample.uuid]) not in page


def test_an_unknown_sample_is_404(client, alice):
    assert client.get("/review/samples/00000000-0000-0000-0000-000000000000/").status_code == 404


def test_the_history_lists_decisions_by_key_with_filters(client, alice, project):
    for number in range(27):
        make_decision(
            make_nok(project), by=alice if number % 2 else None, reason=f"ruling-{number}."
        )
    page = client.get("/review/history/").content.decode()
    assert "ruling-26." in page
    assert "ruling-1." not in page
    oldest_shown = Decision.objects.get(reason="ruling-2.").pk
    assert f"before={oldest_shown}" in page
    assert "ruling-1." in client.get(f"/review/history/?before={oldest_shown}").content.decode()
    mine = client.get(
        "/review/history/?whose=mine&outcome=discarded&project=dishes"
    ).content.decode()
    assert "ruling-25." in mine
    assert "ruling-26." not in mine
    assert client.get("/review/history/?before=x").status_code == 400


def test_the_history_takes_few_queries(client, alice, project, django_assert_max_num_queries):
    for _ in range(10):
        make_decision(make_nok(project), project.categories.first())
    with django_assert_max_num_queries(12):
        client.get("/review/history/")


def test_nobody_changes_decisions_in_the_admin(client, project):
    root = make_user("maintainer", is_staff=True, is_superuser=True)
    client.force_login(root)
    decision = make_decision(make_nok(project))
    url = reverse("admin:review_decision_change", args=[decision.pk])
    assert client.get(url).status_code == 200
    assert client.post(url, {"reason": "other"}).status_code == 403
    assert client.get(reverse("admin:review_decision_changelist")).status_code == 200
    assert Sample.objects.count() == 1
