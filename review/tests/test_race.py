import json
import os
import subprocess
import sys

import pytest
from django.conf import settings

from review.tests import race

pytestmark = pytest.mark.outer


def decisions_of_a_race(tmp_path, **environment: str) -> dict:
    environment = {
        "DJANGO_SETTINGS_MODULE": "classifr.tests.settings",
        "TMPDIR": str(tmp_path),
    } | environment
    done = subprocess.run(
        [sys.executable, "-m", "review.tests.race"],
        cwd=settings.BASE_DIR,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # a thread that died says so here
    return json.loads(done.stdout)


def test_on_postgresql_no_sample_is_given_to_two_reviewers(tmp_path, fresh_postgres_url):
    result = decisions_of_a_race(tmp_path, DATABASE_URL=fresh_postgres_url)
    assert result["decisions"] == [1] * race.SAMPLES
    assert result["reviewers"] > 1


def test_on_sqlite_no_sample_is_given_to_two_reviewers(tmp_path):
    result = decisions_of_a_race(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path / 'race.sqlite3'}")
    assert result["decisions"] == [1] * race.SAMPLES
