"""The client of Custom Vision against the stand-in: retries, budgets and messages."""

import io
import logging
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from customvision.client import client as client_module
from customvision.client import encoding, errors
from customvision.client.circuit_breaker import CircuitBreaker
from customvision.client.client import CustomVisionClient
from customvision.client.errors import (
    AccessDenied,
    CustomVisionError,
    RequestRejected,
    ResponseLost,
    ServiceBusy,
)
from customvision.client.rate_limits import RateLimiter, RateLimitExceeded
from customvision.client.resource import Resource
from customvision.client.tests import faults


class Time:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses between tries, which take no time."""
    made: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", made.append)
    monkeypatch.setattr(client_module.random, "uniform", lambda least, most: most)
    return made


def make_client(service, **options) -> CustomVisionClient:
    resource = Resource("training", service.endpoint, options.pop("key", service.training_key))
    return CustomVisionClient(resource, **({"per_second": 1000} | options))


@pytest.fixture
def client(custom_vision) -> CustomVisionClient:
    return make_client(custom_vision)


class TestTries:
    @pytest.mark.parametrize(
        "fault", [faults.too_many("0"), faults.server_error(), faults.unavailable(), faults.reset()]
    )
    def test_a_post_is_tried_again_after(self, custom_vision, client, pauses, fault):
        custom_vision.fail("create_project", fault, fault)
        assert client.call("create_project", "Plates", within=60).name == "Plates"
        assert len(custom_vision.calls("create_project")) == 3
        assert pauses == [0.5, 1.0]

    @pytest.mark.parametrize("fault", [faults.too_many("0"), faults.server_error(), faults.reset()])
    def test_a_get_is_tried_by_us_and_not_by_the_sdk(self, custom_vision, client, pauses, fault):
        custom_vision.fail("get_projects", fault)
        assert client.call("get_projects", within=60) == []
        assert len(custom_vision.calls("get_projects")) == 2

    def test_retry_after_is_honoured_with_jitter_on_top(self, custom_vision, client, pauses):
        custom_vision.fail("get_projects", faults.too_many("7"), faults.unavailable("3"))
        client.call("get_projects", within=60)
        assert pauses == [7.5, 4.0]

    def test_a_pause_that_would_leave_the_budget_is_told_instead(
        self, custom_vision, client, pauses
    ):
        custom_vision.fail("get_projects", faults.too_many("30"))
        with pytest.raises(ServiceBusy, match=r"busy. Try again in 30 s\.") as caught:
            client.call("get_projects", within=10)
        assert caught.value.retry_after_seconds == 30
        assert (caught.value.status, pauses, len(custom_vision.received)) == (503, [], 1)

    def test_a_slow_answer_is_not_waited_for_beyond_a_try(self, custom_vision, pauses):
        custom_vision.fail("get_projects", faults.slow(60))
        assert make_client(custom_vision, try_seconds=0.5).call("get_projects", within=60) == []

    def test_what_must_not_be_done_twice_is_tried_again_only_where_nothing_was_done(
        self, custom_vision, client, pauses
    ):
        custom_vision.fail("create_project", faults.too_many("1"), faults.reset(done=True))
        with pytest.raises(ResponseLost):
            client.call("create_project", "Plates", within=60, repeat=False)
        assert len(custom_vision.calls("create_project")) == 2
        assert len(custom_vision.projects) == 1

    def test_a_refusal_is_final_and_names_the_reason(self, custom_vision, client):
        client.call("create_project", "Plates", within=10)
        with pytest.raises(RequestRejected, match="not unique") as caught:
            client.call("create_project", "Plates", within=10)
        assert caught.value.reason == "BadRequestProjectNameNotUnique"
        assert len(custom_vision.received) == 2

    @pytest.mark.parametrize(
        "fault", [faults.out_of_calls(), faults.quota_reached(), faults.wrong_key()]
    )
    def test_what_only_a_maintainer_can_mend_is_final(self, custom_vision, client, fault):
        custom_vision.fail("get_projects", fault)
        with pytest.raises(AccessDenied, match="Check the"):
            client.call("get_projects", within=10)
        assert len(custom_vision.received) == 1

    def test_a_pause_that_took_all_the_time_hides_nothing_of_what_the_service_did(
        self, monkeypatch
    ):
        real = client_module.time.sleep
        monkeypatch.setattr(client_module.time, "sleep", lambda seconds: real(seconds + 0.6))
        monkeypatch.setattr(client_module.random, "uniform", lambda least, most: least)
        client = CustomVisionClient(
            Resource("training", "http://127.0.0.1:9", "key"), per_second=10
        )
        client._client()  # opens the SDK, which takes longer than the call may
        with pytest.raises(ResponseLost, match="does not answer"):
            client.call("get_projects", within=0.6)

    def test_nobody_there_is_told_in_time(self, pauses):
        client = CustomVisionClient(
            Resource("training", "http://127.0.0.1:9", "key"), per_second=10
        )
        with pytest.raises(ResponseLost, match="does not answer"):
            client.call("get_projects", within=0.5)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3),
        ("1.5", 1.5),
        ("", 0),
        ("soon", 0),
        ("-4", 0),
        ("nan", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_understood(value, seconds):
    assert errors.retry_after({"Retry-After": value}) == seconds


def test_retry_after_may_be_a_date(monkeypatch):
    monkeypatch.setattr(errors.time, "time", lambda: 1_700_000_000.0)
    assert errors.retry_after({"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}) == 30


class TestBreaker:
    def make(self) -> tuple[CircuitBreaker, Time]:
        clock = Time()
        return CircuitBreaker(most_failures=3, rest_seconds=15, clock=clock), clock

    def test_opens_after_failures_in_a_row(self):
        breaker, _clock = self.make()
        for _failure in range(2):
            breaker.failed()
        breaker.worked()
        for _failure in range(3):
            assert breaker.ask() == 0
            breaker.failed()
        assert breaker.ask() == 15

    def test_lets_one_probe_through_and_closes_when_it_works(self):
        breaker, clock = self.make()
        for _failure in range(3):
            breaker.failed()
        clock.now += 16
        assert breaker.ask() == 0
        assert breaker.ask() > 0, "only one"
        breaker.worked()
        assert breaker.ask() == 0

    def test_opens_again_when_the_probe_fails(self):
        breaker, clock = self.make()
        for _failure in range(3):
            breaker.failed()
        clock.now += 16
        breaker.ask()
        breaker.failed(wait_seconds=40)
        assert breaker.ask() == 40

    def test_a_probe_that_came_to_nothing_leaves_room_for_another(self):
        breaker, clock = self.make()
        for _failure in range(3):
            breaker.failed()
        clock.now += 16
        breaker.ask()
        breaker.gave_up()
        assert breaker.ask() == 0

    def test_an_open_breaker_spares_the_service(self, custom_vision, pauses):
        client = make_client(
            custom_vision, breaker=CircuitBreaker(most_failures=2, rest_seconds=15)
        )
        custom_vision.fail("get_projects", faults.server_error(), always=True)
        with pytest.raises(ServiceBusy):
            client.call("get_projects", within=60)
        custom_vision.heal()
        with pytest.raises(ServiceBusy, match="Try again in 15 s") as caught:
            client.call("get_projects", within=60)
        assert caught.value.retry_after_seconds == 15
        assert len(custom_vision.received) == 2

    def test_who_opens_it_is_told_what_was_found_and_not_that_it_is_open(
        self, custom_vision, pauses
    ):
        client = make_client(custom_vision, breaker=CircuitBreaker(most_failures=2))
        custom_vision.fail("get_projects", faults.reset(), always=True)
        with pytest.raises(ResponseLost, match="does not answer"):
            client.call("get_projects", within=60)

    def test_a_refusal_shows_that_the_service_is_there(self, custom_vision, pauses):
        client = make_client(custom_vision, breaker=CircuitBreaker(most_failures=2))
        custom_vision.fail("get_projects", *[faults.server_error(), faults.quota_reached()] * 4)
        for _call in range(4):
            with pytest.raises(AccessDenied):
                client.call("get_projects", within=60)
        assert client.call("get_projects", within=60) == []


class TestLimits:
    def test_no_more_than_so_many_begin_in_a_second(self):
        clock = Time()
        limits = RateLimiter(2, clock=clock, sleep=clock.sleep)
        begun = []
        for _call in range(5):
            with limits.one(10):
                begun.append(clock.now - 1000)
        assert begun == [0, 0, 1, 1, 2]

    def test_who_would_wait_too_long_is_told(self):
        clock = Time()
        limits = RateLimiter(1, clock=clock, sleep=clock.sleep)
        with limits.one(1):
            pass
        with pytest.raises(RateLimitExceeded), limits.one(0.5):
            pass
        assert clock.slept == []

    def test_as_many_are_under_way_at_most(self):
        clock = Time()
        limits = RateLimiter(1, clock=clock, sleep=clock.sleep)
        with limits.one(1), pytest.raises(RateLimitExceeded), limits.one(0):
            pass
        clock.now += 1
        with limits.one(1):
            pass

    def test_the_client_says_busy(self, custom_vision):
        client = make_client(custom_vision, per_second=1)
        client.call("get_projects", within=5)
        with pytest.raises(ServiceBusy, match="Try again in 1 s"):
            client.call("get_projects", within=0.3)
        assert len(custom_vision.received) == 1


def test_connections_are_kept_and_shared_by_threads(custom_vision):
    client = make_client(custom_vision, per_second=1000)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _number: client.call("get_projects", within=30), range(40)))
    assert len(custom_vision.received) == 40
    assert custom_vision.connections <= 4


def test_the_key_is_in_no_error_no_log_and_no_repr(custom_vision, caplog, pauses):
    caplog.set_level(logging.DEBUG)
    key = custom_vision.training_key
    told = faults.Fault(400, {"code": "BadRequest", "message": f"The key {key} is not welcome."})
    several = [
        faults.wrong_key(),
        faults.out_of_calls(),
        faults.server_error(),
        told,
        faults.reset(),
        faults.slow(60),
    ]
    texts = []
    for fault in several:
        client = make_client(custom_vision, try_seconds=0.3)
        custom_vision.fail("get_projects", fault, fault, fault)
        try:
            client.call("get_projects", within=0.5)
        except CustomVisionError as error:
            texts += [
                str(error),
                repr(error),
                *traceback.format_exception(error),
                repr(error.__cause__),
            ]
            assert (
                error.__suppress_context__
                or error.__context__ is None
                or isinstance(error, CustomVisionError)
            )
        custom_vision.heal()
        texts += [repr(client), repr(client.resource)]
    assert "is not welcome" in "".join(texts)
    assert key not in "".join(texts)
    assert key not in caplog.text
    assert "get" in caplog.text.lower(), "something was logged"


def test_a_redirect_is_not_followed_with_the_key(custom_vision, client):
    elsewhere = f"{custom_vision.endpoint}/customvision/v3.4-preview/training/domains"
    custom_vision.fail("get_projects", faults.Fault(307, {}, location=elsewhere))
    with pytest.raises(CustomVisionError):
        client.call("get_projects", within=1)
    assert [one.operation for one in custom_vision.received] == ["get_projects"]


class TestEncoding:
    def seen(self, image: Image.Image) -> Image.Image:
        with Image.open(io.BytesIO(encoding.encode_picture(image))) as encoded:
            encoded.load()
            assert encoded.format == "JPEG"
            return encoded

    def test_an_ordinary_picture_keeps_its_size_and_its_colours(self):
        image = self.seen(Image.new("RGB", (640, 480), (200, 40, 90)))
        assert image.size == (640, 480)
        assert all(
            abs(ours - theirs) <= 2
            for ours, theirs in zip(image.getpixel((5, 5)), (200, 40, 90), strict=True)
        )

    def test_a_large_one_is_made_smaller(self):
        assert self.seen(Image.new("RGB", (12_000, 6_000))).size == (2048, 1024)

    def test_a_narrow_one_gets_a_border(self):
        image = self.seen(Image.new("RGB", (400, 3), "white"))
        assert image.size == (400, 17)
        assert (
            image.convert("L").getpixel((200, 8)) > 200
            and image.convert("L").getpixel((200, 0)) < 50
        )

    def test_noise_stays_within_the_limit(self):
        assert (
            len(encoding.encode_picture(Image.effect_noise((2048, 2048), 200)))
            <= encoding.MAX_BYTES
        )

    def test_the_same_picture_is_the_same_bytes(self):
        image = Image.effect_noise((100, 80), 50)
        assert encoding.encode_picture(image) == encoding.encode_picture(image.copy())
