"""What metrics cost: POST predict through the whole WSGI application, with and without, in turns.

Processor time of one process, so that a busy machine changes little; in turns, request by request,
so that what it changes falls on both.
"""

import itertools
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

from bench.installation import ROOT, Site
from bench.pictures import never_twice, photo_like
from bench.request_profile import _ask

PAIRS = 400
MOST = 0.02  # of a request


def measure(folder: Path, *, check: bool = False) -> None:
    """Print the ratio for the demo's model and a JPEG of 1280 x 960."""
    site = Site(folder)
    site.manage("migrate", "--verbosity", "0")
    site.manage("demo")
    token = site.manage("create_token", "demo").strip()
    command = [sys.executable, "-m", "bench.metrics_cost", token, *(["--check"] if check else [])]
    environment = site.environment | {"METRICS_TOKEN": "bench", "UPLOAD_RATE": "1000000/m"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def compare(token: str, *, check: bool) -> None:
    """Print the table of an installation that is set up in the environment."""
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    with_metrics = get_wsgi_application()
    from predictions import prediction_metrics

    count = prediction_metrics.count_prediction
    settings.METRICS = False
    without = get_wsgi_application()
    bodies = never_twice(photo_like(), start=time.time_ns())
    for application in (with_metrics, without):
        for body in itertools.islice(bodies, 20):
            _ask(application, token, body)
    spent: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(2 * PAIRS):
        # Which comes first changes from pair to pair
        is_with = number % 4 in (0, 3)
        body = next(bodies)
        with patch.object(prediction_metrics, "count_prediction", count if is_with else _nothing):
            started = time.process_time()
            _ask(with_metrics if is_with else without, token, body)
            spent["with" if is_with else "without"].append(time.process_time() - started)
    medians = {name: statistics.median(times) * 1000 for name, times in spent.items()}
    ratio = medians["with"] / medians["without"] - 1
    print("| metrics | ms of processor per request, median |\n|---|--:|")
    for name, median in medians.items():
        print(f"| {name} | {median:.3f} |")
    print(f"\nMetrics cost {ratio:.2%} of a request.")
    if check and ratio > MOST:
        raise SystemExit(f"That is more than {MOST:.0%}.")


def _nothing(prediction: object) -> None:
    pass


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "classifr.settings")
    compare(sys.argv[1], check="--check" in sys.argv)
