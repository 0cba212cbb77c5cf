"""How the web server runs: `gunicorn -c python:classifr.gunicorn classifr.wsgi`.

A process for every core, as one process runs its Python code on one core, each with a few threads
that wait for the disk and for slow clients; and each runs the model on one core. bench/README.md
has the measurements.
"""

import os
from typing import Any

from common import processes

processes.terminate_with_parent()
processes.retain_freed_memory()

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = processes.web_process_count()
worker_class = "classifr.web_worker.WebWorker"
preload_app = True  # imported once: half the time to start, and memory that the processes share
threads = int(os.environ.get("WEB_THREADS", "4"))
# For each two descriptors at most, of 1024 that a process has on most systems
worker_connections = 400
timeout = 60
graceful_timeout = 5
keepalive = 15
accesslog = "-" if os.environ.get("ACCESS_LOG", "") in {"1", "true", "yes"} else None
if os.environ.get("LOG_FORMAT") == "json":
    own = {"handlers": ["json"], "propagate": False}
    logconfig_dict = {
        "formatters": {"json": {"()": "common.logs.JsonFormatter"}},
        "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {
            "gunicorn.error": {**own, "level": "INFO"},
            # It is asked for every request as soon as there is such a configuration
            "gunicorn.access": {**own, "level": "INFO" if accesslog else "WARNING"},
        },
        "root": {"level": "INFO", "handlers": ["json"]},
    }
# Where workers show that they live: memory, for a busy disk must not look like a dead worker
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
control_socket_disable = True


def on_starting(arbiter: Any) -> None:
    from classifr.metrics.shared_folder import forget_ended_processes

    forget_ended_processes()


def post_worker_init(worker: Any) -> None:
    """Load the live models, if they are not to wait for the first upload."""
    # In each process: neither a model's threads nor its locks would outlive a fork.
    from django.conf import settings

    if settings.LOAD_MODELS_AT_START:
        from classifr.health import readiness_cache

        readiness_cache.parts()
