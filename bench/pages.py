"""History, review and sample pages over 10,000 and over 1,000,000 predictions in PostgreSQL: they
should answer alike.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.installation import ROOT, Site
from scripts.services import Postgres

SIZES = (10_000, 1_000_000)
PAGES = (
    "/predictions/",
    "/predictions/?verdict=NOK",
    "/review/",
    "/review/history/",
    "/api/v1/predictions/",
    "/projects/dishes/samples/",
    "/projects/dishes/samples/?model=wrong&category=dish 3",
    "/projects/dishes/samples/count/?model=wrong",
)
REQUESTS = 30


def measure(folder: Path) -> None:
    """Print the median milliseconds of every page at both sizes, and their ratio."""
    with Postgres() as server:
        medians = [_medians(folder / str(size), server.fresh_database(), size) for size in SIZES]
    small, large = medians
    print(f"| page | ms at {SIZES[0]:,} | ms at {SIZES[1]:,} | ratio |")
    print("|---|---|---|---|")
    for page in PAGES:
        print(
            f"| `{page}` | {small[page]:.1f} | {large[page]:.1f} | {large[page] / small[page]:.2f} "
            f"|"
        )


def _medians(folder: Path, database_url: str, size: int) -> dict[str, float]:
    site = Site(folder, DATABASE_URL=database_url)
    site.manage("migrate", "--verbosity", "0")
    done = subprocess.run(
        [sys.executable, "-m", "bench.pages", str(size)],
        cwd=ROOT,
        env=site.environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return {page: float(ms) for page, ms in (line.split("\t") for line in done.stdout.splitlines())}


def _fill(size: int) -> None:
    """Write predictions of ten users by the server's own hand: one in fifty with a NOK, half of
    those decided.
    """
    from django.db import connection

    from accounts.models import User
    from predictions.models import Category, ModelVersion, Project

    User.objects.bulk_create(
        User(username=f"user{number}", is_superuser=True) for number in range(10)
    )
    project = Project.objects.create(name="Dishes", slug="dishes")
    Category.objects.bulk_create(
        Category(project=project, name=f"dish {number}") for number in range(10)
    )
    ModelVersion.objects.create(
        project=project, number=1, predictor="dummy", reference="x", class_names=["dish 1"]
    )
    with connection.cursor() as cursor:
        for statement in FACTS:
            cursor.execute(statement, {"size": size})
        cursor.execute("ANALYZE")


FACTS = (
    """INSERT INTO predictions_sample (uuid, project_id, sha256, content_sha256, location,
        file_name, media_type, width, height, size_bytes, capture, origin, created_at)
        SELECT gen_random_uuid(), p.id, encode(sha256(i::text::bytea), 'hex'), '',
        CASE WHEN i %% 50 = 0 THEN 'misclassified' ELSE 'nowhere' END,
        CASE WHEN i %% 50 = 0 THEN 'dishes/' || i || '.jpg' ELSE '' END,
        'image/jpeg', 640, 480, 50000, '{}', 'upload', now()
        FROM predictions_project p, generate_series(1, %(size)s) i""",
    """INSERT INTO predictions_prediction (uuid, project_id, sample_id, model_version_id, user_id,
        scores, top_id, confidence, abstained, is_unfamiliar, latency_ms, shown_name, created_at)
        SELECT gen_random_uuid(), s.project_id, s.id, v.id,
        (SELECT min(id) FROM accounts_user) + s.id %% 10, '{"dish 1": 0.9, "dish 2": 0.1}',
        (SELECT min(id) FROM predictions_category) + s.id %% 10,
        0.5 + (s.id %% 1000) / 2000.0, false, false, 12, s.id || '.jpg',
        now() - (%(size)s - s.id) * interval '1 second'
        FROM predictions_sample s, predictions_modelversion v ORDER BY s.id""",
    """INSERT INTO predictions_feedback (prediction_id, user_id, verdict, category_id, suggestion,
        created_at)
        SELECT p.id, p.user_id, CASE WHEN s.location = 'misclassified' THEN 'NOK' ELSE 'OK' END,
        NULL, '', p.created_at
        FROM predictions_prediction p JOIN predictions_sample s ON s.id = p.sample_id
        ORDER BY p.id""",
    """INSERT INTO review_decision (sample_id, prediction_id, outcome, category_id, reviewer_id,
        reason, created_at)
        SELECT p.sample_id, p.id, 'labelled', p.top_id, p.user_id, '', p.created_at
        FROM predictions_prediction p JOIN predictions_sample s ON s.id = p.sample_id
        WHERE s.location = 'misclassified' AND p.id %% 100 = 0 ORDER BY p.id""",
)


def _ask() -> None:
    """Print the median milliseconds of each page, asked in turn by a user who is allowed
    everything.
    """
    from django.test import Client

    from accounts.models import User

    client = Client(HTTP_HOST="localhost")
    client.force_login(User.objects.get(username="user5"))
    times: dict[str, list[float]] = {page: [] for page in PAGES}
    for _number in range(REQUESTS):
        for page in PAGES:
            started = time.perf_counter()
            response = client.get(page)
            times[page].append((time.perf_counter() - started) * 1000)
            if response.status_code != 200:
                raise RuntimeError(f"{page} answered {response.status_code}")
    for page, taken in times.items():
        print(f"{page}\t{statistics.median(taken)}")


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    django.setup()
    _fill(int(sys.argv[1]))
    _ask()
