"""Promises 16 and 17: Azurite and workers are killed, the line is bad, and nothing is lost."""

import io
import json
import random
import time

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient
from PIL import Image

from classifr.tests.faults.installation import Installation, kill
from classifr.tests.faults.proxy import Proxy
from predictions.tests.factories import make_picture_bytes
from scripts.services import ACCOUNT, ACCOUNT_KEY, wait_until

pytestmark = pytest.mark.outer

ROUNDS = 16
NOKS_PER_ROUND = 3
FAULTS = ("pass", "slow", "cut", "refuse", "hang", "stopped", "killed", "pass")


def connection_string(port: int) -> str:
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};BlobEndpoint={endpoint};"  # noqa: E501


def container(port: int, name: str) -> ContainerClient:
    return BlobServiceClient.from_connection_string(connection_string(port)).get_container_client(
        name
    )


def acknowledge_noks(installation: Installation, amount: int) -> list[str]:
    """Send pictures and say NOK to each; return the predictions whose NOK was acknowledged."""
    acknowledged = []
    for _number in range(amount):
        answer = installation.predict()
        assert answer.status_code == 200, answer.text
        prediction = answer.json()["id"]
        if installation.say_nok(prediction, "crème brûlée").status_code == 200:
            acknowledged.append(prediction)
    return acknowledged


def assert_kept(blobs: ContainerClient, sample: str, prediction: str) -> None:
    """Check picture, facts and metadata of one NOK, as somebody finds them in the container."""
    facts = json.loads(blobs.download_blob(f"dishes/{sample}.json").readall())
    (nok,) = facts["noks"]
    assert (nok["prediction"], nok["verdict"], nok["suggestion"]) == (
        prediction,
        "NOK",
        "crème brûlée",
    )
    picture = blobs.download_blob(f"dishes/{sample}.jpg")
    assert Image.open(io.BytesIO(picture.readall())).size == (64, 48)
    metadata = picture.properties.metadata
    assert (metadata["prediction"], metadata["verdict"], metadata["sample"]) == (
        prediction,
        "NOK",
        sample,
    )
    assert metadata["suggestion"] == "cr\\xe8me br\\xfbl\\xe9e"


def test_no_acknowledged_nok_is_lost(install, azurite):
    rng = random.Random(16)  # noqa: S311
    with Proxy(azurite.port) as line:
        installation = install(
            MISCLASSIFIED_STORAGE="azure:faults",
            AZURE_STORAGE_CONNECTION_STRING=connection_string(line.port),
            AZURE_STORAGE_TIMEOUT_SECONDS="2",
        )
        installation.start_web()
        worker = installation.start_worker()
        acknowledged = []
        for number in range(ROUNDS):
            fault = FAULTS[number % len(FAULTS)]
            line.mode = fault if fault not in ("stopped", "killed") else "pass"
            if fault == "stopped":
                azurite.stop()
            acknowledged += acknowledge_noks(installation, NOKS_PER_ROUND)
            wait_until(lambda: has_begun(installation), "a worker at work", timeout_seconds=60)
            time.sleep(rng.uniform(0, 0.5))  # a random moment of the work is the point of it
            if fault == "killed":
                azurite.kill()
            kill(worker)
            if azurite.process is None:
                azurite.start()
            worker = installation.start_worker()
        line.mode = "pass"
        wait_until(installation.is_idle, "the end of all jobs", timeout_seconds=90)
    assert len(acknowledged) == ROUNDS * NOKS_PER_ROUND
    samples = installation.rows(
        "SELECT p.uuid, s.uuid, s.location"
        " FROM predictions_prediction p JOIN predictions_sample s ON s.id = p.sample_id"
    )
    assert {location for *_, location in samples} == {"misclassified"}
    blobs = container(azurite.port, "faults")
    for prediction, sample, _location in samples:
        assert_kept(blobs, dashed(sample), dashed(prediction))
    assert len(list(blobs.list_blobs())) == 2 * len(acknowledged), (
        "one picture and one JSON for each, no more"
    )
    assert [path for path in (installation.folder / "uploads").rglob("*") if path.is_file()] == []
    ((attempts, number_of_jobs),) = installation.rows(
        "SELECT SUM(attempts), COUNT(*) FROM common_job"
    )
    assert attempts > number_of_jobs, "some were killed at work"
    assert line.cuts, "some connections were cut"


def has_begun(installation: Installation) -> bool:
    """Say whether the newest worker has taken a job, or has nothing to take."""
    newest = installation.processes[-1].pid
    open_jobs = installation.rows(
        "SELECT taken_by FROM common_job WHERE status IN ('waiting', 'running')"
    )
    return not open_jobs or any(f":{newest}:" in taken for (taken,) in open_jobs)


def dashed(key: str) -> str:
    """Return a UUID as we write it: SQLite keeps it without dashes."""
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}" if len(key) == 32 else key


def test_what_azurite_forgets_when_it_is_killed_is_stored_again(install, azurite):
    """Azurite writes down what it acknowledged every few seconds only; a kill -9 loses the rest."""
    installation = install(
        MISCLASSIFIED_STORAGE="azure:forgets",
        AZURE_STORAGE_CONNECTION_STRING=azurite.connection_string,
    )
    installation.start_web()
    installation.start_worker()
    acknowledged = acknowledge_noks(installation, 5)
    moved = "SELECT COUNT(*) FROM predictions_sample WHERE location = 'misclassified'"
    wait_until(lambda: installation.rows(moved)[0][0] == 5, "the pictures in misclassified")
    azurite.kill()
    azurite.start()
    blobs = container(azurite.port, "forgets")
    samples = [
        dashed(key)
        for (key,) in installation.rows("SELECT uuid FROM predictions_sample ORDER BY id")
    ]
    wait_until(installation.is_idle, "the end of all jobs", timeout_seconds=60)
    for sample, prediction in zip(samples, acknowledged, strict=True):
        assert_kept(blobs, sample, prediction)


def test_killed_workers_answer_each_picture_of_a_batch_once(install):
    """Killed after a chunk was recorded but before its commit, and at random moments."""
    rng = random.Random(17)  # noqa: S311
    installation = install(UPLOAD_BATCH_MAX_FILES="200")
    installation.start_web()
    pictures = 150
    send_batch(installation, pictures)
    reached = installation.folder / "reached"
    for _kill in range(3):
        worker = installation.start_worker("--stop-at", "classify", str(reached))
        wait_until(reached.exists, "the middle of a chunk", timeout_seconds=60)
        kill(worker)
        reached.unlink()
    assert installation.rows("SELECT COUNT(*) FROM predictions_prediction") == [(0,)], (
        "nothing half-written"
    )
    for _kill in range(5):
        worker = installation.start_worker()
        wait_until(lambda: has_begun(installation), "a worker at work", timeout_seconds=60)
        time.sleep(rng.uniform(0, 0.15))
        kill(worker)
    installation.start_worker()
    wait_until(installation.is_idle, "the end of the batch", timeout_seconds=60)
    answered = (
        "SELECT COUNT(*), COUNT(DISTINCT prediction_id) FROM predictions_batchitem WHERE "
        "prediction_id IS NOT NULL"
    )
    assert installation.rows(answered) == [(pictures, pictures)]
    assert installation.rows("SELECT COUNT(*) FROM predictions_prediction") == [(pictures,)]
    assert installation.rows("SELECT DISTINCT status FROM common_job") == [("succeeded",)]
    ((attempts,),) = installation.rows("SELECT attempts FROM common_job")
    assert attempts > 3, "it was killed at work each time before it had recorded anything"


def send_batch(installation: Installation, amount: int) -> None:
    """Send so many pictures through the page, signed in as the maintainer."""
    browser = installation.signed_in()
    files = [
        ("file", (f"{number}.jpg", make_picture_bytes(), "image/jpeg")) for number in range(amount)
    ]
    page = f"{installation.url}/projects/dishes/classify/"
    token = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    answer = browser.post(page, files=files, data=token, headers={"Referer": page}, timeout=60)
    assert answer.status_code == 200 and "/batches/" in answer.url, answer.text
