import numpy as np
import pytest

from common.errors import InvalidInput
from predictions.tests.factories import make_category, make_live_model, make_project
from review import alike, leases, likeness, queue
from review.models import Decision, Lease, Recheck, Skip
from review.queue import QueueFilters
from review.tests.factories import make_answer, make_decision, make_nok, make_reviewer

pytestmark = pytest.mark.django_db
PAGE = "/review/alike/"


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


@pytest.fixture
def vectors(monkeypatch):
    """What is known of how samples look: a sample's digest to its vector."""
    known: dict[str, np.ndarray] = {}
    monkeypatch.setattr(likeness, "_sources", [lambda project, digests: known])
    return known


def look_like(vectors, samples, *direction):
    for sample in samples:
        vectors[sample.sha256] = np.array(direction, np.float32)


def shown(samples):
    return [f"{each.uuid}:{each.predictions.get().pk}" for each in samples]


def decide(client, samples, ruling, **data):
    chosen = {"chosen": shown(samples), "ruling": ruling}
    return client.post("/review/alike/decide/", chosen | data, follow=True)


def names_and_sizes(groups):
    return [(each.suggestion.name, len(each.members)) for each in groups]


def test_samples_are_grouped_by_what_people_or_else_the_model_say(project, alice):
    risotto = project.categories.get(name="risotto")
    for _number in range(3):
        make_nok(project, category=risotto)
    for _number in range(2):
        make_nok(project, suggestion="Pizza")
    make_nok(project)
    groups = alike.group_waiting(alice)
    assert names_and_sizes(groups) == [("risotto", 3), ("Pizza", 2), ("gnocchi", 1)]
    assert [each.suggestion.ruling for each in groups] == [
        f"category:{risotto.pk}",
        "name:Pizza",
        "confirm",
    ]


def test_a_suggested_name_that_is_a_category_by_now_is_no_new_one(project, alice):
    make_nok(project, suggestion="PIZZA")
    pizza = make_category(project, "pizza")
    assert alike.group_waiting(alice)[0].suggestion.ruling == f"category:{pizza.pk}"


def test_what_people_and_the_model_call_the_same_is_one_group(project, alice):
    make_nok(project)
    gnocchi = project.categories.get(name="gnocchi")
    make_nok(project, category=gnocchi)
    (group,) = alike.group_waiting(alice)
    assert (len(group.members), group.named) == (2, 1)
    assert group.suggestion.ruling == f"category:{gnocchi.pk}"


def test_projects_are_kept_apart_and_filters_hold(project, alice):
    other = make_project()
    make_live_model(other)
    make_nok(project, suggestion="pizza")
    make_nok(other, suggestion="pizza")
    assert len(alike.group_waiting(alice)) == 2
    assert len(alike.group_waiting(alice, QueueFilters(project=other))) == 1


def test_those_that_look_alike_are_a_group_of_their_own(project, alice, vectors):
    samples = [make_nok(project, suggestion="pizza") for _ in range(8)]
    look_like(vectors, samples[:3], 1, 0)
    look_like(vectors, samples[3:6], 0, 1)
    look_like(vectors, samples[6:7], -1, 0)
    groups = alike.group_waiting(alice)
    found = [{each.sample for each in group.members} for group in groups]
    assert found == [set(samples[:3]), set(samples[3:6]), set(samples[6:])]
    assert len(alike.group_waiting(alice, closely=False)) == 1


def test_a_few_with_vectors_are_no_group_of_their_own(project, alice, vectors):
    samples = [make_nok(project, suggestion="pizza") for _ in range(4)]
    look_like(vectors, samples[:2], 1, 0)
    assert len(alike.group_waiting(alice)) == 1


def test_no_chain_of_small_steps_joins_strangers():
    angles = np.deg2rad(np.arange(0, 181, 20))
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    clusters = likeness.cluster_alike(vectors)
    assert clusters[0] == clusters[1]
    assert clusters[0] != clusters[-1]


def test_only_so_many_are_put_into_groups(project, alice, monkeypatch):
    monkeypatch.setattr(alike, "MOST", 3)
    for _number in range(5):
        make_nok(project)
    assert sum(len(each.members) for each in alike.group_waiting(alice)) == 3


def test_what_is_looked_at_again_is_in_no_group(project, alice):
    sample = make_nok(project)
    decision = make_decision(sample, project.categories.first())
    Recheck.objects.create(sample=sample, decision=decision, reason="contradiction", about="twin")
    assert queue.upcoming_samples(alice) == [sample.pk]
    assert alike.group_waiting(alice) == []


def test_the_number_of_queries_does_not_depend_on_what_waits(
    client, alice, project, django_assert_max_num_queries
):
    for _number in range(30):
        make_nok(project, suggestion="pizza")
    client.get(PAGE)
    with django_assert_max_num_queries(40):
        client.get(PAGE)


def test_a_group_is_decided_each_with_a_decision_about_what_was_shown(client, alice, project):
    samples = [make_nok(project, suggestion="pizza") for _ in range(3)]
    page = decide(client, samples, "name:pizza").content.decode()
    assert "3 decided as pizza." in page
    rows = Decision.objects.all()
    assert {(row.sample, row.prediction, row.reviewer) for row in rows} == {
        (each, each.predictions.get(), alice) for each in samples
    }


def test_what_was_left_out_is_not_decided(client, alice, project):
    samples = [make_nok(project) for _ in range(3)]
    decide(client, samples[:2], "confirm")
    assert [each.outcome for each in Decision.objects.all()] == ["confirmed", "confirmed"]
    assert queue.upcoming_samples(alice) == [samples[2].pk]


def test_a_group_is_discarded_or_named_otherwise(client, alice, project):
    decide(client, [make_nok(project)], "discard")
    decide(client, [make_nok(project)], "name", name="lasagne")
    assert [str(each.category) for each in Decision.objects.order_by("pk")] == ["None", "lasagne"]


def test_a_group_is_undone_as_a_whole_and_once(client, alice, project):
    samples = [make_nok(project) for _ in range(3)]
    decide(client, samples, "confirm")
    page = client.post("/review/alike/undo/", follow=True).content.decode()
    assert "3 undone." in page
    assert queue.upcoming_samples(alice) == [each.pk for each in samples]
    again = client.post("/review/alike/undo/", follow=True).content.decode()
    assert "nothing left to undo" in again


def test_a_skipped_group_is_undone_too(client, alice, project):
    decide(client, [make_nok(project), make_nok(project)], "skip")
    assert Skip.objects.count() == 2
    client.post("/review/alike/undo/")
    assert not Skip.objects.exists()


def test_what_somebody_else_decided_is_left_to_them_and_told(client, alice, project):
    samples = [make_nok(project), make_nok(project)]
    make_decision(samples[0], project.categories.get(name="risotto"))
    page = decide(client, samples, "confirm").content.decode()
    assert "1 decided as gnocchi. 1 was decided by somebody else in the meantime." in page
    assert Decision.objects.in_force().get(sample=samples[0]).category.name == "risotto"


@pytest.mark.parametrize("ruling", ["", "nonsense", "category:999999", "category:x", "name: "])
def test_a_ruling_that_makes_no_sense_is_refused(client, alice, project, ruling):
    page = decide(client, [make_nok(project)], ruling)
    assert "alert-danger" in page.content.decode()
    assert not Decision.objects.exists()


def test_nothing_chosen_is_refused(client, alice, project):
    page = client.post(
        "/review/alike/decide/", {"chosen": ["x", "x:y"], "ruling": "discard"}, follow=True
    )
    assert "Choose at least one first." in page.content.decode()


def test_samples_of_two_projects_are_no_group(project, alice):
    other = make_project()
    make_live_model(other)
    with pytest.raises(InvalidInput):
        alike.decide_group({make_nok(project): None, make_nok(other): None}, "discard", by=alice)


def test_a_prediction_of_another_sample_is_not_what_was_shown(client, alice, project):
    sample, other = make_nok(project), make_nok(project)
    chosen = f"{sample.uuid}:{other.predictions.get().pk}"
    client.post("/review/alike/decide/", {"chosen": chosen, "ruling": "discard"})
    assert Decision.objects.get().prediction is None


def test_the_shown_group_is_leased_and_a_second_reviewer_sees_other_samples(client, alice, project):
    for _number in range(3):
        make_nok(project, suggestion="pizza")
    make_nok(project, suggestion="pasta")
    client.get(PAGE)
    assert Lease.objects.filter(reviewer=alice).count() == 3
    assert names_and_sizes(alike.group_waiting(make_reviewer())) == [("pasta", 1)]


def test_a_lease_of_another_takes_a_sample_out_of_a_group(project, alice):
    samples = [make_nok(project) for _ in range(3)]
    (group,) = alike.group_waiting(alice)
    leases.acquire(samples[1], make_reviewer())
    mine = alike.lease_group(group, alice)
    assert [each.sample for each in mine.members] == [samples[0], samples[2]]


def test_the_next_group_comes_after_one_is_decided(client, alice, project):
    big = [make_nok(project, suggestion="pizza") for _ in range(3)]
    make_nok(project, suggestion="pasta")
    make_nok(project, suggestion="bread")
    keys = [each.key for each in alike.group_waiting(alice)]
    page = decide(client, big[:1], "discard", group=keys[0], after=keys[1]).content.decode()
    assert "1 picture may be pasta" in page


def test_an_empty_queue_and_wrong_filters(client, alice, project):
    assert "All caught up" in client.get(PAGE).content.decode()
    assert client.get(PAGE, {"reason": "x"}).status_code == 400
    assert client.get(PAGE, {"group": "none", "alike": "x"}).status_code == 200


def test_confident_answers_that_the_audit_drew_are_grouped_by_the_model(project, alice, settings):
    settings.REVIEW_AUDIT_PERCENT = 1
    make_answer(project, drawn=True)
    assert alike.group_waiting(alice)[0].suggestion.by_model
