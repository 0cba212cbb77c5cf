"""The settings under test: the project's own, with a data folder of this run, nothing slow.

A developer's `.env` and `var/` are left alone, so that tests say the same on every machine.
"""

import os
import tempfile
from unittest.mock import patch

import environ

_folder = tempfile.TemporaryDirectory(prefix="classifr-tests-", ignore_cleanup_errors=True)
os.environ["CLASSIFR_DATA_DIR"] = _folder.name
os.environ["LOG_LEVEL"] = "WARNING"

with patch.object(environ.Env, "read_env"):
    from classifr.settings import *  # noqa: F403

# A file, as in real use: threads that share a database in memory do not wait for each other, they
# fail
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
for alias in ("rates", "explanation_files"):
    CACHES[alias] = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": alias}  # noqa: F405
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
STATIC_ROOT = DATA_DIR / "static-root"  # noqa: F405
STATIC_ROOT.mkdir()
