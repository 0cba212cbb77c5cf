"""How the web server runs: `gunicorn -c python:classifr.gunicorn classifr.wsgi`.

One process with several threads by default: the model is in memory once, and the embedded cache with its rate limits
belongs to one process. More processes (WEB_CONCURRENCY) need a CACHE_URL that they share.
"""

import os

from classifr.common import processes

processes.end_with_parent()

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 60
graceful_timeout = 5
keepalive = 15
accesslog = "-" if os.environ.get("ACCESS_LOG", "") in {"1", "true", "yes"} else None
# Where workers show that they live: memory, for a busy disk must not look like a dead worker
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
control_socket_disable = True
