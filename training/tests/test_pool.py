"""The pool: which pictures without a label are proposed, and labelling them."""

import numpy as np
import pytest
from django.core.management import call_command
from django.urls import reverse

from accounts.tests.factories import make_maintainer, make_reviewer, make_token
from common import jobs, tasks
from common.models import Job
from predictions.models import Project, Sample
from predictions.tests.factories import (
    make_category,
    make_live_model,
    make_project,
    make_sample,
    make_upload,
    make_user,
)
from review import leases, undo
from review.models import Decision
from training.data.datasets import split_of
from training.models import Proposal
from training.pool import labelling, proposals
from training.tests.factories import label, make_folder, make_trained, sha_in

pytestmark = pytest.mark.django_db


def make_pool(project: Project, count: int = 4, *, split: str = "train", **fields) -> list[Sample]:
    fields = {"origin": Sample.Origin.IMPORT} | fields
    return [make_sample(project, sha256=sha_in(split), **fields) for _number in range(count)]


@pytest.fixture(autouse=True)
def _vectors_without_a_backbone(monkeypatch):
    """A picture's vector is of its digest: the tests are about what follows from vectors."""

    def vector(sample: Sample) -> np.ndarray:
        return np.random.default_rng(int(sample.sha256[-8:], 16)).normal(size=8).astype(np.float32)

    monkeypatch.setattr(
        proposals,
        "pool_vectors",
        lambda project, samples, progress: {each.sha256: vector(each) for each in samples},
    )


def rank(project: Project) -> list[Proposal]:
    proposals.request_ranking(project)
    tasks.autodiscover()
    jobs.run_due_jobs("training")
    assert not Job.objects.filter(status=Job.Status.FAILED).exists()
    found = proposals.newest_ranking(project)
    assert found is not None
    return list(found.proposals.select_related("sample"))


# What is in the pool


def test_pictures_without_a_decision_are_in_the_pool():
    project = make_project()
    waiting, decided, undone = make_pool(project, 3)
    label(decided, make_category(project))
    label(undone, make_category(project))
    Decision.objects.create(sample=undone, outcome=Decision.Outcome.REOPENED)
    assert set(proposals.pool_samples(project)) == {waiting, undone}


def test_what_users_sent_is_in_the_pool_of_a_project_that_keeps_it_alone():
    project = make_project(retention=Project.Retention.NOK)
    (sent,) = make_pool(project, 1, origin=Sample.Origin.UPLOAD)
    assert not proposals.pool_samples(project).exists()
    project.retention = Project.Retention.ALL
    assert list(proposals.pool_samples(project)) == [sent]


def test_a_picture_that_was_not_kept_is_not_in_the_pool():
    project = make_project()
    make_pool(project, 1, location=Sample.Location.NOWHERE)
    assert not proposals.pool_samples(project).exists()


# Ranking


def test_what_a_model_would_learn_from_is_never_what_measures_it():
    project = make_project()
    make_pool(project, 8)
    make_pool(project, 2, split="validation")
    make_pool(project, 2, split="test")
    for proposal in rank(project):
        assert proposal.is_drawn == (split_of(proposal.sample.sha256) != "train")


def test_three_in_ten_are_drawn_at_random():
    project = make_project()
    chosen, drawn = make_pool(project, 20), make_pool(project, 20, split="test")
    kinds = [is_drawn for _sample, is_drawn in proposals.mix(chosen, drawn, 20)]
    assert sum(kinds) == 6 and sum(kinds[:10]) == 3


def test_where_nothing_is_left_to_draw_the_rest_is_proposed_all_the_same():
    chosen = make_pool(make_project(), 5)
    assert [sample for sample, _is_drawn in proposals.mix(chosen, [], 20)] == chosen
    assert proposals.mix([], [], 20) == []


def test_a_new_ranking_takes_the_place_of_the_old_one():
    project = make_project()
    make_pool(project)
    rank(project)
    (label_me, *_others) = make_pool(project, 2)
    label(label_me, make_category(project))
    assert {each.sample for each in rank(project)} == set(proposals.pool_samples(project))
    assert project.pool_rankings.count() == 1


def test_the_live_model_says_what_it_thinks_of_the_proposals():
    project = make_project(trainer="dummy")
    make_live_model(project)
    make_pool(project, 2)
    rank(project)
    ranking = proposals.newest_ranking(project)
    for answer in proposals.with_answers(ranking, proposals.open_proposals(ranking)):
        assert answer.scores[0][1] >= answer.scores[-1][1]
        assert {name for name, _value in answer.scores} == {"gnocchi", "risotto", "tiramisu"}


def test_a_service_that_bills_is_not_asked_for_every_proposal(monkeypatch):
    from training.trainers.dummy import DummyTrainer

    monkeypatch.setattr(DummyTrainer, "asks_a_service", True)
    project = make_project(trainer="dummy")
    make_live_model(project)
    make_pool(project, 2)
    assert [each.scores for each in rank(project)] == [[], []]


def test_a_run_that_succeeds_has_a_pool_that_is_used_ranked_anew():
    version = make_trained()
    assert not Job.objects.filter(kind=proposals.rank_pool.kind).exists()
    make_pool(version.project)
    rank(version.project)
    Job.objects.all().delete()
    version.project.datasets.all()  # the same data set again
    make_trained(version.project)
    assert Job.objects.filter(kind=proposals.rank_pool.kind).count() == 1


def test_projects_of_texts_have_no_pool(client):
    project = make_project(modality=Project.Modality.TEXT)
    proposals.request_ranking(project)
    assert not Job.objects.exists()
    client.force_login(make_maintainer())
    assert client.get(f"/training/{project.slug}/label/").status_code == 404


# Labelling


def test_several_are_labelled_at_once_and_undone_at_once():
    project, reviewer = make_project(), make_reviewer()
    category = make_category(project, "pizza")
    samples = make_pool(project, 3)
    done = labelling.decide(
        project, [str(each.uuid) for each in samples], f"category:{category.pk}", by=reviewer
    )
    assert done.sentence == "3 pictures labelled as pizza."
    assert {each.category for each in Decision.objects.in_force()} == {category}
    assert undo.undo_each(done.decisions, by=reviewer) == 3
    assert undo.undo_each(done.decisions, by=reviewer) == 0
    assert set(proposals.pool_samples(project)) == set(samples)


def test_nobody_undoes_what_others_decided():
    project = make_project()
    (sample,) = make_pool(project, 1)
    done = labelling.decide(project, [str(sample.uuid)], "discard", by=make_reviewer())
    assert undo.undo_each(done.decisions, by=make_reviewer()) == 0


def test_what_somebody_else_was_quicker_with_is_left_to_them():
    project, reviewer, quicker = make_project(), make_reviewer(), make_reviewer()
    first, second, third = make_pool(project, 3)
    theirs = make_category(project, "sushi")
    label(first, theirs, reviewer=quicker)
    assert leases.acquire(second, quicker)
    uuids = [str(each.uuid) for each in (first, second, third)]
    done = labelling.decide(project, uuids, "name", name="pizza", by=reviewer)
    assert done.sentence.startswith("1 picture labelled as pizza.")
    assert len(done.decisions) == 1
    assert first.decisions.get().category == theirs


@pytest.mark.parametrize("ruling", ["category:0", "category:x", "nonsense"])
def test_an_unknown_button_decides_nothing(ruling):
    from common.errors import InvalidInput

    project = make_project()
    (sample,) = make_pool(project, 1)
    with pytest.raises(InvalidInput):
        labelling.decide(project, [str(sample.uuid)], ruling, by=make_reviewer())
    assert not Decision.objects.exists()


def test_samples_of_other_projects_are_not_touched():
    from common.errors import InvalidInput

    (sample,) = make_pool(make_project(), 1)
    with pytest.raises(InvalidInput):
        labelling.decide(make_project(), [str(sample.uuid)], "discard", by=make_reviewer())


def test_what_a_reviewer_skipped_or_another_looks_at_is_not_shown_to_them():
    project, reviewer = make_project(), make_reviewer()
    skipped, _free, taken = make_pool(project, 3)
    rank(project)
    leases.skip_sample(skipped, reviewer)
    leases.acquire(taken, make_reviewer())
    ranking = proposals.newest_ranking(project)
    shown = {each.sample for each in proposals.open_proposals(ranking, reviewer)}
    assert shown == {_free}
    assert len(proposals.open_proposals(ranking)) == 3


def test_the_pool_is_ranked_anew_when_few_proposals_are_left(monkeypatch):
    monkeypatch.setattr(proposals, "PROPOSED", 4)
    monkeypatch.setattr(proposals, "FEW_LEFT", 2)
    project, reviewer = make_project(), make_reviewer()
    make_pool(project, 8)
    proposed = rank(project)
    Job.objects.all().delete()
    for proposal, waits in zip(proposed[:3], (0, 0, 1), strict=True):
        labelling.decide(project, [str(proposal.sample.uuid)], "discard", by=reviewer)
        assert Job.objects.count() == waits


# The page


@pytest.fixture
def ranked(client):
    project = make_project(categories=["pizza", "sushi"])
    make_pool(project, 3)
    rank(project)
    client.force_login(make_reviewer())
    return project


def test_the_first_is_chosen_and_the_next_come_when_it_has_a_label(client, ranked):
    address = f"/training/{ranked.slug}/label/"
    page = client.get(address)
    first, *others = [tile.proposal.sample for tile in page.context["tiles"]]
    assert page.content.decode().count(" checked") >= 1
    pizza = ranked.categories.get(name="pizza")
    sent = {"sample": [str(first.uuid)], "ruling": f"category:{pizza.pk}"}
    answer = client.post(address, sent, headers={"HX-Request": "true"})
    assert [tile.proposal.sample for tile in answer.context["tiles"]] == others
    assert "1 picture labelled as pizza." in answer.content.decode()
    client.post(reverse("training:undo_labels", args=[ranked.slug]))
    assert len(client.get(address).context["tiles"]) == 3


def test_choosing_nothing_is_refused_with_a_sentence(client, ranked):
    answer = client.post(
        f"/training/{ranked.slug}/label/", {"ruling": "discard"}, headers={"HX-Request": "true"}
    )
    assert answer.status_code == 400
    assert "Choose at least one picture first." in answer.content.decode()


def test_the_page_costs_the_same_however_many_are_proposed(
    client, ranked, django_assert_max_num_queries
):
    make_pool(ranked, 10)
    rank(ranked)
    client.get(f"/training/{ranked.slug}/label/")  # the first look gives the categories keys
    with django_assert_max_num_queries(14):
        client.get(f"/training/{ranked.slug}/label/")


def test_pictures_without_labels_come_by_the_page_and_are_ranked(client):
    project = make_project()
    client.force_login(make_maintainer())
    address = reverse("training:add_unlabelled", args=[project.slug])
    data = make_upload()
    page = client.post(address, {"pictures": [data, make_upload()]})
    assert page.context["report"].total_added == 2
    assert proposals.pool_samples(project).count() == 2 and not Decision.objects.exists()
    assert Job.objects.filter(kind=proposals.rank_pool.kind).count() == 1


def test_a_folder_without_labels_joins_the_pool_once(tmp_path, capsys):
    project = make_project()
    folder = make_folder(tmp_path / "all" / "deep", "a.jpg", "b.jpg")
    for _again in range(2):
        call_command("import_images", str(folder.parent), project=project.slug, unlabelled=True)
    assert proposals.pool_samples(project).count() == 2
    assert "It is in the project already." in capsys.readouterr().out


# The API


def test_a_program_reads_and_labels_what_is_proposed(client, ranked):
    headers = {"Authorization": f"Token {make_token(make_reviewer())}"}
    address = reverse("api:proposals", args=[ranked.slug])
    found = client.get(address, {"limit": 2}, headers=headers).json()
    assert found["pool"] == 3 and len(found["results"]) == 2
    body = {"samples": [each["sample"] for each in found["results"]], "category": "ramen"}
    answer = client.post(address, body, content_type="application/json", headers=headers)
    assert answer.json() == {"labelled": 2}
    assert len(client.get(address, headers=headers).json()["results"]) == 1


def test_a_user_may_neither_read_nor_label_what_is_proposed(client, ranked):
    headers = {"Authorization": f"Token {make_token(make_user())}"}
    address = reverse("api:proposals", args=[ranked.slug])
    assert client.get(address, headers=headers).status_code == 403
    assert client.post(address, {}, "application/json", headers=headers).status_code == 403


# The vectors


def test_vectors_come_from_the_cache_of_the_backbone_that_the_next_run_takes(settings, monkeypatch):
    from training.backbones.base import Backbone
    from training.features.cache import FeatureCache
    from training.pool import vectors

    asked = []

    def load(name: str) -> Backbone:
        asked.append(name)
        return Backbone(name, "d" * 32, input_size=16, features=2, build=lambda: None)

    monkeypatch.setattr(vectors.backbones, "load", load)
    kept, lost = make_pool(make_project(), 2, location=Sample.Location.NOWHERE)
    FeatureCache("d" * 32).put([kept.sha256], np.ones((1, 2)))
    settings.DEFAULT_BACKBONE = "auto"
    assert set(vectors.pool_vectors(kept.project, [kept, lost])) == {kept.sha256}
    vectors.pool_vectors(make_project(inspection=True), [kept])
    assert asked == ["lite0", "lite0-inspection"]
