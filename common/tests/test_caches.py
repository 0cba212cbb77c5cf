"""Without the cache behind it, all goes on: rates are counted here, and nobody waits for long."""

import socket

import pytest
from django.core.cache import cache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.urls import reverse

from accounts.tests.factories import make_token
from classifr.health import readiness_cache
from classifr.tests.access_world import make_world
from common import caches as steady
from predictions.models import Feedback
from predictions.tests.factories import make_prediction


@pytest.fixture(autouse=True)
def look_anew():
    steady.forget_outages()
    readiness_cache.invalidate()
    yield
    steady.forget_outages()
    readiness_cache.invalidate()


class BrokenCache(LocMemCache):
    """Breaks while `broken` names what is called; counts how often it was asked."""

    broken: tuple[str, ...] = ("get", "set", "add", "delete", "has_key", "touch")
    asked = 0


def _broken(name):
    def call(self, *args, **options):
        BrokenCache.asked += 1
        if name in BrokenCache.broken:
            raise OSError(28, "No space left on device")
        return getattr(LocMemCache, name)(self, *args, **options)

    return call


for _name in BrokenCache.broken:
    setattr(BrokenCache, _name, _broken(_name))


@pytest.fixture
def broken(settings, monkeypatch):
    settings.CACHES = settings.CACHES | {
        alias: {"BACKEND": f"{__name__}.BrokenCache", "LOCATION": alias}
        for alias in ("rates", "explanation_files")
    }
    monkeypatch.setattr(BrokenCache, "broken", BrokenCache.broken)
    monkeypatch.setattr(BrokenCache, "asked", 0)
    return BrokenCache


def test_what_works_is_passed_on():
    cache.set("a", 1)
    assert cache.get("a") == caches["rates"].get("a") == 1
    assert cache.add("b", 2) and not cache.add("b", 3) and "b" in cache
    assert cache.incr("a") == 2 and cache.touch("a") and cache.delete("a") and not cache.delete("a")
    cache.clear()
    assert cache.get("b") is None


def test_without_it_each_process_counts_for_itself(broken):
    assert cache.add("a", 1) and not cache.add("a", 1)
    assert cache.get("a") == 1 and "a" in cache and cache.delete("a")


def test_it_is_told_once_and_seldom_asked_until_it_answers(broken, caplog, monkeypatch):
    for _ in range(20):
        cache.set("a", 1)
    assert broken.asked == 1 and len(caplog.records) == 1
    monkeypatch.setattr(steady, "RETRY_SECONDS", 0)
    steady.forget_outages()
    cache.get("a")
    broken.broken = ()
    cache.set("a", 2)
    assert caches["rates"].get("a") == 2


def test_a_full_disk_that_still_can_be_read_is_an_outage(broken, monkeypatch):
    broken.broken = ("set", "add")
    monkeypatch.setattr(steady, "RETRY_SECONDS", 0)
    assert cache.get("a") is None
    cache.set("a", 1)
    assert cache.get("a") == 1


@pytest.mark.django_db
def test_nobody_gets_an_error_without_the_cache(broken, client):
    world = make_world()
    prediction = make_prediction(world.user, model_version=world.version)
    headers = {"Authorization": f"Token {make_token(world.user)}"}
    assert client.get(reverse("api:projects"), headers=headers).status_code == 200
    address = reverse("api:feedback", args=[prediction.uuid])
    answer = client.post(
        address, {"verdict": "NOK"}, content_type="application/json", headers=headers
    )
    assert answer.status_code == 200 and Feedback.objects.filter(prediction=prediction).exists()
    address = f"/customvision/v3.3/training/projects/{world.project.uuid}"
    key = {"Training-Key": make_token(world.maintainer)}
    assert client.get(address, headers=key).status_code == 200
    assert (
        client.post(reverse("account_login"), {"login": "user", "password": "wrong"}).status_code
        == 200
    )
    client.force_login(world.user)
    assert (
        client.get(reverse("predictions:explanation", args=[world.prediction.uuid])).status_code
        == 409
    )


@pytest.mark.django_db
def test_log_ins_are_still_limited_without_the_cache(broken, client):
    world = make_world()
    form = {"login": world.user.username, "password": "wrong"}
    pages = [client.post(reverse("account_login"), form).content.decode() for _ in range(6)]
    assert "Too many" in pages[-1] and "Too many" not in pages[0]


@pytest.mark.django_db
def test_readiness_tells_and_stays_ready(broken, client):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert (
        answer.json()["status"] == "degraded"
        and answer.json()["parts"]["cache"] == "cannot be used"
    )
    readiness_cache.invalidate()
    steady.forget_outages()
    broken.broken = ()
    answer = client.get("/readyz").json()
    assert answer["status"] == answer["parts"]["cache"] == "ok"


def test_a_server_that_is_frozen_is_waited_for_once(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and never answers
        server.setblocking(False)
        settings.CACHES = settings.CACHES | {
            "rates": {
                "BACKEND": "common.caches.QuickRedisCache",
                "LOCATION": f"redis://127.0.0.1:{server.getsockname()[1]}/0",
            }
        }
        for number in range(20):
            cache.set("a", number)
        assert cache.get("a") == 19
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.outer
def test_it_is_used_again_when_redis_is_there_again(redis_url, settings, monkeypatch):
    redis = {"BACKEND": "common.caches.QuickRedisCache"}
    settings.CACHES = settings.CACHES | {"rates": redis | {"LOCATION": "redis://127.0.0.1:1/0"}}
    cache.set("a", 1)
    assert cache.get("a") == 1 and not cache.is_steady
    monkeypatch.setattr(steady, "RETRY_SECONDS", 0)
    steady.forget_outages()
    settings.CACHES = settings.CACHES | {"rates": redis | {"LOCATION": redis_url}}
    cache.set("a", 2)
    assert cache.is_steady and caches["rates"].get("a") == 2


def test_explanations_push_no_rate_out():
    caches["explanations"].set("looked at", "heat")
    assert caches["default"].get("looked at") is None
    assert (
        caches["explanation_files"].get("looked at") == "heat"
        and caches["rates"].get("looked at") is None
    )
