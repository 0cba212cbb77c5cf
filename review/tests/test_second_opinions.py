from uuid import uuid4

import pytest

from predictions.models import Prediction
from predictions.tests.factories import make_project, make_sample, make_user
from review import agreement, decisions, queue, rechecks, second_opinions
from review.models import Decision, Recheck, SecondOpinion
from review.tests.factories import lease_next, make_answer, make_decision, make_reviewer

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project(categories=["cat", "dog"], second_opinion_percent=100)


@pytest.fixture
def first():
    return make_reviewer()


@pytest.fixture
def second():
    return make_reviewer()


def category(project, name):
    return project.categories.get(name=name)


@pytest.fixture
def decision(project, first) -> Decision:
    answer = make_answer(project)
    return make_decision(answer.sample, category(project, "cat"), by=first, prediction=answer)


def test_another_reviewer_is_asked_but_not_the_first(project, decision, first, second):
    assert lease_next(first) is None
    sample = lease_next(second)
    assert (sample, sample.reason) == (decision.sample, queue.Reason.SECOND_OPINION)


def test_nobody_is_asked_unless_the_project_wants_it(project, decision, second):
    project.second_opinion_percent = 0
    project.save()
    assert lease_next(second) is None


def test_a_share_is_drawn_by_the_digest(project, second, first):
    project.second_opinion_percent = 50
    project.save()
    for digit in "0f":
        answer = make_answer(project)
        answer.sample.sha256 = f"ffffffff{digit * 56}"
        answer.sample.save()
        make_decision(answer.sample, category(project, "cat"), by=first, prediction=answer)
    (drawn,) = second_opinions.decisions_to_second(second)
    assert drawn.sample.sha256[8] == "0"


def test_imported_labels_need_no_second_opinion(project, first, second):
    make_decision(make_answer(project).sample, category(project, "cat"), by=first)
    assert lease_next(second) is None


def test_what_was_decided_among_many_is_asked_about_as_well(project, first, second):
    sample = make_sample(project)
    decisions.decide_each([sample], category(project, "dog"), by=first, batch=uuid4())
    assert lease_next(first) is None
    assert lease_next(second) == sample


def test_the_first_decision_is_not_shown(client, decision, first, second):
    decision.reason = "whiskers"
    decision.save()
    client.force_login(second)
    shown = client.get("/review/").content.decode()
    assert "A second opinion" in shown
    assert first.username not in shown and "whiskers" not in shown
    assert f'name="opinion" value="{decision.pk}"' in shown


def test_the_same_opinion_settles_it_and_decides_nothing(project, decision, second):
    opinion = second_opinions.give_opinion(
        decision.sample, decision.pk, category=category(project, "cat"), by=second
    )
    assert opinion.outcome == "labelled"
    assert Decision.objects.in_force().get() == decision
    assert not Recheck.objects.exists()
    assert lease_next(second) is None
    again = second_opinions.give_opinion(
        decision.sample, decision.pk, category=category(project, "cat"), by=second
    )
    assert again == opinion


def test_another_opinion_waits_for_a_third_person(project, decision, first, second):
    second_opinions.give_opinion(
        decision.sample, decision.pk, category=category(project, "dog"), by=second
    )
    assert Decision.objects.in_force().get() == decision
    assert lease_next(first) is None and lease_next(second) is None
    third = make_reviewer()
    sample = lease_next(third)
    assert sample.reason == queue.Reason.DISAGREEMENT
    decisions.label_sample(sample, category(project, "dog"), by=third)
    assert lease_next(make_reviewer()) is None
    assert sample.decisions.count() == 2


def test_a_maintainer_may_settle_it_as_well(project, decision, second):
    second_opinions.give_opinion(decision.sample, decision.pk, category=None, by=second)
    assert lease_next(make_user("maintainer")).reason == queue.Reason.DISAGREEMENT


def test_who_says_the_same_once_more_settles_it(project, first):
    decision = make_decision(make_answer(project).sample, category(project, "cat"), by=first)
    rechecks.request_rechecks([(decision, "pair 1")], Recheck.Reason.CONTRADICTION)
    sample = lease_next(first)
    assert sample.reason == queue.Reason.CONTRADICTION
    decisions.label_sample(sample, category(project, "cat"), by=first)
    assert sample.decisions.count() == 2
    assert lease_next(first) is None
    assert rechecks.request_rechecks([(decision, "pair 1")], Recheck.Reason.CONTRADICTION) == 0


def test_an_opinion_on_what_was_decided_anew_is_refused(project, decision, first, second):
    make_decision(decision.sample, category(project, "dog"), by=first)
    with pytest.raises(second_opinions.NothingToSecond):
        second_opinions.give_opinion(
            decision.sample, decision.pk, category=category(project, "cat"), by=second
        )
    assert not SecondOpinion.objects.exists()


@pytest.mark.parametrize(
    ("ruling", "said"), [("category", "dog"), ("confirm", "gnocchi"), ("discard", None)]
)
def test_the_buttons_of_the_card_give_the_opinion(client, project, decision, second, ruling, said):
    prediction = Prediction.objects.get()
    sent = {"opinion": decision.pk, "prediction": prediction.pk, "ruling": ruling}
    if ruling == "category":
        sent["ruling"] = f"category:{category(project, 'dog').pk}"
    client.force_login(second)
    client.get("/review/")
    client.post(f"/review/samples/{decision.sample.uuid}/decide/", sent)
    opinion = SecondOpinion.objects.get()
    assert (opinion.category.name if opinion.category else None) == said
    assert decision.sample.decisions.count() == 1


def test_kappa_is_that_of_the_textbook():
    # Fleiss, Levin & Paik 2003, "Statistical Methods for Rates and Proportions", table 18.1
    table = {("p", "p"): 75, ("p", "n"): 1, ("p", "o"): 4, ("n", "p"): 5, ("n", "n"): 4}
    table |= {("n", "o"): 1, ("o", "o"): 10}
    pairs = [pair for pair, times in table.items() for _number in range(times)]
    found = agreement.measure_agreement(pairs)
    assert (found.count, found.agreeing) == (100, 89)
    assert found.kappa == pytest.approx(0.68, abs=0.005)
    low, high = found.interval
    assert (low, high) == (pytest.approx(0.51, abs=0.01), pytest.approx(0.85, abs=0.01))


def test_kappa_is_undefined_where_all_say_the_same():
    assert agreement.measure_agreement([("cat", "cat")] * 5).kappa is None
    assert agreement.measure_agreement([]).count == 0


def test_agreement_of_the_project_and_of_each_two(client, project, first, second):
    for name, other in (("cat", "cat"), ("dog", "dog"), ("cat", "dog")):
        answer = make_answer(project)
        decision = make_decision(
            answer.sample, category(project, name), by=first, prediction=answer
        )
        second_opinions.give_opinion(
            answer.sample, decision.pk, category=category(project, other), by=second
        )
    whole, (pair,) = agreement.project_agreement(project)
    assert (whole.count, whole.agreeing) == (3, 2)
    assert pair.names == tuple(sorted((first.username, second.username)))
    client.force_login(second)
    shown = client.get(f"/training/{project.slug}/agreement/").content.decode()
    assert "cat / dog" in shown and first.username in shown
