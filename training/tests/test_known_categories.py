"""Categories that are known beforehand: chosen, answered at once, corrected by pictures."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from common import jobs
from common.errors import Conflict, InvalidInput
from predictions import classification, registry
from predictions.predictors.base import ModelRef
from predictions.predictors.local import bundles, preprocessing
from predictions.predictors.local.engine import LiteRtEngine
from predictions.tests.factories import make_project, make_upload, make_user
from training import tasks  # noqa: F401 (defines the task)
from training.backbones import imagenet_classes, lite0
from training.backbones.base import Backbone
from training.data import datasets, known_categories
from training.data.datasets import NotEnoughData
from training.errors import TrainingFailed
from training.models import KnownCategory, TrainingRun
from training.runs import execution, known_model, submission
from training.tests.factories import make_labelled, make_trainable
from training.tests.trainer_contract import make_task
from training.trainers.base import TrainingTask
from training.trainers.dummy import DummyTrainer
from training.trainers.local import head
from training.trainers.local.head import Head
from training.trainers.local.known_head import build_known_head
from training.trainers.local.trainer import LocalTrainer

ESPRESSO, ICE_CREAM, PIZZA = 967, 928, 963


class TestClasses:
    def test_there_are_a_thousand_each_with_a_name(self):
        names = imagenet_classes.class_names()
        assert len(names) == lite0.CLASSES
        assert all(each and each[0] for each in names)

    @pytest.mark.parametrize(
        ("number", "name"),
        [(0, "tench"), (207, "golden retriever"), (281, "tabby"), (963, "pizza")],
    )
    def test_they_have_the_numbers_of_the_outputs(self, number, name):
        assert imagenet_classes.class_names()[number][0] == name

    @pytest.mark.parametrize("name", ["ice cream", "ice_cream", "Ice Cream", "icecream"])
    def test_a_class_is_found_by_any_of_its_names(self, name):
        assert imagenet_classes.find_classes(name) == [ICE_CREAM]

    def test_a_part_of_a_name_finds_them_all(self):
        found = imagenet_classes.search_classes("retriever")
        assert 207 in found and len(found) == 5
        assert imagenet_classes.find_classes("retriever") == []
        assert len(imagenet_classes.search_classes("")) == 1000


def make_backbone() -> Backbone:
    """Return one whose features 0 to 9 each stand for a class, the others for none."""
    weights = np.zeros((12, 1000), np.float32)
    weights[np.arange(10), np.arange(10)] = 5
    return Backbone("knowing", "0" * 32, 8, 12, lambda: None, (), lambda: (weights, np.zeros(1000)))


class TestHead:
    def test_tells_the_classes_apart_that_the_backbone_knows(self):
        known = build_known_head(make_backbone(), ["a", "b"], {"a": [3], "b": [7]})
        assert known and known.probabilities(np.eye(12)[[3, 7]]).argmax(axis=1).tolist() == [0, 1]

    def test_several_classes_are_one_category_and_weigh_as_many(self):
        known = build_known_head(make_backbone(), ["many", "one"], {"many": [0, 1, 2], "one": [3]})
        assert known and (known.probabilities(np.eye(12)[[0, 1, 2]]).argmax(axis=1) == 0).all()
        nothing = known.probabilities(np.zeros((1, 12)))[0]
        assert nothing == pytest.approx([0.75, 0.25])

    def test_of_nothing_known_there_is_none(self):
        assert build_known_head(make_backbone(), ["a"], {"other": [1]}) is None
        ignorant = Backbone("ignorant", "0" * 32, 8, 12, lambda: None)
        assert build_known_head(ignorant, ["a"], {"a": [1]}) is None


class TestPrior:
    """Of two classes, told apart by the first feature; the prior knows that."""

    PRIOR = Head(np.array([[4.0, -4.0], [0, 0]], np.float32), np.zeros(2, np.float32))

    def make(self, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 2
        rng = np.random.default_rng(seed)
        return rng.normal(0, 0.3, (count, 2)) + np.outer(1 - 2 * labels, [1, 0]), labels

    def fit(self, features, labels, prior) -> Head:
        empty = np.empty((0, 2)), np.empty(0, int)
        return head.fit_head((features, labels), empty, 2, prior=prior).head

    def test_a_misleading_picture_or_two_do_not_outweigh_it(self):
        misleading = np.array([[-1.0, 1.0], [1.0, -1.0]]), np.array([0, 1])
        asked, truth = self.make(200, seed=1)
        with_prior, without = (
            (self.fit(*misleading, prior).logits(asked).argmax(axis=1) == truth).mean()
            for prior in (self.PRIOR, None)
        )
        assert without < 0.5 < 0.9 < with_prior

    def test_many_pictures_outweigh_it(self):
        features, labels = self.make(400)
        wrong = Head(-self.PRIOR.kernel, self.PRIOR.bias)
        asked, truth = self.make(200, seed=1)
        assert (
            self.fit(features, labels, wrong).logits(asked).argmax(axis=1) == truth
        ).mean() > 0.95

    def test_a_class_without_pictures_stays_what_the_prior_says(self):
        prior = Head(np.array([[4.0, -4.0, 0], [0, 0, 6]], np.float32), np.zeros(3, np.float32))
        features, labels = self.make(40)
        empty = np.empty((0, 2)), np.empty(0, int)
        fitted = head.fit_head((features, labels), empty, 3, prior=prior).head
        assert fitted.logits(np.array([[0.0, 3.0]])).argmax() == 2

    def test_the_gradient_is_that_of_the_loss(self):
        from scipy.optimize import check_grad

        rng = np.random.default_rng(0)
        features, labels = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
        arguments = features, labels, np.ones(20), 3, 0.7, rng.normal(size=15)
        error = check_grad(
            lambda p: head.loss_and_gradient(p, *arguments)[0],
            lambda p: head.loss_and_gradient(p, *arguments)[1],
            rng.normal(size=15),
        )
        assert error < 1e-5


@pytest.fixture
def project():
    return make_project(trainer="dummy")


def choose_two(project) -> None:
    known_categories.add_each_known(project, [PIZZA, ESPRESSO])


@pytest.mark.django_db
class TestChoosing:
    def test_each_becomes_a_category_with_its_usual_name(self, project):
        choose_two(project)
        assert known_categories.known_classes(project) == {
            "espresso": [ESPRESSO], "pizza": [PIZZA]
        }  # fmt: skip

    def test_several_can_be_one_and_more_be_added(self, project):
        known_categories.add_known(project, "cat", [281, 282])
        known_categories.add_known(project, "Cat", [285])
        assert known_categories.known_classes(project) == {"cat": [281, 282, 285]}

    def test_a_category_that_is_there_becomes_known(self, project):
        category = project.categories.create(name="Pizza", name_key="pizza")
        choose_two(project)
        assert KnownCategory.objects.get(category=category).classes == [PIZZA]

    def test_a_class_is_of_one_category_alone(self, project):
        choose_two(project)
        with pytest.raises(Conflict, match="“pizza” belongs to the category “pizza” already"):
            known_categories.add_known(project, "food", [ICE_CREAM, PIZZA])
        assert not project.categories.filter(name="food").exists()

    @pytest.mark.parametrize("classes", [[], [1000], [-1]])
    def test_no_class_or_one_that_is_none_is_refused(self, project, classes):
        with pytest.raises(InvalidInput):
            known_categories.add_known(project, "thing", classes)

    def test_a_multilabel_project_cannot_have_them(self):
        with pytest.raises(Conflict, match="exclude each other"):
            choose_two(make_project(multilabel=True))


@pytest.mark.django_db
class TestModel:
    def test_a_worker_makes_it_and_it_answers_without_any_picture(self, project):
        choose_two(project)
        job = known_model.request_known_model(project)
        jobs.run_job(jobs.claim_job(job.pk, "worker"))
        version = registry.require_live_version(project)
        assert version.class_names == ["espresso", "pizza"]
        assert version.manifest["category_uuids"]
        prediction = classification.classify_upload(project, make_upload(), by=make_user())
        assert prediction.top.name in version.class_names
        assert not TrainingRun.objects.exists()

    def test_further_ones_make_another(self, project):
        choose_two(project)
        known_model.make_known_model(project)
        known_categories.add_each_known(project, [ICE_CREAM])
        assert known_model.make_known_model(project).number == 2
        assert registry.require_live_version(project).number == 2

    def test_made_again_it_changes_nothing(self, project):
        choose_two(project)
        known_model.make_known_model(project)
        assert known_model.make_known_model(project) is None

    def test_one_is_too_few(self, project):
        known_categories.add_each_known(project, [PIZZA])
        assert known_model.request_known_model(project) is None
        with pytest.raises(TrainingFailed, match="at least two"):
            known_model.make_known_model(project)

    def test_a_model_that_has_learned_from_pictures_stays(self):
        project = make_trainable()
        run = submission.submit_run(project, by=None)
        execution.execute_run(run)
        registry.promote_version(TrainingRun.objects.get().model_version, by=None)
        choose_two(project)
        assert known_model.request_known_model(project) is None
        assert known_model.make_known_model(project) is None

    def test_a_run_keeps_those_that_have_no_picture_yet(self, project):
        choose_two(project)
        make_labelled(project, "pizza", train=1, validation=0, test=0)
        run = submission.submit_run(project, by=None)
        execution.execute_run(run)
        run.refresh_from_db()
        assert datasets.dataset_class_names(run.dataset) == ("pizza",)
        assert run.model_version.class_names == ["espresso", "pizza"]

    def test_a_run_says_where_its_backbone_does_not_know_them(self, monkeypatch):
        project = make_trainable()
        choose_two(project)
        monkeypatch.setattr(DummyTrainer, "uses_known_categories", lambda self, backbone: False)
        run = submission.submit_run(project, by=None)
        execution.execute_run(run)
        run.refresh_from_db()
        assert "beforehand of “espresso”, “pizza” does not count" in run.log

    def test_without_any_picture_there_is_nothing_to_run_on(self, project):
        choose_two(project)
        with pytest.raises(NotEnoughData):
            submission.submit_run(project, by=None)


@pytest.mark.django_db
class TestPage:
    @pytest.fixture
    def address(self, project, client):
        client.force_login(make_user("maintainer"))
        return reverse("training:known", args=[project.slug])

    def test_it_can_be_searched_without_a_script(self, client, address):
        text = client.get(address, {"search": "retriever"}).content.decode()
        assert "golden retriever" in text and "espresso" not in text
        assert "None of the known" in client.get(address, {"search": "qqq"}).content.decode()

    def test_what_is_chosen_is_added_and_a_model_asked_for(self, client, project, address):
        response = client.post(address, {"classes": [PIZZA, ESPRESSO]}, follow=True)
        assert "2 categories are known beforehand. A model of them is being" in (
            response.content.decode()
        )
        assert known_model.make_in_background.active_jobs(project_key=project.pk).count() == 1

    def test_with_a_name_all_are_one(self, client, project, address):
        text = client.post(address, {"classes": [281, 282], "name": "cat"}, follow=True).content
        assert known_categories.known_classes(project) == {"cat": [281, 282]}
        assert "A model needs at least two." in text.decode()

    @pytest.mark.parametrize("classes", [[], ["1000"], ["pizza"]])
    def test_nothing_chosen_or_no_class_is_told(self, client, project, address, classes):
        response = client.post(address, {"classes": classes})
        assert response.status_code == 400
        assert "Choose at least one of the known categories." in response.content.decode()
        assert not project.categories.exists()

    def test_one_that_is_taken_is_told_and_the_choice_stays(self, client, project, address):
        choose_two(project)
        response = client.post(address, {"classes": [PIZZA, ICE_CREAM], "name": "food"})
        assert response.status_code == 409
        assert f'value="{ICE_CREAM}" checked' in response.content.decode()


@pytest.mark.django_db
class TestCommand:
    def call(self, project, *arguments) -> str:
        out = StringIO()
        call_command("add_category", *arguments, project=project.slug, stdout=out)
        return out.getvalue()

    def test_a_category_of_its_own_name(self, project):
        assert "by 1 of ImageNet" in self.call(project, "ice_cream", "--known")
        assert "A worker makes a model" in self.call(
            project, "cat", "--known", "tabby", "tiger cat"
        )
        assert known_categories.known_classes(project) == {
            "cat": [281, 282], "ice_cream": [ICE_CREAM]
        }  # fmt: skip

    def test_a_name_that_is_none_adds_nothing_and_names_similar_ones(self, project):
        with pytest.raises(CommandError, match="none of the 1,000 .* Similar: .*golden retriever"):
            self.call(project, "retriever", "--known")
        with pytest.raises(CommandError, match="none of the 1,000"):
            self.call(project, "qqq", "--known")
        assert not project.categories.exists()


@pytest.mark.outer
@pytest.mark.django_db
class TestLocalTrainer:
    def make_task(self, **fields) -> TrainingTask:
        names = ("espresso", "pizza")
        known = {"espresso": [ESPRESSO], "pizza": [PIZZA]}
        return TrainingTask("dishes", names, (), {"backbone": "lite0"}, known=known, **fields)

    def test_the_bundle_answers_as_the_published_classifier_does(self):
        from common.media import images
        from predictions.predictors.base import predictors
        from predictions.tests.factories import make_picture_bytes

        made = LocalTrainer(alias="keras").start_without_pictures(self.make_task())
        picture = images.decode_upload(make_picture_bytes("brown", size=(300, 240)))
        model = ModelRef(made.reference, made.class_names, made.digest)
        (scores,) = predictors["keras"].predict([picture], model)
        bundle = bundles.open_bundle(model, bundles.COMPILED_MODEL)
        pixels = preprocessing.crop_and_scale(picture.image, 224)[None]
        seen = LiteRtEngine(bundle.paths[bundles.COMPILED_MODEL]).run(pixels)["features"][0, :1280]
        tensors = lite0.load_tensors()
        logits = tensors["_fc.weight"] @ seen + tensors["_fc.bias"]
        expected = np.exp(logits[[ESPRESSO, PIZZA]] - logits.max())
        assert list(scores.values()) == pytest.approx(list(expected / expected.sum()), abs=1e-3)

    def test_a_run_learns_from_pictures_and_keeps_what_has_none(self):
        task = make_task(10, parameters={"backbone": "lite0"})
        names = tuple(sorted({*task.class_names, "pizza"}))
        trained = LocalTrainer(alias="keras").train(
            replace(task, class_names=names, known={"pizza": [PIZZA]})
        )
        assert trained.class_names == names
        shown = [example for example in task.examples if example.split == "test"]
        model = ModelRef(trained.reference, trained.class_names, trained.digest)
        scores = LocalTrainer(alias="keras").predict_proba(model, shown)
        truth = [names.index(example.category) for example in shown]
        assert (scores.argmax(axis=1) == truth).mean() > 0.8

    def test_without_being_known_a_category_needs_a_picture(self):
        task = make_task(10, parameters={"backbone": "lite0"})
        with pytest.raises(TrainingFailed, match="no picture to learn from: pizza"):
            LocalTrainer(alias="keras").train(
                replace(task, class_names=(*task.class_names, "pizza"))
            )

    def test_a_category_that_is_not_known_is_refused(self):
        with pytest.raises(ValueError, match="learned from pictures"):
            LocalTrainer(alias="keras").start_without_pictures(
                replace(self.make_task(), class_names=("espresso", "unheard of"))
            )


@pytest.mark.django_db
def test_a_project_of_texts_knows_none_beforehand():
    project = make_project(modality="text")
    with pytest.raises(Conflict, match="Only categories of pictures"):
        known_categories.add_known(project, "pizza", [963])
