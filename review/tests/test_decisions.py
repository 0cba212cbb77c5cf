import threading

import pytest
from django.db import connection

from common.errors import Conflict, InvalidInput
from predictions.models import Category
from predictions.tests.factories import make_category, make_live_model, make_project, make_sample
from review import decisions, ground_truth, leases, queue
from review.models import Decision, Lease
from review.tests.factories import lease_next, make_decision, make_nok, make_reviewer
from review.undo import NothingToUndo, undo_latest, undoable

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    project = make_project()
    make_live_model(project)
    return project


@pytest.fixture
def sample(project):
    return make_nok(project)


@pytest.fixture
def gnocchi(project):
    return project.categories.get(name="gnocchi")


def test_a_label_is_written_with_who_what_and_why(sample, gnocchi):
    alice = make_reviewer()
    prediction = sample.predictions.get()
    decision = decisions.label_sample(
        sample, gnocchi, by=alice, reason=" seen \n at once ", prediction=prediction
    )
    assert (decision.outcome, decision.category, decision.reviewer) == ("labelled", gnocchi, alice)
    assert (decision.reason, decision.prediction) == ("seen at once", prediction)


def test_a_category_of_another_project_is_refused(sample):
    with pytest.raises(InvalidInput, match="another project"):
        decisions.label_sample(sample, make_category(), by=make_reviewer())
    assert not Decision.objects.exists()


def test_confirming_takes_what_the_model_said(sample, gnocchi):
    decision = decisions.confirm_prediction(sample, by=make_reviewer())
    assert (decision.outcome, decision.category) == ("confirmed", gnocchi)


def test_a_category_that_is_gone_cannot_be_confirmed(sample, gnocchi):
    gnocchi.delete()
    with pytest.raises(Conflict, match="no longer exists"):
        decisions.confirm_prediction(sample, by=make_reviewer())


def test_what_no_model_has_seen_cannot_be_confirmed():
    with pytest.raises(Conflict, match="No model"):
        decisions.confirm_prediction(make_sample(), by=make_reviewer())


def test_discarding_names_no_category(sample):
    assert decisions.discard_sample(sample, by=make_reviewer()).category is None


def test_a_decision_gives_the_lease_back(sample):
    alice = make_reviewer()
    lease_next(alice)
    decisions.discard_sample(sample, by=alice)
    assert not Lease.objects.exists()


def test_a_second_decision_without_a_lease_is_refused(sample, gnocchi):
    decisions.discard_sample(sample, by=make_reviewer())
    with pytest.raises(decisions.AlreadyDecided, match="Somebody else"):
        decisions.label_sample(sample, gnocchi, by=make_reviewer())
    assert Decision.objects.count() == 1


def test_with_a_lease_an_older_decision_can_be_corrected(sample, gnocchi):
    decisions.discard_sample(sample, by=make_reviewer())
    bob = make_reviewer()
    leases.acquire(sample, bob)
    decisions.label_sample(sample, gnocchi, by=bob)
    assert decisions.latest_decision(sample).category == gnocchi


def test_nobody_rules_on_what_another_is_looking_at(sample):
    leases.acquire(sample, make_reviewer())
    with pytest.raises(Conflict, match="looking at this sample"):
        decisions.discard_sample(sample, by=make_reviewer())


def test_a_reviewer_names_what_nobody_has_seen_before(sample, project):
    decision = decisions.label_by_name(sample, " pizza ", by=make_reviewer())
    assert decision.category == project.categories.get(name="pizza")


def test_a_name_that_exists_is_no_new_category(sample, gnocchi):
    assert decisions.label_by_name(sample, "GNOCCHI", by=make_reviewer()).category == gnocchi


def test_a_name_that_is_none_is_refused(sample):
    with pytest.raises(InvalidInput, match="control characters"):
        decisions.label_by_name(sample, "piz\x00za", by=make_reviewer())


def test_a_refused_decision_leaves_no_new_category(sample):
    leases.acquire(sample, make_reviewer())
    with pytest.raises(Conflict):
        decisions.label_by_name(sample, "pizza", by=make_reviewer())
    assert not Category.objects.filter(name="pizza").exists()


def test_undo_appends_and_leases_the_sample_again(sample):
    alice = make_reviewer()
    decisions.confirm_prediction(sample, by=alice)
    undone = undo_latest(alice)
    assert (undone.outcome, undone.sample) == ("reopened", sample)
    assert Decision.objects.count() == 2
    assert leases.is_held_by(sample, alice)
    assert queue.review_reason(sample) == "nok"


def test_undo_goes_back_one_decision_at_a_time(project):
    alice = make_reviewer()
    first, second = make_nok(project), make_nok(project)
    decisions.confirm_prediction(first, by=alice)
    decisions.confirm_prediction(second, by=alice)
    assert [undo_latest(alice).sample, undo_latest(alice).sample] == [
        second,
        first,
    ]
    with pytest.raises(NothingToUndo):
        undo_latest(alice)


def test_the_decisions_of_others_are_not_undone(sample, gnocchi):
    alice, bob = make_reviewer(), make_reviewer()
    decisions.confirm_prediction(sample, by=alice)
    with pytest.raises(NothingToUndo):
        undo_latest(bob)
    leases.acquire(sample, bob)
    decisions.discard_sample(sample, by=bob)
    with pytest.raises(NothingToUndo):
        undo_latest(alice)


def test_undo_waits_for_who_looks_at_the_sample(sample):
    alice = make_reviewer()
    decisions.confirm_prediction(sample, by=alice)
    leases.acquire(sample, make_reviewer())
    with pytest.raises(Conflict, match="Another reviewer"):
        undo_latest(alice)


def test_many_labels_are_written_in_few_queries(project, gnocchi, django_assert_max_num_queries):
    samples = [make_sample(project) for _ in range(20)]
    with django_assert_max_num_queries(4):
        written = decisions.label_many(
            project, [(sample, gnocchi) for sample in samples], by=None, reason="import"
        )
    assert len(written) == Decision.objects.filter(category=gnocchi, reason="import").count() == 20


def test_many_labels_are_all_written_or_none(project, gnocchi):
    pairs = [(make_sample(project), gnocchi), (make_sample(), gnocchi)]
    with pytest.raises(InvalidInput):
        decisions.label_many(project, pairs, by=None, reason="import")
    assert not Decision.objects.exists()


def test_the_newest_decisions_of_a_list_take_one_query(project, gnocchi, django_assert_num_queries):
    first, second, undecided = make_nok(project), make_nok(project), make_nok(project)
    make_decision(first)
    newest = make_decision(first, gnocchi)
    other = make_decision(second)
    with django_assert_num_queries(1):
        assert decisions.latest_decisions([first, second, undecided]) == {
            first.pk: newest,
            second.pk: other,
        }


def test_imported_samples_may_show_several_categories_where_these_do_not_exclude_each_other():
    project = make_project(multilabel=True)
    red, round_ = make_category(project, "red"), make_category(project, "round")
    sample = make_sample(project)
    decisions.label_many_multilabel(
        project, [(sample, [red, round_, red])], by=None, reason="import"
    )
    assert ground_truth.additional_categories(project) == {sample.pk: [round_.pk]}
    assert [ground_truth.samples_showing(one).get() for one in (red, round_)] == [sample, sample]
    decisions.label_many_multilabel(project, [(sample, [round_])], by=None, reason="import")
    assert (
        ground_truth.additional_categories(project) == {}
        and not ground_truth.samples_showing(red).exists()
    )


def test_several_categories_are_refused_where_they_exclude_each_other():
    project = make_project()
    shown = [make_category(project, "red"), make_category(project, "round")]
    with pytest.raises(InvalidInput, match="exclude each other"):
        decisions.label_many_multilabel(
            project, [(make_sample(project), shown)], by=None, reason="import"
        )
    assert not Decision.objects.exists()


def test_a_further_category_of_another_project_is_refused():
    project = make_project(multilabel=True)
    shown = [make_category(project, "red"), make_category(make_project(), "round")]
    with pytest.raises(InvalidInput, match="another project"):
        decisions.label_many_multilabel(
            project, [(make_sample(project), shown)], by=None, reason="import"
        )
    assert not Decision.objects.exists()


def test_a_decision_that_is_sent_again_is_the_first_one(sample, gnocchi):
    alice, prediction = make_reviewer(), sample.predictions.get()
    leases.acquire(sample, alice)
    first = decisions.label_sample(sample, gnocchi, by=alice, reason="seen", prediction=prediction)
    assert (
        decisions.label_sample(sample, gnocchi, by=alice, reason=" seen ", prediction=prediction)
        == first
    )
    assert (
        decisions.label_by_name(sample, "GNOCCHI", by=alice, reason="seen", prediction=prediction)
        == first
    )
    assert Decision.objects.get() == first and not Lease.objects.exists()


def test_the_same_confirmation_or_discarding_again_is_the_first_one(project):
    alice, confirmed, discarded = make_reviewer(), make_nok(project), make_nok(project)
    assert decisions.confirm_prediction(confirmed, by=alice) == decisions.confirm_prediction(
        confirmed, by=alice
    )
    assert decisions.discard_sample(discarded, by=alice) == decisions.discard_sample(
        discarded, by=alice
    )
    assert Decision.objects.count() == 2


def test_sent_again_it_is_the_first_one_also_where_another_looks_at_the_sample_by_now(sample):
    alice = make_reviewer()
    first = decisions.discard_sample(sample, by=alice)
    leases.acquire(sample, make_reviewer())
    assert decisions.discard_sample(sample, by=alice) == first
    assert Lease.objects.exists()


def test_what_is_decided_anew_is_a_decision_of_its_own(sample, gnocchi, project):
    alice = make_reviewer()
    first = decisions.label_sample(sample, gnocchi, by=alice, reason="seen")
    assert (
        decisions.label_sample(sample, gnocchi, by=alice, reason="looked at it once more") != first
    )
    undo_latest(alice, decision_key=decisions.confirm_prediction(sample, by=alice).pk)
    assert decisions.confirm_prediction(sample, by=alice).outcome == "confirmed"
    assert Decision.objects.count() == 5


def test_a_label_of_one_category_is_not_that_of_several(gnocchi, sample, project):
    alice, project.multilabel = make_reviewer(), True
    both = [gnocchi, project.categories.get(name="risotto")]
    (several,) = decisions.label_many_multilabel(project, [(sample, both)], by=alice, reason="seen")
    assert decisions.label_sample(sample, gnocchi, by=alice, reason="seen") != several


def test_the_decision_of_another_is_no_repetition(sample):
    decisions.discard_sample(sample, by=make_reviewer())
    with pytest.raises(decisions.AlreadyDecided):
        decisions.discard_sample(sample, by=make_reviewer())


def test_an_undo_that_is_sent_again_takes_one_decision_back(project):
    alice = make_reviewer()
    first, second = make_nok(project), make_nok(project)
    decisions.confirm_prediction(first, by=alice)
    decision = decisions.confirm_prediction(second, by=alice)
    undone = undo_latest(alice, decision_key=decision.pk)
    assert undo_latest(alice, decision_key=decision.pk) == undone
    assert decisions.latest_decision(first).outcome == "confirmed" and leases.is_held_by(
        second, alice
    )
    assert undoable(alice).sample == first


def test_an_undo_of_what_was_ruled_anew_or_is_anothers_is_refused(sample, gnocchi):
    alice, bob = make_reviewer(), make_reviewer()
    decision = decisions.confirm_prediction(sample, by=alice)
    decisions.label_sample(sample, gnocchi, by=alice)
    for reviewer in (alice, bob):
        with pytest.raises(NothingToUndo):
            undo_latest(reviewer, decision_key=decision.pk)
    assert undoable(bob) is None


@pytest.mark.django_db(transaction=True)
def test_of_the_same_decision_sent_twice_at_once_one_is_kept(sample):
    alice, made, errors = make_reviewer(), [], []

    def rule():
        try:
            made.append(decisions.discard_sample(sample, by=alice))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=rule) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len(made) == 4
    assert {decision.pk for decision in made} == {Decision.objects.get().pk}
