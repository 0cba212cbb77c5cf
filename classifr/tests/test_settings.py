"""Promise 12: right settings are clean, wrong ones are explained before a user meets them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.checks.registry import registry

from classifr.tests.process_tree import manage
from common import processes

ROOT = Path(__file__).resolve().parents[2]

PRODUCTION = {
    "SECRET_KEY": "a-long-and-random-key-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEF",
    "ALLOWED_HOSTS": "classifr.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://classifr.example.com",
    "HTTPS": "true",
    "BEHIND_PROXY": "true",
    "CACHE_URL": "redis://cache.example.com:6379/0",
    "WEB_CONCURRENCY": "4",
    "EMAIL_URL": "smtp+tls://classifr:secret@smtp.example.com:587",
    "DEFAULT_FROM_EMAIL": "classifr@example.com",
    "MFA": "true",
    "OIDC_SERVER_URL": "https://login.microsoftonline.com/tenant/v2.0",
    "OIDC_CLIENT_ID": "classifr",
    "OIDC_CLIENT_SECRET": "secret",
}


def check(folder: Path, **variables: str) -> subprocess.CompletedProcess:
    """Run `manage.py check --deploy` as production would, without this machine's settings."""
    own = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "SYSTEMROOT")
        if name in os.environ
    }
    data = {
        "CLASSIFR_DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder}/classifr.sqlite3",
    }
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**own, **data, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.outer
def test_production_settings_are_clean(tmp_path):
    answer = check(tmp_path, **PRODUCTION)
    assert answer.returncode == 0, answer.stderr
    assert "no issues" in answer.stdout


@pytest.mark.outer
@pytest.mark.parametrize(
    ("variable", "value", "explanation"),
    [
        ("RETENTION", "sometimes", "RETENTION=nok"),
        ("UPLOAD_FORMATS", "TIFFX", "UPLOAD_FORMATS names TIFFX"),
        ("UPLOAD_MAX_BYTES", "lots", "UPLOAD_MAX_BYTES is 'lots'. It must be a number."),
        ("HTTPS", "ture", "HTTPS is 'ture'. It can be true or false."),
        ("URL_PREFIX", "classifr", "URL_PREFIX is 'classifr'. It begins with a slash"),
        ("URL_PREFIX", "/a/../b", "URL_PREFIX is '/a/../b'."),
        ("BEHIND_PROXY", "false", "redirected to HTTPS for ever"),
        ("CACHE_URL", "locmemcache://", "4 web processes with a cache each"),
        ("SECRET_KEY", "short", "SECRET_KEY"),
    ],
)
def test_a_wrong_setting_is_explained(tmp_path, variable, value, explanation):
    answer = check(tmp_path, **{**PRODUCTION, variable: value})
    assert answer.returncode != 0
    assert explanation in answer.stderr


@pytest.mark.outer
def test_a_secret_can_be_read_from_a_file(tmp_path):
    key = tmp_path / "key"
    key.write_text(PRODUCTION["SECRET_KEY"] + "\n")
    without = {name: value for name, value in PRODUCTION.items() if name != "SECRET_KEY"}
    answer = check(tmp_path, **without, SECRET_KEY_FILE=str(key))
    assert answer.returncode == 0, answer.stderr
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.outer
def test_an_address_with_a_password_can_be_read_from_a_file(tmp_path):
    address = tmp_path / "database"
    address.write_text(f"sqlite:///{tmp_path}/elsewhere.sqlite3\n")
    manage(tmp_path, "migrate", "-v0", DATABASE_URL_FILE=str(address))
    assert (tmp_path / "elsewhere.sqlite3").exists()


def found(identity: str) -> bool:
    """Ask the checks of the room that the identity names; not all of them, which is slow."""
    module = f"{identity.partition('.')[0]}.checks"
    checks = [
        check
        for check in registry.get_checks(include_deployment_checks=True)
        if check.__module__ == module
    ]
    assert checks
    return any(
        message.id == identity
        for check in checks
        for message in check(app_configs=None, databases=None)
    )


@pytest.mark.parametrize(
    ("changes", "identity"),
    [
        ({"ALLOWED_HOSTS": ["localhost"]}, "classifr.W001"),
        ({"ALLOWED_HOSTS": ["*"]}, "classifr.W002"),
        (
            {"ALLOWED_HOSTS": ["a.example"], "CSRF_TRUSTED_ORIGINS": ["https://b.example"]},
            "classifr.W003",
        ),
        ({"HTTPS": True, "BEHIND_PROXY": False}, "classifr.W004"),
        ({"HTTPS": False, "BEHIND_PROXY": True}, "classifr.W005"),
        ({"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}, "classifr.W007"),
        ({"DEFAULT_FROM_EMAIL": "classifr@localhost"}, "classifr.W008"),
        ({"METRICS_NETWORKS": ["10.0.0.1/8"]}, "classifr.E010"),
        ({"CLIENT_SECONDS": 0}, "classifr.E002"),
        ({"CLIENT_BYTES_PER_SECOND": -1}, "classifr.E002"),
        ({"RETENTION": "sometimes"}, "predictions.E011"),
        ({"UPLOAD_FORMATS": ["TIFFX"]}, "predictions.E013"),
        (
            {"PREDICTORS": {"keras": {"BACKEND": "predictions.predictors.nowhere.Nobody"}}},
            "predictions.E001",
        ),
        ({"INVITATION_DAYS": 0}, "accounts.E001"),
        ({"OIDC_SERVER_URL": "http://"}, "accounts.E003"),
    ],
)
def test_each_problem_has_a_check(settings, changes, identity):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert found(identity)


def test_an_interrupted_restore_is_named(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    assert not found("classifr.E011")
    (tmp_path / "unfinished-restore").write_text("id")
    assert found("classifr.E011")


def test_limits_of_clients_that_make_sense_are_accepted(settings):
    settings.CLIENT_SECONDS, settings.CLIENT_BYTES_PER_SECOND = 1, 1
    assert not found("classifr.E002")


def test_an_origin_of_the_wrong_scheme_behind_a_proxy_is_named(settings):
    settings.HTTPS, settings.BEHIND_PROXY = True, True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS = ["a.example"], ["http://a.example"]
    assert found("classifr.E001")


def test_subdomains_are_understood(settings):
    settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS = (
        [".example.com"],
        ["https://*.example.com"],
    )
    assert not found("classifr.W003")


def test_several_processes_need_a_shared_cache(monkeypatch, settings, tmp_path):
    monkeypatch.setenv("WEB_CONCURRENCY", "1")
    assert not found("classifr.W006")
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert found("classifr.W006")
    settings.CACHES = settings.CACHES | {
        "rates": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(tmp_path),
        }
    }
    assert not found("classifr.W006")


def test_there_is_a_web_process_for_each_core_that_may_be_used(monkeypatch, tmp_path):
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr(
        processes.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False
    )
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(processes, "CPU_LIMIT", limit)
    assert processes.web_process_count() == processes.MAX_WEB_PROCESSES
    for text, cores in {"300000 100000": 3, "50000 100000": 1, "max 100000": 64}.items():
        limit.write_text(text)
        assert processes.usable_core_count() == cores
        assert processes.web_process_count() == min(cores, processes.MAX_WEB_PROCESSES)
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert processes.web_process_count() == 3


def test_the_embedded_default_is_private():
    assert settings.DEBUG is False
    assert "*" not in settings.ALLOWED_HOSTS
    assert settings.SIGNUP_OPEN is False
