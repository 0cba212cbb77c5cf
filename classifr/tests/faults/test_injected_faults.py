"""Promise 16, in one process: of some hundred faults none loses an acknowledged NOK."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import storages
from django.db import OperationalError, connection
from django.utils import timezone

from common import jobs, tasks
from common.models import Job
from common.storages import DiskStorage, StorageUnavailable
from predictions import feedback
from predictions.models import Feedback, Prediction, Sample
from predictions.tests.factories import make_live_model, make_prediction, make_project, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.outer]

NOKS = 80
FAULTS_PER_NOK = 4
OUR_SQL = ("INSERT", "UPDATE", "DELETE", "SELECT")


class Killed(BaseException):
    """The process ends here: nothing after it is done, and no handler of errors runs."""


class Faults:
    """Decides at each step whether something goes wrong there, and counts what did."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.left = 0
        self.injected: Counter[str] = Counter()

    def pass_through(self, step: str, do: Any, share: float) -> Any:
        """Do a step, unless a fault comes before it, instead of it or after it."""
        if not self.left or self.random.random() > share:
            return do()
        self.left -= 1
        kind = self.random.choice(["refused", "killed before", "killed after", "answer lost"])
        self.injected[f"{step}: {kind}"] += 1
        if kind in ("killed after", "answer lost"):
            do()
        raise Killed if kind.startswith("killed") else self.error(step)

    @contextmanager
    def paused(self) -> Iterator[None]:
        left, self.left = self.left, 0
        yield
        self.left = left

    def error(self, step: str) -> Exception:
        return OperationalError(step) if step in OUR_SQL else StorageUnavailable(step)

    def forgets(self) -> bool:
        """Say whether a write is acknowledged and yet forgotten, as by a killed blob service."""
        if not self.left or self.random.random() > 0.1:
            return False
        self.left -= 1
        self.injected["write: forgotten"] += 1
        return True

    def around_sql(self, execute: Any, sql: str, *arguments: Any) -> Any:
        word = sql.split(maxsplit=1)[0]
        if word not in OUR_SQL:  # BEGIN, SAVEPOINT ...: what the test itself stands on
            return execute(sql, *arguments)
        return self.pass_through(word, lambda: execute(sql, *arguments), 0.06)


@pytest.fixture(params=range(2))
def faults(request, monkeypatch) -> Iterator[Faults]:
    found = Faults(request.param)
    for step in ("open", "delete", "size", "exists"):
        original = getattr(DiskStorage, step)

        def faulty(self, *args, step=step, original=original, **kwargs):
            return found.pass_through(step, lambda: original(self, *args, **kwargs), 0.25)

        monkeypatch.setattr(DiskStorage, step, faulty)
    write = DiskStorage.save_with_metadata

    def faulty_write(self, name, data, metadata):
        if found.forgets():
            return name
        return found.pass_through("write", lambda: write(self, name, data, metadata), 0.25)

    monkeypatch.setattr(DiskStorage, "save_with_metadata", faulty_write)
    tasks.autodiscover()
    with connection.execute_wrapper(found.around_sql):
        yield found


def say_nok(prediction: Prediction) -> bool:
    """Say NOK as a request would; return whether it was acknowledged."""
    try:
        feedback.give_feedback(
            prediction, Feedback.Verdict.NOK, by=prediction.user, category="pizza"
        )
    except (Killed, OperationalError):
        return False
    return True


def be_worker(faults: Faults) -> None:
    """Do what is due until nothing is left; a worker that dies is followed by the next one."""
    for _life in range(100):
        try:
            while jobs.run_due_jobs():
                pass
        except (Killed, OperationalError):
            pass
        with faults.paused():
            let_time_pass()
            if not Job.objects.active().exists():
                return
    pytest.fail(f"never done: {list(Job.objects.active().values('kind', 'status', 'error'))}")


def let_time_pass() -> None:
    """Have happened what everybody waits for: workers that died are noticed, what waits is due."""
    Job.objects.filter(status=Job.Status.RUNNING).update(
        heartbeat_at=timezone.now() - timedelta(hours=1)
    )
    jobs.requeue_stalled()
    Job.objects.filter(status=Job.Status.WAITING).update(due_at=timezone.now())


def assert_safe(prediction: Prediction, data: bytes) -> None:
    sample = Sample.objects.get(pk=prediction.sample_id)
    assert sample.location == Sample.Location.MISCLASSIFIED
    assert sample.read() == data
    facts = json.loads(
        storages["misclassified"].open(f"{sample.project.slug}/{sample.uuid}.json").read()
    )
    assert facts["sha256"] == sample.sha256
    (nok,) = facts["noks"]
    assert (nok["prediction"], nok["verdict"], nok["suggestion"]) == (
        str(prediction.uuid),
        "NOK",
        "pizza",
    )


def test_no_acknowledged_nok_is_lost(faults):
    project, user = make_project(), make_user()
    make_live_model(project)
    acknowledged = []
    for _number in range(NOKS):
        prediction = make_prediction(user, project=project)
        data = prediction.sample.read()
        faults.left = FAULTS_PER_NOK
        if say_nok(prediction):
            acknowledged.append((prediction, data))
        be_worker(faults)
        faults.left = 0
    assert len(acknowledged) > NOKS * 0.5
    for prediction, data in acknowledged:
        assert_safe(prediction, data)
    _folders, kept = storages["misclassified"].listdir(project.slug)
    assert len(kept) == 2 * Sample.objects.filter(location=Sample.Location.MISCLASSIFIED).count()
    _folders, left = storages["uploads"].listdir(project.slug)
    assert len(left) == Sample.objects.filter(location=Sample.Location.UPLOADS).count()
    assert sum(faults.injected.values()) > 150
