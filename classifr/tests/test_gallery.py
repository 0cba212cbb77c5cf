"""The samples of a project: found, labelled many at once, undone, downloaded."""

import csv
import io
import re
import zipfile
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import make_maintainer
from classifr.gallery import acts, pages
from classifr.gallery.forms import GalleryForm
from common import jobs
from common.errors import Conflict, InvalidInput
from predictions.models import CaptureCondition, Category, Sample
from predictions.tests.factories import (
    make_live_model,
    make_prediction,
    make_project,
    make_sample,
    make_user,
)
from review import decisions, leases, queue, rechecks
from review.models import Decision, Recheck
from review.queue import QueueFilters, Reason
from review.tests.factories import make_decision, make_reviewer
from training.models import NearDuplicate, TrainingRun
from training.tests.factories import (
    make_dataset,
    make_labelled,
    make_trainable,
    make_trained,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    project = make_project(slug="dishes")
    make_live_model(project)
    return project


def category(project, name: str) -> Category:
    return project.categories.get(name=name)


def make_answered(project, answer: str = "gnocchi", share: float = 0.8, **fields) -> Sample:
    """Make a sample of which the live model says this."""
    scores = {answer: share, "other": (1 - share) / 3}
    return make_prediction(project=project, scores=scores, **fields).sample


def found(project, query: str) -> set[Sample]:
    form = GalleryForm(project, QueryDict(query))
    return {sample for page in pages.all_pages(form.filters()) for sample in page}


def discard_unseen(sample: Sample, by) -> acts.Done:
    """Discard a sample that was shown without any decision."""
    return acts.act_on_chosen(sample.project, {sample.uuid: 0}, acts.Act("discard"), by=by)


def act(client, project, ruling: str, samples=(), **fields):
    newest = decisions.latest_decisions(samples)
    shown = [f"{each.uuid}:{newest[each.pk].pk if each.pk in newest else 0}" for each in samples]
    data = {"ruling": ruling, "sample": shown} | fields
    return client.post(reverse("samples_act", args=[project.slug]), data)


class TestFilters:
    def test_without_any_all_samples_are_shown_but_those_whose_content_is_gone(self, project):
        kept = make_answered(project)
        make_prediction(sample=make_sample(project, location="nowhere"))
        make_sample(make_project())
        assert found(project, "") == {kept}

    def test_a_category_is_the_decision_in_force(self, project):
        sample, other = make_answered(project), make_answered(project)
        make_decision(sample, category(project, "gnocchi"))
        make_decision(other, category(project, "gnocchi"))
        make_decision(other, category(project, "risotto"))
        assert found(project, "category=gnocchi") == {sample}
        assert found(project, "category=gnocchi&category=risotto") == {sample, other}

    def test_a_further_category_of_a_multilabel_project_counts_too(self, project):
        project.multilabel = True
        project.save()
        sample = make_answered(project, "risotto")
        pair = [category(project, "gnocchi"), category(project, "risotto")]
        decisions.label_many_multilabel(project, [(sample, pair)], by=None, reason="")
        assert found(project, "category=risotto") == {sample}
        assert found(project, "model=right") == {sample}
        assert found(project, "model=wrong") == set()

    def test_the_newest_answer_counts_or_that_of_a_version(self, project):
        sample = make_answered(project, "gnocchi")
        second = make_live_model(project)
        make_prediction(sample=sample, model_version=second, scores={"risotto": 0.9})
        assert found(project, "answer=gnocchi") == set()
        assert found(project, "answer=risotto") == {sample}
        assert found(project, "answer=gnocchi&version=1") == {sample}

    def test_an_answer_is_right_or_wrong_only_by_a_decision(self, project):
        right, wrong, _open = (make_answered(project) for _number in range(3))
        make_decision(right, category(project, "gnocchi"))
        make_decision(wrong, category(project, "risotto"))
        make_decision(make_answered(project))
        assert found(project, "model=right") == {right}
        assert found(project, "model=wrong") == {wrong}

    def test_labelled_discarded_and_neither(self, project):
        labelled, discarded, reopened, untouched = (make_answered(project) for _number in range(4))
        make_decision(labelled, category(project, "gnocchi"))
        make_decision(discarded)
        decisions.reopen(reopened, by=None)
        assert found(project, "state=labelled") == {labelled}
        assert found(project, "state=discarded") == {discarded}
        assert found(project, "state=unlabelled") == {reopened, untouched}

    def test_confidence_is_between_two_percentages(self, project):
        low, high = make_answered(project, share=0.4), make_answered(project, share=0.95)
        assert found(project, "high=50") == {low}
        assert found(project, "low=50") == {high}
        assert found(project, "low=35&high=50") == {low}

    def test_days_the_user_and_the_source(self, project):
        user = make_user(username="ann")
        old = make_sample(project, by=user, created_at=timezone.now() - timedelta(days=9))
        new = make_sample(project, origin=Sample.Origin.IMPORT)
        day = timezone.localdate() - timedelta(days=3)
        assert found(project, f"since={day}") == {new}
        assert found(project, f"until={day}") == {old}
        assert found(project, "user=ann") == {old}
        assert found(project, "source=import") == {new}

    def test_a_capture_condition_and_a_part_of_a_file_name(self, project):
        sample = make_answered(project, shown_name="IMG_12.jpg")
        CaptureCondition.objects.create(sample=sample, name="line", value="3: left")
        make_answered(project, shown_name="other.jpg")
        assert found(project, "condition=line:3: left") == {sample}
        assert found(project, "q=img_1") == {sample}

    def test_words_are_found_in_the_texts_themselves(self):
        project = make_project(modality="text")
        sample = make_sample(project, data=b"A soup that was COLD")
        Sample.objects.filter(pk=sample.pk).update(media_type="text/plain")
        make_sample(project, data=b"hot")
        assert found(project, "q=was cold") == {sample}

    def test_a_split_is_that_of_the_newest_data_set(self):
        project = make_trainable()
        dataset = make_dataset(project)
        tested = {item.sample for item in dataset.items.filter(split="test")}
        assert tested
        assert found(project, "split=test") == tested

    def test_without_a_data_set_there_is_no_split(self, project):
        make_answered(project)
        assert found(project, "split=train") == set()

    def test_near_duplicates_and_what_is_unfamiliar(self, project):
        first, second, third = (make_sample(project) for _number in range(3))
        NearDuplicate.objects.create(first=first, second=second, by="hashes", similarity=1)
        unlike = make_answered(project, abstained=True, familiarity=0.01, is_unfamiliar=True)
        assert found(project, "sign=duplicate") == {first, second}
        assert found(project, "sign=unfamiliar") == {unlike}
        assert third in found(project, "")

    @pytest.mark.parametrize(
        "query",
        [
            "category=none",
            "model=perhaps",
            "low=200",
            "low=nan",
            "since=0001-01-01",
            "until=9999-12-31",
            "version=x",
            "condition=x",
            "q=" + "x" * 101,
            "q=%00",
        ],
    )
    def test_a_value_that_makes_no_sense_is_refused_with_a_sentence(self, client, project, query):
        client.force_login(make_reviewer())
        response = client.get(f"/projects/dishes/samples/?{query}")
        assert response.status_code == 400
        assert "filter" in response.content.decode() or "YYYY" in response.content.decode()

    def test_a_filter_of_several_is_taken_away_alone(self, client, project):
        client.force_login(make_reviewer())
        page = client.get("/projects/dishes/samples/?category=gnocchi&model=wrong").content.decode()
        assert 'href="/projects/dishes/samples/?category=gnocchi"' in page
        assert 'href="/projects/dishes/samples/?model=wrong"' in page
        assert "Clear filters" in page


class TestCells:
    """Links from a confusion matrix, by the answers that the evaluation had."""

    @pytest.fixture
    def evaluation(self):
        project = make_trainable()
        # The dummy model takes these for light
        make_labelled(project, "dark", train=1, validation=0, test=2, colour="white")
        return make_trained(project).evaluations.get()

    def test_the_samples_of_each_cell_are_as_many_as_it_says(self, evaluation):
        project = evaluation.model_version.project
        matrix = evaluation.confusion["matrix"]
        assert matrix == [[6, 2], [0, 6]]
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            query = f"tested={evaluation.pk}-{row}-{column}"
            assert len(found(project, query)) == matrix[row][column]

    def test_the_page_of_the_run_leads_there(self, client, evaluation):
        client.force_login(make_maintainer())
        run = TrainingRun.objects.get()
        page = client.get(reverse("training:run", args=[run.pk])).content.decode()
        address = f"/samples/?tested={evaluation.pk}-0-1"
        assert address in page
        project = evaluation.model_version.project
        shown = client.get(f"/projects/{project.slug}{address}").content.decode()
        assert "In the test: dark, version 1 said light" in shown

    @pytest.mark.parametrize("cell", ["0-0-0", "{0}-9-9", "{0}-0", "x"])
    def test_a_cell_that_there_is_not_is_refused(self, client, evaluation, cell):
        client.force_login(make_reviewer())
        slug = evaluation.model_version.project.slug
        address = f"/projects/{slug}/samples/?tested={cell.format(evaluation.pk)}"
        assert client.get(address).status_code == 400

    def test_an_evaluation_of_another_project_is_refused(self, client, project, evaluation):
        client.force_login(make_reviewer())
        address = f"/projects/dishes/samples/?tested={evaluation.pk}-0-1"
        assert client.get(address).status_code == 400


class TestPages:
    def test_pages_follow_each_other_without_a_gap_and_without_counting(self, project):
        made = {make_sample(project).pk for _number in range(7)}
        wanted = GalleryForm(project, QueryDict("")).filters()
        first = pages.find_page(wanted, size=3)
        second = pages.find_page(wanted, after=first.next_key, size=3)
        third = pages.find_page(wanted, after=second.next_key, size=3)
        keys = [each.pk for page in (first, second, third) for each in page.samples]
        assert keys == sorted(made, reverse=True)
        assert third.next_key is None

    def test_a_page_looks_through_a_window_and_says_where_the_next_goes_on(
        self, project, monkeypatch
    ):
        rare = make_answered(project, "tiramisu")
        for _number in range(5):
            make_answered(project)
        monkeypatch.setattr(pages, "WINDOW", 3)
        wanted = GalleryForm(project, QueryDict("answer=tiramisu")).filters()
        first = pages.find_page(wanted)
        assert (list(first.samples), first.next_key is None) == ([], False)
        assert found(project, "answer=tiramisu") == {rare}

    def test_a_count_is_exact_up_to_a_limit(self, project, monkeypatch):
        for _number in range(3):
            make_sample(project)
        wanted = GalleryForm(project, QueryDict("")).filters()
        assert pages.count_samples(wanted) == pages.Count(3, is_more=False)
        monkeypatch.setattr(pages, "COUNT_WINDOW", 2)
        assert pages.count_samples(wanted) == pages.Count(2, is_more=True)

    def test_more_samples_on_a_page_need_no_more_queries(self, client, project):
        client.force_login(make_reviewer())
        counts = []
        for _turn in range(2):
            for _number in range(4):
                make_decision(make_answered(project), category(project, "risotto"))
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert client.get("/projects/dishes/samples/").status_code == 200
            counts.append(len(queries))
        assert counts[0] == counts[1]

    def test_a_page_walks_along_an_index_and_sorts_nothing(self, project):
        if connection.vendor != "sqlite":
            pytest.skip("reads SQLite's plans")
        wanted = GalleryForm(
            project, QueryDict("category=gnocchi&model=wrong&split=test")
        ).filters()
        make_sample(project)
        rows, _floor = pages._window(pages.matching_samples(wanted), project, None, pages.WINDOW)
        plan = rows.order_by("-pk")[:61].explain()
        assert "TEMP B-TREE" not in plan
        assert "SCAN predictions_sample" not in plan


class TestLabelling:
    def test_thirty_are_labelled_at_once_each_with_a_row_and_all_undone(self, client, project):
        reviewer = make_reviewer()
        client.force_login(reviewer)
        samples = [make_answered(project) for _number in range(30)]
        risotto = category(project, "risotto")
        response = act(client, project, f"category:{risotto.pk}", samples)
        assert response.status_code == 302
        assert found(project, "category=risotto") == set(samples)
        assert Decision.objects.filter(reviewer=reviewer).count() == 30
        page = client.get(response["Location"]).content.decode()
        assert "30 samples labelled as risotto." in page
        batch = Decision.objects.first().batch
        assert str(batch) in page
        client.post(reverse("act_undo", args=[project.slug, batch]))
        assert found(project, "state=unlabelled") == set(samples)

    def test_undo_gives_back_the_label_that_was_there_before(self, project):
        reviewer = make_reviewer()
        sample = make_answered(project)
        earlier = make_decision(sample, category(project, "gnocchi"))
        wish = acts.Act(acts.LABEL, category(project, "risotto"))
        done = acts.act_on_chosen(project, {sample.uuid: earlier.pk}, wish, by=reviewer)
        assert decisions.latest_decision(sample).category.name == "risotto"
        acts.undo_act(done.batch, by=reviewer)
        assert decisions.latest_decision(sample).category.name == "gnocchi"
        with pytest.raises(Conflict):
            acts.undo_act(done.batch, by=reviewer)
        assert decisions.latest_decision(sample).category.name == "gnocchi"

    def test_undo_gives_back_further_categories_as_well(self, project):
        project.multilabel = True
        project.save()
        reviewer, sample = make_reviewer(), make_answered(project)
        pair = [category(project, "gnocchi"), category(project, "risotto")]
        decisions.label_many_multilabel(project, [(sample, pair)], by=None, reason="")
        chosen = {sample.uuid: decisions.latest_decision(sample).pk}
        done = acts.act_on_chosen(project, chosen, acts.Act("discard"), by=reviewer)
        assert found(project, "category=risotto") == set()
        acts.undo_act(done.batch, by=reviewer)
        assert found(project, "category=risotto") == {sample}
        assert found(project, "category=gnocchi") == {sample}

    def test_done_again_by_the_same_reviewer_it_adds_no_row(self, project):
        reviewer, sample = make_reviewer(), make_answered(project)
        for _turn in range(2):
            discard_unseen(sample, reviewer)
        assert Decision.objects.count() == 1

    def test_nobody_undoes_what_somebody_else_decided(self, project):
        sample = make_answered(project)
        done = acts.act_on_chosen(
            project, {sample.uuid: 0}, acts.Act("discard"), by=make_reviewer()
        )
        with pytest.raises(Conflict):
            acts.undo_act(done.batch, by=make_reviewer())
        assert decisions.latest_decision(sample).outcome == "discarded"

    def test_what_was_decided_after_the_page_was_shown_is_left_alone(self, project):
        sample = make_answered(project)
        make_decision(sample, category(project, "gnocchi"))
        done = acts.act_on_chosen(
            project, {sample.uuid: 0}, acts.Act("discard"), by=make_reviewer()
        )
        assert "0 samples discarded. 1 was decided by somebody else" in done.sentence
        assert decisions.latest_decision(sample).category.name == "gnocchi"

    def test_what_another_reviewer_has_on_the_screen_is_left_alone(self, project):
        sample = make_answered(project)
        leases.acquire(sample, make_reviewer())
        done = acts.act_on_chosen(
            project, {sample.uuid: 0}, acts.Act("discard"), by=make_reviewer()
        )
        assert not done.can_undo
        assert decisions.latest_decision(sample) is None

    def test_a_new_name_becomes_a_category(self, client, project):
        client.force_login(make_reviewer())
        sample = make_answered(project)
        act(client, project, "name", [sample], name="Pizza")
        assert decisions.latest_decision(sample).category.name == "Pizza"

    def test_a_new_name_without_a_sample_makes_nothing(self, client, project):
        client.force_login(make_reviewer())
        act(client, project, "name", name="Pizza")
        assert not project.categories.filter(name="Pizza").exists()

    def test_samples_of_another_project_are_not_touched(self, client, project):
        client.force_login(make_reviewer())
        other = make_sample(make_project())
        act(client, project, "discard", [other])
        assert decisions.latest_decision(other) is None

    @pytest.mark.parametrize("ruling", ["", "category:", "category:999999", "shout"])
    def test_a_button_that_there_is_not_is_refused(self, client, project, ruling):
        client.force_login(make_reviewer())
        sample = make_answered(project)
        data = {"ruling": ruling, "sample": f"{sample.uuid}:0"}
        response = client.post(
            reverse("samples_act", args=[project.slug]), data, headers={"HX-Request": "true"}
        )
        assert response.status_code == 400
        assert not Decision.objects.exists()

    def test_with_a_script_the_tiles_come_back_with_a_toast(self, client, project):
        client.force_login(make_reviewer())
        sample = make_answered(project)
        data = {"ruling": "discard", "sample": f"{sample.uuid}:0"}
        answer = client.post(
            reverse("samples_act", args=[project.slug]), data, headers={"HX-Request": "true"}
        ).content.decode()
        assert "1 sample discarded." in answer
        assert f'id="s-{sample.uuid}" hx-swap-oob="true"' in answer
        assert "<html" not in answer

    def test_a_user_without_the_right_neither_sees_nor_acts(self, client, project):
        client.force_login(make_user())
        sample = make_answered(project)
        assert client.get("/projects/dishes/samples/").status_code == 403
        assert act(client, project, "discard", [sample]).status_code == 403
        assert decisions.latest_decision(sample) is None


class TestAllThatMatch:
    def test_an_error_leads_back_to_the_same_filters(self, client, project):
        client.force_login(make_reviewer())
        response = act(client, project, "discard", filters="answer=gnocchi&x=1")
        assert response["Location"] == "/projects/dishes/samples/?answer=gnocchi"
        response = act(client, project, "discard", filters="answer=no-such-category")
        assert response["Location"] == "/projects/dishes/samples/"

    def test_the_count_comes_later_and_says_of_how_many(self, client, project):
        client.force_login(make_reviewer())
        make_answered(project), make_answered(project, "risotto")
        address = reverse("sample_count", args=[project.slug])
        assert "1 of 2" in client.get(f"{address}?answer=gnocchi").content.decode()
        assert client.get(address).content.decode().split()[0] == "2"

    def test_a_few_are_done_at_once(self, client, project):
        client.force_login(make_reviewer())
        one, other = make_answered(project), make_answered(project, "risotto")
        act(client, project, "discard", all="1", filters="answer=gnocchi")
        assert decisions.latest_decision(one).outcome == "discarded"
        assert decisions.latest_decision(other) is None

    def test_many_are_done_by_a_worker_and_undone_together(self, project, monkeypatch):
        monkeypatch.setattr(acts, "AT_ONCE", 2)
        monkeypatch.setattr(acts, "CHUNK", 2)
        reviewer = make_reviewer()
        samples = {make_answered(project) for _number in range(5)}
        wanted = GalleryForm(project, QueryDict("answer=gnocchi")).filters()
        wish = acts.Act(acts.LABEL, category(project, "risotto"))
        done = acts.act_on_matching(wanted, "answer=gnocchi", wish, by=reviewer)
        assert not Decision.objects.exists()
        with pytest.raises(Conflict):
            acts.undo_act(done.batch, by=reviewer)
        jobs.run_due_jobs()
        assert found(project, "category=risotto") == samples
        assert acts.job_of(done.batch, by=reviewer).progress_note.startswith("5 samples labelled")
        assert acts.undo_act(done.batch, by=reviewer).job
        jobs.run_due_jobs()
        assert found(project, "state=unlabelled") == samples

    def test_labels_of_others_are_kept_where_nobody_said_that_they_are_meant(self, project):
        sample = make_answered(project)
        make_decision(sample, category(project, "gnocchi"))
        for query, outcome in (("answer=gnocchi", "labelled"), ("category=gnocchi", "discarded")):
            wanted = GalleryForm(project, QueryDict(query)).filters()
            acts.act_on_matching(wanted, query, acts.Act("discard"), by=make_reviewer())
            assert decisions.latest_decision(sample).outcome == outcome

    def test_nothing_that_matches_is_refused(self, project):
        wanted = GalleryForm(project, QueryDict("answer=gnocchi")).filters()
        with pytest.raises(InvalidInput):
            acts.act_on_matching(wanted, "answer=gnocchi", acts.Act("discard"), by=make_reviewer())

    def test_nobody_else_sees_how_far_a_worker_is(self, client, project, monkeypatch):
        monkeypatch.setattr(acts, "AT_ONCE", 1)
        reviewer = make_reviewer()
        make_answered(project), make_answered(project)
        wanted = GalleryForm(project, QueryDict("")).filters()
        done = acts.act_on_matching(wanted, "", acts.Act("discard"), by=reviewer)
        address = reverse("act_progress", args=[project.slug, done.batch])
        client.force_login(reviewer)
        assert "A worker does it now" in client.get(address).content.decode()
        client.force_login(make_reviewer())
        assert client.get(address).status_code == 404


class TestSendingToReview:
    def test_what_is_decided_and_what_is_not_waits_for_everybody_once(self, project):
        reviewer, colleague = make_reviewer(), make_reviewer()
        labelled, untouched = make_answered(project), make_answered(project)
        make_decision(labelled, category(project, "gnocchi"))
        chosen = {labelled.uuid: 0, untouched.uuid: 0}
        for count in (2, 0):
            done = acts.act_on_chosen(project, chosen, acts.Act("review"), by=reviewer)
            assert done.sentence.startswith(f"{count} samples sent to review.")
        waiting = queue.waiting_samples(Reason.REQUESTED, QueueFilters(project=project), colleague)
        assert set(waiting) == {labelled.pk, untouched.pk}
        assert found(project, "category=gnocchi") == {labelled}

    def test_a_decision_ends_the_wait(self, project):
        sample = make_answered(project)
        acts.act_on_chosen(project, {sample.uuid: 0}, acts.Act("review"), by=make_reviewer())
        decisions.label_sample(sample, category(project, "gnocchi"), by=make_reviewer())
        assert not list(queue.waiting_samples(Reason.REQUESTED, QueueFilters(project=project)))

    @pytest.mark.parametrize("reason", Recheck.Reason.values)
    def test_the_overview_names_every_reason_to_look_again(self, client, project, reason):
        client.force_login(make_reviewer())
        decision = make_decision(make_answered(project), category(project, "gnocchi"))
        rechecks.request_rechecks([(decision, "x")], Recheck.Reason(reason))
        assert "1</a>" in client.get("/projects/dishes/").content.decode()

    def test_the_overview_counts_them(self, client, project):
        client.force_login(make_reviewer())
        sample = make_answered(project)
        acts.act_on_chosen(project, {sample.uuid: 0}, acts.Act("review"), by=make_reviewer())
        assert "Asked for 1" in client.get("/projects/dishes/").content.decode()


class TestDownload:
    def table(self, response) -> tuple[zipfile.ZipFile, list[dict[str, str]]]:
        archive = zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content)))
        assert archive.testzip() is None
        rows = csv.DictReader(io.StringIO(archive.read("samples.csv").decode()))
        return archive, list(rows)

    def test_files_and_a_table_of_what_was_chosen(self, client, project):
        client.force_login(make_reviewer())
        sample = make_answered(project)
        make_answered(project)
        make_decision(sample, category(project, "risotto"))
        archive, rows = self.table(act(client, project, "download", [sample]))
        assert [(row["category"], row["answer"]) for row in rows] == [("risotto", "gnocchi")]
        assert archive.read(rows[0]["file"]) == sample.read()

    def test_a_file_that_cannot_be_read_is_missing_and_no_formula_is_written(self, client, project):
        client.force_login(make_reviewer())
        sample = make_answered(project)
        make_decision(sample, Category.objects.create(project=project, name="=1+1"))
        sample.storage.delete(sample.file_name)
        _archive, rows = self.table(act(client, project, "download", all="1"))
        assert [(row["file"], row["category"]) for row in rows] == [("", "'=1+1")]

    def test_too_many_are_refused_before_anything_is_sent(self, client, project, monkeypatch):
        monkeypatch.setattr("classifr.gallery.downloads.MOST_SAMPLES", 1)
        client.force_login(make_reviewer())
        make_answered(project), make_answered(project)
        response = act(client, project, "download", all="1")
        assert response.status_code == 302
        assert "at most 1 samples" in client.get(response["Location"]).content.decode()


class TestTexts:
    def test_a_project_of_texts_shows_cards_of_text_and_its_lightbox_the_whole(self, client):
        project = make_project(slug="notes", modality="text")
        client.force_login(make_reviewer())
        sample = make_sample(project, data=b"The <b>soup</b> was cold.")
        Sample.objects.filter(pk=sample.pk).update(media_type="text/plain")
        page = client.get("/projects/notes/samples/").content.decode()
        assert "The &lt;b&gt;soup&lt;/b&gt; was cold." in page
        address = reverse("gallery_sample", args=[project.slug, sample.uuid])
        shown = client.get(address, headers={"HX-Request": "true"}).content.decode()
        assert "The &lt;b&gt;soup" in shown
        assert "Heat map" not in shown


class TestLightbox:
    def test_it_shows_the_label_the_scores_and_the_history(self, client, project):
        client.force_login(make_reviewer())
        sample = make_answered(project, shown_name="IMG_7.jpg")
        make_decision(sample, category(project, "risotto"), by=make_reviewer(username="kim"))
        address = reverse("gallery_sample", args=[project.slug, sample.uuid])
        page = client.get(address, headers={"HX-Request": "true"}).content.decode()
        for words in ("model wrong", "IMG_7.jpg", "kim labelled it risotto", "80.0%", "gnocchi"):
            assert words in page

    def test_without_a_script_it_is_the_page_of_the_sample(self, client, project):
        client.force_login(make_reviewer())
        sample = make_answered(project)
        response = client.get(reverse("gallery_sample", args=[project.slug, sample.uuid]))
        assert response["Location"] == reverse("review:sample", args=[sample.uuid])

    def test_a_sample_of_another_project_is_not_found(self, client, project):
        client.force_login(make_reviewer())
        other = make_sample(make_project())
        for name in ("gallery_sample", "sample_heat"):
            address = reverse(name, args=[project.slug, other.uuid])
            assert client.get(address, headers={"HX-Request": "true"}).status_code == 404

    def test_a_batch_that_never_was_cannot_be_undone(self, client, project):
        client.force_login(make_reviewer())
        address = reverse("act_undo", args=[project.slug, uuid4()])
        assert client.post(address, headers={"HX-Request": "true"}).status_code == 409


def test_saved_views_say_how_many_they_show(client, project):
    reviewer = make_reviewer()
    client.force_login(reviewer)
    sample = make_sample(project)
    decisions.decide_each([sample], None, by=reviewer, batch=uuid4())
    page = client.get(reverse("sample_view_counts", args=[project.slug])).content.decode()
    counts = dict(re.findall(r'id="view-(\d)" hx-swap-oob="true">(\d+)<', page))
    assert counts == {str(place): "0" for place in range(1, 8)} | {"8": "1"}
