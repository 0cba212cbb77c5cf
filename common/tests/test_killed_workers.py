"""Promise 17: whatever kills workers, no job is lost and none has its effect twice."""

import json
import subprocess
import sys

import pytest

from classifr.tests.process_tree import ROOT, environment

JOBS, KILLS = 100, 50


@pytest.mark.outer
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_fifty_kills_lose_nothing_and_double_nothing(database, request, tmp_path):
    variables = environment(tmp_path)
    if database == "postgres":
        variables["DATABASE_URL"] = request.getfixturevalue("fresh_postgres_url")
    done = subprocess.run(
        [sys.executable, "-m", "common.tests.killed_workers", str(JOBS), str(KILLS)],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kills"] >= KILLS
    assert result["statuses"] == {"succeeded": result["jobs"]}
    assert result["effects"] == result["jobs"]
    assert result["attempts"] > result["jobs"], "some were killed in the middle"
