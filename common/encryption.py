"""Keeps a secret of somebody else's for as long as work needs it: encrypted, and of no use after a
while.

What is sealed lies in the database, the key to it (`SECRET_KEY`) does not: a copy of the database
alone opens nothing.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

SECONDS = 24 * 3600


class DecryptionFailed(Exception):
    """It is too old, was changed, or was sealed under another SECRET_KEY."""


def encrypt_secret(secret: str, *, purpose: str) -> str:
    return _box(purpose).encrypt(secret.encode()).decode()


def decrypt_secret(sealed: str, *, purpose: str) -> str:
    """Return the secret. Raises DecryptionFailed; never says anything of what is inside."""
    try:
        return _box(purpose).decrypt(sealed.encode(), ttl=SECONDS).decode()
    except InvalidToken:
        raise DecryptionFailed from None


def _box(purpose: str) -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(_derived(key, purpose))) for key in keys])


def _derived(key: str, purpose: str) -> bytes:
    """Return 32 bytes for one purpose alone. Source: RFC 5869 (HKDF)."""
    info = f"classifr.sealing.{purpose}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(key.encode())
