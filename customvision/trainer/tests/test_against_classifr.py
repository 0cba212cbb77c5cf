"""The adapters for Custom Vision against Classifr's own compatible server, over real HTTP."""

from dataclasses import replace

import pytest

from accounts.tests.factories import make_maintainer, make_token, make_user
from common import jobs, tasks
from customvision.trainer import iterations
from customvision.trainer.tests.test_trainer import without_waiting
from customvision.trainer.trainer import CustomVisionTrainer
from predictions.models import Project, Sample
from predictions.predictors.base import PredictorError, predictors
from review import ground_truth
from training.errors import TrainingFailed
from training.models import TrainingRun
from training.tests.trainer_contract import make_task, servable

pytestmark = [pytest.mark.outer, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def trainer(live_server, settings, monkeypatch) -> CustomVisionTrainer:
    """The trainer here, and a server whose projects train with the dummy trainer while we wait."""
    without_waiting(monkeypatch)
    tasks.autodiscover()
    settings.DEFAULT_TRAINER = "dummy"
    monkeypatch.setattr(iterations.time, "sleep", lambda seconds: jobs.run_due_jobs("training"))
    options = {"endpoint": live_server.url, "key": make_token(make_user())}
    backend = {"BACKEND": "customvision.predictor.CustomVisionPredictor", "OPTIONS": options}
    settings.PREDICTORS = settings.PREDICTORS | {"azure": backend}
    key = make_token(make_maintainer())
    return CustomVisionTrainer(
        alias="azure", endpoint=live_server.url, key=key, resource_id="/subscriptions/x"
    )


@pytest.fixture
def task():
    """Two categories, in the order in which the dummy model sorts them by brightness."""
    task = make_task(12)
    names = {"dark": "a dark", "bright": "bright"}
    two = [
        replace(one, category=names[one.category]) for one in task.examples if one.category in names
    ]
    return replace(task, examples=two, class_names=tuple(names.values()))


def test_it_learns_serves_and_is_measured(trainer, task):
    model = trainer.train(task)
    there = Project.objects.get()
    sent = [example for example in task.examples if example.split != "test"]
    assert Sample.objects.filter(project=there).count() == len(sent)
    assert model.class_names == task.class_names
    predictors["azure"].warm_up(servable(model))
    scores = trainer.predict_proba(servable(model), task.examples)
    names = [model.class_names[row.argmax()] for row in scores]
    assert names == [example.category for example in task.examples]


def test_the_same_again_sends_and_trains_nothing(trainer, task):
    first = trainer.train(task)
    assert trainer.train(task).reference == first.reference
    assert (Project.objects.count(), TrainingRun.objects.count()) == (1, 1)


def test_a_picture_that_is_called_something_else_is_retagged(trainer, task):
    trainer.train(task)
    renamed = replace(task.examples[0], category="bright")
    model = trainer.train(replace(task, examples=[renamed, *task.examples[1:]]))
    assert TrainingRun.objects.count() == 2
    bright = Project.objects.get().categories.get(name="bright")
    sent = [
        one
        for one in [renamed, *task.examples[1:]]
        if one.split != "test" and one.category == "bright"
    ]
    labelled = ground_truth.labelled_samples(Project.objects.get()).filter(
        true_category_id=bright.pk
    )
    assert labelled.count() == len(sent)
    assert model.reference


def test_what_is_gone_there_cannot_be_loaded(trainer, task):
    model = trainer.train(task)
    with pytest.raises(PredictorError):
        predictors["azure"].warm_up(replace(servable(model), reference=model.reference + "-other"))


def test_a_wrong_key_is_told(trainer, task, live_server):
    stranger = CustomVisionTrainer(
        alias="azure", endpoint=live_server.url, key="wrong", resource_id="/x"
    )
    with pytest.raises(TrainingFailed, match="does not accept our key"):
        stranger.train(task)
