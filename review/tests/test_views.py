import re

import pytest
from django.core.files.storage import storages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from predictions.models import Category, Sample
from predictions.tests.factories import (
    make_category,
    make_live_model,
    make_project,
    make_sample,
    make_user,
)
from review import card, leases
from review.models import Decision, Lease, Skip
from review.tests.factories import make_decision, make_nok, make_reviewer

pytestmark = pytest.mark.django_db
QUEUE = "/review/"
JSON = {"Accept": "application/json"}


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


def decide(client, sample, ruling, *, by_script=True, **data):
    url = reverse("review:decide", args=[sample.uuid])
    return client.post(url, {"ruling": ruling} | data, headers=JSON if by_script else {})


def urls(sample):
    names = ["undo", "unskip", "renew", "leave", "more"]
    return [reverse("review:decide", args=[sample.uuid])] + [f"/review/{name}/" for name in names]


def test_the_next_sample_is_shown_with_everything_a_reviewer_needs(client, alice, project):
    sample = make_nok(project, suggestion="pizza")
    following = make_nok(project)
    page = client.get(QUEUE).content.decode()
    assert reverse("predictions:picture", args=[sample.uuid]) in page
    for part in [
        "A user said NOK",
        "a new category, as the user says",
        "80.0%",
        "(version 1)",
        "2 waiting",
    ]:
        assert part in page
    assert reverse("predictions:picture", args=[following.uuid]) in page
    assert page.index(str(sample.uuid)) < page.index(str(following.uuid))
    assert [lease.sample for lease in Lease.objects.order_by("pk")] == [sample, following]


def cards_of(answer):
    return re.findall(r'data-card="([0-9a-f-]{36})"', answer.content.decode())


def test_the_next_five_cards_are_in_the_page_and_leased(client, alice, project):
    samples = [make_nok(project) for _ in range(8)]
    assert cards_of(client.get(QUEUE)) == [str(each.uuid) for each in samples[:6]]
    assert Lease.objects.filter(reviewer=alice).count() == 6


def test_more_cards_are_those_that_the_page_lacks(client, alice, project):
    samples = [make_nok(project) for _ in range(8)]
    have = cards_of(client.get(QUEUE))
    more = client.post("/review/more/", {"sample": have[3:]})
    # The first three were not decided, so they come again
    assert set(cards_of(more)) == {*have[:3], *(str(each.uuid) for each in samples[6:])}
    assert Lease.objects.filter(reviewer=alice).count() == 8


def test_more_cards_are_of_the_same_filters(client, alice, project):
    make_nok(project)
    unsure = make_nok(project, "UNSURE")
    more = client.post("/review/more/", {"filters": "reason=unsure", "sample": "none of ours"})
    assert cards_of(more) == [str(unsure.uuid)]
    assert client.post("/review/more/", {"filters": "reason=x"}).status_code == 400


def test_two_reviewers_have_no_card_in_common(client, alice, project):
    for _ in range(9):
        make_nok(project)
    mine = cards_of(client.get(QUEUE))
    client.force_login(make_reviewer())
    theirs = cards_of(client.get(QUEUE))
    assert (len(mine), len(theirs)) == (6, 3)
    assert not set(mine) & set(theirs)


def test_the_models_answer_is_the_suggestion_only_where_nobody_named_another(
    client, alice, project
):
    make_nok(project, category=project.categories.get(name="risotto"))
    named = client.get(QUEUE).content.decode()
    assert "as the user says" in named
    assert "as the model says" not in named
    make_nok(project)
    assert "as the model says" in client.get(QUEUE).content.decode()


def test_the_number_of_queries_does_not_depend_on_what_waits(
    client, alice, project, django_assert_max_num_queries
):
    for _ in range(8):
        make_nok(project)
    client.get(QUEUE)
    with CaptureQueriesContext(connection) as few:
        client.get(QUEUE)
    for _ in range(20):
        make_nok(project)
    with django_assert_max_num_queries(len(few)):
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


def test_a_label_is_told_with_its_decision(client, alice, project):
    sample = make_nok(project)
    gnocchi = project.categories.get(name="gnocchi")
    answer = decide(
        client,
        sample,
        f"category:{gnocchi.pk}",
        reason="clear",
        prediction=sample.predictions.get().pk,
    )
    decision = Decision.objects.get()
    assert answer.json() == {"sentence": "Labelled as gnocchi.", "decision": decision.pk}
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
    answer = decide(
        client, make_nok(project), "confirm", by_script=False, filters="reason=nok&evil=1"
    )
    assert answer.status_code == 302
    assert answer["Location"] == "/review/?reason=nok"
    assert "Confirmed: gnocchi." in client.get("/review/").content.decode()


def test_a_skip_is_remembered_and_can_be_taken_back(client, alice, project):
    sample = make_nok(project)
    decide(client, sample, "skip")
    assert Skip.objects.get().reviewer == alice
    assert "Show what I skipped" in client.get(QUEUE).content.decode()
    answer = client.post("/review/unskip/", follow=True)
    assert cards_of(answer) == [str(sample.uuid)]


def test_the_skip_of_one_sample_is_taken_back_and_no_other(client, alice, project):
    first, second = make_nok(project), make_nok(project)
    decide(client, first, "skip")
    decide(client, second, "skip")
    client.post("/review/unskip/", {"sample": second.uuid}, headers=JSON)
    assert Skip.objects.get().sample == first


def test_undo_brings_the_sample_back_onto_the_screen(client, alice, project):
    sample = make_nok(project)
    make_nok(project)
    decide(client, sample, "confirm")
    answer = client.post("/review/undo/", headers=JSON).json()
    assert "Undone" in answer["sentence"]
    assert reverse("review:decide", args=[sample.uuid]) in answer["cards"]
    assert answer["undoable"] is None


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
        answer = client.post("/review/undo/", {"undo": ruling.pk}, headers=JSON).json()
        assert reverse("review:decide", args=[second.uuid]) in answer["cards"]
    assert [one.outcome for one in Decision.objects.order_by("pk")] == [
        "confirmed",
        "confirmed",
        "reopened",
    ]


@pytest.mark.parametrize("meant", ["0", "9" * 18, "9" * 5000, "²", "x"])
def test_an_undo_of_what_is_no_decision_is_refused(client, alice, project, meant):
    assert client.post("/review/undo/", {"undo": meant}, headers=JSON).status_code == 409


def test_undo_without_a_decision_is_refused(client, alice, project):
    answer = client.post("/review/undo/", headers=JSON)
    assert answer.status_code == 409
    assert "nothing left to undo" in answer.content.decode()


def test_what_somebody_else_decided_first_is_told_and_not_overridden(client, alice, project):
    sample = make_nok(project)
    client.get(QUEUE)
    Lease.objects.all().delete()
    make_decision(sample)
    answer = decide(client, sample, "confirm")
    assert answer.status_code == 409
    assert "Somebody else has decided" in answer.json()["sentence"]
    assert Decision.objects.count() == 1


@pytest.mark.parametrize(
    "ruling", ["", "nonsense", "category:999999", "category:x", "name: ", "name:"]
)
def test_a_decision_that_makes_no_sense_is_refused_with_a_sentence(client, alice, project, ruling):
    answer = decide(client, make_nok(project), ruling)
    assert answer.status_code == 400
    assert answer.json()["sentence"]
    assert not Decision.objects.exists()


def test_without_javascript_what_makes_no_sense_shows_the_same_sample_again(client, alice, project):
    sample = make_nok(project)
    make_nok(project)
    url = reverse("review:decide", args=[sample.uuid])
    page = client.post(url, {"ruling": "category:999999"}, follow=True)
    assert "This category no longer exists" in page.content.decode()
    assert cards_of(page)[0] == str(sample.uuid)


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
    assert "a new category, as the user says" not in page
    assert re.search(f'value="category:{category.pk}" data-key="enter"', page)


def test_a_suggested_category_has_its_button_however_many_there_are(
    client, alice, project, monkeypatch
):
    monkeypatch.setattr(card, "MAX_BUTTONS", 1)
    make_nok(project, suggestion="pizza")
    category, other = make_category(project, "zz pizza"), make_category(project, "pizza")
    page = client.get(QUEUE).content.decode()
    assert re.search(f'value="category:{other.pk}" data-key="enter"', page)
    assert f'value="category:{category.pk}"' not in page


def test_what_narrows_the_project_is_shown_and_can_be_cleared(client, alice, project):
    make_nok(project)
    address = reverse("review:queue")
    chip = "Reason: A user said NOK"
    assert chip not in client.get(address, {"project": project.slug}).content.decode()
    page = client.get(address, {"project": project.slug, "reason": "nok"}).content.decode()
    assert chip in page
    assert f'href="?project={project.slug}">Clear filters' in page


def test_filters_are_kept_from_picture_to_picture(client, alice, project):
    sample = make_nok(project)
    make_nok(project, "UNSURE")
    answer = decide(client, sample, "confirm", by_script=False, filters="reason=nok")
    page = client.get(answer["Location"]).content.decode()
    assert "Nothing to review matches these filters" in page


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


def test_a_page_keeps_its_leases_and_gives_them_back(client, alice, project):
    samples = [make_nok(project), make_nok(project)]
    named = {"sample": [each.uuid for each in samples]}
    assert client.post("/review/renew/", named).json() == {"lost": []}
    assert Lease.objects.filter(reviewer=alice).count() == 2
    assert client.post("/review/leave/", named).status_code == 204
    leases.acquire(samples[1], make_reviewer())
    assert client.post("/review/renew/", named).json() == {"lost": [str(samples[1].uuid)]}
    assert client.post("/review/leave/", named).status_code == 204
    assert Lease.objects.get().sample == samples[1]


def test_there_is_no_heat_map_where_the_model_explains_nothing(client, alice, project):
    sample = make_nok(project)
    assert client.get(reverse("review:heat", args=[sample.uuid])).status_code == 409
    silent = make_sample(project)
    assert client.get(reverse("review:heat", args=[silent.uuid])).status_code == 404


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


def test_imports_do_not_flood_the_history_but_can_be_asked_for(client, alice, project):
    imported = make_sample(project, origin=Sample.Origin.IMPORT)
    make_decision(imported, project.categories.first(), reason="imported.")
    make_decision(make_nok(project), reason="reviewed.")
    page = client.get("/review/history/").content.decode()
    assert "reviewed." in page and "imported." not in page
    assert "imported." in client.get("/review/history/?samples=all").content.decode()


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
