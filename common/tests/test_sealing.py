"""A secret in the database is of no use without SECRET_KEY, and not for ever with it."""

import time

import pytest

from common import encryption
from common.encryption import DecryptionFailed, decrypt_secret, encrypt_secret


def test_a_sealed_secret_comes_back():
    sealed = encrypt_secret("hunter2", purpose="test")
    assert "hunter2" not in sealed
    assert decrypt_secret(sealed, purpose="test") == "hunter2"


def test_another_secret_key_opens_nothing_unless_it_is_the_one_before(settings):
    sealed, before = encrypt_secret("hunter2", purpose="test"), settings.SECRET_KEY
    settings.SECRET_KEY = "another one, which is long enough"
    with pytest.raises(DecryptionFailed):
        decrypt_secret(sealed, purpose="test")
    settings.SECRET_KEY_FALLBACKS = [before]
    assert decrypt_secret(sealed, purpose="test") == "hunter2"


def test_another_purpose_opens_nothing():
    with pytest.raises(DecryptionFailed):
        decrypt_secret(encrypt_secret("hunter2", purpose="test"), purpose="else")


def test_it_ends_with_the_day(monkeypatch):
    sealed, now = encrypt_secret("hunter2", purpose="test"), time.time()
    monkeypatch.setattr(time, "time", lambda: now + encryption.SECONDS + 1)
    with pytest.raises(DecryptionFailed):
        decrypt_secret(sealed, purpose="test")
