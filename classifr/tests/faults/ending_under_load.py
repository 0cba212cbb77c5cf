"""Rounds of a web process that ends under load, and a look at the data left after each.

    python -m classifr.tests.faults.ending_under_load --rounds 200

In each round one web process has sixteen uploads under way while another connection holds the write
lock of SQLite; its master is killed by -9, and the process ends with or without those requests.
Then the database must be whole, every stored picture as long as its row says and the same as
before, and everything that was acknowledged there.
"""

import argparse
import hashlib
import io
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import django
import requests
from PIL import Image

from scripts.services import wait_until

if TYPE_CHECKING:
    from classifr.tests.faults.installation import Installation

UPLOADS_AT_ONCE = 16
GRACE_SECONDS = 1
PICTURE_SIDE = 240


@dataclass
class Ledger:
    """What was acknowledged so far, and what is wrong with what was found."""

    predictions: set[str] = field(default_factory=set)
    noks: set[str] = field(default_factory=set)
    digests: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class EndingUnderLoad:
    def __init__(self, installation: "Installation", *, seed: int = 0) -> None:
        self.installation = installation
        self.random = random.Random(seed)
        self.ledger = Ledger()

    def do_round(self) -> None:
        from classifr.tests.process_tree import processes_of

        web = self.installation.start_web("--graceful-timeout", str(GRACE_SECONDS))
        database = sqlite3.connect(
            self.installation.folder / "classifr.sqlite3",
            isolation_level=None,
            timeout=20,
            check_same_thread=False,
        )
        let_go = threading.Timer(self.random.uniform(0.5, 4.5), database.execute, ["COMMIT"])
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as people:
            self._upload()
            database.execute("BEGIN IMMEDIATE")
            let_go.start()
            uploads = [people.submit(self._upload) for _number in range(UPLOADS_AT_ONCE)]
            # A random moment of the work is the point of it
            time.sleep(self.random.uniform(0.2, 1))
            web.kill()
            web.wait()
            for upload in uploads:
                upload.result()
        let_go.join()
        database.close()
        wait_until(
            lambda: not processes_of(self.installation.environment), "the end of the web process"
        )
        self.installation.processes.clear()
        self.ledger.counts["rounds"] += 1
        self._look()

    def _upload(self) -> None:
        """Send a picture and say NOK to its answer, as far as there is somebody who answers."""
        self.ledger.counts["uploads"] += 1
        noise = random.Random(self.random.random()).randbytes(PICTURE_SIDE**2 * 3)
        picture = io.BytesIO()
        Image.frombytes("RGB", (PICTURE_SIDE, PICTURE_SIDE), noise).save(picture, "JPEG")
        try:
            answer = self.installation.predict(picture.getvalue())
            if answer.status_code != 200:
                self.ledger.counts[f"answered {answer.status_code}"] += 1
                return
            prediction = answer.json()["id"]
            self.ledger.predictions.add(prediction.replace("-", ""))
            if self.installation.say_nok(prediction, "pizza").status_code == 200:
                self.ledger.noks.add(prediction.replace("-", ""))
        except requests.RequestException:
            self.ledger.counts["cut off"] += 1

    def _look(self) -> None:
        """Compare what is there with what was acknowledged."""
        wrong, rows = self.ledger.wrong, self.installation.rows
        when = f"round {self.ledger.counts['rounds']}"
        try:
            if (found := rows("PRAGMA integrity_check")) != [("ok",)]:
                wrong.append(f"{when}: {found[:3]}")
            predictions = {uuid for (uuid,) in rows("SELECT uuid FROM predictions_prediction")}
            noks = {
                uuid
                for (uuid,) in rows(
                    "SELECT p.uuid FROM predictions_feedback f JOIN predictions_prediction p ON "
                    "p.id = f.prediction_id"
                    " WHERE f.verdict = 'NOK'"
                )
            }
            samples = rows(
                "SELECT file_name, size_bytes FROM predictions_sample WHERE location = 'uploads'"
            )
        except sqlite3.DatabaseError as error:
            wrong.append(f"{when}: {error}")
            return
        wrong += [
            f"{when}: prediction {uuid} is lost" for uuid in self.ledger.predictions - predictions
        ]
        wrong += [f"{when}: NOK of {uuid} is lost" for uuid in self.ledger.noks - noks]
        for file_name, size in samples:
            self._look_at_picture(when, file_name, size)

    def _look_at_picture(self, when: str, file_name: str, size: int) -> None:
        data = (self.installation.folder / "uploads" / file_name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if len(data) != size:
            self.ledger.wrong.append(f"{when}: {file_name} has {len(data)} bytes instead of {size}")
        elif self.ledger.digests.setdefault(file_name, digest) != digest:
            self.ledger.wrong.append(f"{when}: {file_name} has changed")

    def report(self) -> str:
        told = ", ".join(f"{name}: {count}" for name, count in sorted(self.ledger.counts.items()))
        return (
            f"{told}; acknowledged predictions: {len(self.ledger.predictions)}, NOKs: "
            f"{len(self.ledger.noks)}, "
            f"pictures looked at: {len(self.ledger.digests)}; wrong: {len(self.ledger.wrong)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    django.setup()
    from classifr.tests.faults.installation import Installation

    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(
            Path(folder), WEB_CONCURRENCY="1", UPLOAD_RATE="100000/m", UPLOAD_QUOTA="1000000"
        )
        installation.prepare()
        ending = EndingUnderLoad(installation, seed=wanted.seed)
        try:
            for _number in range(wanted.rounds):
                ending.do_round()
                sys.stdout.write(f"{ending.report()}\n")
                sys.stdout.flush()
                if ending.ledger.wrong:
                    break
        finally:
            installation.close()
        for line in ending.ledger.wrong:
            sys.stdout.write(f"{line}\n")
        sys.exit(1 if ending.ledger.wrong else 0)


if __name__ == "__main__":
    main()
