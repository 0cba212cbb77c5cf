"""Keeps somebody else's secret for as long as work needs it: encrypted, and useless after a while.

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
    # A key of 32 bytes for one purpose alone, by HKDF (RFC 5869): what was sealed for one is of no
    # use for another. The first key seals, the others still open what was sealed before a change.
    info = f"classifr.sealing.{purpose}".encode()
    boxes = []
    for key in [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]:
        derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info)
        boxes.append(Fernet(base64.urlsafe_b64encode(derivation.derive(key.encode()))))
    return MultiFernet(boxes)
