"""One fault after another while people work, and a look at what is left of their work.

    python -m classifr.tests.faults.chaos serve redis disk blob restore upgrade --faults 200

`ending_under_load` does the same for a web process that ends by itself. Three people send pictures
and say NOK, as far as somebody answers; a fault begins and ends; then the site must answer again
without anybody's help. At the end everything that was acknowledged must be there, once, and no job
left over: faults without a pause let background work pile up, which is given two minutes. Prints a
row per set-up, exits with 1 where something was lost, doubled or stuck, or a recovery took longer
than a minute.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import django
import requests

from scripts.services import Azurite, Redis, Server, wait_until

if TYPE_CHECKING:
    from classifr.tests.faults.installation import Installation

PEOPLE = 3
RECOVERY_SECONDS = 60
ROOT = Path(__file__).resolve().parents[3]
UNBOUNDED = {"UPLOAD_RATE": "1000000/m", "UPLOAD_QUOTA": "10000000"}
ARCHIVE = ROOT / "classifr/tests/upgrade/before_walls.tar.xz"
FOUND = "from classifr.tests.faults.chaos import print_what_is_there; print_what_is_there()"


@dataclass
class Ledger:
    """What was acknowledged, and what came of it."""

    predictions: set[str] = field(default_factory=set)
    noks: set[str] = field(default_factory=set)
    unanswered: int = 0
    faults: int = 0
    slowest_recovery: float = 0.0  # until somebody is answered again
    worked_off_seconds: float = 0.0  # after the last fault, until no job is left
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        found = self.lost or self.doubled or self.stuck
        return not found and self.slowest_recovery <= RECOVERY_SECONDS


class People:
    """Send pictures and say NOK to the answers, all the time."""

    def __init__(self, installation: "Installation", ledger: Ledger) -> None:
        self.installation = installation
        self.ledger = ledger
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _number in range(PEOPLE)]

    def __enter__(self) -> "People":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while not self._end.wait(0.05):
            with suppress(requests.RequestException):
                if send_nok(self.installation, self.ledger):
                    continue
            self.ledger.unanswered += 1


def send_nok(installation: "Installation", ledger: Ledger) -> bool:
    """Send a picture and say NOK; return whether both were acknowledged."""
    answer = installation.predict()
    if answer.status_code != 200:
        return False
    prediction = answer.json()["id"]
    ledger.predictions.add(prediction)
    if installation.say_nok(prediction, "pizza").status_code != 200:
        return False
    ledger.noks.add(prediction)
    return True


class SetUp(ABC):
    """An installation with something that can break."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)  # noqa: S311
        self.ledger = Ledger()
        self.installation: Installation

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start what the faults are done to; end it."""
        with ExitStack() as stack:
            self.installation = self.install(stack)
            self.installation.prepare()
            stack.callback(self.installation.close)
            self.start()
            yield

    @abstractmethod
    def install(self, stack: ExitStack) -> "Installation": ...

    def start(self) -> None:
        self.installation.start_web()
        self.installation.start_worker()

    @abstractmethod
    def do_fault(self) -> None:
        """Have something go wrong and end."""

    def go_through(self, faults: int) -> None:
        with self.running():
            with People(self.installation, self.ledger):
                for _number in range(faults):
                    self.do_fault()
                    self.ledger.faults += 1
                    self.recover()
            self.settle()

    def recover(self) -> None:
        """Wait until a picture is answered and its NOK acknowledged again."""
        started = time.monotonic()
        while time.monotonic() - started < 2 * RECOVERY_SECONDS:
            with suppress(requests.RequestException):
                if send_nok(self.installation, self.ledger):
                    break
            time.sleep(0.05)
        took = time.monotonic() - started
        self.ledger.slowest_recovery = max(self.ledger.slowest_recovery, took)

    def settle(self) -> None:
        """Wait until nothing is left to do, and compare what is there with the ledger."""
        started = time.monotonic()
        try:
            wait_until(self._has_nothing_due, "the jobs", timeout_seconds=2 * RECOVERY_SECONDS)
        except Exception as error:  # noqa: BLE001 (what was not done is told, not raised)
            jobs = self.installation.rows(
                "SELECT kind, status, attempts, due_at, error FROM common_job"
                " WHERE status <> 'succeeded' ORDER BY due_at LIMIT 5"
            )
            self.ledger.stuck += [str(error), *map(str, jobs)]
        self.ledger.worked_off_seconds = time.monotonic() - started
        self.compare(self.ledger.predictions, self.ledger.noks)

    def _has_nothing_due(self) -> bool:
        """Say whether every picture of a NOK has moved; deleting its first copy is due later."""
        return not self.installation.rows(
            "SELECT 1 FROM common_job WHERE status = 'running' OR (status = 'waiting' AND due_at"
            " <= strftime('%Y-%m-%d %H:%M:%f', 'now')) UNION ALL "
            "SELECT 1 FROM predictions_feedback AS f JOIN predictions_prediction AS p"
            " ON p.id = f.prediction_id JOIN predictions_sample AS s ON s.id = p.sample_id"
            " WHERE f.verdict = 'NOK' AND s.location <> 'misclassified' LIMIT 1"
        )

    def compare(self, predictions: set[str], noks: set[str]) -> None:
        from classifr.tests.process_tree import manage

        told = manage(
            self.installation.folder, "shell", "-v0", "-c", FOUND, **self.installation.variables
        )
        found = json.loads(told.splitlines()[-1])
        self.ledger.lost += [f"prediction {one}" for one in predictions - {*found["predictions"]}]
        self.ledger.lost += [f"NOK of {one}" for one in noks - {*found["noks"]}]
        self.ledger.lost += found["damaged"]
        self.ledger.doubled += found["doubled"]
        self.ledger.stuck += found["stuck"]


class Serve(SetUp):
    """`serve`, whose processes are killed: the web server's master, one of its children, or a
    worker.
    """

    def install(self, stack: ExitStack) -> "Installation":
        from classifr.tests.faults.installation import Installation

        return Installation(self.folder, WEB_CONCURRENCY="1", **UNBOUNDED)

    def start(self) -> None:
        from classifr.tests.process_tree import Tree

        self.tree = Tree(self.installation.folder, **self.installation.variables)
        self.installation.processes.append(self.tree.process)
        self.installation.url = self.tree.url
        wait_until(self.tree.is_complete, "serve", timeout_seconds=RECOVERY_SECONDS)

    def do_fault(self) -> None:
        time.sleep(self.random.uniform(0, 0.5))
        wait_until(lambda: any(self.tree.children().values()), "a child", timeout_seconds=60)
        children = [pid for pids in self.tree.children().values() for pid in pids]
        with suppress(ProcessLookupError, IndexError):  # it ended in between
            os.kill(self.random.choice(children), signal.SIGKILL)


class Broken(SetUp):
    """Something beside the installation that is gone, or does not answer, for a moment."""

    server: Server

    def do_fault(self) -> None:
        how = self.random.choice(["kill", "stop", "freeze"])
        if how == "freeze":
            assert self.server.process is not None
            self.server.process.send_signal(signal.SIGSTOP)
            time.sleep(self.random.uniform(0.1, 2))
            self.server.process.send_signal(signal.SIGCONT)
        else:
            getattr(self.server, how)()
            time.sleep(self.random.uniform(0.1, 1))
            self.server.start()


class RedisGone(Broken):
    def install(self, stack: ExitStack) -> "Installation":
        from classifr.tests.faults.installation import Installation

        self.server = server = stack.enter_context(Redis())
        return Installation(self.folder, CACHE_URL=server.url, WEB_CONCURRENCY="1", **UNBOUNDED)


class DiskFull(SetUp):
    """A disk for the pictures that is filled to its last byte, and emptied."""

    def install(self, stack: ExitStack) -> "Installation":
        from classifr.tests.faults.installation import Installation

        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(self.disk)]
        subprocess.run(mount, check=True)
        stack.callback(subprocess.run, ["umount", "--lazy", str(self.disk)], check=True)
        where = {"UPLOADS_STORAGE": f"disk:{self.disk}/uploads"}
        where |= {"MISCLASSIFIED_STORAGE": f"disk:{self.disk}/misclassified"}
        return Installation(self.folder, WEB_CONCURRENCY="1", **where, **UNBOUNDED)

    def do_fault(self) -> None:
        filler = self.disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                # The last bytes one by one, or a small picture would still find room
                file.write(bytes(65_536)) or file.write(b"x")
        time.sleep(self.random.uniform(0.2, 1.5))
        filler.unlink()


class BlobSlow(SetUp):
    """A blob service behind a bad line: slow, cut off, hanging, refusing."""

    def install(self, stack: ExitStack) -> "Installation":
        from classifr.tests.faults.installation import Installation
        from classifr.tests.faults.proxy import Proxy
        from classifr.tests.faults.test_bad_storages import IN_AZURE
        from classifr.tests.faults.test_killed_processes import connection_string

        azurite = stack.enter_context(Azurite())
        self.line = stack.enter_context(Proxy(azurite.port))
        where = {"AZURE_STORAGE_CONNECTION_STRING": connection_string(self.line.port), **IN_AZURE}
        return Installation(self.folder, WEB_CONCURRENCY="1", **where, **UNBOUNDED)

    def do_fault(self) -> None:
        self.line.mode = self.random.choice(["slow", "cut", "hang", "refuse"])
        time.sleep(self.random.uniform(0.2, 2))
        self.line.mode = "pass"


class Restored(SetUp):
    """Backups while people work, each followed by the loss of everything and its restoration."""

    def install(self, stack: ExitStack) -> "Installation":
        from classifr.tests.faults.installation import Installation

        return Installation(self.folder / "var", WEB_CONCURRENCY="1", **UNBOUNDED)

    def do_fault(self) -> None:
        raise NotImplementedError

    def go_through(self, faults: int) -> None:
        from classifr.tests.process_tree import manage

        var, archive = self.folder / "var", self.folder / "archive"
        (self.folder / "var").mkdir()
        with self.running():
            for _number in range(faults):
                with People(self.installation, self.ledger):
                    time.sleep(self.random.uniform(0.2, 1))
                    before = set(self.ledger.predictions), set(self.ledger.noks)
                    manage(var, "backup", str(archive))
                    time.sleep(self.random.uniform(0, 0.3))
                    for process in self.installation.processes:
                        process.kill()
                        process.wait()
                self.installation.processes.clear()
                shutil.rmtree(var)
                var.mkdir()
                manage(var, "restore", str(archive))
                archive.unlink()
                self.ledger.faults += 1
                self.ledger.predictions, self.ledger.noks = before
                self.compare(*before)
                self.ledger.stuck.clear()  # the worker of this round has not begun yet
                self.start()
                self.recover()
                if not self.ledger.is_clean:
                    break
            self.settle()


class Upgraded(SetUp):
    """An upgrade that is killed at any moment and begun again."""

    def install(self, stack: ExitStack) -> "Installation":
        raise NotImplementedError

    def do_fault(self) -> None:
        raise NotImplementedError

    def go_through(self, faults: int) -> None:
        from classifr.tests.process_tree import environment, manage
        from classifr.tests.test_upgrade import find
        from classifr.tests.upgrade.make_data_folder import SECRET_KEY

        with tarfile.open(ARCHIVE) as tar:
            tar.extractall(self.folder / "before", filter="data")
        expected = json.loads((self.folder / "before" / "facts.json").read_text())
        while self.ledger.faults < faults:
            place = self.folder / "now"
            shutil.copytree(self.folder / "before", place)
            for _kill in range(self.random.randint(1, 8)):
                # As long as `migrate` takes from its first statement to its last, and a bit more
                migrate = subprocess.Popen(
                    [sys.executable, "manage.py", "migrate", "-v0"],
                    cwd=ROOT,
                    env=environment(place) | {"SECRET_KEY": SECRET_KEY},
                )
                time.sleep(self.random.uniform(0.7, 4))
                migrate.kill()
                migrate.wait()
                self.ledger.faults += 1
            started = time.monotonic()
            manage(place, "migrate", "-v0", SECRET_KEY=SECRET_KEY)
            took = time.monotonic() - started
            self.ledger.slowest_recovery = max(self.ledger.slowest_recovery, took)
            manage(place, "worker", "--once", SECRET_KEY=SECRET_KEY)
            found = find(place, expected["sealed_key"])
            for what in ("predictions", "red", "decisions", "truth", "further", "counts"):
                if found[what] != expected[what]:
                    self.ledger.lost.append(f"{what} after {self.ledger.faults} kills")
            self.ledger.predictions |= {*expected["predictions"]}
            shutil.rmtree(place)


SET_UPS: dict[str, type[SetUp]] = {
    "serve": Serve,
    "redis": RedisGone,
    "disk": DiskFull,
    "blob": BlobSlow,
    "restore": Restored,
    "upgrade": Upgraded,
}


def print_what_is_there() -> None:
    """Print, as JSON, what the database and the storages hold; run within the installation."""
    import hashlib

    from django.core.files.storage import storages
    from django.db.models import Count

    from common.models import Job
    from predictions.models import Feedback, Prediction, Sample

    def is_whole(sample: Sample) -> bool:
        try:
            return hashlib.sha256(sample.read()).hexdigest() == sample.sha256
        except OSError:
            return False

    noks = Feedback.objects.filter(verdict=Feedback.Verdict.NOK)
    kept = Sample.objects.filter(location=Sample.Location.MISCLASSIFIED)
    damaged = [
        f"picture {one.file_name}" for one in Sample.objects.with_picture() if not is_whole(one)
    ]
    for sample in kept:
        with storages["misclassified"].open(f"{sample.project.slug}/{sample.uuid}.json") as file:
            told = {one["prediction"] for one in json.loads(file.read())["noks"]}
        said = noks.filter(prediction__sample=sample).values_list("prediction__uuid", flat=True)
        damaged += [f"the facts of {one}" for one in said if str(one) not in told]
    doubled = (
        noks.values("prediction", "user").annotate(count=Count("pk")).filter(count__gt=1).count()
    )
    # Those of rows that are there: a restored database knows less than the storage beside it
    files = storages["misclassified"].listdir("dishes")[1] if kept else []
    of_rows = [name for name in files if name.partition(".")[0] in {str(one.uuid) for one in kept}]
    answer = {
        "predictions": [str(one) for one in Prediction.objects.values_list("uuid", flat=True)],
        "noks": [str(one) for one in noks.values_list("prediction__uuid", flat=True)],
        "damaged": damaged,
        "doubled": ["a NOK"] * doubled
        + ["a picture in misclassified"] * max(0, len(of_rows) - 2 * kept.count()),
        "stuck": [
            f"{job.kind}: {job.error or job.status}"
            for job in Job.objects.exclude(status=Job.Status.SUCCEEDED)
            if job.status == Job.Status.FAILED or job.attempts > 3
        ],
    }
    print(json.dumps(answer))  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setups", nargs="*", metavar="SETUP", help=", ".join(SET_UPS))
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    django.setup()
    is_clean = True
    for name in wanted.setups or SET_UPS:
        with tempfile.TemporaryDirectory() as folder:
            setup = SET_UPS[name](Path(folder), wanted.seed)
            with suppress(KeyboardInterrupt):  # what was done until then is told
                setup.go_through(wanted.faults)
        found = setup.ledger
        sys.stdout.write(
            f"{name}: {found.faults} faults; acknowledged {len(found.predictions)} predictions, "
            f"{len(found.noks)} NOKs; not acknowledged {found.unanswered}; lost {len(found.lost)}, "
            f"doubled {len(found.doubled)}, stuck {len(found.stuck)}; slowest recovery "
            f"{found.slowest_recovery:.1f} s; what had piled up was done after "
            f"{found.worked_off_seconds:.1f} s\n"
        )
        for line in [*found.lost, *found.doubled, *found.stuck][:20]:
            sys.stdout.write(f"  {line}\n")
        sys.stdout.flush()
        is_clean &= found.is_clean
    sys.exit(0 if is_clean else 1)


if __name__ == "__main__":
    main()
