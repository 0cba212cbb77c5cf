"""A secret in the database is of no use without SECRET_KEY, and not for ever with it."""

import time

import pytest

from common import sealing
from common.sealing import Unreadable, seal, unseal


def test_a_sealed_secret_comes_back():
    sealed = seal("hunter2", purpose="test")
    assert "hunter2" not in sealed
    assert unseal(sealed, purpose="test") == "hunter2"


def test_another_secret_key_opens_nothing_unless_it_is_the_one_before(settings):
    sealed, before = seal("hunter2", purpose="test"), settings.SECRET_KEY
    settings.SECRET_KEY = "another one, which is long enough"
    with pytest.raises(Unreadable):
        unseal(sealed, purpose="test")
    settings.SECRET_KEY_FALLBACKS = [before]
    assert unseal(sealed, purpose="test") == "hunter2"


def test_another_purpose_opens_nothing():
    with pytest.raises(Unreadable):
        unseal(seal("hunter2", purpose="test"), purpose="else")


def test_it_ends_with_the_day(monkeypatch):
    sealed, now = seal("hunter2", purpose="test"), time.time()
    monkeypatch.setattr(time, "time", lambda: now + sealing.SECONDS + 1)
    with pytest.raises(Unreadable):
        unseal(sealed, purpose="test")
