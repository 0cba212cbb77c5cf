"""The trainer of Custom Vision against the stand-in: what is sent, and what faults leave behind."""

from dataclasses import replace

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.core.files.storage import storages

from common.progress import Cancelled
from common.storages import StorageUnavailable
from customvision.client import client as client_module
from customvision.client import rate_limits
from customvision.client.client import CustomVisionClient
from customvision.client.tests import faults
from customvision.client.tests.stand_in import StandIn
from customvision.predictor import PublishedModel
from customvision.trainer import iterations
from customvision.trainer import trainer as azure_module
from customvision.trainer.trainer import CustomVisionTrainer
from predictions.predictors.base import predictors
from training.errors import TrainingFailed
from training.tests.trainer_contract import TrainerContract, make_example, make_task, servable

pytestmark = pytest.mark.slow

UPLOAD = "create_images_from_files"


def options_of(service: StandIn, **options) -> dict:
    return {
        "endpoint": service.endpoint,
        "key": service.training_key,
        "resource_id": service.resource_id,
    } | options


def predictors_of(service: StandIn) -> dict:
    options = {"endpoint": service.endpoint, "key": service.prediction_key}
    backend = {"BACKEND": "customvision.predictor.CustomVisionPredictor", "OPTIONS": options}
    return django_settings.PREDICTORS | {"azure": backend}


def without_waiting(patch: pytest.MonkeyPatch) -> None:
    for table in (rate_limits.PREDICTIONS_PER_SECOND_UNKEPT, rate_limits.OTHER_CALLS_PER_SECOND):
        patch.setitem(table, "S0", 10_000)
    patch.setattr(iterations, "POLL_SECONDS", 0)
    patch.setattr(client_module.random, "uniform", lambda least, most: 0)
    for module in (client_module, azure_module):
        patch.setattr(module.time, "sleep", lambda seconds: None)


class TestContract(TrainerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls, own_storages):
        with pytest.MonkeyPatch.context() as patch, StandIn() as service:
            without_waiting(patch)
            patch.setattr(django_settings, "PREDICTORS", predictors_of(service))
            patch.setattr(predictors, "_built", {})
            yield CustomVisionTrainer(alias="azure", **options_of(service))


@pytest.fixture(autouse=True)
def quick(monkeypatch, request):
    if request.cls is not TestContract:
        without_waiting(monkeypatch)


@pytest.fixture
def service(custom_vision, settings) -> StandIn:
    settings.PREDICTORS = predictors_of(custom_vision)
    return custom_vision


@pytest.fixture
def trainer(service) -> CustomVisionTrainer:
    return CustomVisionTrainer(alias="azure", **options_of(service))


@pytest.fixture
def task():
    return make_task(10)


def project_of(service: StandIn):
    (project,) = service.projects.values()
    return project


def assert_each_picture_is_there_once(service: StandIn, task) -> None:
    project = project_of(service)
    wanted = [example for example in task.examples if example.split != "test"]
    assert len(project.images) == len(wanted)
    assert len({image.sha256 for image in project.images.values()}) == len(wanted)
    for name in task.class_names:
        counted = len(project.tagged(project.tag_named(name).id))
        assert counted == sum(example.category == name for example in wanted)


class TestLearning:
    def test_only_train_and_validation_pictures_are_sent_each_once(self, service, trainer, task):
        trainer.train(task)
        assert_each_picture_is_there_once(service, task)
        assert set(service.times_taken([UPLOAD]).values()) == {1}

    def test_of_a_small_category_test_pictures_go_along_as_far_as_the_service_needs(
        self, service, trainer
    ):
        task = make_task(5)  # four to learn from, one to test with
        trained = trainer.train(task)
        tests = {example.sha256 for example in task.examples if example.split == "test"}
        assert set(trained.learned_from_test) == tests
        assert len(project_of(service).images) == 5 * len(task.class_names)
        assert "are left out of it" in trained.notes[-1]
        assert f"“{task.class_names[0]}” (1)" in trained.notes[-1]
        again = trainer.train(make_task(10))
        assert not again.learned_from_test

    def test_a_category_that_is_too_small_is_named(self, service, trainer):
        task = make_task(5)
        lacking = task.class_names[1]
        examples = [
            replace(example, read=None) if example.category == lacking else example
            for example in task.examples
        ]
        with pytest.raises(TrainingFailed, match=rf"“{lacking}” \(0\)"):
            trainer.train(replace(task, examples=examples))
        assert not service.projects

    def test_the_reference_says_where_the_model_is(self, service, trainer, task):
        model = trainer.train(task)
        project = project_of(service)
        (iteration,) = project.iterations.values()
        assert PublishedModel.parse(model.reference) == PublishedModel(
            project.id, iteration.id, f"classifr-{iteration.id}"
        )
        assert iteration.publish_target == service.resource_id
        assert model.class_names == task.class_names

    def test_what_the_service_says_of_the_model_is_kept_with_it(self, trainer, task):
        kept = trainer.train(task).manifest["custom_vision"]
        assert kept["performance"] == {
            "threshold": 0.5,
            "precision": 1,
            "recall": 1,
            "average_precision": 1,
        }
        assert set(kept["by_tag"]) == set(task.class_names)
        assert kept["images"] == 24

    def test_a_picture_that_is_damaged_or_gone_is_left_out_and_told(self, service, trainer, task):
        def gone() -> bytes:
            raise FileNotFoundError

        bad = [
            replace(task.examples[0], read=lambda: b"half a pic"),
            replace(task.examples[1], read=gone),
        ]
        broken = replace(task, examples=[*bad, *task.examples[2:]])
        model = trainer.train(broken)
        assert_each_picture_is_there_once(service, replace(task, examples=task.examples[2:]))
        assert any("left out: 2" in note for note in model.notes)
        scores = trainer.predict_proba(servable(model), broken.examples[:4])
        assert np.isnan(scores).all(axis=1).tolist() == [True, True, False, False]

    def test_a_storage_that_does_not_answer_ends_the_run(self, trainer, task):
        def unavailable() -> bytes:
            raise StorageUnavailable("The storage does not answer.")

        with pytest.raises(StorageUnavailable):
            trainer.train(
                replace(
                    task, examples=[replace(task.examples[0], read=unavailable), *task.examples[1:]]
                )
            )

    def test_what_is_there_is_not_sent_again(self, service, trainer, task):
        trainer.train(task)
        more = replace(
            task,
            examples=[*task.examples, make_example(0, 900, "train"), make_example(1, 900, "train")],
        )
        trainer.train(more)
        assert set(service.times_taken([UPLOAD]).values()) == {1}
        assert [len(call.pictures) for call in service.calls(UPLOAD)] == [24, 2]
        assert len(service.calls("create_project")) == 1
        assert len(project_of(service).iterations) == 2

    def test_nothing_new_needs_no_training(self, service, trainer, task):
        first, second = trainer.train(task), trainer.train(task)
        assert first.reference == second.reference
        assert len(project_of(service).iterations) == 1
        assert len(service.calls("publish_iteration")) == 1

    def test_pictures_go_in_batches_of_at_most_64(self, service, trainer):
        task = make_task(30)
        trainer.train(task)
        assert [len(call.pictures) for call in service.calls(UPLOAD)] == [64, 8]
        assert_each_picture_is_there_once(service, task)

    def test_and_of_at_most_6_megabytes(self, service, trainer, task, monkeypatch):
        monkeypatch.setattr("customvision.trainer.project_sync.MAX_BATCH_BYTES", 20_000)
        trainer.train(task)
        assert len(service.calls(UPLOAD)) > 1
        assert set(service.times_taken([UPLOAD]).values()) == {1}

    def test_a_picture_that_is_called_something_else_now_gets_its_new_tag(
        self, service, trainer, task
    ):
        trainer.train(task)
        first = task.examples[0]
        other = replace(task, examples=[replace(first, category="bright"), *task.examples[1:]])
        trainer.train(other)
        assert_each_picture_is_there_once(service, other)
        assert set(service.times_taken([UPLOAD]).values()) == {1}

    def test_a_picture_that_counts_no_more_is_removed_and_one_of_others_stays(
        self, service, trainer, task
    ):
        trainer.train(task)
        project = project_of(service)
        project.put(service_picture(), [project.tag_named("dark").id])
        fewer = replace(task, examples=task.examples[1:])
        trainer.train(fewer)
        assert len(project.images) == 23 + 1

    def test_a_category_that_is_gone_takes_its_tag_along(self, service, trainer, task):
        trainer.train(task)
        two = [example for example in task.examples if example.category != "middle"]
        model = trainer.train(replace(task, examples=two, class_names=("dark", "bright")))
        assert {tag.name for tag in project_of(service).tags.values()} == {"dark", "bright"}
        assert set(model.class_names) == {"dark", "bright"}

    def test_without_its_ledger_nothing_is_there_twice(self, service, trainer, task):
        first = trainer.train(task)
        storages["models"].delete(f"custom-vision/{project_of(service).id}.json")
        assert trainer.train(task).reference == first.reference
        assert_each_picture_is_there_once(service, task)

    def test_the_same_pixels_in_two_files_are_one_picture(self, service, trainer, task):
        twin = replace(task.examples[0], sha256="f" * 64)
        trainer.train(replace(task, examples=[*task.examples, twin]))
        assert len(project_of(service).images) == 24

    def test_a_configured_project_is_used(self, service, task):
        made = CustomVisionTrainer(alias="azure", **options_of(service))
        made.train(task)
        id_ = project_of(service).id
        project_of(service).description = "ours no more"
        trainer = CustomVisionTrainer(
            alias="azure", **options_of(service, projects={"colours": id_})
        )
        trainer.train(task)
        assert len(service.projects) == 1

    def test_a_configured_project_that_is_not_there_is_told(self, service, task):
        id_ = "00000000-0000-0000-0000-000000000000"
        with pytest.raises(TrainingFailed, match="AZURE_CUSTOM_VISION_PROJECTS"):
            CustomVisionTrainer(
                alias="azure", **options_of(service, projects={"colours": id_})
            ).train(task)

    def test_a_project_of_several_labels_is_refused(self, service, trainer, task):
        trainer.train(task)
        project_of(service).classification = "Multilabel"
        with pytest.raises(TrainingFailed, match="multiclass"):
            trainer.train(task)


def service_picture() -> bytes:
    from predictions.tests.factories import make_picture_bytes

    return make_picture_bytes()


class TestOldIterations:
    def train_often(self, trainer, task, times, **fields):
        models = []
        for number in range(times):
            task = replace(
                task, examples=[*task.examples, make_example(0, 900 + number, "train")], **fields
            )
            models.append(trainer.train(task))
        return models

    def test_beyond_the_newest_they_go(self, service, task):
        trainer = CustomVisionTrainer(alias="azure", **options_of(service, keep_iterations=2))
        models = self.train_often(trainer, task, 5)
        left = {PublishedModel.parse(model.reference).iteration for model in models[-3:]}
        assert set(project_of(service).iterations) == left
        assert any("Iteration" in note and "Deleted" in note for note in models[-1].notes)

    def test_one_in_use_stays_however_old(self, service, task):
        trainer = CustomVisionTrainer(alias="azure", **options_of(service, keep_iterations=2))
        (live,) = self.train_often(trainer, task, 1)
        self.train_often(trainer, task, 5, in_use=(live.reference, "dishes/0123456789abcdef"))
        assert PublishedModel.parse(live.reference).iteration in project_of(service).iterations
        predictors["azure"].warm_up(servable(live))

    def test_those_of_others_are_left_alone_and_a_full_project_is_told(
        self, service, trainer, task
    ):
        first = trainer.train(task)
        project = project_of(service)
        known = project.iterations[PublishedModel.parse(first.reference).iteration]
        for number in range(19):
            project.iterations[str(number)] = replace(known, id=str(number), publish_name=None)
        with pytest.raises(TrainingFailed, match="has 20 iterations"):
            trainer.train(task)
        assert len(project.iterations) == 20


class Killed(BaseException):
    """The process ends here, as by `kill -9`."""


class TestFaults:
    OPERATIONS = (
        "get_projects",
        "create_project",
        "get_tags",
        "create_tag",
        "get_images",
        UPLOAD,
        "train_project",
        "get_iteration",
        "get_iteration_performance",
        "publish_iteration",
    )

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize(
        "fault",
        [
            faults.too_many("1"),
            faults.server_error(),
            faults.unavailable(),
            faults.reset(),
            faults.reset(done=True),
            faults.server_error(done=True),
        ],
        ids=["429", "500", "503", "reset", "lost answer", "500 after the work"],
    )
    def test_one_fault_anywhere_is_survived_and_nothing_is_there_twice(
        self, service, trainer, task, operation, fault
    ):
        service.fail(operation, fault)
        model = trainer.train(task)
        predictors["azure"].warm_up(servable(model))
        assert_each_picture_is_there_once(service, task)
        project = project_of(service)
        assert sorted(tag.name for tag in project.tags.values()) == sorted(task.class_names)
        assert len(project.iterations) == 1
        assert service.faults_left == 0, "it was met"

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_a_service_that_stays_away_ends_the_run_and_the_next_goes_on_from_there(
        self, service, trainer, task, operation
    ):
        service.fail(operation, faults.too_many("600"), always=True)
        with pytest.raises(TrainingFailed, match="Nothing is lost"):
            trainer.train(task)
        service.heal()
        trainer.train(task)
        assert set(service.times_taken([UPLOAD]).values()) == {1}
        assert (len(service.projects), len(project_of(service).iterations)) == (1, 1)

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
    def test_a_process_that_is_killed_at_any_call_is_followed_by_one_that_goes_on(
        self, service, trainer, task, operation, is_done, monkeypatch
    ):
        real = CustomVisionClient.call

        def call(self, name, *arguments, **options):
            if name == operation and not is_done:
                raise Killed
            answer = real(self, name, *arguments, **options)
            if name == operation:
                raise Killed
            return answer

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(CustomVisionClient, "call", call)
            trainer.train(task)
        CustomVisionTrainer(alias="azure", **options_of(service)).train(task)
        assert_each_picture_is_there_once(service, task)
        assert (len(service.projects), len(project_of(service).iterations)) == (1, 1)
        if not (
            operation == UPLOAD and is_done
        ):  # of that one batch nobody knew; the service recognised it
            assert set(service.times_taken([UPLOAD]).values()) == {1}

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_a_wrong_key_is_told_without_the_key(self, service, trainer, task, operation):
        service.fail(operation, faults.wrong_key(), always=True)
        with pytest.raises(TrainingFailed) as caught:
            trainer.train(task)
        assert "key" in str(caught.value) and service.training_key not in str(caught.value)

    def test_a_quota_that_is_reached_keeps_what_was_sent(self, service, trainer):
        task = make_task(30)
        service.most_images = 70
        with pytest.raises(TrainingFailed, match="full"):
            trainer.train(task)
        service.most_images = 1000
        trainer.train(task)
        assert_each_picture_is_there_once(service, task)
        assert max(service.times_taken([UPLOAD]).values()) <= 2, "none of the 64 of the first batch"
        assert len(service.calls(UPLOAD)[-1].pictures) == 2

    def test_too_many_projects_is_told(self, service, trainer, task):
        service.most_projects = 0
        with pytest.raises(TrainingFailed, match="projects is exceeded"):
            trainer.train(task)

    def test_a_training_that_fails_is_told_and_the_next_run_trains_again(
        self, service, trainer, task
    ):
        service.training_fails = True
        with pytest.raises(TrainingFailed, match="no capacity"):
            trainer.train(task)
        service.heal()
        assert trainer.train(task).reference
        assert [len(call.pictures) for call in service.calls(UPLOAD)] == [24]

    def test_a_cancelled_run_leaves_the_training_to_the_next_one(self, service, trainer, task):
        def stop(done, total, note=""):
            if "is training" in note:
                raise Cancelled

        with pytest.raises(Cancelled):
            trainer.train(task, stop)
        trainer.train(task)
        assert len(project_of(service).iterations) == 1

    def test_a_wrong_publish_target_names_the_setting(self, service, task):
        trainer = CustomVisionTrainer(alias="azure", **options_of(service, resource_id="/wrong"))
        with pytest.raises(TrainingFailed, match="AZURE_CUSTOM_VISION_PREDICTION_RESOURCE_ID"):
            trainer.train(task)

    def test_a_busy_service_is_waited_for_while_pictures_are_scored(self, service, trainer, task):
        model = trainer.train(task)
        service.fail("classify_image_with_no_store", *[faults.too_many("20")] * 3)
        assert trainer.predict_proba(servable(model), task.examples[:6]).shape == (6, 3)

    def test_a_predictor_that_is_let_in_no_more_ends_the_scoring(self, service, trainer, task):
        model = trainer.train(task)
        service.fail("classify_image_with_no_store", faults.wrong_key(), always=True)
        with pytest.raises(Exception, match="denies access"):
            trainer.predict_proba(servable(model), task.examples[:6])


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "id_"),
        [
            ({"endpoint": "https://a.example"}, "training.W011"),
            ({"endpoint": "ftp://a.example", "key": "k"}, "training.E012"),
            ({"keep_iterations": 20}, "training.E013"),
            ({"keep_iterations": 1}, "training.E013"),
        ],
    )
    def test_what_is_wrong_is_told(self, options, id_):
        (message,) = CustomVisionTrainer(alias="azure", **options).check()
        assert message.id == id_

    def test_who_does_not_use_it_sets_nothing(self):
        trainer = CustomVisionTrainer(alias="azure")
        assert trainer.check() == []
        assert "AZURE_CUSTOM_VISION_TRAINING_KEY" in trainer.missing_settings()
        assert "AZURE_CUSTOM_VISION_PREDICTION_KEY" in trainer.missing_settings()

    def test_without_settings_a_run_says_which_are_missing(self, task):
        with pytest.raises(TrainingFailed, match="AZURE_CUSTOM_VISION_PREDICTION_RESOURCE_ID"):
            CustomVisionTrainer(alias="azure").train(task)

    def test_the_key_is_in_no_repr(self, trainer, service):
        assert service.training_key not in repr(vars(trainer)) + repr(trainer.client)
