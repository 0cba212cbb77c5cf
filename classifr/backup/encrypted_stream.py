"""A file under a passphrase, written and read as a stream: no end can be cut off, no part changed.

The key comes from the passphrase by scrypt. Chunks of 1 MiB are sealed one by one by ChaCha20 with
Poly1305, each with its number and whether it is the last (the STREAM construction of Hoang,
Reyhanitabar, Rogaway and Vizár, 2015, as the tool age uses it).
"""

import io
import os
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from classifr.backup.errors import BackupError

MAGIC = b"classifr-backup-encrypted-1\n"
SALT_BYTES, TAG_BYTES, COUNTER_BYTES = 16, 16, 11
CHUNK_BYTES = 1 << 20
WRONG = (
    "The archive cannot be decrypted: BACKUP_PASSPHRASE is not the one it was made with, or the "
    "file is damaged."
)
DAMAGED = "The archive is damaged or cut off. Nothing was changed; use another copy of it."


def _cipher(passphrase: str, salt: bytes) -> ChaCha20Poly1305:
    # n: 128 MiB of memory for a guess (RFC 7914; OWASP's password storage cheat sheet)
    return ChaCha20Poly1305(
        Scrypt(salt=salt, length=32, n=2**17, r=8, p=1).derive(passphrase.encode())
    )


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(COUNTER_BYTES, "big") + bytes([last])


class EncryptingWriter(io.RawIOBase):
    """Encrypts what is written to it into a file; `finish` writes the end, without which it is
    none.
    """

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        salt = os.urandom(SALT_BYTES)
        file.write(MAGIC + salt)
        self._file, self._cipher = file, _cipher(passphrase, salt)
        self._waiting, self._number = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # any buffer
        self._waiting += data
        while len(self._waiting) > CHUNK_BYTES:  # one stays back: the last is marked
            self._seal(self._waiting[:CHUNK_BYTES], last=False)
            del self._waiting[:CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        self._seal(self._waiting, last=True)
        self._waiting = bytearray()

    def _seal(self, chunk: bytes | bytearray, *, last: bool) -> None:
        nonce = _nonce(self._number, last=last)
        self._file.write(self._cipher.encrypt(nonce, bytes(chunk), None))
        self._number += 1


class DecryptingReader(io.RawIOBase):
    """What was written, chunk by chunk; BackupError for what was not written so."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        salt = file.read(SALT_BYTES)
        self._file, self._cipher = file, _cipher(passphrase, salt)
        self._open, self._number, self._at_end = b"", 0, False
        self._next = file.read(CHUNK_BYTES + TAG_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # any buffer
        if not self._open and not self._at_end:
            self._open = self._decrypt_next()
        count = min(len(buffer), len(self._open))
        buffer[:count], self._open = self._open[:count], self._open[count:]
        return count

    def _decrypt_next(self) -> bytes:
        sealed, self._next = self._next, self._file.read(CHUNK_BYTES + TAG_BYTES)
        self._at_end = not self._next
        try:
            nonce = _nonce(self._number, last=self._at_end)
            opened = self._cipher.decrypt(nonce, sealed, None)
        except InvalidTag:
            raise BackupError(DAMAGED if self._number else WRONG) from None
        self._number += 1
        return opened
